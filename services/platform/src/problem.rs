//! Refusals as RFC 9457 problem documents.
//!
//! A service has one enum of refusals and one `match` from it to a [`Problem`]; [`refusal!`](crate::refusal)
//! makes that enum an answer. The caller reads the problem; the source of an error goes to the log, once, here,
//! and only when the fault is ours. [`parse_json`] turns a body that doesn't fit into a problem whose pointers
//! (RFC 6901) name the place. A problem's `type` is `/problems/<name>`, and each name has a page.

use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::{Deserialize, Serialize};
use tracing::error;

use crate::shape::Misfit;

/// The media type of a problem (RFC 9457 §3).
pub const CONTENT_TYPE: &str = "application/problem+json";

/// There is nothing under this path.
pub const NOT_FOUND: Problem = Problem::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here");

/// The path exists, but not for this method.
pub const METHOD: Problem = Problem::new(
    StatusCode::METHOD_NOT_ALLOWED,
    "method-not-allowed",
    "This address does not take that method",
);

/// The body is larger than this address takes.
pub const TOO_LARGE: Problem = Problem::new(
    StatusCode::PAYLOAD_TOO_LARGE,
    "too-large",
    "The body is larger than this address takes",
);

/// The head or the body of a request was not understood as HTTP.
pub const BAD_REQUEST: Problem = Problem::new(StatusCode::BAD_REQUEST, "bad-request", "The request was not understood");

/// The body came in a form that this address doesn't take.
pub const MEDIA_TYPE: Problem = Problem::new(
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "media-type",
    "This address does not take that content type",
);

/// The request took too long, on its way or here.
pub const TIMEOUT: Problem = Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", "The request took too long");

/// The body is not JSON.
pub const MALFORMED: Problem = Problem::new(StatusCode::BAD_REQUEST, "malformed-json", "The body is not JSON");

/// The body is JSON, but not what this address documents.
pub const INVALID: Problem = Problem::new(
    StatusCode::BAD_REQUEST,
    "invalid-body",
    "The body is not what this address documents",
);

/// No token, or none that is known.
pub const UNAUTHORIZED: Problem = Problem::new(
    StatusCode::UNAUTHORIZED,
    "unauthorized",
    "A valid bearer token is needed",
);

/// The process is not ready to do its work durably.
pub const NOT_READY: Problem = Problem::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "not-ready",
    "Not ready; please try again",
);

/// Ours, not theirs.
pub const INTERNAL: Problem = Problem::new(
    StatusCode::INTERNAL_SERVER_ERROR,
    "internal",
    "Something failed on our side",
);

/// Every problem that this crate answers by itself, so that a test can ask for their pages.
pub const ALL: &[Problem] = &[
    NOT_FOUND,
    METHOD,
    TOO_LARGE,
    BAD_REQUEST,
    MEDIA_TYPE,
    TIMEOUT,
    MALFORMED,
    INVALID,
    UNAUTHORIZED,
    NOT_READY,
    INTERNAL,
];

/// What a caller is told when something is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The last part of its `type`, `/problems/<name>`.
    pub name: &'static str,
    /// The same sentence for every occurrence.
    pub title: &'static str,
    /// The HTTP status.
    pub status: StatusCode,
    /// About this occurrence; never holds personal data.
    pub detail: Option<String>,
    /// The places in the body that are wrong.
    pub errors: Vec<PointerError>,
    /// When to come back.
    pub retry_after: Option<Duration>,
}

/// One wrong place in a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PointerError {
    /// A JSON pointer (RFC 6901); empty for the whole body.
    pub pointer: String,
    /// What is wrong there; never repeats the value.
    pub detail: String,
}

impl Problem {
    /// A problem without particulars.
    #[must_use]
    pub const fn new(status: StatusCode, name: &'static str, title: &'static str) -> Self {
        Self {
            name,
            title,
            status,
            detail: None,
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// Adds what is particular to this occurrence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds a wrong place.
    #[must_use]
    pub fn error(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let (pointer, detail) = (pointer.into(), detail.into());
        self.errors.push(PointerError { pointer, detail });
        self
    }

    /// Says when to come back, in whole seconds rounded up.
    #[must_use]
    pub const fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Its `type`: a path, so that it resolves in every deployment.
    #[must_use]
    pub fn kind(&self) -> String {
        format!("/problems/{}", self.name)
    }

    /// The answer that carries it.
    #[must_use]
    pub fn response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        response
            .content_type(CONTENT_TYPE)
            .insert_header((CACHE_CONTROL, "no-store"));
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.insert_header((RETRY_AFTER, seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((WWW_AUTHENTICATE, "Bearer"));
        }
        response.json(Document::from(self))
    }
}

/// The bytes of a problem.
#[derive(Serialize)]
struct Document<'p> {
    r#type: String,
    title: &'p str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'p str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'p [PointerError],
}

impl<'p> From<&'p Problem> for Document<'p> {
    fn from(problem: &'p Problem) -> Self {
        Self {
            r#type: problem.kind(),
            title: problem.title,
            status: problem.status.as_u16(),
            detail: problem.detail.as_deref(),
            errors: &problem.errors,
        }
    }
}

