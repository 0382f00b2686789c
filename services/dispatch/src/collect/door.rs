//! `POST /v1/receipts` (RFC 8935 §2): 202 and nothing else once the receipt is durable, 400 with the standard's codes.
//!
//! A receipt for an unknown task and one for somebody else's get the same answer after the same work.

use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use evidence::token::{MEDIA_TYPE, Refusal};
use serde::Serialize;

use super::{Collector, NotTaken};

/// When to come again after a fault of ours: the database is usually back within seconds.
const AGAIN_AFTER_SECONDS: &str = "5";

/// The answer of RFC 8935 §2.3.
#[derive(Debug, Serialize)]
struct SetError<'a> {
    err: &'static str,
    description: &'a str,
}

/// Takes a receipt.
pub(crate) async fn receive(request: HttpRequest, body: Bytes, collector: Data<Collector>) -> HttpResponse {
    match refuse_media_type(&request) {
        Some(refused) => refused,
        None => answer(collector.submit(body.to_vec()).await),
    }
}

/// The refusal of what does not say that it is a security event token.
pub(crate) fn refuse_media_type(request: &HttpRequest) -> Option<HttpResponse> {
    let refuse = || refuse("invalid_request", "the content type must be application/secevent+jwt");
    (!is_set(request)).then(refuse)
}

/// The standard's answer to what became of a receipt.
pub(crate) fn answer(outcome: Result<(), NotTaken>) -> HttpResponse {
    match outcome {
        Ok(()) => HttpResponse::Accepted().finish(),
        Err(NotTaken::Refused(refusal)) => refuse(refusal.code().as_str(), &description(&refusal)),
        Err(NotTaken::Again) => HttpResponse::ServiceUnavailable()
            .insert_header((RETRY_AFTER, AGAIN_AFTER_SECONDS))
            .finish(),
    }
}

fn is_set(request: &HttpRequest) -> bool {
    let value = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = value.and_then(|value| value.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case(MEDIA_TYPE)
}

fn description(refusal: &Refusal) -> String {
    refusal.to_string()
}

fn refuse(err: &'static str, description: &str) -> HttpResponse {
    HttpResponse::BadRequest().json(SetError { err, description })
}
