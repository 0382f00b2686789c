//! Whether a receipt that is well signed is about the task that it names.
//!
//! The caller fetches the task's facts by the id in the receipt; everything else is decided here. Whether `jti` is new
//! for the issuer stays with the database, whose unique key is the only one who can know.

use domain::id::{RequestId, TaskId};
use domain::receipt::{CompletionError, Outcome, Report, Vocabulary};
use jiff::{SignedDuration, Timestamp};

use super::VerifiedReceipt;

/// How far a client's clock may be off: five minutes, as Standard Webhooks allows for the other direction.
pub const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// What the router knows about a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFacts<'a> {
    /// The task.
    pub task: TaskId,
    /// Its request.
    pub request: RequestId,
    /// The issuer that may speak about it.
    pub issuer: &'a str,
    /// SHA-256 of the body that its owner was sent.
    pub digest: [u8; 32],
    /// When it was planned.
    pub created_at: Timestamp,
}

/// Why a well-signed receipt is not about this task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    /// Unknown, or another issuer's, or of another request: these are not told apart.
    #[error("there is no such task for this issuer")]
    NotYours,
    /// Another body than the one that was sent.
    #[error("`task_digest` is not the Content-Digest of the body that was sent")]
    Digest,
    /// Signed before the task was there.
    #[error("`iat` lies before the task; check the clock")]
    TooEarly,
    /// Signed in the future.
    #[error("`iat` lies in the future; check the clock")]
    TooLate,
    /// The event contradicts itself or leaves the vocabulary.
    #[error(transparent)]
    Completion(#[from] CompletionError),
}

/// Checks a receipt against its task.
pub fn bind(
    receipt: &VerifiedReceipt,
    facts: &TaskFacts<'_>,
    vocabulary: &Vocabulary,
    now: Timestamp,
) -> Result<(), BindingError> {
    let named = (receipt.report.task(), receipt.request, receipt.issuer.as_str());
    if named != (facts.task, facts.request, facts.issuer) {
        return Err(BindingError::NotYours);
    }
    if *receipt.report.task_digest() != facts.digest {
        return Err(BindingError::Digest);
    }
    if receipt.issued_at < facts.created_at - CLOCK_SKEW {
        return Err(BindingError::TooEarly);
    }
    if receipt.issued_at > now + CLOCK_SKEW {
        return Err(BindingError::TooLate);
    }
    match &receipt.report {
        Report::Completed(completion) | Report::Amended { completion, .. } => Ok(completion.check(vocabulary)?),
        Report::Acknowledged { .. } => Ok(()),
    }
}

impl VerifiedReceipt {
    /// The outcome that it declares; an acknowledgement declares none.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        match &self.report {
            Report::Completed(completion) | Report::Amended { completion, .. } => Some(completion.outcome),
            Report::Acknowledged { .. } => None,
        }
    }
}
