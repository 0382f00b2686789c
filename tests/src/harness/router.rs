//! A router under test: its doors, its tables, its log, and the businesses that are registered with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::id::{ControllerId, RequestId};
use evidence::history::KeyHistory;
use evidence::policy::Policy;
use jiff::SignedDuration;
use platform::chance::{self, SharedRng, SystemRng};
use platform::clock::{SharedClock, SystemClock};
use platform::secret::Secret;
use platform::webhook::{self, VerifyingKey};
use registry::apply::{Registrar, RegistryError};
use registry::file::File;
use sandbox::{Answering, Manner, Record, Sandbox, Verdict};
use serde_json::Value;
use store::Store;
use store::requests::{self, Filter, Shown};
use store::scope::Scope;
use tokio::sync::{Mutex, OnceCell};

use super::case::Case;
use super::client::{Business, Client};
use super::fetching::Fetching;
use super::patience::eventually;
use super::person::fresh;
use super::place::Place;
use super::processes::Processes;
use super::provider::Sent;
use super::registration::{Accounts, Reached, SystemEntry};
use super::running::{self, Held, Running};
use super::tap::{Tap, loopback};

/// A system of this name is a business's notices system.
const NOTICES: &str = "notices";

static EMBEDDED: OnceCell<Router> = OnceCell::const_new();
static CLUSTER: OnceCell<Router> = OnceCell::const_new();

/// What a door answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The `Retry-After` header.
    pub retry_after: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    ///
    /// # Panics
    /// When it isn't.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("text")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it isn't.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The id of the request that was accepted.
    ///
    /// # Panics
    /// When it wasn't.
    #[must_use]
    pub fn accepted(&self) -> RequestId {
        assert_eq!(self.status, 202, "{}", String::from_utf8_lossy(&self.body));
        let id = self.json()["request"].as_str().map(str::parse);
        id.expect("the answer names the request").expect("by its id")
    }
}

/// A whole router.
pub struct Router {
    running: Running,
    registrar: Mutex<Registrar>,
    bots: AtomicUsize,
    http: reqwest::Client,
    clock: SharedClock,
    rng: SharedRng,
}

