//! How a task is handed over, one module for each kind of system.
//!
//! A connector does one attempt and says what came of it in a form that the delivery engine can decide over
//! ([`Attempted`]): it knows the wire, and nothing of schedules, leases or stages. Bodies come rendered and are sent
//! as they are; what an owner answers is read only as far as it may be a receipt.

pub mod webhook;

use platform::egress::{Ours, RetryAfter, Theirs};

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempted {
    /// 2xx: the owner has it. A receipt may have come with the answer.
    Delivered {
        /// The status.
        status: u16,
        /// The answer's whole body, where its type says that it is a receipt.
        receipt: Option<Vec<u8>>,
    },
    /// Anything else that the endpoint answered.
    Answered {
        /// The status.
        status: u16,
        /// When it wants to be asked again.
        retry_after: Option<RetryAfter>,
    },
    /// No answer, and that is the endpoint's doing.
    Failed(Theirs),
    /// Its registration can't be used for sending: the address may not be called, or there is nothing to sign with.
    Misregistered,
    /// No answer, and that is ours; the endpoint is not charged with it.
    Ours(Ours),
}

impl Attempted {
    /// Its word in an attempt's row and in metrics; the status stands beside it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Delivered { .. } => "delivered",
            Self::Answered { .. } => "answered",
            Self::Failed(Theirs::Name) => "name",
            Self::Failed(Theirs::Refused) => "refused",
            Self::Failed(Theirs::ConnectTimeout | Theirs::Timeout) => "timeout",
            Self::Failed(Theirs::Tls) => "tls",
            Self::Failed(Theirs::Broken) => "broken",
            Self::Misregistered => "misregistered",
            Self::Ours(_) => "ours",
        }
    }

    /// The status, where there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Delivered { status, .. } | Self::Answered { status, .. } => Some(*status),
            Self::Failed(_) | Self::Misregistered | Self::Ours(_) => None,
        }
    }
}
