//! A client business in a journey: its accounts, its systems, and what they were sent.

use std::sync::Arc;

use domain::id::{ControllerId, RequestId};
use domain::receipt::{Completion, Outcome, Report};
use domain::request::Closing;
use evidence::digest::sha256;
use evidence::jwk::{Algorithm, TokenKey};
use evidence::token::sign::{Claims, sign_report};
use platform::chance::{self, SystemRng};
use platform::clock::{Clock as _, SystemClock};
use platform::secret::Secret;
use sandbox::{Manner, Record};
use serde_json::{Value, json};
use store::requests::Shown;
use uuid::Builder;

use super::case::Case;
use super::patience::eventually;
use super::person::Person;
use super::provider::{Sent, Text};
use super::registration::{self, Accounts, PRODUCT, SystemEntry};
use super::router::{Answer, Router};
use super::tap::{Heard, Tap};
use super::{place, provider, running};

/// One system of a business.
#[derive(Debug, Clone)]
pub struct Business {
    /// As it is registered.
    pub slug: String,
    /// How it behaves.
    pub manner: Arc<Manner>,
    /// What it did.
    pub record: Arc<Record>,
    /// What came over the wire.
    pub tap: Arc<Tap>,
    /// The secret that it was registered with.
    pub secret: Secret,
}

/// A registered client business, bound on every channel.
pub struct Client<'r> {
    /// Where it is registered.
    pub router: &'r Router,
    /// Its id.
    pub id: ControllerId,
    /// As it is registered.
    pub slug: String,
    /// The `iss` of its receipts.
    pub issuer: String,
    /// Its accounts.
    pub accounts: Accounts,
    /// Its systems, in the order in which they were wished for.
    pub systems: Vec<Business>,
    /// Where its notices go, if anywhere.
    pub notices: Option<Business>,
    pub(super) seed: [u8; 32],
}

/// What this text asks for: the person's data is to be deleted.
pub const DELETE: &str = "احذف بياناتي";

/// What this text asks for: the person wants to see their data.
pub const ACCESS: &str = "Please send me a copy of my data";

