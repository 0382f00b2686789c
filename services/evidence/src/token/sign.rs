//! Making a token: the sandbox's receipts, and our own statements.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::id::RequestId;
use domain::receipt::Report;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::envelope::EVENTS_PATH;
use super::{Said, report, statement};
use crate::jwk::TokenKey;

/// What a token says besides its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims<'a> {
    /// Who says it (`iss`).
    pub issuer: &'a str,
    /// To whom (`aud`).
    pub audience: &'a str,
    /// When it is signed; written in whole seconds.
    pub issued_at: Timestamp,
    /// When it happened, if that is to be said.
    pub occurred_at: Option<Timestamp>,
    /// New for each statement of this issuer.
    pub jti: Uuid,
    /// The request.
    pub request: RequestId,
}

/// A receipt about a task: the event's address lies below the audience, which is the router's public URL.
#[must_use]
pub fn sign_report(claims: &Claims<'_>, report: &Report, key: &TokenKey) -> String {
    let event = format!("{}{EVENTS_PATH}{}", claims.audience, report::name(report));
    sign(claims, &event, &report::payload(report), key)
}

/// A statement of ours: the event's address lies below the issuer, which is our own public URL.
#[must_use]
pub fn sign_statement(claims: &Claims<'_>, said: &Said, key: &TokenKey) -> String {
    let event = format!("{}{EVENTS_PATH}{}", claims.issuer, statement::name(said));
    sign(claims, &event, &statement::payload(said), key)
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

#[derive(Serialize)]
struct Body<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    toe: Option<i64>,
    jti: Uuid,
    txn: RequestId,
    events: BTreeMap<&'a str, &'a RawValue>,
}

fn sign(claims: &Claims<'_>, event: &str, payload: &RawValue, key: &TokenKey) -> String {
    let header = Header {
        alg: key.jwk().algorithm().as_str(),
        typ: "secevent+jwt",
        kid: key.kid(),
    };
    let body = Body {
        iss: claims.issuer,
        aud: claims.audience,
        iat: claims.issued_at.as_second(),
        toe: claims.occurred_at.map(Timestamp::as_second),
        jti: claims.jti,
        txn: claims.request,
        events: BTreeMap::from([(event, payload)]),
    };
    compact(&json(&header), &json(&body), key)
}

fn json(part: &impl Serialize) -> String {
    serde_json::to_string(part).expect("texts, numbers and JSON are JSON")
}

/// The compact form of RFC 7515 §7.1.
pub(super) fn compact(header: &str, claims: &str, key: &TokenKey) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()));
    format!("{message}.{signature}")
}
