//! The life of a request, and the only way it changes.
//!
//! [`Stage::step`] decides and touches nothing; its caller stores the new stage and the effects in one transaction.
//! A redelivered event is recognised by its id before it gets here, so what does not fit is out of order and refused.
//! What carries correctness is [`Tally`]: a request closes only when every task of its plan has a last word, and a
//! handed-over task, an acknowledgement or a `failed` receipt is none.

use std::collections::BTreeMap;

use crate::id::TaskId;
use crate::plan::Instruct;
use crate::receipt::{EvidenceLevel, Outcome};
use crate::word::vocabulary;

/// Where a request is in its life. Each stage holds only what is true in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Durable, and nothing more is known yet.
    Accepted,
    /// Which business is meant is not certain; waits for the operator.
    Unmatched,
    /// Not shown yet that the requester is the person.
    Unverified,
    /// The controller must say whether it is to be done.
    AwaitingController,
    /// Matched, verified, instructed; published, and not planned yet.
    Ready,
    /// Every task of the plan, with its last word once there is one.
    Planned(Tally),
    /// Over; the answers are kept, because a worse amendment reopens.
    Closed(Closing, Tally),
}

vocabulary! {
    /// The names of the stages, as pages, events and README's diagram use them.
    StageName ("stage") {
        /// See [`Stage::Accepted`].
        Accepted = "accepted",
        /// See [`Stage::Unmatched`].
        Unmatched = "unmatched",
        /// See [`Stage::Unverified`].
        Unverified = "unverified",
        /// See [`Stage::AwaitingController`].
        AwaitingController = "awaiting_controller",
        /// See [`Stage::Ready`].
        Ready = "ready",
        /// See [`Stage::Planned`].
        Planned = "planned",
        /// See [`Stage::Closed`].
        Closed = "closed",
    }
}

vocabulary! {
    /// What a closed request came to.
    Closing ("closing outcome") {
        /// All was done, or nothing was found.
        Fulfilled = "fulfilled",
        /// Some was done, or something was kept.
        Partly = "partly",
        /// All owners refused.
        Refused = "refused",
        /// The controller's standing instruction declines such requests with a notice.
        Declined = "declined",
        /// The person took it back.
        Withdrawn = "withdrawn",
        /// Nobody could be reached, or nobody answered.
        Undeliverable = "undeliverable",
    }
}

vocabulary! {
    /// The last word about one task.
    Answer ("answer") {
        /// Done.
        Completed = "completed",
        /// Nothing is held.
        NotFound = "not_found",
        /// Something was kept, on a named ground.
        Partial = "partial",
        /// The owner refused, on a named ground.
        Refused = "refused",
        /// Our approved statement: it could not be handed over.
        Undeliverable = "undeliverable",
        /// Our approved statement: it was handed over and never answered.
        NoReceipt = "no_receipt",
        /// The controller did not instruct us to act in this system.
        NotInstructed = "not_instructed",
    }
}

impl Answer {
    /// The answer that a receipt's outcome is; a `failed` one is no last word.
    #[must_use]
    pub fn of(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Completed => Some(Self::Completed),
            Outcome::NotFound => Some(Self::NotFound),
            Outcome::Partial => Some(Self::Partial),
            Outcome::Refused => Some(Self::Refused),
            Outcome::Failed => None,
        }
    }

    /// How little was done for the person: a higher one is worse.
    fn badness(self) -> u8 {
        match self {
            Self::Completed | Self::NotFound | Self::NotInstructed => 0,
            Self::Partial => 1,
            Self::Refused => 2,
            Self::NoReceipt => 3,
            Self::Undeliverable => 4,
        }
    }
}

/// What one task of a plan still owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owed {
    /// The evidence that its system demands.
    pub demand: EvidenceLevel,
    /// The last word, once there is one.
    pub answer: Option<Answer>,
}

/// A plan's tasks and their last words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// What the instruction says to do with it.
    pub instruct: Instruct,
    /// Never empty: a plan without a task is refused at planning.
    pub tasks: BTreeMap<TaskId, Owed>,
}

/// Which condition a waiting request still lacks; asked by intake, answered by `domain` facts alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// The business is not certain.
    Unmatched,
    /// The assurance is below what the right needs.
    Unverified,
    /// No instruction covers it.
    AwaitingController,
    /// Nothing is lacking.
    Open,
}

