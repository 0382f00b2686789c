//! A client business: it verifies webhooks, answers as it was told, and signs receipts.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::web::{self, Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use domain::id::{RequestId, TaskId};
use domain::receipt::{CategoryOutcome, CategoryResult, Completion, Outcome, Report};
use evidence::digest::sha256;
use evidence::jwk::TokenKey;
use evidence::token::sign::{Claims, sign_report};
use platform::chance::SharedRng;
use platform::clock::{Clock as _, SystemClock};
use platform::egress::{Answer, Egress, EgressConfig, Limits};
use platform::http::{Http, Server};
use platform::lifecycle::Lifecycle;
use platform::webhook::{self, VerifyingKey};
use serde_json::Value;
use uuid::Uuid;

use super::world::{ISSUER, PUBLIC_URL, fresh_uuid};

/// What the client says to a webhook.
#[derive(Debug, Clone, Copy)]
pub(super) enum Say {
    /// This status.
    Status(u16),
    /// 200 with a receipt of this outcome.
    Receipt(Outcome),
    /// Brings the receipt first, and then says 200.
    ReceiptFirst(Outcome),
    /// Nothing for so long.
    Nothing(Duration),
}

/// A webhook that came.
#[derive(Debug, Clone)]
pub(super) struct Hit {
    pub(super) id: String,
    pub(super) task: TaskId,
    pub(super) request: RequestId,
    pub(super) body: Vec<u8>,
}

/// A message beside the tasks that came.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) body: Vec<u8>,
}

impl Told {
    pub(super) fn data(&self) -> Value {
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        body["data"].clone()
    }
}

/// The client business; clones are the same.
#[derive(Clone)]
pub(super) struct Client(Arc<Inner>);

struct Inner {
    key: TokenKey,
    url: String,
    lifecycle: Lifecycle,
    egress: Egress,
    state: Data<Mutex<State>>,
}

#[derive(Default)]
struct State {
    secrets: Vec<String>,
    script: VecDeque<Say>,
    hits: Vec<Hit>,
    told: Vec<Told>,
    /// What to say to the next messages.
    replies: VecDeque<Say>,
    client: Option<Client>,
    router: String,
}

