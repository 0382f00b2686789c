//! Every way in which a system that fetches is told no.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use platform::db::DbError;
use platform::problem::{self, BodyError, PointerError, Problem};
use platform::refusal;

/// Somebody who waits goes home within this time.
const FULL: Duration = Duration::from_secs(5);

/// A database that went away is seldom back sooner.
const AWAY: Duration = Duration::from_secs(5);

const NOT_FETCHED: Problem = Problem::new(
    StatusCode::CONFLICT,
    "not-fetched",
    "The tasks of this system are not fetched",
);

/// Every problem that only this door answers.
pub(crate) const ALL: &[Problem] = &[NOT_FETCHED];

/// Why a system gets no answer to what it asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// No token, or none of a system.
    #[error("no system's token")]
    Unauthorized,
    /// The body is not what is documented.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A figure is out of its range.
    #[error("a figure is out of its range")]
    Range(PointerError),
    /// Its tasks are sent, or it is gone.
    #[error("the system is not registered as one that fetches")]
    NotFetched,
    /// Too many wait.
    #[error("too many systems wait for tasks")]
    Full,
    /// Ours.
    #[error("the database did not answer")]
    Database(#[from] DbError),
    /// Ours too: the token could not be looked up.
    #[error("the database did not answer")]
    Tokens(#[from] Arc<DbError>),
}

impl Refusal {
    fn problem(&self) -> Problem {
        match self {
            Self::Unauthorized => problem::UNAUTHORIZED,
            Self::Body(error) => error.problem(),
            Self::Range(error) => problem::INVALID.error(error.pointer.clone(), error.detail.clone()),
            Self::NotFetched => NOT_FETCHED,
            Self::Full => problem::NOT_READY.retry_after(FULL),
            Self::Database(_) | Self::Tokens(_) => problem::NOT_READY.retry_after(AWAY),
        }
    }
}

refusal!(Refusal);
