//! What we sign ourselves: that a request reached us, and what is to be said about a task in nobody else's words.
//!
//! `iss` is our public URL, below which the events' pages lie; `aud` is the issuer name of the controller that it is
//! said to. A verifier gets our keys as it gets owners': from the log.

use domain::id::{TaskId, UserId};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::members::{Instant, Members};
use super::refusal::{Fault, Refusal};
use super::{RegisteredKey, Unverified};
use crate::entry::body::StatementKind;

pub(super) const RECEIVED: &str = "request-received";
pub(super) const STATED: &str = "task-stated";

/// What we can say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Said {
    /// `request-received`: the acknowledgement that a controller gets for each of its requests.
    Received {
        /// The request's number among the controller's, from 1 without gaps.
        intake_seq: u64,
        /// When the person asked.
        received_at: Timestamp,
    },
    /// `task-stated`: what stands in place of an owner's word.
    Stated {
        /// The task; `None` if it is about the whole request.
        task: Option<TaskId>,
        /// What it says.
        kind: StatementKind,
        /// The named person who approved it, where one had to.
        approver: Option<UserId>,
    },
}

pub(super) fn name(said: &Said) -> &'static str {
    match said {
        Said::Received { .. } => RECEIVED,
        Said::Stated { .. } => STATED,
    }
}

/// The event's content as JSON.
pub(super) fn payload(said: &Said) -> Box<RawValue> {
    serde_json::value::to_raw_value(said).expect("ids, instants, numbers and words are JSON")
}

fn read(name: &str, payload: &str) -> Result<Said, Refusal> {
    let read = match name {
        RECEIVED => read_received,
        STATED => read_stated,
        _ => return Err(Refusal::Event),
    };
    let mut members = Members::parse(payload).map_err(Refusal::Payload)?;
    let said = read(&mut members).map_err(Refusal::Payload)?;
    members.finish().map_err(Refusal::Payload)?;
    Ok(said)
}

fn read_received(members: &mut Members<'_>) -> Result<Said, Fault> {
    let Instant(received_at) = members.parsed("received_at")?;
    let intake_seq = members.value("intake_seq")?;
    Ok(Said::Received {
        intake_seq,
        received_at,
    })
}

fn read_stated(members: &mut Members<'_>) -> Result<Said, Fault> {
    let kind = members.value("kind")?;
    Ok(Said::Stated {
        task: members.optional_parsed("task")?,
        kind,
        approver: members.optional_parsed("approver")?,
    })
}

/// Verifies a statement of ours with one of our keys: that it says this, to this audience.
pub fn verify_statement(token: &[u8], key: &RegisteredKey, audience: &str) -> Result<Said, Refusal> {
    let token = Unverified::parse(token)?;
    token.is_for(audience)?;
    let (name, payload) = token.event(token.issuer())?;
    let said = read(name, payload)?;
    token.authenticate(key)?;
    Ok(said)
}
