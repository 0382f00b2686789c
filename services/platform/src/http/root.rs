//! What every request passes: span, trace context, request id, figures, and words for bare refusals.
//!
//! Nothing here sees more of the address than the route's pattern, because a raw path may hold a token and a
//! query anything. A request id that the caller sent is taken over if it is harmless, else a fresh one is made.
//! What the framework refuses by itself (an unread body, a method that isn't there) has no words yet; it gets the
//! problem of its status.

use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _};
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info_span};

use crate::chance::{self, SystemRng};
use crate::metrics::Histogram;
use crate::problem::{self, Problem};
use crate::{propagation, refusal};

/// From the head of a request to the head of its answer: longer than a long poll, shorter than clients' patience.
const SERVED_WITHIN: Duration = Duration::from_mins(1);

/// The request took longer.
#[derive(Debug, thiserror::Error)]
#[error("the request took too long")]
struct Slow;

impl Slow {
    #[expect(clippy::unused_self, reason = "every refusal has this method")]
    fn problem(&self) -> Problem {
        problem::TIMEOUT
    }
}

refusal!(Slow);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Long enough for a UUID or a trace id with a prefix, too short to smuggle a document into the log.
const REQUEST_ID_MAX: usize = 64;

static DURATION: Histogram = Histogram::new(
    "http_server_request_duration_seconds",
    "From the head of a request to the head of its answer.",
);

/// The id under which a request appears in the log; in the request's extensions and in the answer's headers.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// The middleware.
pub(super) async fn pass(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let id = request_id(request.headers());
    let route = request.match_pattern().unwrap_or_else(|| "unmatched".to_owned());
    let method = known_method(request.method());
    let span = span(&request, &route, &id);
    request.extensions_mut().insert(RequestId(id.clone()));
    let outcome = within(next.call(request)).instrument(span.clone()).await;
    let status = match &outcome {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    record(&span, status);
    let labels = [("method", method), ("route", &route), ("status", status.as_str())];
    DURATION.record(started.elapsed().as_secs_f64(), &labels);
    let mut response = worded(outcome?.map_into_boxed_body());
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    Ok(response)
}

/// A sender that dribbles its body, or a handler that hangs, is let go; what it began is undone like after a crash.
async fn within<R>(served: impl Future<Output = Result<R, Error>>) -> Result<R, Error> {
    let outcome = tokio::time::timeout(SERVED_WITHIN, served).await;
    outcome.unwrap_or_else(|_| Err(Slow.into()))
}

fn span(request: &ServiceRequest, route: &str, id: &str) -> Span {
    let method = request.method().as_str();
    let span = info_span!(
        "http",
        otel.name = %format_args!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        request_id = id,
        trace_id = Empty,
    );
    let headers = request.headers();
    let carried = |name| Some((name, headers.get(name)?.to_str().ok()?));
    propagation::adopt(&span, propagation::HEADERS.into_iter().filter_map(carried));
    span
}

fn record(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

/// A method as a label: a caller may invent methods, and each would be a new time series.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The caller's id if it is one, else 128 random bits; it only names a line in the log and decides nothing.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    match given {
        Some(id) if harmless(id) => id.to_owned(),
        _ => format!("{:032x}", u128::from_ne_bytes(chance::bytes(&SystemRng::new()))),
    }
}

fn harmless(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !id.is_empty() && id.len() <= REQUEST_ID_MAX && id.bytes().all(plain)
}

/// Gives a refusal of the framework its problem document.
fn worded(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let Some(problem) = missing_words(&response) else {
        return response;
    };
    let answer = problem.response();
    let (request, bare) = response.into_parts();
    let mut answer = ServiceResponse::new(request, answer);
    for (name, value) in bare.headers() {
        if name != CONTENT_TYPE {
            answer.headers_mut().append(name.clone(), value.clone());
        }
    }
    answer
}

fn missing_words(response: &ServiceResponse<BoxBody>) -> Option<Problem> {
    let typed = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let own_words = typed.is_some_and(|kind| !kind.starts_with("text/plain"));
    let framework = response.response().error().is_some();
    let empty = matches!(response.response().body().size(), BodySize::None | BodySize::Sized(0));
    if own_words || !(framework || empty) {
        return None;
    }
    match response.status() {
        StatusCode::NOT_FOUND => Some(problem::NOT_FOUND),
        StatusCode::METHOD_NOT_ALLOWED => Some(problem::METHOD),
        StatusCode::PAYLOAD_TOO_LARGE => Some(problem::TOO_LARGE),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Some(problem::MEDIA_TYPE),
        StatusCode::REQUEST_TIMEOUT => Some(problem::TIMEOUT),
        StatusCode::SERVICE_UNAVAILABLE => Some(problem::NOT_READY),
        status if status.is_server_error() => Some(problem::INTERNAL),
        status if status.is_client_error() => Some(Problem {
            status,
            ..problem::BAD_REQUEST
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_refusal_keeps_its_status() {
        for status in [
            StatusCode::NOT_FOUND,
            StatusCode::CONFLICT,
            StatusCode::INTERNAL_SERVER_ERROR,
            StatusCode::SERVICE_UNAVAILABLE,
        ] {
            let request = actix_web::test::TestRequest::default().to_http_request();
            let bare = actix_web::HttpResponse::new(status);
            let worded = worded(ServiceResponse::new(request, bare));
            assert_eq!(worded.status(), status);
            let kind = worded.headers().get(CONTENT_TYPE).unwrap();
            assert_eq!(kind, problem::CONTENT_TYPE);
        }
    }

    #[test]
    fn a_strange_request_id_is_replaced() {
        let id = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(value).unwrap());
            request_id(&headers)
        };
        assert_eq!(id("abc-1.2_3"), "abc-1.2_3");
        for strange in ["", "a b", "<script>", "a@example.org", &"a".repeat(65)] {
            assert_eq!(id(strange).len(), 32, "{strange}");
        }
    }
}
