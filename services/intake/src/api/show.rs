//! `GET /v1/requests/{id}` and `GET /v1/requests?…`.

use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use domain::assurance::AssuranceLevel;
use domain::id::{BindingId, ControllerId, InstructionId, RequestId};
use domain::new_request::Door;
use domain::request::{Closing, StageName};
use domain::right::{Channel, Right};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::requests::{self, Filter, PAGE_MAX, Shown};

use super::caller::Caller;
use crate::doors::Doors;
use crate::refusal::Refusal;

/// A screen of requests.
const PAGE_DEFAULT: i64 = 50;

/// A request as its caller sees it. Nothing that is sealed.
#[derive(Serialize)]
pub(super) struct View {
    request: RequestId,
    controller: ControllerId,
    right: Right,
    channel: Channel,
    product: Option<String>,
    binding: Option<BindingId>,
    door: Door,
    stage: StageName,
    version: i64,
    outcome: Option<Closing>,
    assurance: Assured,
    jurisdiction: Option<String>,
    locale: Option<String>,
    instruction: Option<InstructionId>,
    regime: String,
    received_at: Timestamp,
    accepted_at: Timestamp,
    due_at: Timestamp,
    closed_at: Option<Timestamp>,
}

/// What was proven about the requester, and when.
#[derive(Serialize)]
struct Assured {
    level: AssuranceLevel,
    at: Timestamp,
}

/// A page of them, newest first.
#[derive(Serialize)]
struct Page {
    requests: Vec<View>,
    /// For the next page's `cursor`; null on the last.
    next: Option<RequestId>,
}

/// What a page is narrowed to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    controller: Option<ControllerId>,
    stage: Option<StageName>,
    right: Option<Right>,
    channel: Option<Channel>,
    limit: Option<i64>,
    cursor: Option<RequestId>,
}

/// One request within the caller's scope.
pub(crate) async fn show(id: Path<String>, caller: Caller, doors: Data<Doors>) -> Result<HttpResponse, Refusal> {
    let shown = find(&id, &caller, &doors).await?;
    Ok(HttpResponse::Ok().json(View::from(shown)))
}

/// A page of the requests within the caller's scope.
pub(crate) async fn list(request: HttpRequest, caller: Caller, doors: Data<Doors>) -> Result<HttpResponse, Refusal> {
    let asked = read(request.query_string())?;
    let limit = asked.limit.unwrap_or(PAGE_DEFAULT);
    let filter = Filter {
        controller: asked.controller,
        stage: asked.stage,
        right: asked.right,
        channel: asked.channel,
    };
    let page = requests::page(doors.store.db(), &caller.scope, &filter, asked.cursor, limit).await?;
    let full = i64::try_from(page.len()) == Ok(limit);
    let next = page.last().filter(|_| full).map(|last| last.id);
    let requests = page.into_iter().map(View::from).collect();
    Ok(HttpResponse::Ok().json(Page { requests, next }))
}

/// The request that an address names; one that isn't an id is not there either.
pub(super) async fn find(id: &str, caller: &Caller, doors: &Doors) -> Result<Shown, Refusal> {
    let id = id.parse().map_err(|_| Refusal::NotFound)?;
    requests::show(doors.store.db(), &caller.scope, id)
        .await?
        .ok_or(Refusal::NotFound)
}

fn read(query: &str) -> Result<Asked, Refusal> {
    let asked = Query::<Asked>::from_query(query).map_err(|_| {
        Refusal::Query("Known are controller, stage, right, channel, limit and cursor, each once.".to_owned())
    })?;
    match asked.limit {
        Some(limit) if !(1..=PAGE_MAX).contains(&limit) => {
            Err(Refusal::Query(format!("`limit` is a number from 1 to {PAGE_MAX}.")))
        }
        _ => Ok(asked.into_inner()),
    }
}

impl From<Shown> for View {
    fn from(shown: Shown) -> Self {
        Self {
            request: shown.id,
            controller: shown.controller,
            right: shown.right,
            channel: shown.channel,
            product: shown.product,
            binding: shown.binding,
            door: shown.door,
            stage: shown.stage,
            version: shown.version,
            outcome: shown.outcome,
            assurance: Assured {
                level: shown.assurance.level,
                at: shown.assurance.at,
            },
            jurisdiction: shown.jurisdiction,
            locale: shown.locale,
            instruction: shown.instruction,
            regime: shown.regime,
            received_at: shown.received_at,
            accepted_at: shown.accepted_at,
            due_at: shown.due_at,
            closed_at: shown.closed_at,
        }
    }
}
