//! What happens to a request.

use domain::decision::Stated;
use domain::id::{ControllerId, MessageId, RequestId, SystemId, TaskId};
use domain::request::{Closing, StageName};
use domain::task::ParkReason;
use jiff::Timestamp;
use prost::Message as _;

use crate::convert::{Malformed, Numbered as _, decode, id, instant, word};
use crate::wire::lifecycle_event::Happened as Wire;
use crate::{Envelope, Topic, wire};

/// One thing that happened to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleEvent {
    /// Names this message on every sending.
    pub message_id: MessageId,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// The request.
    pub request: RequestId,
    /// Whose data it is about.
    pub controller: ControllerId,
    /// The request's version after it happened.
    pub request_version: i64,
    /// What happened.
    pub happened: Happened,
}

/// What happened to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// It is in another stage now. Closing and reopening have words of their own.
    StageChanged(StageName),
    /// One of its tasks is not handed over for now.
    TaskParked {
        /// The task.
        task: TaskId,
        /// Where it was to go.
        system: SystemId,
        /// Why.
        reason: ParkReason,
    },
    /// One of its tasks could not be handed over for so long that somebody should look.
    TaskUnreachable {
        /// The task.
        task: TaskId,
        /// Where it was to go.
        system: SystemId,
    },
    /// Nobody answered one of its tasks, though its owner was reminded.
    TaskUnanswered {
        /// The task.
        task: TaskId,
        /// Whose it is.
        system: SystemId,
    },
    /// We signed a statement about one of its tasks.
    TaskStated {
        /// The task.
        task: TaskId,
        /// Whose it is.
        system: SystemId,
        /// What it says.
        statement: Stated,
        /// Whether a person has approved it, which makes it the last word.
        approved: bool,
    },
    /// The time to answer, which ends then, is nearly over.
    DueSoon(Timestamp),
    /// The time to answer ended then.
    Overdue(Timestamp),
    /// Every task has its last word.
    Closed(Closing),
    /// A worse amendment came after closing.
    Reopened,
}

impl LifecycleEvent {
    /// The bytes for the topic.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let wire = wire::LifecycleEvent {
            message_id: self.message_id.bytes().to_vec(),
            occurred_at: self.occurred_at.as_microsecond(),
            request: self.request.bytes().to_vec(),
            controller: self.controller.bytes().to_vec(),
            request_version: self.request_version,
            happened: Some(self.happened.to_wire()),
        };
        wire.encode_to_vec()
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let wire: wire::LifecycleEvent = decode(bytes)?;
        Ok(Self {
            message_id: id("message_id", &wire.message_id)?,
            occurred_at: instant("occurred_at", wire.occurred_at)?,
            request: id("request", &wire.request)?,
            controller: id("controller", &wire.controller)?,
            request_version: wire.request_version,
            happened: Happened::from_wire(wire.happened.ok_or(Malformed::Missing("happened"))?)?,
        })
    }

    /// The message on its topic, keyed by request.
    #[must_use]
    pub fn envelope(&self) -> Envelope {
        Envelope::new(Topic::Events, &self.request, self.message_id, self.encode())
    }
}

impl Happened {
    fn to_wire(self) -> Wire {
        match self {
            Self::StageChanged(stage) => Wire::StageChanged(wire::StageChanged { stage: stage.number() }),
            Self::TaskParked { task, system, reason } => Wire::TaskParked(wire::TaskParked {
                task: task.bytes().to_vec(),
                system: system.bytes().to_vec(),
                reason: reason.number(),
            }),
            Self::TaskUnreachable { task, system } => Wire::TaskUnreachable(wire::TaskUnreachable {
                task: task.bytes().to_vec(),
                system: system.bytes().to_vec(),
            }),
            Self::TaskUnanswered { task, system } => Wire::TaskUnanswered(wire::TaskUnanswered {
                task: task.bytes().to_vec(),
                system: system.bytes().to_vec(),
            }),
            Self::TaskStated {
                task,
                system,
                statement,
                approved,
            } => Wire::TaskStated(wire::TaskStated {
                task: task.bytes().to_vec(),
                system: system.bytes().to_vec(),
                statement: statement.number(),
                approved,
            }),
            Self::DueSoon(at) => Wire::DueSoon(wire::DueSoon {
                due_at: at.as_microsecond(),
            }),
            Self::Overdue(at) => Wire::Overdue(wire::Overdue {
                due_at: at.as_microsecond(),
            }),
            Self::Closed(closing) => Wire::Closed(wire::Closed {
                outcome: closing.number(),
            }),
            Self::Reopened => Wire::Reopened(wire::Reopened {}),
        }
    }

    fn from_wire(wire: Wire) -> Result<Self, Malformed> {
        Ok(match wire {
            Wire::StageChanged(changed) => Self::StageChanged(word("stage", changed.stage)?),
            Wire::TaskParked(parked) => Self::TaskParked {
                task: id("task", &parked.task)?,
                system: id("system", &parked.system)?,
                reason: word("reason", parked.reason)?,
            },
            Wire::TaskUnanswered(unanswered) => Self::TaskUnanswered {
                task: id("task", &unanswered.task)?,
                system: id("system", &unanswered.system)?,
            },
            Wire::TaskStated(stated) => Self::TaskStated {
                task: id("task", &stated.task)?,
                system: id("system", &stated.system)?,
                statement: word("statement", stated.statement)?,
                approved: stated.approved,
            },
            Wire::TaskUnreachable(unreachable) => Self::TaskUnreachable {
                task: id("task", &unreachable.task)?,
                system: id("system", &unreachable.system)?,
            },
            Wire::DueSoon(soon) => Self::DueSoon(instant("due_at", soon.due_at)?),
            Wire::Overdue(over) => Self::Overdue(instant("due_at", over.due_at)?),
            Wire::Closed(closed) => Self::Closed(word("outcome", closed.outcome)?),
            Wire::Reopened(_) => Self::Reopened,
        })
    }
}
