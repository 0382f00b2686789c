//! What auditors ask.
//!
//! Answers come from entries' bytes alone, byte for byte as they were logged. What a token doesn't open is answered
//! like what isn't there; that it was asked for is logged all the same.

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Data, Path, Query};
use domain::id::{ControllerId, EntryId, ReceiptId, RequestId};
use evidence::entry::EntryType;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::State;
use super::auditor::{Asked, Auditor};
use super::refusal::Refusal;
use crate::archive::{Held, Opened};
use crate::export;

/// Entries of one request: a plan of a hundred systems has some four hundred.
const TIMELINE_MAX: u32 = 2_000;

/// A question about one thing, and its name in the log.
#[derive(Debug, Clone, Copy)]
enum One {
    Receipt(Option<ReceiptId>),
    Entry(Option<EntryId>),
}

/// A request's entries.
#[derive(Serialize)]
struct Timeline {
    request: RequestId,
    entries: Vec<Line>,
}

/// One of them.
#[derive(Serialize)]
struct Line {
    entry: EntryId,
    r#type: EntryType,
    controller: ControllerId,
    controller_seq: u64,
    index: u64,
    at: Timestamp,
    /// The entry as it was written; left out once it is shredded.
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<Box<RawValue>>,
}

/// Two sizes of the log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sizes {
    from: u64,
    to: u64,
}

/// `GET /v1/audit/receipts/{id}`: the entry's bytes.
pub(super) async fn receipt(auditor: Auditor, id: Path<String>, state: Data<State>) -> Result<HttpResponse, Refusal> {
    bytes(&auditor, &id, One::Receipt(id.parse().ok()), &state).await
}

/// `GET /v1/audit/receipts/{id}/proof`: the `.tlog-proof`.
pub(super) async fn receipt_proof(
    auditor: Auditor,
    id: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Refusal> {
    proof(&auditor, &id, One::Receipt(id.parse().ok()), &state).await
}

/// `GET /v1/audit/entries/{id}`: the entry's bytes.
pub(super) async fn entry(auditor: Auditor, id: Path<String>, state: Data<State>) -> Result<HttpResponse, Refusal> {
    bytes(&auditor, &id, One::Entry(id.parse().ok()), &state).await
}

/// `GET /v1/audit/entries/{id}/proof`: the `.tlog-proof`.
pub(super) async fn entry_proof(
    auditor: Auditor,
    id: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Refusal> {
    proof(&auditor, &id, One::Entry(id.parse().ok()), &state).await
}

/// `GET /v1/audit/requests/{id}`: everything that was logged about a request.
pub(super) async fn request(auditor: Auditor, id: Path<String>, state: Data<State>) -> Result<HttpResponse, Refusal> {
    let request: Option<RequestId> = id.parse().ok();
    let mut entries = match request {
        Some(request) => state.archive.about(request, TIMELINE_MAX).await?,
        None => Vec::new(),
    };
    entries.retain(|entry| auditor.scope.covers(entry));
    let asked = Asked {
        query: "request",
        about: request.map(|_| id.as_str()),
        controller: entries.last().map(|entry| entry.controller),
        rows: entries.len(),
    };
    auditor.note(&state, asked).await?;
    let request = request.filter(|_| !entries.is_empty()).ok_or(Refusal::NotFound)?;
    let opened = state.archive.open(&entries).await?;
    let entries = entries.iter().zip(opened).map(line).collect();
    Ok(uncached().json(Timeline { request, entries }))
}

/// `GET /v1/audit/keys`: what happened to the keys, each with its proof: the file that `quittance verify --keys` takes.
pub(super) async fn keys(auditor: Auditor, state: Data<State>) -> Result<HttpResponse, Refusal> {
    let lines = export::key_lines(&state.archive, |controller| auditor.scope.covers_keys(controller)).await?;
    let asked = Asked {
        query: "keys",
        about: None,
        controller: None,
        rows: lines.lines().count(),
    };
    auditor.note(&state, asked).await?;
    Ok(uncached().content_type("application/jsonl").body(lines))
}

/// `GET /v1/audit/consistency?from=&to=`: one hash a line.
pub(super) async fn consistency(
    auditor: Auditor,
    sizes: Query<Sizes>,
    state: Data<State>,
) -> Result<HttpResponse, Refusal> {
    let hashes = state.archive.consistency(sizes.from, sizes.to).await?;
    let asked = Asked {
        query: "consistency",
        about: None,
        controller: None,
        rows: hashes.as_ref().map_or(0, Vec::len),
    };
    auditor.note(&state, asked).await?;
    let lines: Vec<String> = hashes
        .ok_or(Refusal::Range)?
        .iter()
        .map(|hash| format!("{hash}\n"))
        .collect();
    Ok(uncached().content_type(TEXT).body(lines.concat()))
}

const TEXT: &str = "text/plain; charset=utf-8";

async fn bytes(auditor: &Auditor, id: &str, one: One, state: &State) -> Result<HttpResponse, Refusal> {
    let (_, opened) = find(auditor, id, one, state).await?;
    Ok(uncached().content_type("application/json").body(opened.bytes))
}

async fn proof(auditor: &Auditor, id: &str, one: One, state: &State) -> Result<HttpResponse, Refusal> {
    let (held, opened) = find(auditor, id, one, state).await?;
    let proof = state.archive.prove(held.index, Some(&opened)).await?;
    let proof = proof.ok_or(Refusal::Unpublished)?;
    Ok(uncached().content_type(TEXT).body(proof.to_string()))
}

/// The one that was asked for, if this token opens it, with the question logged.
async fn find(auditor: &Auditor, id: &str, one: One, state: &State) -> Result<(Held, Opened), Refusal> {
    let (query, known, found) = match one {
        One::Receipt(Some(id)) => ("receipt", true, state.archive.receipt(id).await?),
        One::Entry(Some(id)) => ("entry", true, state.archive.entry(id).await?),
        One::Receipt(None) => ("receipt", false, None),
        One::Entry(None) => ("entry", false, None),
    };
    let found = found.filter(|entry| auditor.scope.covers(entry));
    let asked = Asked {
        query,
        about: known.then_some(id),
        controller: found.as_ref().map(|entry| entry.controller),
        rows: found.iter().len(),
    };
    auditor.note(state, asked).await?;
    let held = found.ok_or(Refusal::NotFound)?;
    let opened = state.archive.open_one(&held).await?;
    match opened {
        Some(opened) => Ok((held, opened)),
        None => Err(Refusal::Shredded { index: held.index }),
    }
}

fn line((entry, opened): (&Held, Option<Opened>)) -> Line {
    let written = opened.and_then(|opened| String::from_utf8(opened.bytes).ok());
    Line {
        entry: entry.id,
        r#type: entry.entry_type,
        controller: entry.controller,
        controller_seq: entry.controller_seq,
        index: entry.index,
        at: entry.at,
        written: written.and_then(|json| RawValue::from_string(json).ok()),
    }
}

fn uncached() -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response.insert_header((CACHE_CONTROL, "no-store"));
    response
}
