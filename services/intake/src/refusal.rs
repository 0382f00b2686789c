//! Every way in which intake says no, and its words for the caller.
//!
//! One enum, one `match`. What is wrong with a body is told with pointers and never with values; what is wrong with
//! us is told without particulars, and those go to the log. Each problem's name has a page under `schemas/problems`.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use platform::db::DbError;
use platform::problem::{self, BodyError, PointerError, Problem};

use crate::accept::NotAccepted;
use crate::assess::AssessError;

/// A queue of waiting requests is empty within this time, or the databases are in trouble.
const BUSY: Duration = Duration::from_secs(1);

/// A database that went away is seldom back sooner.
const AWAY: Duration = Duration::from_secs(5);

const SIGNATURE: Problem = Problem::new(
    StatusCode::UNAUTHORIZED,
    "signature",
    "The signature is missing or does not match the body",
);

const HANDSHAKE: Problem = Problem::new(
    StatusCode::FORBIDDEN,
    "handshake",
    "The verification token does not match",
);

const NOTIFICATION: Problem = Problem::new(
    StatusCode::BAD_REQUEST,
    "notification",
    "The body is signed, but it is no notification of this channel",
);

const OUT_OF_SCOPE: Problem = Problem::new(
    StatusCode::FORBIDDEN,
    "out-of-scope",
    "The token does not reach that far",
);

const QUERY: Problem = Problem::new(
    StatusCode::BAD_REQUEST,
    "invalid-query",
    "The query is not what this address documents",
);

const IDEMPOTENCY_KEY: Problem = Problem::new(
    StatusCode::BAD_REQUEST,
    "idempotency-key",
    "An Idempotency-Key of 1 to 255 visible ASCII characters is needed",
);

const ANOTHER_BODY: Problem = Problem::new(
    StatusCode::UNPROCESSABLE_ENTITY,
    "another-body",
    "The same Idempotency-Key came with another body before",
);

const UNSTORABLE: Problem = Problem::new(
    StatusCode::UNPROCESSABLE_ENTITY,
    "unstorable",
    "The request can't be stored as it is",
);

const FORGOTTEN: Problem = Problem::new(
    StatusCode::GONE,
    "forgotten",
    "The request was accepted before, and its first answer is destroyed by now",
);

const CLOSED: Problem = Problem::new(StatusCode::CONFLICT, "closed", "The request is closed already");

const BUSY_PROBLEM: Problem = Problem::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "busy",
    "Too many requests are waiting; please send it again",
);

const UNAVAILABLE: Problem = Problem::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "unavailable",
    "It could not be done durably; please send it again",
);

/// The problems that only intake answers, so that a test can ask for their pages.
pub const PROBLEMS: &[Problem] = &[
    SIGNATURE,
    HANDSHAKE,
    NOTIFICATION,
    OUT_OF_SCOPE,
    QUERY,
    IDEMPOTENCY_KEY,
    ANOTHER_BODY,
    UNSTORABLE,
    FORGOTTEN,
    CLOSED,
    BUSY_PROBLEM,
    UNAVAILABLE,
];

/// Why a door said no.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// There is nothing here, or nothing that this caller may know of.
    #[error("nothing here")]
    NotFound,
    /// No token, or none that opens this door.
    #[error("no valid token")]
    Unauthorized,
    /// The bytes were not signed by whom they claim to come from.
    #[error("the signature does not match")]
    Signature,
    /// The handshake's token is not ours.
    #[error("the verification token does not match")]
    Handshake,
    /// Signed, and still not what this channel sends.
    #[error("not a notification")]
    Notification,
    /// The body's content type is another one.
    #[error("another content type")]
    MediaType,
    /// The body does not have the documented shape.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The body has the shape, and values that can't be.
    #[error("the body has impossible values")]
    Invalid(Vec<PointerError>),
    /// The token does not cover what the body asks for there.
    #[error("out of the token's scope")]
    OutOfScope(&'static str),
    /// A query's member is unknown or impossible; the word names it.
    #[error("the query is invalid")]
    Query(String),
    /// Missing, or not a key.
    #[error("no usable idempotency key")]
    IdempotencyKey,
    /// It is not accepted.
    #[error(transparent)]
    NotAccepted(#[from] NotAccepted),
    /// A closed request changes no more.
    #[error("the request is closed")]
    Closed,
    /// The registry's picture was not loaded yet, or lacks what every deployment has.
    #[error("the registry is not usable")]
    Registry(#[source] Option<AssessError>),
    /// The router's database does not answer.
    #[error("the database failed")]
    Database(#[from] DbError),
    /// The same, when tokens were looked up for several callers at once.
    #[error("tokens can't be looked up")]
    Tokens(#[from] std::sync::Arc<DbError>),
}

impl Refusal {
    /// The words for the caller.
    pub(crate) fn problem(&self) -> Problem {
        match self {
            Self::NotFound => problem::NOT_FOUND,
            Self::Unauthorized => problem::UNAUTHORIZED,
            Self::Signature => SIGNATURE,
            Self::Handshake => HANDSHAKE,
            Self::Notification => NOTIFICATION,
            Self::MediaType => problem::MEDIA_TYPE,
            Self::Body(error) => error.problem(),
            Self::Invalid(places) => Problem {
                errors: places.clone(),
                ..problem::INVALID
            },
            Self::OutOfScope(pointer) => OUT_OF_SCOPE.error(*pointer, "is not covered by the token"),
            Self::Query(detail) => QUERY.detail(detail),
            Self::IdempotencyKey => IDEMPOTENCY_KEY,
            Self::NotAccepted(NotAccepted::AnotherBody) => ANOTHER_BODY,
            Self::NotAccepted(NotAccepted::Unstorable) => UNSTORABLE,
            Self::NotAccepted(NotAccepted::Forgotten) => FORGOTTEN,
            Self::Closed => CLOSED,
            Self::NotAccepted(NotAccepted::Busy) => BUSY_PROBLEM.retry_after(BUSY),
            Self::NotAccepted(NotAccepted::Unavailable) | Self::Registry(_) | Self::Database(_) | Self::Tokens(_) => {
                UNAVAILABLE.retry_after(AWAY)
            }
        }
    }

    /// Whether the log knows it already: the worker that failed wrote one line for the whole batch, and a line for
    /// each caller of a full queue would make the trouble worse.
    fn is_logged(&self) -> bool {
        matches!(self, Self::NotAccepted(_))
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        self.problem().status
    }

    fn error_response(&self) -> HttpResponse {
        let problem = self.problem();
        crate::figures::REFUSED.add(1, &[("problem", problem.name)]);
        if self.is_logged() {
            problem.response()
        } else {
            problem::answer(&problem, self)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_problem_has_a_name_of_its_own_and_a_page() {
        let names: HashSet<_> = PROBLEMS.iter().map(|problem| problem.name).collect();
        assert_eq!(names.len(), PROBLEMS.len());
        for problem in PROBLEMS {
            let page = format!(
                "{}/../../schemas/problems/{}.md",
                env!("CARGO_MANIFEST_DIR"),
                problem.name
            );
            let text = std::fs::read_to_string(&page).unwrap_or_else(|error| panic!("{page}: {error}"));
            assert!(
                text.starts_with(&format!("# {}\n", problem.title)),
                "{page} begins with the title"
            );
        }
    }

    #[test]
    fn what_may_succeed_later_says_when() {
        for refusal in [NotAccepted::Busy, NotAccepted::Unavailable] {
            let response = Refusal::from(refusal).error_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(response.headers().contains_key("retry-after"));
        }
    }
}
