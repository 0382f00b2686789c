//! The token around an event: header, claims, signature, read before anything is believed.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::id::RequestId;
use jiff::Timestamp;
use uuid::Uuid;

use super::members::Members;
use super::refusal::{Fault, Refusal};
use super::{MEDIA_TYPE, TOKEN_BYTES_MAX};
use crate::jwk::Algorithm;

/// The path under which the pages of the events are served, after the public URL.
pub(super) const EVENTS_PATH: &str = "/schemas/events/";

/// A token that is well formed and proves nothing yet: it tells which key to look for, and no more.
#[derive(Debug)]
pub struct Unverified<'a> {
    token: &'a str,
    pub(super) algorithm: Algorithm,
    kid: String,
    issuer: String,
    audience: String,
    pub(super) jti: Uuid,
    pub(super) request: RequestId,
    pub(super) issued_at: Timestamp,
    pub(super) occurred_at: Option<Timestamp>,
    event: String,
    payload: String,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart. The length is looked at before anything else is.
    pub fn parse(token: &'a [u8]) -> Result<Self, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::TooLong);
        }
        let token = std::str::from_utf8(token).map_err(|_| Refusal::Compact)?;
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            return Err(Refusal::Compact);
        };
        // Both algorithms sign with 64 bytes; the decoder takes neither padding nor stray bits.
        if decode(signature)?.len() != 64 {
            return Err(Refusal::Compact);
        }
        let (header, claims) = (decode(header)?, decode(claims)?);
        let (algorithm, kid) = read_header(&header)?;
        let claims = std::str::from_utf8(&claims).map_err(|_| Refusal::Claims(Fault::NotAnObject))?;
        Self {
            token,
            algorithm,
            kid,
            ..read_claims(claims)?
        }
        .checked()
    }

    /// Who claims to have signed it (`iss`).
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// With which key it claims to be signed.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// For whom it claims to be (`aud`).
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// The part that is signed, and the signature in base64url.
    /// The request that it belongs to (`txn`).
    #[must_use]
    pub fn request(&self) -> RequestId {
        self.request
    }

    pub(super) fn signed_part(&self) -> (&'a str, &'a str) {
        self.token.rsplit_once('.').unwrap_or_default()
    }

    pub(super) fn is_for(&self, audience: &str) -> Result<(), Refusal> {
        if self.audience == audience {
            Ok(())
        } else {
            Err(Refusal::Audience)
        }
    }

    /// The name of the event below `base`, our public URL, and its content.
    pub(super) fn event(&self, base: &str) -> Result<(&str, &str), Refusal> {
        let path = self
            .event
            .strip_prefix(base)
            .and_then(|path| path.strip_prefix(EVENTS_PATH));
        path.map(|name| (name, self.payload.as_str())).ok_or(Refusal::Event)
    }

    /// What the types don't hold: something happened before it was signed.
    fn checked(self) -> Result<Self, Refusal> {
        match self.occurred_at {
            Some(at) if at > self.issued_at => Err(Refusal::Claims(Fault::Value("toe"))),
            _ => Ok(self),
        }
    }
}

fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Compact)
}

fn read_header(header: &[u8]) -> Result<(Algorithm, String), Refusal> {
    let header = std::str::from_utf8(header).map_err(|_| Refusal::Header(Fault::NotAnObject))?;
    let mut members = Members::parse(header).map_err(Refusal::Header)?;
    let alg: Cow<'_, str> = members.value("alg").map_err(Refusal::Header)?;
    let typ: Cow<'_, str> = members.value("typ").map_err(Refusal::Header)?;
    let kid: String = members.value("kid").map_err(Refusal::Header)?;
    members.finish().map_err(Refusal::Header)?;
    let algorithm = Algorithm::named(&alg).ok_or(Refusal::Algorithm)?;
    if is_set_type(&typ) {
        Ok((algorithm, kid))
    } else {
        Err(Refusal::Type)
    }
}

/// RFC 8417 §2.3 with RFC 7515 §4.1.9: a media type, whose `application/` may be left out and whose case is free.
fn is_set_type(typ: &str) -> bool {
    let short = &MEDIA_TYPE["application/".len()..];
    typ.eq_ignore_ascii_case(short) || typ.eq_ignore_ascii_case(MEDIA_TYPE)
}

/// The claims; `alg` and `kid` are the header's and are filled in there.
fn read_claims(json: &str) -> Result<Unverified<'static>, Refusal> {
    let mut members = Members::parse(json).map_err(Refusal::Claims)?;
    let issuer = members.value("iss").map_err(|_| Refusal::Issuer)?;
    let audience = members.value("aud").map_err(|_| Refusal::Audience)?;
    let issued_at = second(members.value("iat").map_err(Refusal::Claims)?, "iat")?;
    let occurred_at = members.optional("toe").map_err(Refusal::Claims)?;
    let jti: Cow<'_, str> = members.value("jti").map_err(Refusal::Claims)?;
    let request = members.parsed("txn").map_err(Refusal::Claims)?;
    let events = members.raw("events").map_err(Refusal::Claims)?;
    members.finish().map_err(Refusal::Claims)?;
    let (event, payload) = Members::parse(events)
        .ok()
        .and_then(Members::single)
        .ok_or(Refusal::Event)?;
    Ok(Unverified {
        token: "",
        algorithm: Algorithm::EdDsa,
        kid: String::new(),
        issuer,
        audience,
        jti: uuid(&jti)?,
        request,
        issued_at,
        occurred_at: occurred_at.map(|seconds| second(seconds, "toe")).transpose()?,
        event: event.into_owned(),
        payload: payload.to_owned(),
    })
}

/// Whole seconds since 1970 (`NumericDate` without a fraction).
fn second(seconds: u64, name: &'static str) -> Result<Timestamp, Refusal> {
    let instant = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok());
    instant.ok_or(Refusal::Claims(Fault::Value(name)))
}

/// The form with hyphens only: the other forms would be second spellings of one id.
fn uuid(text: &str) -> Result<Uuid, Refusal> {
    let uuid = Uuid::try_parse(text)
        .ok()
        .filter(|uuid| text.eq_ignore_ascii_case(&uuid.to_string()));
    uuid.ok_or(Refusal::Claims(Fault::Value("jti")))
}
