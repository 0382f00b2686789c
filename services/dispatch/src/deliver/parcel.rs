//! What was claimed: a task or a message, with the key that opens it.
//!
//! Both wait for the same capacity and are sent over the same way; only how they are opened and what is written
//! afterwards differs. Whatever keeps books about them needs no more than what is here.

use std::fmt;

use domain::id::{ControllerId, MessageId, SystemId, TaskId};
use evidence::digest::sha256;
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

/// Why something can't be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unready {
    /// The bytes are gone, or are not those that were planned.
    Corrupt,
    /// The registration lacks an address or keys, or speaks of another connector by now.
    Misregistered,
    /// Our key store or key ring.
    Ours,
}

/// The bytes that were sealed under this key as this field; `None` if they are gone, or are not those of the digest.
pub(crate) fn open(
    key: Option<&DataKey>,
    field: &'static str,
    sealed: Option<&[u8]>,
    digest: [u8; 32],
) -> Option<Vec<u8>> {
    let (key, sealed) = key.zip(sealed)?;
    let body = key.open(field, sealed).ok()?;
    (sha256(&body) == digest).then_some(body)
}

impl Key {
    /// Opens what it is the key of.
    pub(super) fn open(
        &self,
        field: &'static str,
        sealed: Option<&[u8]>,
        digest: [u8; 32],
    ) -> Result<Vec<u8>, Unready> {
        match self {
            Self::Here(key) => open(Some(key), field, sealed, digest).ok_or(Unready::Corrupt),
            Self::Shredded => Err(Unready::Corrupt),
            Self::Away => Err(Unready::Ours),
        }
    }
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