/// Answers with a problem, and logs the error's chain if the fault is ours. Called by [`refusal!`](crate::refusal).
#[must_use]
pub fn answer(problem: &Problem, cause: &dyn Error) -> HttpResponse {
    if problem.status.is_server_error() {
        error!(problem = problem.name, error = %chain(cause), "a request failed");
    }
    problem.response()
}

/// An error and its sources in one line. Many libraries repeat their source in their own words: what was said is not
/// said again.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(next) = source {
        let words = next.to_string();
        if !line.contains(&words) {
            write!(line, ": {words}").expect("writing into a string never fails");
        }
        source = next.source();
    }
    line
}

/// Makes an error enum with a method `problem(&self) -> Problem` an answer of actix-web.
#[macro_export]
macro_rules! refusal {
    ($refusal:ty) => {
        impl ::actix_web::ResponseError for $refusal {
            fn status_code(&self) -> ::actix_web::http::StatusCode {
                self.problem().status
            }

            fn error_response(&self) -> ::actix_web::HttpResponse {
                $crate::problem::answer(&self.problem(), self)
            }
        }
    };
}

/// Why a body was not taken. Its text holds nothing of the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not JSON at all.
    #[error("the body is not JSON")]
    Malformed {
        /// Where reading stopped, counted from 1.
        line: usize,
        /// Where in that line, counted from 1.
        column: usize,
    },
    /// JSON of another shape.
    #[error("the body does not have the documented shape")]
    Invalid(PointerError),
}

impl BodyError {
    /// The words for the caller.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::Malformed { line, column } => {
                MALFORMED.detail(format!("Reading stopped at line {line}, column {column}."))
            }
            Self::Invalid(place) => INVALID.error(&place.pointer, &place.detail),
        }
    }
}

refusal!(BodyError);

/// Reads a body as JSON, strictly: what follows the document is refused too.
pub fn parse_json<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, BodyError> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let misfit = Misfit::new(error.path(), &error.inner().to_string());
        body_error(error.inner(), Some(&misfit))
    })?;
    reader.end().map_err(|error| body_error(&error, None))?;
    Ok(value)
}

fn body_error(error: &serde_json::Error, misfit: Option<&Misfit>) -> BodyError {
    match misfit {
        Some(misfit) if error.is_data() => BodyError::Invalid(PointerError {
            pointer: misfit.pointer(),
            detail: misfit.detail(),
        }),
        _ => BodyError::Malformed {
            line: error.line(),
            column: error.column(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Order {
        colour: Colour,
        lines: Vec<Line>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Line {
        count: u32,
        #[serde(default, rename = "a/b~c")]
        odd: bool,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Colour {
        Red,
        Blue,
    }

    fn check(body: &str, pointer: &str, detail: &str) {
        let error = parse_json::<Order>(body.as_bytes()).unwrap_err();
        let BodyError::Invalid(place) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(
            (place.pointer.as_str(), place.detail.as_str()),
            (pointer, detail),
            "{body}"
        );
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the door is shut ({0})")]
    struct Shut(#[source] std::io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("nobody came in")]
    struct Nobody(#[source] Shut);

    #[test]
    fn a_chain_says_each_thing_once() {
        let error = Nobody(Shut(std::io::Error::other("it rains")));
        assert_eq!(chain(&error), "nobody came in: the door is shut (it rains)");
    }

    #[test]
    fn a_wrong_place_is_pointed_at_without_its_value() {
        check(r#"{"colour":"red"}"#, "/lines", "is missing");
        check(
            r#"{"colour":"red","lines":[],"x":1}"#,
            "/x",
            "is not known here; expected `colour` or `lines`",
        );
        check(r#"{"colour":"+970","lines":[]}"#, "/colour", "must be `red` or `blue`");
        check(
            r#"{"colour":"red","lines":[{"count":1},{"count":"+970, expected u8"}]}"#,
            "/lines/1/count",
            "must be u32",
        );
        check(
            r#"{"colour":"red","lines":[{"count":-970}]}"#,
            "/lines/0/count",
            "must be u32",
        );
        check(
            r#"{"colour":"red","lines":[{"count":1,"a/b~c":"+970"}]}"#,
            "/lines/0/a~1b~0c",
            "must be a boolean",
        );
        check(
            r#"{"colour":"red","lines":[{"count":1,"count":2}]}"#,
            "/lines/0/count",
            "is given twice",
        );
        check("[]", "", "must be an object");
    }

    #[test]
    fn what_is_not_json_is_refused_where_it_breaks() {
        for body in ["", "{", "{\"colour\":\"red\",\"lines\":[]} x", "\u{feff}{}"] {
            let error = parse_json::<Order>(body.as_bytes()).unwrap_err();
            assert!(matches!(error, BodyError::Malformed { .. }), "{body}: {error:?}");
        }
    }

    #[actix_web::test]
    async fn a_problem_is_an_rfc_9457_document() {
        let problem = NOT_READY
            .retry_after(Duration::from_millis(1_500))
            .error("/a", "is missing");
        let response = problem.response();
        assert_eq!(response.headers().get("content-type").unwrap(), CONTENT_TYPE);
        assert_eq!(response.headers().get("retry-after").unwrap(), "2");
        let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let wanted = serde_json::json!({
            "type": "/problems/not-ready", "title": NOT_READY.title, "status": 503,
            "errors": [{"pointer": "/a", "detail": "is missing"}],
        });
        assert_eq!(body, wanted);
    }
}