impl Client<'_> {
    /// Its only system, or the first.
    #[must_use]
    pub fn system(&self) -> &Business {
        &self.systems[0]
    }

    /// A message to its WhatsApp number.
    #[must_use]
    pub fn whatsapp(&self, from: &Person, text: &str) -> Sent {
        meta("whatsapp", &Text::new(from, &self.accounts.whatsapp, text).whatsapp())
    }

    /// The same from somebody whose number the business may not see.
    #[must_use]
    pub fn whatsapp_without_phone(&self, from: &Person, text: &str) -> Sent {
        let text = Text::new(from, &self.accounts.whatsapp, text);
        meta("whatsapp", &text.whatsapp_without_phone())
    }

    /// A message to its page.
    #[must_use]
    pub fn messenger(&self, from: &Person, text: &str) -> Sent {
        meta(
            "messenger",
            &Text::new(from, &self.accounts.messenger, text).messenger(),
        )
    }

    /// A message to its Instagram account.
    #[must_use]
    pub fn instagram(&self, from: &Person, text: &str) -> Sent {
        meta(
            "instagram",
            &Text::new(from, &self.accounts.instagram, text).instagram(),
        )
    }

    /// A message to its bot.
    #[must_use]
    pub fn telegram(&self, from: &Person, text: &str) -> Sent {
        let update = Text::new(from, &self.accounts.telegram, text).telegram();
        provider::telegram(place::BOT_SECRET, &self.accounts.telegram, &update)
    }

    /// What a product's own backend sends for a person who is logged in.
    #[must_use]
    pub fn rest(&self, right: &str, person: &Person) -> Value {
        json!({
            "right": right, "controller": {"id": self.id}, "product": PRODUCT, "channel": "web",
            "subject": {"name": person.name, "kind": "customer", "identities": [
                {"kind": "phone", "value": person.phone}, {"kind": "email", "value": person.email}]},
            "interaction": {"approximately": "2026-05"},
            "description": "please",
            "requester": {"relation": "self"},
            "assurance": {"level": "account_session", "evidence": "session 4711"},
            "jurisdiction": "PS", "locale": "ar"
        })
    }

    /// Sends such a request, which must be accepted.
    ///
    /// # Panics
    /// When it isn't.
    pub async fn asks(&self, right: &str, person: &Person) -> Case<'_> {
        let answer = self.router.post_request(&self.rest(right, person), &key()).await;
        self.router.case(answer.accepted())
    }

    /// Where its notices go.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn notices(&self) -> &Business {
        self.notices
            .as_ref()
            .expect("the business was registered with a notices system")
    }

    /// Its requests, newest first.
    pub async fn requests(&self) -> Vec<Shown> {
        self.router.requests_of(self.id).await
    }

    /// Delivers a message, which must be taken, and waits for the one request that it makes.
    ///
    /// # Panics
    /// When it isn't taken, or doesn't make exactly one more.
    pub async fn hears(&self, sent: &Sent) -> Case<'_> {
        self.takes(self.router.deliver(sent)).await
    }

    /// The same through the product that owns the channel.
    ///
    /// # Panics
    /// As [`hears`](Self::hears).
    pub async fn hears_forwarded(&self, sent: &Sent) -> Case<'_> {
        self.takes(self.router.forward(sent)).await
    }

    async fn takes(&self, sending: impl Future<Output = Answer>) -> Case<'_> {
        let before: Vec<RequestId> = self.requests().await.iter().map(|known| known.id).collect();
        let answer = sending.await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let mut new: Vec<RequestId> = self.requests().await.iter().map(|known| known.id).collect();
        new.retain(|id| !before.contains(id));
        assert_eq!(new.len(), 1, "the message makes one request");
        self.router.case(new[0])
    }

    /// The webhook of a task of this request to one of its systems, as soon as it came.
    pub async fn webhook(&self, system: &Business, request: RequestId) -> Heard {
        eventually("the webhook comes", || async {
            let about = system.tap.about(&request.to_string());
            about.into_iter().next().ok_or_else(|| "none came".to_owned())
        })
        .await
    }

    /// Signs a receipt by hand for a webhook that came.
    ///
    /// # Panics
    /// When that wasn't a task.
    #[must_use]
    pub fn sign(&self, heard: &Heard, outcome: Outcome) -> String {
        let data = &heard.json()["data"];
        let id = |member: &str| data[member].as_str().unwrap_or_default().to_owned();
        let (now, rng) = (SystemClock.now(), SystemRng::new());
        let audience = data["receipt"]["audience"].as_str().expect("a task names its audience");
        let claims = Claims {
            issuer: &self.issuer,
            audience,
            issued_at: now,
            occurred_at: Some(now),
            jti: Builder::from_random_bytes(chance::bytes(&rng)).into_uuid(),
            request: id("request").parse().expect("a task names its request"),
        };
        let completion = Completion {
            task: id("task").parse().expect("a task names itself"),
            task_digest: sha256(&heard.body),
            outcome,
            results: running::results(outcome),
            artifact: None,
            attachments: vec![],
        };
        sign_report(&claims, &Report::Completed(completion), &self.key())
    }

    /// What its operator would write to register it.
    pub(super) fn registration(&self, systems: &[SystemEntry<'_>]) -> String {
        let jwk = self.key().jwk().required_members();
        registration::business(&self.slug, &self.accounts, systems, &jwk)
    }

    pub(crate) fn key(&self) -> TokenKey {
        TokenKey::new(Algorithm::EdDsa, &self.seed).expect("every seed is a key")
    }

    /// Waits until a request closed, and checks that each system did its work once and that everything is proved.
    ///
    /// # Panics
    /// When it didn't.
    pub async fn done(&self, case: &Case<'_>, outcome: Closing) {
        case.await_closed(outcome).await;
        for system in &self.systems {
            let about: Vec<_> = system.record.deliveries();
            let mut effects = about.iter().filter(|(_, delivery)| delivery.request == case.id);
            let (_, delivery) = effects.next().expect("each system got its task");
            assert!(effects.next().is_none(), "one task for each system");
            assert_eq!(delivery.effects, 1, "the work is done once");
            assert_eq!(system.record.altered(), 0, "the bytes of a task never change");
        }
        case.proved(self.systems.len()).await;
    }
}

fn meta(channel: &'static str, value: &Value) -> Sent {
    provider::meta(channel, place::APP, place::APP_SECRET, provider::ascii(value))
}

/// A fresh idempotency key.
#[must_use]
pub fn key() -> String {
    format!("key-{}", super::person::fresh())
}