impl Router {
    /// The embedded router that the tests of this binary share.
    pub async fn embedded() -> &'static Self {
        EMBEDDED
            .get_or_init(|| async { Self::start(Place::embedded()).await })
            .await
    }

    /// The router on Kafka and PostgreSQL that the tests of this binary share.
    ///
    /// # Panics
    /// When no parts run; the message says how to start them.
    pub async fn cluster() -> &'static Self {
        CLUSTER
            .get_or_init(|| async { Self::start(Place::cluster().await).await })
            .await
    }

    /// A router of a test's own.
    pub async fn start(place: Place) -> Self {
        Self::of(Running::start(place).await)
    }

    /// A router of a test's own, in processes of its own.
    pub async fn start_processes(place: Place) -> Self {
        Self::of(Running::start_processes(place).await)
    }

    fn of(running: Running) -> Self {
        let (clock, rng): (SharedClock, SharedRng) = (Arc::new(SystemClock), Arc::new(SystemRng::new()));
        let registrar = Registrar {
            store: running.store.clone(),
            keyring: Arc::clone(&running.keyring),
            clock: Arc::clone(&clock),
            rng: Arc::clone(&rng),
        };
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build();
        Self {
            running,
            registrar: Mutex::new(registrar),
            bots: AtomicUsize::new(0),
            http: http.expect("a client is built"),
            clock,
            rng,
        }
    }

    /// What it consists of.
    #[must_use]
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// Where it runs.
    pub fn place(&self) -> &Place {
        &self.running.place
    }

    /// Its processes.
    ///
    /// # Panics
    /// When it runs in this one.
    #[must_use]
    pub fn processes(&self) -> &Processes {
        match &self.running.services {
            Held::Apart(processes) => processes,
            Held::Here(..) => panic!("this router runs in the test's own process"),
        }
    }

    /// The router's own database.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.running.store
    }

    /// The audience of receipts.
    #[must_use]
    pub fn public_url(&self) -> &str {
        &self.running.dispatch
    }

    /// Trusts this router's log, and nothing else.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.running.policy
    }

    /// Ends everything, as SIGTERM would.
    pub async fn shut_down(self) -> platform::lifecycle::Ended {
        self.running.shut_down().await
    }

    /// A business with one system.
    pub async fn client(&self, name: &str) -> Client<'_> {
        self.client_with(name, &["crm"]).await
    }

    /// A business with these systems, known to the whole router when this returns.
    pub async fn client_with(&self, name: &str, systems: &[&str]) -> Client<'_> {
        let manners = systems
            .iter()
            .map(|_| Manner::good(Verdict::Completed, Answering::ByPost));
        let wanted: Vec<(&str, Manner)> = systems.iter().copied().zip(manners).collect();
        self.client_of(name, wanted).await
    }

    /// A business whose systems have these manners.
    ///
    /// # Panics
    /// When it can't be registered.
    pub async fn client_of(&self, name: &str, wanted: Vec<(&str, Manner)>) -> Client<'_> {
        self.registered(self.unregistered(name), wanted).await
    }

    /// A business with one system of this manner, and one for its notices.
    ///
    /// # Panics
    /// When it can't be registered.
    pub async fn client_with_notices(&self, name: &str, manner: Manner) -> Client<'_> {
        let notices = Manner::good(Verdict::Silent, Answering::ByPost);
        let wanted = vec![("crm", manner), (NOTICES, notices)];
        let mut client = self.registered(self.unregistered(name), wanted).await;
        client.notices = client.systems.pop();
        client
    }

    async fn registered<'r>(&'r self, mut client: Client<'r>, wanted: Vec<(&str, Manner)>) -> Client<'r> {
        let mut listening = vec![];
        for (system, manner) in wanted {
            let secret = webhook::generate_shared(&*self.rng);
            let (business, url) = self.open(&client, system, manner, &secret);
            client.systems.push(business);
            listening.push((system, url, secret));
        }
        let entries: Vec<_> = listening
            .iter()
            .map(|(slug, url, secret)| SystemEntry {
                slug,
                reached: Reached::At {
                    kind: if *slug == NOTICES { NOTICES } else { "webhook" },
                    url,
                    secret,
                },
            })
            .collect();
        self.register(&client.registration(&entries)).await;
        client.id = self.known(&client).await;
        client
    }

    /// Businesses with one system each, at addresses that the caller listens at itself.
    ///
    /// # Panics
    /// When they can't be registered.
    pub async fn clients_at(&self, name: &str, urls: &[String]) -> Vec<Client<'_>> {
        let mut clients: Vec<_> = urls.iter().map(|_| self.unregistered(name)).collect();
        let mut text = String::new();
        for (client, url) in clients.iter().zip(urls) {
            let secret = webhook::generate_shared(&*self.rng);
            let entry = SystemEntry {
                slug: "crm",
                reached: Reached::At {
                    kind: "webhook",
                    url,
                    secret: &secret,
                },
            };
            text += &client.registration(&[entry]);
        }
        self.register(&text).await;
        for client in &mut clients {
            client.id = self.known(client).await;
        }
        clients
    }

    /// A business with one system that fetches its tasks.
    ///
    /// # Panics
    /// When it can't be registered.
    pub async fn fetching(&self, name: &str) -> Fetching<'_> {
        let mut client = self.unregistered(name);
        let entry = SystemEntry {
            slug: "crm",
            reached: Reached::NotAtAll,
        };
        self.register(&client.registration(&[entry])).await;
        client.id = self.known(&client).await;
        Fetching::of(client).await
    }

    /// A business that nobody knows of yet.
    fn unregistered(&self, name: &str) -> Client<'_> {
        let slug = format!("{name}-{}", fresh());
        let bot = self.running.bots[self.bots.fetch_add(1, Ordering::Relaxed) % self.running.bots.len()].clone();
        Client {
            router: self,
            id: ControllerId::from_uuid(uuid::Uuid::nil()),
            issuer: format!("https://{slug}.example"),
            slug,
            accounts: Accounts::new(bot),
            systems: vec![],
            notices: None,
            seed: chance::bytes(&*self.rng),
        }
    }

    /// Opens a system's sandbox with a tap before it.
    fn open(&self, client: &Client<'_>, system: &str, manner: Manner, secret: &Secret) -> (Business, String) {
        let (manner, record) = (Arc::new(manner), Arc::new(Record::default()));
        let behind = sandbox::Client {
            issuer: client.issuer.clone(),
            key: client.key(),
            trusts: vec![VerifyingKey::parse(secret.expose()).expect("a fresh secret is one")],
            manner: Arc::clone(&manner),
            record: Arc::clone(&record),
        };
        let deps = sandbox::Deps {
            egress: running::egress(),
            clock: Arc::clone(&self.clock),
            rng: Arc::clone(&self.rng),
        };
        let sandbox = Sandbox::build(&loopback(), behind, deps).expect("a free port is there");
        let lifecycle = &self.running.outside;
        let (tap, url) = Tap::start(sandbox.hook_url(), lifecycle);
        lifecycle.spawn("sandbox", sandbox.run(lifecycle.stop()));
        let business = Business {
            slug: system.to_owned(),
            manner,
            record,
            tap,
            secret: secret.clone(),
        };
        (business, url)
    }

    /// Applies a registration file and waits for the log.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn register(&self, text: &str) {
        let registrar = self.registrar.lock().await;
        let applied = loop {
            let file = File::parse(text, "test.toml".as_ref()).expect("the registration is well formed");
            let (changes, directory) = registrar.propose(file).await.expect("the registration is right");
            match registrar.apply(&changes, &directory).await {
                Ok(applied) => break applied,
                Err(RegistryError::Stale | RegistryError::InFlight) => {}
                Err(error) => panic!("{error}"),
            }
        };
        registrar
            .wait(&applied, super::patience::PATIENCE)
            .await
            .expect("the ledger confirms");
    }

    /// Replaces a webhook secret, by the name of its system or controller; returns what the receiver needs, once every
    /// process knows.
    ///
    /// # Panics
    /// When it can't be replaced.
    pub async fn rotates(&self, name: &str, overlap: SignedDuration) -> String {
        let registrar = self.registrar.lock().await;
        let rotation = loop {
            let rotation = registrar.propose_rotation(name, overlap).await.expect("it can be");
            match registrar.rotate(&rotation).await {
                Ok(()) => break rotation,
                Err(RegistryError::Stale) => {}
                Err(error) => panic!("{error}"),
            }
        };
        for cache in &self.running.directories {
            cache.refresh().await.expect("the registry is read");
        }
        rotation.public.unwrap_or_else(|| rotation.made.expose().to_owned())
    }

    /// Whether a registration file may name this secret for a business's only system.
    pub async fn may_apply(&self, client: &Client<'_>, secret: &Secret) -> bool {
        let entry = SystemEntry {
            slug: &client.system().slug,
            reached: Reached::At {
                kind: "webhook",
                url: "https://crm.example/dsr",
                secret,
            },
        };
        let file = File::parse(&client.registration(&[entry]), "test.toml".as_ref()).expect("well formed");
        self.registrar.lock().await.propose(file).await.is_ok()
    }

    /// Waits until every process's picture of the registry shows all of a business.
    async fn known(&self, client: &Client<'_>) -> ControllerId {
        let (slug, key) = (&client.slug, client.key());
        eventually(&format!("{slug} is known"), || async {
            let mut found = None;
            for cache in &self.running.directories {
                cache.refresh().await.map_err(|error| error.to_string())?;
                let directory = cache.current();
                let controller = directory.controller_by_slug(slug).ok_or("no controller")?;
                directory.snapshot(controller.id).ok_or("no snapshot")?;
                directory.latest_instruction(controller.id).ok_or("no instruction")?;
                let known = directory.key(&client.issuer, key.kid()).ok_or("no key")?;
                if known.state != store::registry::KeyState::Active {
                    return Err(format!("the key is {:?}", known.state));
                }
                found = Some(controller.id);
            }
            found.ok_or_else(|| "there is no picture".to_owned())
        })
        .await
    }

    /// A request to follow.
    #[must_use]
    pub fn case(&self, id: RequestId) -> Case<'_> {
        Case { router: self, id }
    }

    /// A controller's requests, newest first.
    ///
    /// # Panics
    /// When the database doesn't answer.
    pub async fn requests_of(&self, controller: ControllerId) -> Vec<Shown> {
        let filter = Filter {
            controller: Some(controller),
            ..Filter::default()
        };
        let page = requests::page(self.store().db(), &Scope::EVERYTHING, &filter, None, requests::PAGE_MAX).await;
        page.expect("the router's database answers")
    }

    /// What a platform sends to its own door.
    pub async fn deliver(&self, sent: &Sent) -> Answer {
        let (name, value) = &sent.proof;
        let request = self
            .http
            .post(format!("{}{}", self.running.intake, sent.direct))
            .header(*name, value);
        answer(
            request
                .header("content-type", "application/json")
                .body(sent.body.clone()),
        )
        .await
    }

    /// What a platform sent to the product, which hands it on.
    pub async fn forward(&self, sent: &Sent) -> Answer {
        let (name, value) = &sent.proof;
        let request = self
            .http
            .post(format!("{}{}", self.running.intake, sent.forward))
            .header(*name, value);
        let request = request
            .header("content-type", "application/json")
            .bearer_auth(self.running.product.expose());
        answer(request.body(sent.body.clone())).await
    }

    /// `POST /v1/requests`.
    pub async fn post_request(&self, body: &Value, key: &str) -> Answer {
        self.post_bytes(body.to_string().into_bytes(), key).await
    }

    /// `POST /v1/requests`, of any bytes.
    pub async fn post_bytes(&self, body: Vec<u8>, key: &str) -> Answer {
        let request = self.http.post(format!("{}/v1/requests", self.running.intake));
        let request = request
            .bearer_auth(self.running.product.expose())
            .header("idempotency-key", key);
        answer(request.header("content-type", "application/json").body(body)).await
    }

    /// `POST /v1/requests/{id}/withdraw`.
    pub async fn withdraw(&self, id: RequestId) -> Answer {
        let request = self
            .http
            .post(format!("{}/v1/requests/{id}/withdraw", self.running.intake));
        answer(request.bearer_auth(self.running.product.expose())).await
    }

    /// `POST /v1/receipts`.
    pub async fn post_receipt(&self, token: &str) -> Answer {
        let request = self.http.post(format!("{}/v1/receipts", self.running.dispatch));
        answer(
            request
                .header("content-type", "application/secevent+jwt")
                .body(token.to_owned()),
        )
        .await
    }

    /// A `POST` to dispatch under a token.
    pub async fn post_as(&self, token: &Secret, path: &str, media_type: &str, body: Vec<u8>) -> Answer {
        let request = self.http.post(format!("{}{path}", self.running.dispatch));
        answer(
            request
                .bearer_auth(token.expose())
                .header("content-type", media_type)
                .body(body),
        )
        .await
    }

    /// A `GET` of intake.
    pub async fn get(&self, path: &str) -> Answer {
        let request = self.http.get(format!("{}{path}", self.running.intake));
        answer(request.bearer_auth(self.running.product.expose())).await
    }

    /// An auditor's question to the ledger.
    pub async fn audit(&self, path: &str) -> Answer {
        let request = self.http.get(format!("{}{path}", self.running.ledger));
        answer(request.bearer_auth(self.running.auditor.expose())).await
    }

    /// What happened to the keys, proved.
    ///
    /// # Panics
    /// When something about it isn't.
    pub async fn key_history(&self) -> KeyHistory {
        let lines = self.audit("/v1/audit/keys").await;
        assert_eq!(lines.status, 200, "{lines:?}");
        KeyHistory::parse(&lines.text(), self.policy()).expect("every key's history is proved")
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let answer = request.send().await.expect("the router answers");
    let retry_after = answer.headers().get("retry-after");
    Answer {
        status: answer.status().as_u16(),
        retry_after: retry_after.and_then(|value| value.to_str().ok()).map(ToOwned::to_owned),
        body: answer.bytes().await.expect("the answer ends").to_vec(),
    }
}
