//! Knocking at the doors as the real platforms do: the same paths, headers and signatures.

use std::fmt::Write as _;
use std::sync::Arc;

use aws_lc_rs::hmac;
use domain::right::Channel;
use platform::egress::{Answer, Egress, Limits};
use platform::problem::chain;
use platform::secret::Secret;
use serde_json::{Value, json};
use store::registry::Directory;

use super::script::{Door, Scene};
use crate::failure::Failure;

/// The name of the app in the webhooks' addresses.
pub(super) const APP: &str = "demo";

/// Whoever sends what the platforms would send.
pub(super) struct Sender {
    /// The way there.
    pub egress: Egress,
    /// Where intake listens.
    pub intake: String,
    /// The Meta app's secret.
    pub app_secret: Secret,
    /// The bot's secret token.
    pub bot_secret: Secret,
    /// The product's token.
    pub product: Secret,
    /// Who is registered.
    pub directory: Arc<Directory>,
}

impl Sender {
    /// Sends one scene's message; returns what a REST caller is answered.
    pub(super) async fn send(&self, number: usize, scene: &Scene) -> Result<Option<Value>, Failure> {
        let bearer = format!("Bearer {}", self.product.expose());
        let answer = match &scene.door {
            Door::Meta(body) => {
                let path = format!("/channels/{}/{APP}", scene.channel);
                self.signed(&path, body, &[]).await?
            }
            Door::Forwarded(body) => {
                let path = format!("/forward/{}", Channel::Whatsapp);
                self.signed(&path, body, &[("authorization", &bearer)]).await?
            }
            Door::Telegram(account, body) => {
                let headers = [("x-telegram-bot-api-secret-token", self.bot_secret.expose())];
                self.post(&format!("/channels/telegram/{account}"), &headers, escaped(body))
                    .await?
            }
            Door::Rest(body) => {
                let mut body = body.clone();
                body["controller"] =
                    json!({"id": self.directory.controller_by_slug(scene.controller).map(|one| one.id)});
                let key = format!("demo-{number}-{}", body["right"]);
                let headers = [("authorization", bearer.as_str()), ("idempotency-key", &key)];
                self.post("/v1/requests", &headers, body.to_string()).await?
            }
        };
        understood(&answer)
    }

    /// `X-Hub-Signature-256` over the bytes as they are sent.
    async fn signed(&self, path: &str, body: &Value, more: &[(&str, &str)]) -> Result<Answer, Failure> {
        let bytes = escaped(body);
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.app_secret.expose().as_bytes());
        let mut signature = "sha256=".to_owned();
        for byte in hmac::sign(&key, bytes.as_bytes()).as_ref() {
            write!(signature, "{byte:02x}").expect("writing into a string never fails");
        }
        let headers = [&[("x-hub-signature-256", signature.as_str())], more].concat();
        self.post(path, &headers, bytes).await
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: String) -> Result<Answer, Failure> {
        let headers = [&[("content-type", "application/json")], headers].concat();
        let url = format!("{}{path}", self.intake);
        let sent = self.egress.post(&url, &headers, body, Limits::default()).await;
        sent.map_err(|error| Failure::no(format!("{path} could not be reached ({})", chain(&error))))
    }
}

fn understood(answer: &Answer) -> Result<Option<Value>, Failure> {
    match answer.status {
        200..=299 => Ok(serde_json::from_slice(&answer.body).ok()),
        status => Err(Failure::no(format!(
            "a door answered {status}: {}",
            String::from_utf8_lossy(&answer.body)
        ))),
    }
}

/// JSON as Meta's platform writes it: everything beyond ASCII as an escape. The signature is over exactly these bytes.
fn escaped(body: &Value) -> String {
    let mut text = String::new();
    for unit in body.to_string().encode_utf16() {
        match u8::try_from(unit).ok().filter(u8::is_ascii) {
            Some(byte) => text.push(char::from(byte)),
            None => write!(text, "\\u{unit:04x}").expect("writing into a string never fails"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_reads_back() {
        let body = json!({"text": "احذف \"😀\" \n"});
        let text = escaped(&body);
        assert!(
            text.is_ascii() && text.contains("\\u0627") && text.contains("\\ud83d"),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), body);
    }
}