/// What can happen to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Its conditions were looked at.
    Assessed(Gate),
    /// Its plan was fixed.
    Planned(Tally, Vec<Planning>),
    /// A task got a receipt or a statement.
    Answered(TaskId, Answer, EvidenceLevel),
    /// An owner took an earlier answer back; `None` means that it failed after all.
    Amended(TaskId, Option<Answer>),
    /// The controller declined a request that waited for its word.
    Declined,
    /// The person took the request back.
    Withdrawn,
}

/// What is to be done with a planned task at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planning {
    /// Hand it over now.
    Send(TaskId),
    /// Wait for the controller's instruction.
    Hold(TaskId),
}

/// What must happen because of an event, stored in the same transaction as the new stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Publish it for planning.
    Publish,
    /// Make the task due.
    Send(TaskId),
    /// Keep the task back.
    Hold(TaskId),
    /// The ledger holds the new stage.
    LogStage,
    /// The ledger holds the plan.
    LogPlan,
    /// The ledger holds the closing and every system's last word.
    LogClosure(Closing),
    /// No task of it is handed over any more; owners are told.
    Cancel,
}

/// An event that the stage has no place for; nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{event}` cannot follow stage `{stage}`")]
pub struct OutOfOrder {
    stage: StageName,
    event: &'static str,
}

