//! `POST /v1/tasks/lease` and `POST /v1/tasks/{id}/receipt`.
//!
//! The extractor is the permission: a handler that takes a [`System`] can't be reached without the token of one.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Bytes, Data, Path};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use domain::id::{SystemId, TaskId};
use domain::registration::ConnectorKind;
use evidence::token::Refusal as NotCounted;
use evidence::token::bind::BindingError;
use platform::http::bearer;
use platform::problem::{PointerError, parse_json};
use serde::{Deserialize, Serialize};
use store::tasks::fetch;
use store::tokens::Role;

use super::refusal::Refusal;
use super::{Ask, Handed, Pull};
use crate::collect::{NotTaken, door};

/// Tasks of one answer: each has up to 20 kB.
const TASKS_MAX: u32 = 32;

/// What a system gets that names no number.
const TASKS: u32 = 10;

/// Shorter than the minute after which proxies cut a silent connection.
const WAIT_MAX: u32 = 30;

/// What a system waits that names no time.
const WAIT: u32 = 20;

/// Long enough to answer at all, short enough that a crash is noticed within the hour.
const LEASE_SECONDS: std::ops::RangeInclusive<u32> = 5..=3_600;

/// What a system gets that names no time.
const LEASE: u32 = 300;

/// A system that calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct System(SystemId);

/// What it asks for; an empty body asks for the usual.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    max: u32,
    wait_seconds: u32,
    lease_seconds: u32,
}

#[derive(Serialize)]
struct Leased {
    tasks: Vec<LeasedTask>,
}

/// `body` is the text whose bytes the digest is of: the very bytes that a webhook would have brought.
#[derive(Serialize)]
struct LeasedTask {
    task: TaskId,
    content_digest: String,
    leased_until: String,
    body: String,
}

/// Hands out due tasks.
pub(crate) async fn lease(system: System, body: Bytes, pull: Data<Pull>) -> Result<HttpResponse, Refusal> {
    let wanted = if body.is_empty() {
        Wanted::default()
    } else {
        parse_json(&body)?
    };
    let ask = wanted.ask(system.0)?;
    let directory = pull.directory.current();
    let registered = directory.system(system.0).ok_or(Refusal::NotFetched)?;
    if registered.kind != ConnectorKind::Pull {
        return Err(Refusal::NotFetched);
    }
    let handed = pull.wait(ask).await?;
    let tasks = handed.into_iter().map(LeasedTask::from).collect();
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(Leased { tasks }))
}

/// Takes a receipt about one of its tasks, as `POST /v1/receipts` does. A task that is unknown and one of another
/// system get the same answer after the same work.
pub(crate) async fn receipt(
    system: System,
    request: HttpRequest,
    task: Path<String>,
    body: Bytes,
    pull: Data<Pull>,
) -> Result<HttpResponse, Refusal> {
    if let Some(refused) = door::refuse_media_type(&request) {
        return Ok(refused);
    }
    let owned = match task.parse::<TaskId>() {
        Ok(task) => fetch::system(pull.store.db(), task)
            .await?
            .filter(|owner| *owner == system.0)
            .map(|_| task),
        Err(_) => None,
    };
    Ok(door::answer(match owned {
        Some(task) => pull.collector.submit_about(task, body.to_vec()).await,
        None => Err(NotTaken::Refused(NotCounted::Unbound(BindingError::NotYours))),
    }))
}

impl FromRequest for System {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refusal>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let presented = bearer(request);
        let pull = request.app_data::<Data<Pull>>().cloned();
        Box::pin(async move {
            let (Some(presented), Some(pull)) = (presented, pull) else {
                return Err(Refusal::Unauthorized);
            };
            let token = pull.tokens.find(&presented, pull.clock.now()).await?;
            match token.map(|token| token.role) {
                Some(Role::System(system)) => Ok(Self(system)),
                _ => Err(Refusal::Unauthorized),
            }
        })
    }
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            max: TASKS,
            wait_seconds: WAIT,
            lease_seconds: LEASE,
        }
    }
}

impl Wanted {
    fn ask(&self, system: SystemId) -> Result<Ask, Refusal> {
        within("/max", self.max, 1..=TASKS_MAX)?;
        within("/wait_seconds", self.wait_seconds, 0..=WAIT_MAX)?;
        within("/lease_seconds", self.lease_seconds, LEASE_SECONDS)?;
        Ok(Ask {
            system,
            most: i64::from(self.max),
            wait: Duration::from_secs(self.wait_seconds.into()),
            lease: Duration::from_secs(self.lease_seconds.into()),
        })
    }
}

fn within(pointer: &str, value: u32, range: std::ops::RangeInclusive<u32>) -> Result<(), Refusal> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(Refusal::Range(PointerError {
        pointer: pointer.to_owned(),
        detail: format!("must be from {} to {}", range.start(), range.end()),
    }))
}

impl From<Handed> for LeasedTask {
    fn from(handed: Handed) -> Self {
        Self {
            task: handed.task,
            content_digest: handed.digest.to_string(),
            leased_until: handed.until.to_string(),
            body: String::from_utf8(handed.body).expect("a rendered body is JSON"),
        }
    }
}
