//! What a named person decides about a request: our statements, and a controller's single instruction.
//!
//! We sign a statement about a task at its deadline, but it is the last word only once a person has approved it. A
//! controller that has no standing instruction to act says for one request whether we act. Both are decided here,
//! task by task, from facts alone; whoever calls stores what comes of it and steps the request.

use jiff::Timestamp;

use crate::request::Answer;
use crate::task::{TaskEvent, TaskStage};
use crate::word::vocabulary;

vocabulary! {
    /// What we can say about a task in nobody else's words.
    Stated ("statement") {
        /// It could not be handed over.
        Undeliverable = "undeliverable",
        /// It was handed over and never answered.
        NoReceipt = "no_receipt",
        /// The controller did not instruct us to act in that system.
        NotInstructed = "not_instructed",
    }
}

vocabulary! {
    /// What a person can decide.
    Verdict ("verdict") {
        /// Our statements stand: they are the last words about their tasks.
        Approve = "approve",
        /// The controller instructs us to act.
        Act = "act",
        /// The controller instructs us not to act.
        Decline = "decline",
    }
}

impl From<Stated> for Answer {
    fn from(stated: Stated) -> Self {
        match stated {
            Stated::Undeliverable => Self::Undeliverable,
            Stated::NoReceipt => Self::NoReceipt,
            Stated::NotInstructed => Self::NotInstructed,
        }
    }
}

impl Stated {
    /// What is true at the deadline about a task that nobody has answered.
    #[must_use]
    pub const fn of(dispatched: bool) -> Self {
        if dispatched {
            Self::NoReceipt
        } else {
            Self::Undeliverable
        }
    }
}

/// What decides about a task besides its stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// A statement about it was signed already, and waits for approval.
    pub proposed: bool,
    /// It was handed over once.
    pub dispatched: bool,
}

/// What a verdict makes of a task; `None` leaves it alone. What an approval states is what is true by now: a task that
/// came through after its statement was signed was handed over.
#[must_use]
pub fn decide(verdict: Verdict, stage: TaskStage, facts: Facts, now: Timestamp) -> Option<Decision> {
    match (verdict, stage) {
        (Verdict::Approve, stage) if stage.is_open() && facts.proposed => {
            Some(Decision::State(Stated::of(facts.dispatched)))
        }
        (Verdict::Act, TaskStage::Held) => Some(Decision::Send(now)),
        (Verdict::Decline, TaskStage::Held) => Some(Decision::State(Stated::NotInstructed)),
        _ => None,
    }
}

/// What becomes of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is due then.
    Send(Timestamp),
    /// This is its last word.
    State(Stated),
}

impl Decision {
    /// The event for the task's own stage.
    #[must_use]
    pub fn event(self) -> TaskEvent {
        match self {
            Self::Send(at) => TaskEvent::Instructed(at),
            Self::State(stated) => TaskEvent::Stated(stated.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::ParkReason;

    #[test]
    fn a_verdict_decides_what_waits_for_it_and_nothing_else() {
        let now = Timestamp::UNIX_EPOCH;
        let stages = [
            TaskStage::Held,
            TaskStage::Due(now),
            TaskStage::AwaitingReceipt,
            TaskStage::Parked(ParkReason::Gone),
            TaskStage::Done(Answer::Completed),
        ];
        let made = |verdict, proposed, dispatched| {
            let facts = Facts { proposed, dispatched };
            stages.map(|stage| decide(verdict, stage, facts, now))
        };
        let (never, send) = (None, Some(Decision::Send(now)));
        let state = |stated| Some(Decision::State(stated));
        assert_eq!(made(Verdict::Approve, false, false), [never; 5], "nothing was signed");
        let undeliverable = state(Stated::Undeliverable);
        let open = |word| [word, word, word, word, never];
        assert_eq!(made(Verdict::Approve, true, false), open(undeliverable));
        assert_eq!(made(Verdict::Approve, true, true), open(state(Stated::NoReceipt)));
        assert_eq!(made(Verdict::Act, true, false), [send, never, never, never, never]);
        let not = state(Stated::NotInstructed);
        assert_eq!(made(Verdict::Decline, false, false), [not, never, never, never, never]);
        for decision in made(Verdict::Decline, true, true).into_iter().flatten() {
            assert!(TaskStage::Held.step(decision.event()).is_ok());
        }
    }
}
