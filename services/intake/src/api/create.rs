//! `POST /v1/requests`.

use actix_web::http::header::{CONTENT_TYPE, LOCATION};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use domain::new_request::{Facts, Target};
use platform::problem::parse_json;
use store::registry::Directory;

use super::caller::Caller;
use super::posted::Posted;
use crate::accept::{Accepted, Origin};
use crate::doors::Doors;
use crate::refusal::Refusal;

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// A UUID or two; what is longer is no key.
const KEY_LENGTH_MAX: usize = 255;

/// Accepts a request: 202 once it is durable, and the same bytes for the same key ever after.
pub(crate) async fn create(
    request: HttpRequest,
    caller: Caller,
    body: Bytes,
    doors: Data<Doors>,
) -> Result<HttpResponse, Refusal> {
    require_json(&request)?;
    let origin = origin(&doors, &caller, key(&request)?, &body);
    let accepted = match accept(&doors, &caller, &body, origin).await {
        // What was accepted once stays accepted, although its day or its controller has gone since.
        Err(refusal @ Refusal::Invalid(_)) => doors.earlier(origin).await?.ok_or(refusal)?,
        outcome => outcome?,
    };
    Ok(HttpResponse::Accepted()
        .insert_header((LOCATION, format!("/v1/requests/{}", accepted.request)))
        .content_type("application/json")
        .body(accepted.answer))
}

async fn accept(doors: &Doors, caller: &Caller, body: &Bytes, origin: Origin) -> Result<Accepted, Refusal> {
    let posted: Posted = parse_json(body)?;
    let request = posted.into_request(doors.now()).map_err(Refusal::Invalid)?;
    let directory = doors
        .directory_with(|directory| knows(directory, request.facts.target))
        .await?;
    check_scope(caller, &request.facts, &directory)?;
    doors.accept(&directory, &request, origin).await
}

fn knows(directory: &Directory, target: Target) -> bool {
    match target {
        Target::Certain(id) => directory.controller(id).is_some(),
        Target::ToBeMatched => directory.operator().is_some(),
    }
}

/// A named business is looked for among all of them, so only a token that reaches the operator may name one.
fn check_scope(caller: &Caller, facts: &Facts, directory: &Directory) -> Result<(), Refusal> {
    let reaches = |id| caller.scope.controllers.includes(&id);
    let refused = match facts.target {
        _ if !caller.scope.rights.includes(&facts.right) => Some("/right"),
        _ if facts.assurance.level > caller.assurance => Some("/assurance/level"),
        Target::Certain(id) if !reaches(id) => Some("/controller/id"),
        Target::ToBeMatched if !directory.operator().is_none_or(|operator| reaches(operator.id)) => {
            Some("/controller/name")
        }
        _ => None,
    };
    refused.map_or(Ok(()), |pointer| Err(Refusal::OutOfScope(pointer)))
}

fn origin(doors: &Doors, caller: &Caller, key: &str, body: &[u8]) -> Origin {
    Origin {
        digest: doors.dedupe.digest(&format!("rest:{}", caller.name), key.as_bytes()),
        body_digest: doors.dedupe.digest("body", body),
    }
}

fn key(request: &HttpRequest) -> Result<&str, Refusal> {
    let mut headers = request.headers().get_all(IDEMPOTENCY_KEY);
    let (Some(header), None) = (headers.next(), headers.next()) else {
        return Err(Refusal::IdempotencyKey);
    };
    let key = header.to_str().map_err(|_| Refusal::IdempotencyKey)?;
    let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    if visible && (1..=KEY_LENGTH_MAX).contains(&key.len()) {
        Ok(key)
    } else {
        Err(Refusal::IdempotencyKey)
    }
}

fn require_json(request: &HttpRequest) -> Result<(), Refusal> {
    let Some(header) = request.headers().get(CONTENT_TYPE) else {
        return Err(Refusal::MediaType);
    };
    let kind = header
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    if kind.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(Refusal::MediaType)
    }
}
