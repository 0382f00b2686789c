//! What was claimed: a task or a message, with the key that opens it.
//!
//! Both wait for the same capacity and are sent over the same way; only how they are opened and what is written
//! afterwards differs. Whatever keeps books about them needs no more than what is here.

use std::fmt;

use domain::id::{ControllerId, MessageId, SystemId, TaskId};
use jiff::Timestamp;
use keys::DataKey;
use store::leases::Freight;
use store::messages::claim::ClaimedMessage;
use store::messages::record::{MessageNext, MessageStep};
use store::tasks::claim::Claimed;
use store::tasks::record::{Next, Step};

use super::record::{Outcome, Report};

/// What was claimed.
#[derive(Debug)]
pub(super) enum Parcel {
    /// A task.
    Task(Claimed, Key),
    /// A message.
    Message(ClaimedMessage, Key),
}

/// A key of the request that it is about: a task's subject key, a message's evidence key.
#[derive(Debug)]
pub(super) enum Key {
    /// In hand.
    Here(DataKey),
    /// Gone, and the bytes with it.
    Shredded,
    /// The key store can't be reached.
    Away,
}

/// The name of what was claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Load {
    Task(TaskId),
    Message(MessageId),
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(task) => task.fmt(f),
            Self::Message(message) => message.fmt(f),
        }
    }
}

impl Parcel {
    /// What it is called, on the wire too.
    pub(super) fn load(&self) -> Load {
        match self {
            Self::Task(claimed, _) => Load::Task(claimed.id),
            Self::Message(claimed, _) => Load::Message(claimed.id),
        }
    }

    /// Where it goes.
    pub(super) fn system(&self) -> SystemId {
        match self {
            Self::Task(claimed, _) => claimed.system,
            Self::Message(claimed, _) => claimed.system,
        }
    }

    /// Whether it was tried before.
    pub(super) fn is_retry(&self) -> bool {
        match self {
            Self::Task(claimed, _) => claimed.steps > 0,
            Self::Message(claimed, _) => claimed.steps > 0,
        }
    }

    /// The lane that it came from, beside its system.
    pub(super) fn lane(&self) -> (ControllerId, Freight) {
        match self {
            Self::Task(claimed, _) => (claimed.controller, Freight::Tasks),
            Self::Message(claimed, _) => (claimed.controller, Freight::Messages),
        }
    }

    /// What makes it due again as if it had not been claimed.
    pub(super) fn given_back(&self, due: Timestamp) -> Report {
        match self {
            Self::Task(claimed, _) => Report::Task(Outcome {
                attempt: None,
                step: Step {
                    task: claimed.id,
                    fence: claimed.fence,
                    next: Next::Due(due),
                    steps: claimed.steps,
                    rejections: claimed.rejections,
                },
                anomaly: None,
            }),
            Self::Message(claimed, _) => Report::Message(MessageStep {
                message: claimed.id,
                fence: claimed.fence,
                next: MessageNext::Due(due),
                steps: claimed.steps,
                rejections: claimed.rejections,
            }),
        }
    }
}
