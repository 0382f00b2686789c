//! What WhatsApp, Messenger and Instagram have in common: the app, its handshake, its signature, its envelope.
//!
//! `X-Hub-Signature-256` is an HMAC over the bytes that were sent. The platform writes every letter beyond ASCII as an
//! escape and signs exactly that, so a body that was read and written again no longer has its signature; only
//! [`Verified`] bytes are parsed. One app's secret covers all of its channels and client businesses.

use std::collections::BTreeMap;

use actix_web::web::{Bytes, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use aws_lc_rs::hmac;
use domain::right::Channel;
use platform::secret::{Secret, equal};
use serde::Deserialize;
use serde_json::Value;
use store::scope::Scope;

use super::split::{Skipped, Split};
use super::{messenger, received, take, whatsapp};
use crate::config;
use crate::doors::Doors;
use crate::refusal::Refusal;

const SIGNATURE: &str = "X-Hub-Signature-256";

/// A challenge is a number of a few digits; what is far longer is no challenge.
const CHALLENGE_MAX: usize = 256;

/// The apps whose webhooks arrive here, by the name in the webhook's address.
pub(crate) struct Apps(BTreeMap<String, App>);

struct App {
    /// The current secret's key and, during a change, the one before.
    keys: Vec<hmac::Key>,
    verify_token: Secret,
}

/// Bytes that came from the platform, and from nobody else.
pub(super) struct Verified<'b>(&'b Bytes);

/// What the platform asks when the webhook is configured.
#[derive(Deserialize)]
pub(crate) struct Handshake {
    #[serde(rename = "hub.mode")]
    mode: Option<String>,
    #[serde(rename = "hub.verify_token")]
    verify_token: Option<Secret>,
    #[serde(rename = "hub.challenge")]
    challenge: Option<String>,
}

impl Apps {
    pub(crate) fn new(apps: BTreeMap<String, config::App>) -> Self {
        Self(apps.into_iter().map(|(name, app)| (name, App::new(app))).collect())
    }

    fn app(&self, name: &str) -> Result<&App, Refusal> {
        self.0.get(name).ok_or(Refusal::NotFound)
    }

    /// Whether any of the apps signed it: a product that forwards need not know under which name we know its app.
    pub(super) fn verify_any<'b>(&self, request: &HttpRequest, body: &'b Bytes) -> Result<Verified<'b>, Refusal> {
        let verified = self.0.values().find_map(|app| app.verify(request, body).ok());
        verified.ok_or(Refusal::Signature)
    }
}

impl App {
    fn new(app: config::App) -> Self {
        let key = |secret: &Secret| hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        Self {
            keys: std::iter::once(&app.secret)
                .chain(&app.previous_secret)
                .map(key)
                .collect(),
            verify_token: app.verify_token,
        }
    }

    /// Checks `sha256=<hex>` in constant time.
    fn verify<'b>(&self, request: &HttpRequest, body: &'b Bytes) -> Result<Verified<'b>, Refusal> {
        let header = request.headers().get(SIGNATURE).and_then(|value| value.to_str().ok());
        let tag = header
            .and_then(|value| unhex(value.strip_prefix("sha256=")?))
            .ok_or(Refusal::Signature)?;
        let signed = self.keys.iter().any(|key| hmac::verify(key, body, &tag).is_ok());
        signed.then_some(Verified(body)).ok_or(Refusal::Signature)
    }
}

/// `GET /channels/{channel}/{app}`: gives the challenge back to whoever knows the verify token.
pub(crate) async fn handshake(
    path: Path<(Channel, String)>,
    asked: Query<Handshake>,
    doors: Data<Doors>,
) -> Result<HttpResponse, Refusal> {
    let app = doors.apps.app(&path.1)?;
    let subscribing = asked.mode.as_deref() == Some("subscribe");
    let known = asked
        .verify_token
        .as_ref()
        .is_some_and(|token| same(token, &app.verify_token));
    match &asked.challenge {
        Some(challenge) if subscribing && known && challenge.len() <= CHALLENGE_MAX => Ok(HttpResponse::Ok()
            .content_type("text/plain; charset=utf-8")
            .body(challenge.clone())),
        _ => Err(Refusal::Handshake),
    }
}

/// `POST /channels/{channel}/{app}`: 401 for a wrong signature, 400 for a body that is no notification.
pub(crate) async fn notify(
    request: HttpRequest,
    path: Path<(Channel, String)>,
    body: Bytes,
    doors: Data<Doors>,
) -> Result<HttpResponse, Refusal> {
    let verified = doors.apps.app(&path.1)?.verify(&request, &body)?;
    notification(&doors, path.0, &verified, &Scope::EVERYTHING).await
}

/// What the platform sent; its signature was checked.
pub(super) async fn notification(
    doors: &Doors,
    channel: Channel,
    verified: &Verified<'_>,
    scope: &Scope,
) -> Result<HttpResponse, Refusal> {
    let split = split(verified, channel)?;
    take::take(doors, &split, verified.0, scope).await?;
    Ok(received())
}

/// Takes a notification apart. `object` names its channel, whichever address an operator entered for it; where it is
/// missing, the address does.
fn split(verified: &Verified<'_>, channel: Channel) -> Result<Split, Refusal> {
    let body: Value = platform::problem::parse_json(verified.0)?;
    let object = body.get("object").and_then(Value::as_str);
    let entries = match body.get("entry") {
        Some(entries) => entries.as_array().ok_or(Refusal::Notification)?.as_slice(),
        None if object.is_some() => &[],
        None => return Err(Refusal::Notification),
    };
    let named = match object {
        Some("whatsapp_business_account") => Some(Channel::Whatsapp),
        Some("page") => Some(Channel::Messenger),
        Some("instagram") => Some(Channel::Instagram),
        Some(_) => None,
        None => Some(channel),
    };
    let mut split = Split::of(named.unwrap_or(channel));
    for entry in entries {
        match named {
            Some(Channel::Whatsapp) => whatsapp::split(entry, &mut split),
            Some(channel) => messenger::split(entry, channel, &mut split),
            None => split.add(Err(Skipped::OtherEvent)),
        }
    }
    Ok(split)
}

fn same(left: &Secret, right: &Secret) -> bool {
    equal(left.expose().as_bytes(), right.expose().as_bytes())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().as_chunks::<2>();
    if !pairs.1.is_empty() {
        return None;
    }
    pairs
        .0
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}