impl Client {
    pub(super) fn start(key: TokenKey, _rng: SharedRng) -> Self {
        let state = Data::new(Mutex::new(State::default()));
        let http = Http {
            listen: ([127, 0, 0, 1], 0).into(),
            workers: Some(1),
            ..Http::default()
        };
        let shared = state.clone();
        let server = Server::build(&http, "client", vec![], move |routes| {
            routes
                .app_data(shared.clone())
                .route("/hook", web::post().to(hook))
                .route("/notices", web::post().to(hook));
        });
        let server = server.unwrap();
        let (url, lifecycle) = (server.url(), Lifecycle::new());
        lifecycle.spawn("client", server.run(lifecycle.stop()));
        let config = EgressConfig {
            trusted: vec!["127.0.0.1".parse().unwrap()],
            ..EgressConfig::default()
        };
        let egress = Egress::new(&config, "client").unwrap();
        let client = Self(Arc::new(Inner {
            key,
            url,
            lifecycle,
            egress,
            state,
        }));
        client.state().client = Some(client.clone());
        client
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    pub(super) fn key(&self) -> &TokenKey {
        &self.0.key
    }

    pub(super) fn url(&self) -> &str {
        &self.0.url
    }

    pub(super) fn trust(&self, secret: &str) {
        self.state().secrets.push(secret.to_owned());
    }

    pub(super) fn router(&self, url: &str) {
        url.clone_into(&mut self.state().router);
    }

    /// What to say to the next webhooks; afterwards 200.
    pub(super) fn will_say(&self, script: &[Say]) {
        self.state().script.extend(script);
    }

    /// What to say to the next messages beside tasks; afterwards 200.
    pub(super) fn will_reply(&self, script: &[Say]) {
        self.state().replies.extend(script);
    }

    /// The messages of a type, in the order in which they came.
    pub(super) fn told(&self, kind: &str) -> Vec<Told> {
        let told = self.state().told.clone();
        told.into_iter().filter(|told| told.kind == kind).collect()
    }

    pub(super) fn hits(&self) -> Vec<Hit> {
        self.state().hits.clone()
    }

    /// A receipt for what came.
    pub(super) fn receipt(&self, hit: &Hit, outcome: Outcome, jti: Uuid) -> String {
        let result = |outcome, basis: Option<&str>| CategoryResult {
            category: "conversations".to_owned(),
            outcome,
            count: None,
            basis: basis.map(str::to_owned),
            citation: None,
            erase_after: None,
        };
        let results = match outcome {
            Outcome::Completed => vec![result(CategoryOutcome::Erased, None)],
            Outcome::Partial => vec![result(CategoryOutcome::Retained, Some("tax_law"))],
            Outcome::NotFound => vec![],
            Outcome::Refused => vec![result(CategoryOutcome::Refused, Some("legal_claims"))],
            Outcome::Failed => vec![result(CategoryOutcome::Failed, Some("system_unavailable"))],
        };
        let report = Report::Completed(Completion {
            task: hit.task,
            task_digest: sha256(&hit.body),
            outcome,
            results,
            artifact: None,
            attachments: vec![],
        });
        let claims = Claims {
            issuer: ISSUER,
            audience: PUBLIC_URL,
            issued_at: SystemClock.now(),
            occurred_at: None,
            jti,
            request: hit.request,
        };
        sign_report(&claims, &report, &self.0.key)
    }

    /// Brings a receipt; returns the status and the `err` of a refusal.
    pub(super) async fn bring(&self, token: String) -> (u16, String) {
        let url = format!("{}/v1/receipts", self.state().router);
        let headers = [("content-type", "application/secevent+jwt")];
        let answer: Answer = self
            .0
            .egress
            .post(&url, &headers, token, Limits::default())
            .await
            .unwrap();
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        (answer.status, body["err"].as_str().unwrap_or_default().to_owned())
    }

    pub(super) async fn stop(&self) {
        self.state().client = None;
        self.0.lifecycle.stop().cut();
        self.0.lifecycle.shut_down().await;
    }
}

async fn hook(request: HttpRequest, body: Bytes, state: Data<Mutex<State>>) -> HttpResponse {
    let id = verified(&request, &body, &state);
    let message: Value = serde_json::from_slice(&body).unwrap();
    if message["type"] != "dsr.task.created" {
        return heed(&id, &message, &body, &state).await;
    }
    assert_eq!(request.path(), "/hook");
    let hit = hit(id, &message, &body);
    let (say, client) = {
        let mut state = state.lock().unwrap();
        state.hits.push(hit.clone());
        (
            state.script.pop_front().unwrap_or(Say::Status(200)),
            state.client.clone(),
        )
    };
    let Some(client) = client else {
        return HttpResponse::ServiceUnavailable().finish();
    };
    match say {
        Say::Status(status) => HttpResponse::build(status.try_into().unwrap()).finish(),
        Say::Receipt(outcome) => HttpResponse::Ok()
            .content_type("application/secevent+jwt")
            .body(client.receipt(&hit, outcome, fresh_uuid())),
        Say::ReceiptFirst(outcome) => {
            let token = client.receipt(&hit, outcome, fresh_uuid());
            assert_eq!(client.bring(token).await.0, 202);
            HttpResponse::Ok().finish()
        }
        Say::Nothing(duration) => {
            tokio::time::sleep(duration).await;
            HttpResponse::Ok().finish()
        }
    }
}

/// A message that is no task.
async fn heed(id: &str, message: &Value, body: &Bytes, state: &Data<Mutex<State>>) -> HttpResponse {
    let told = Told {
        id: id.to_owned(),
        kind: message["type"].as_str().unwrap().to_owned(),
        body: body.to_vec(),
    };
    assert!(id.starts_with("msg_") && body.len() <= 20_000);
    let say = {
        let mut state = state.lock().unwrap();
        state.told.push(told);
        state.replies.pop_front().unwrap_or(Say::Status(200))
    };
    match say {
        Say::Status(status) => HttpResponse::build(status.try_into().unwrap()).finish(),
        Say::Nothing(duration) => {
            tokio::time::sleep(duration).await;
            HttpResponse::Ok().finish()
        }
        Say::Receipt(_) | Say::ReceiptFirst(_) => panic!("a message has no receipt"),
    }
}

/// Believes what came, as far as the contract promises it; returns its id.
fn verified(request: &HttpRequest, body: &Bytes, state: &Data<Mutex<State>>) -> String {
    let header = |name: &str| request.headers().get(name).unwrap().to_str().unwrap().to_owned();
    let (id, timestamp, signature) = (
        header("webhook-id"),
        header("webhook-timestamp"),
        header("webhook-signature"),
    );
    let received = webhook::Received {
        id: &id,
        timestamp: &timestamp,
        signature: &signature,
    };
    let secrets = state.lock().unwrap().secrets.clone();
    let keys: Vec<VerifyingKey> = secrets
        .iter()
        .map(|secret| VerifyingKey::parse(secret).unwrap())
        .collect();
    webhook::verify(&keys, received, body, SystemClock.now(), webhook::TOLERANCE).unwrap();
    assert_eq!(header("content-digest"), webhook::content_digest(body));
    assert!(header("user-agent").starts_with("Quittance/"));
    id
}

fn hit(id: String, told: &Value, body: &Bytes) -> Hit {
    assert_eq!(told["data"]["task"].as_str().unwrap(), id);
    Hit {
        task: id.parse().unwrap(),
        request: told["data"]["request"].as_str().unwrap().parse().unwrap(),
        body: body.to_vec(),
        id,
    }
}
