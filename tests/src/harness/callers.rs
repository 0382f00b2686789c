//! Callers who don't give up.
//!
//! A platform or a product that was not told that its message was taken sends the same bytes again, for hours. So does
//! a [`Caller`]; and what it was told in the end is kept, because that is the promise which is held against what
//! became of it.

use std::time::{Duration, Instant};

use domain::id::{ControllerId, RequestId};
use platform::secret::Secret;
use serde_json::Value;

use super::client::{Client, DELETE, key};
use super::patience::PATIENCE;
use super::person::Person;
use super::provider::Sent;
use super::router::Router;

/// Between two tries: a caller in a hurry.
const AGAIN: Duration = Duration::from_millis(200);

/// An answer that takes longer won't come.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What somebody asks, as the bytes that are sent each time.
#[derive(Debug, Clone)]
pub struct Message {
    /// The business that is asked.
    pub controller: ControllerId,
    /// The phone number of whoever asks, without the `+`; nobody else has it.
    pub phone: String,
    /// The bytes and where they go.
    pub way: Way,
}

/// How it is asked.
#[derive(Debug, Clone)]
pub enum Way {
    /// As the platform's webhook.
    Chat(Sent),
    /// By a product's backend.
    Rest {
        /// The body.
        body: Vec<u8>,
        /// The idempotency key.
        key: String,
    },
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Told {
    /// What was asked.
    pub message: Message,
    /// The first answer that said yes.
    pub answer: Vec<u8>,
    /// How often it was sent until then.
    pub tries: u32,
}

impl Message {
    /// Somebody new writes to the business's WhatsApp number.
    #[must_use]
    pub fn chat(client: &Client<'_>) -> Self {
        let person = Person::new();
        Self::new(client, &person, Way::Chat(client.whatsapp(&person, DELETE)))
    }

    /// A product's backend asks for somebody new.
    #[must_use]
    pub fn rest(client: &Client<'_>) -> Self {
        let person = Person::new();
        let body = client.rest("deletion", &person).to_string().into_bytes();
        Self::new(client, &person, Way::Rest { body, key: key() })
    }

    fn new(client: &Client<'_>, person: &Person, way: Way) -> Self {
        Self {
            controller: client.id,
            phone: person.digits().to_owned(),
            way,
        }
    }
}

impl Told {
    /// The request that the answer names; a platform is only told that its message was taken.
    #[must_use]
    pub fn request(&self) -> Option<RequestId> {
        match self.message.way {
            Way::Chat(_) => None,
            Way::Rest { .. } => serde_json::from_slice::<Value>(&self.answer).ok()?["request"]
                .as_str()?
                .parse()
                .ok(),
        }
    }
}

/// Sends until it is taken.
#[derive(Debug, Clone)]
pub struct Caller {
    http: reqwest::Client,
    intake: String,
    product: Secret,
}

impl Caller {
    /// One with a product's token.
    ///
    /// # Panics
    /// Never: a client can be built.
    #[must_use]
    pub fn new(router: &Router) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_WITHIN).build();
        Self {
            http: http.expect("a client is built"),
            intake: router.running().intake.clone(),
            product: router.running().product.clone(),
        }
    }

    /// Sends the same bytes until the answer is yes.
    ///
    /// # Panics
    /// When the answer is no, which no fault of the router's may cause, or when nobody answers for too long.
    pub async fn insist(&self, message: Message) -> Told {
        let started = Instant::now();
        for tries in 1.. {
            match self.once(&message).await {
                Ok((200 | 202, answer)) => return Told { message, answer, tries },
                Ok((status, answer)) if (400..500).contains(&status) && status != 429 => {
                    panic!("refused with {status}: {}", String::from_utf8_lossy(&answer))
                }
                Ok(_) | Err(_) => assert!(started.elapsed() < PATIENCE, "nobody took {message:?}"),
            }
            tokio::time::sleep(AGAIN).await;
        }
        unreachable!("it returns or panics");
    }

    async fn once(&self, message: &Message) -> reqwest::Result<(u16, Vec<u8>)> {
        let post = |path: &str| self.http.post(format!("{}{path}", self.intake));
        let request = match &message.way {
            Way::Chat(sent) => post(&sent.direct)
                .header(sent.proof.0, &sent.proof.1)
                .body(sent.body.clone()),
            Way::Rest { body, key } => post("/v1/requests")
                .bearer_auth(self.product.expose())
                .header("idempotency-key", key)
                .body(body.clone()),
        };
        let answer = request.header("content-type", "application/json").send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.bytes().await?.to_vec()))
    }
}
