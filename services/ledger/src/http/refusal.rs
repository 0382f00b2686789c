//! What is refused, and in which words.

use std::time::Duration;

use actix_web::http::StatusCode;
use platform::db::DbError;
use platform::problem::{self, Problem};

use crate::fault::Fault;

/// The entry's bytes are gone; its leaf is not.
pub(super) const SHREDDED: Problem = Problem::new(
    StatusCode::GONE,
    "shredded",
    "What explains this entry was shredded at the end of its retention",
);

/// Logged a moment ago.
pub(super) const UNPUBLISHED: Problem = Problem::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "unpublished",
    "This entry is logged and its tree is about to be published",
);

/// Sizes that the log never had.
pub(super) const RANGE: Problem = Problem::new(
    StatusCode::BAD_REQUEST,
    "tree-sizes",
    "Two sizes of the published log were expected, from 1 and the smaller first",
);

/// The database or the key store is away.
pub(super) const UNAVAILABLE: Problem = Problem::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "ledger-unavailable",
    "The ledger can't be read right now",
);

/// A head is published four times a second.
const SOON: Duration = Duration::from_secs(1);

/// Long enough for a failover.
const LATER: Duration = Duration::from_secs(5);

/// Why a question is not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// Nothing there, or nothing that this token opens: the two look alike.
    #[error("there is nothing here")]
    NotFound,
    /// No token that is known.
    #[error("no valid token")]
    Unauthorized,
    /// The entry can't be opened any more.
    #[error("the entry was shredded; its leaf is number {index}")]
    Shredded {
        /// Its leaf's index.
        index: u64,
    },
    /// The entry is not covered by a published checkpoint yet.
    #[error("the entry's tree is not published yet")]
    Unpublished,
    /// Not two sizes of the log.
    #[error("no such sizes")]
    Range,
    /// Our fault.
    #[error("the ledger can't be read")]
    Fault(#[from] Fault),
}

impl Refusal {
    fn problem(&self) -> Problem {
        match self {
            Self::NotFound => problem::NOT_FOUND,
            Self::Unauthorized => problem::UNAUTHORIZED,
            Self::Shredded { index } => SHREDDED.detail(format!("Its leaf is number {index} of the log and stays.")),
            Self::Unpublished => UNPUBLISHED.retry_after(SOON),
            Self::Range => RANGE,
            Self::Fault(fault) if fault.is_fatal() => problem::INTERNAL,
            Self::Fault(_) => UNAVAILABLE.retry_after(LATER),
        }
    }
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Self {
        Self::Fault(error.into())
    }
}

platform::refusal!(Refusal);