impl Stage {
    /// The next stage and what must happen for it.
    pub fn step(self, event: Event) -> Result<(Self, Vec<Effect>), OutOfOrder> {
        match (self, event) {
            (stage, Event::Assessed(gate)) if stage.waits_before(gate) => Ok(Self::pass(gate)),
            (Self::Ready, Event::Planned(tally, planning)) if !tally.tasks.is_empty() => {
                Ok(Self::plan(tally, &planning))
            }
            (Self::Planned(tally), Event::Answered(task, answer, level)) if tally.owes(task) => {
                Ok(Self::answer(tally, task, answer, level))
            }
            (Self::Planned(tally), Event::Amended(task, answer)) if tally.has_answer(task) => {
                Ok(Self::settle(tally.amended(task, answer), vec![]))
            }
            (Self::Closed(closing, tally), Event::Amended(task, answer)) if tally.has_answer(task) => {
                Ok(Self::reopen(closing, tally, task, answer))
            }
            (Self::AwaitingController, Event::Declined) => Ok(Self::decline()),
            (stage, Event::Withdrawn) if stage.is_open() => Ok(stage.withdraw()),
            (stage, event) => Err(OutOfOrder {
                stage: stage.name(),
                event: event.name(),
            }),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> StageName {
        match self {
            Self::Accepted => StageName::Accepted,
            Self::Unmatched => StageName::Unmatched,
            Self::Unverified => StageName::Unverified,
            Self::AwaitingController => StageName::AwaitingController,
            Self::Ready => StageName::Ready,
            Self::Planned(_) => StageName::Planned,
            Self::Closed(..) => StageName::Closed,
        }
    }

    /// Whether something still has to happen.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self, Self::Closed(..))
    }

    /// A waiting stage only moves forward: a later look never takes back what an earlier one granted.
    fn waits_before(&self, gate: Gate) -> bool {
        match self {
            Self::Accepted => true,
            Self::Unmatched => gate > Gate::Unmatched,
            Self::Unverified => gate > Gate::Unverified,
            Self::AwaitingController => gate > Gate::AwaitingController,
            Self::Ready | Self::Planned(_) | Self::Closed(..) => false,
        }
    }

    fn pass(gate: Gate) -> (Self, Vec<Effect>) {
        match gate {
            Gate::Unmatched => (Self::Unmatched, vec![Effect::LogStage]),
            Gate::Unverified => (Self::Unverified, vec![Effect::LogStage]),
            Gate::AwaitingController => (Self::AwaitingController, vec![Effect::LogStage]),
            Gate::Open => (Self::Ready, vec![Effect::LogStage, Effect::Publish]),
        }
    }

    fn plan(tally: Tally, planning: &[Planning]) -> (Self, Vec<Effect>) {
        let start = |planning: &Planning| match *planning {
            Planning::Send(task) => Effect::Send(task),
            Planning::Hold(task) => Effect::Hold(task),
        };
        let effects = std::iter::once(Effect::LogPlan)
            .chain(planning.iter().map(start))
            .collect();
        (Self::Planned(tally), effects)
    }

    /// An answer below what the system demands is kept by the caller and closes nothing.
    fn answer(mut tally: Tally, task: TaskId, answer: Answer, level: EvidenceLevel) -> (Self, Vec<Effect>) {
        if let Some(owed) = tally.tasks.get_mut(&task).filter(|owed| level >= owed.demand) {
            owed.answer = Some(answer);
        }
        Self::settle(tally, vec![])
    }

    /// Closes when every task has its last word.
    fn settle(tally: Tally, mut effects: Vec<Effect>) -> (Self, Vec<Effect>) {
        match tally.closing() {
            Some(closing) => {
                effects.push(Effect::LogClosure(closing));
                (Self::Closed(closing, tally), effects)
            }
            None => (Self::Planned(tally), effects),
        }
    }

    /// Only a worse answer reopens; a better one is kept as a receipt and changes nothing that was told.
    fn reopen(closing: Closing, tally: Tally, task: TaskId, answer: Option<Answer>) -> (Self, Vec<Effect>) {
        let before = tally
            .tasks
            .get(&task)
            .and_then(|owed| owed.answer)
            .map_or(0, Answer::badness);
        let worse = answer.is_none_or(|answer| answer.badness() > before);
        if worse && closing != Closing::Withdrawn {
            Self::settle(tally.amended(task, answer), vec![Effect::LogStage])
        } else {
            (Self::Closed(closing, tally), vec![])
        }
    }

    fn decline() -> (Self, Vec<Effect>) {
        let effects = vec![Effect::LogClosure(Closing::Declined)];
        (Self::Closed(Closing::Declined, Tally::unplanned()), effects)
    }

    fn withdraw(self) -> (Self, Vec<Effect>) {
        let tally = match self {
            Self::Planned(tally) => tally,
            _ => Tally::unplanned(),
        };
        (
            Self::Closed(Closing::Withdrawn, tally),
            vec![Effect::Cancel, Effect::LogClosure(Closing::Withdrawn)],
        )
    }
}

impl Event {
    /// Its name in an error: the event's facts stay out of it.
    fn name(&self) -> &'static str {
        match self {
            Self::Assessed(_) => "assessed",
            Self::Planned(..) => "planned",
            Self::Answered(..) => "answered",
            Self::Amended(..) => "amended",
            Self::Declined => "declined",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl Tally {
    /// Of a request that ends before it is planned.
    fn unplanned() -> Self {
        Self {
            instruct: Instruct::Act,
            tasks: BTreeMap::new(),
        }
    }

    fn owes(&self, task: TaskId) -> bool {
        self.tasks.get(&task).is_some_and(|owed| owed.answer.is_none())
    }

    fn has_answer(&self, task: TaskId) -> bool {
        self.tasks.get(&task).is_some_and(|owed| owed.answer.is_some())
    }

    fn amended(mut self, task: TaskId, answer: Option<Answer>) -> Self {
        if let Some(owed) = self.tasks.get_mut(&task) {
            owed.answer = answer;
        }
        self
    }

    /// `None` while an answer is missing. `not_instructed` tasks are ignored beside others.
    fn closing(&self) -> Option<Closing> {
        let answers: Vec<Answer> = self.tasks.values().map(|owed| owed.answer).collect::<Option<_>>()?;
        let told: Vec<Answer> = answers
            .into_iter()
            .filter(|answer| *answer != Answer::NotInstructed)
            .collect();
        let all = |wanted: &[Answer]| !told.is_empty() && told.iter().all(|answer| wanted.contains(answer));
        Some(match self.instruct {
            Instruct::Decline => Closing::Declined,
            _ if told.is_empty() => Closing::Declined,
            _ if all(&[Answer::Completed, Answer::NotFound]) => Closing::Fulfilled,
            _ if all(&[Answer::Refused]) => Closing::Refused,
            _ if all(&[Answer::Undeliverable, Answer::NoReceipt]) => Closing::Undeliverable,
            _ => Closing::Partly,
        })
    }
}

#[cfg(test)]
mod tests;
