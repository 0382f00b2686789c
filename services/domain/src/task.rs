//! The life of a task: one request × one system.
//!
//! The id and the rendered bytes never change; only this stage does. A receipt that is a last word is legal at every
//! moment and ends the retries; an attempt's result that comes after it only fills its attempt row. A `failed`
//! receipt shows that the owner has the task, so it waits for the next receipt.

use jiff::Timestamp;

use crate::request::Answer;
use crate::word::vocabulary;

/// Where a task is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskStage {
    /// Waits for the controller's instruction.
    Held,
    /// To be handed over at this instant or later.
    Due(Timestamp),
    /// An attempt is under way, begun by the holder of this fence.
    Sending(Fence),
    /// Handed over; nothing final was said yet.
    AwaitingReceipt,
    /// Not handed over for now; stays open and alarmed.
    Parked(ParkReason),
    /// The owner's last word.
    Done(Answer),
    /// Our approved statement instead of it.
    Stated(Answer),
}

/// A lease's number: a later holder has a higher one, so an earlier holder's write can be told apart.
pub type Fence = i64;

vocabulary! {
    /// The names of a task's stages.
    TaskStageName ("task stage") {
        /// See [`TaskStage::Held`].
        Held = "held",
        /// See [`TaskStage::Due`].
        Due = "due",
        /// See [`TaskStage::Sending`].
        Sending = "sending",
        /// See [`TaskStage::AwaitingReceipt`].
        AwaitingReceipt = "awaiting_receipt",
        /// See [`TaskStage::Parked`].
        Parked = "parked",
        /// See [`TaskStage::Done`].
        Done = "done",
        /// See [`TaskStage::Stated`].
        Stated = "stated",
    }
}

vocabulary! {
    /// Why a task is not handed over for now.
    ParkReason ("park reason") {
        /// The endpoint said 410 Gone.
        Gone = "gone",
        /// 401, 403 or 404, again and again.
        Rejected = "rejected",
        /// The stored bytes don't have the digest that was planned.
        Corrupt = "corrupt",
        /// The schedule is used up and the deadline has passed.
        Exhausted = "exhausted",
        /// Its system's registration can't be used for sending.
        Misregistered = "misregistered",
        /// An operator said so.
        Operator = "operator",
        /// The request was withdrawn.
        Withdrawn = "withdrawn",
    }
}

/// What can happen to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskEvent {
    /// The controller instructed us to act.
    Instructed(Timestamp),
    /// An attempt begins.
    Claimed(Fence),
    /// The owner's system answered 2xx to the attempt under this fence.
    Delivered(Fence),
    /// The attempt under this fence failed; try again then.
    Failed(Fence, Timestamp),
    /// It can't be handed over for now.
    Park(ParkReason),
    /// An operator wants it handed over after all.
    Resume(Timestamp),
    /// A receipt came; `None` is a `failed` one, or one below the demanded evidence.
    Receipt(Option<Answer>),
    /// An amendment took an earlier answer back.
    Amended(Option<Answer>),
    /// A statement of ours was approved.
    Stated(Answer),
}

/// An event that the task's stage has no place for; nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a task that is `{stage}` has no place for that event")]
pub struct TaskOutOfOrder {
    stage: TaskStageName,
}

impl TaskStage {
    /// The next stage.
    pub fn step(self, event: TaskEvent) -> Result<Self, TaskOutOfOrder> {
        use TaskEvent as E;
        match (self, event) {
            (Self::Held, E::Instructed(at)) | (Self::Parked(_), E::Resume(at)) => Ok(Self::Due(at)),
            (Self::Due(_), E::Claimed(fence)) => Ok(Self::Sending(fence)),
            // A claim whose holder died is taken over under a higher fence.
            (Self::Sending(old), E::Claimed(fence)) if fence > old => Ok(Self::Sending(fence)),
            (Self::Sending(held), E::Delivered(fence)) if held == fence => Ok(Self::AwaitingReceipt),
            (Self::Sending(held), E::Failed(fence, at)) if held == fence => Ok(Self::Due(at)),
            (Self::Due(_) | Self::Sending(_) | Self::Held | Self::AwaitingReceipt, E::Park(reason)) => {
                Ok(Self::Parked(reason))
            }
            (stage, E::Receipt(Some(answer))) if stage.is_open() => Ok(Self::Done(answer)),
            (stage, E::Receipt(None)) if stage.is_open() => Ok(Self::AwaitingReceipt),
            (Self::Done(_), E::Amended(Some(answer))) => Ok(Self::Done(answer)),
            (Self::Done(_), E::Amended(None)) => Ok(Self::AwaitingReceipt),
            (stage, E::Stated(answer)) if stage.is_open() => Ok(Self::Stated(answer)),
            (stage, _) => Err(TaskOutOfOrder { stage: stage.name() }),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> TaskStageName {
        match self {
            Self::Held => TaskStageName::Held,
            Self::Due(_) => TaskStageName::Due,
            Self::Sending(_) => TaskStageName::Sending,
            Self::AwaitingReceipt => TaskStageName::AwaitingReceipt,
            Self::Parked(_) => TaskStageName::Parked,
            Self::Done(_) => TaskStageName::Done,
            Self::Stated(_) => TaskStageName::Stated,
        }
    }

    /// Whether a last word is still missing.
    #[must_use]
    pub fn is_open(self) -> bool {
        !matches!(self, Self::Done(_) | Self::Stated(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn stages() -> [TaskStage; 7] {
        [
            TaskStage::Held,
            TaskStage::Due(at(1)),
            TaskStage::Sending(5),
            TaskStage::AwaitingReceipt,
            TaskStage::Parked(ParkReason::Gone),
            TaskStage::Done(Answer::Completed),
            TaskStage::Stated(Answer::NoReceipt),
        ]
    }

    fn events() -> [TaskEvent; 13] {
        [
            TaskEvent::Instructed(at(2)),
            TaskEvent::Claimed(5),
            TaskEvent::Claimed(6),
            TaskEvent::Delivered(5),
            TaskEvent::Delivered(4),
            TaskEvent::Failed(5, at(3)),
            TaskEvent::Park(ParkReason::Rejected),
            TaskEvent::Resume(at(4)),
            TaskEvent::Receipt(Some(Answer::Partial)),
            TaskEvent::Receipt(None),
            TaskEvent::Amended(Some(Answer::Refused)),
            TaskEvent::Amended(None),
            TaskEvent::Stated(Answer::Undeliverable),
        ]
    }

    /// Rows are stages, columns events in the order of `events`; `-` is out of order.
    #[test]
    fn every_stage_meets_every_event() {
        let expected = "
            held             | due - - - - - parked - done awaiting_receipt - - stated
            due              | - sending sending - - - parked - done awaiting_receipt - - stated
            sending          | - - sending awaiting_receipt - due parked - done awaiting_receipt - - stated
            awaiting_receipt | - - - - - - parked - done awaiting_receipt - - stated
            parked           | - - - - - - - due done awaiting_receipt - - stated
            done             | - - - - - - - - - - done awaiting_receipt -
            stated           | - - - - - - - - - - - - -";
        let rows: Vec<&str> = expected
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        assert_eq!(rows.len(), TaskStageName::ALL.len());
        for (stage, row) in stages().into_iter().zip(rows) {
            let cell = |event| stage.step(event).map_or("-".to_owned(), |next| next.name().to_string());
            let cells = events().map(cell);
            assert_eq!(format!("{:<16} | {}", stage.name(), cells.join(" ")), row);
        }
    }
}
