//! A whole dispatch over SQLite and the embedded bus, with a client business at the other end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::assurance::{Assurance, AssuranceLevel};
use domain::id::{ControllerId, EntryId, InstructionId, KeyId, MessageId, RequestId, SystemId};
use domain::new_request::{Details, Door, Requester};
use domain::person::{Identity, Personal, Proof, Relation, Subject};
use domain::regime::{Contract, OwnDays};
use domain::registration::{ConnectorKind, Controller, Instruction, InstructionMode, System};
use domain::request::{Closing, StageName};
use domain::right::{Channel, Right};
use evidence::jwk::{Algorithm, TokenKey};
use keys::KeyStore;
use platform::bus::{Message, SharedBus};
use platform::chance::{self, Rng as _, SharedRng, SystemRng};
use platform::clock::{SharedClock, SystemClock};
use platform::db::{Args, Db, DbOptions, Row, Statement, connect};
use platform::egress::EgressConfig;
use platform::http::Http;
use platform::keyring::{Keyring, Part, generate};
use platform::lifecycle::Lifecycle;
use platform::webhook;
use proto::RequestPublished;
use store::cases::{self, Case};
use store::registry::DirectoryCache;
use store::registry::secrets::{self, Kept};
use store::registry::write::{self, NewKey, NewSnapshot};
use store::requests::{self, NewRow};
use store::{Store, entries, sealed};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::client::Client;
use crate::{Config, Deps};

pub(super) const PUBLIC_URL: &str = "https://router.test";
/// All processes have the same.
pub(super) const STATEMENT_SEED: [u8; 32] = [7; 32];
pub(super) const ISSUER: &str = "https://nablus-sweets.test";

/// A deployment of dispatch alone, and whom it serves.
pub(super) struct World {
    pub(super) deps: Deps,
    pub(super) client: Client,
    pub(super) systems: Vec<SystemId>,
    pub(super) config: Config,
    /// From asking to when the answer is due.
    pub(super) answer_within: Duration,
    notices: Option<SystemId>,
    controller: ControllerId,
    instruction: InstructionId,
    folder: TempDir,
}

#[derive(PartialEq, Eq)]
enum Notices {
    None,
    Sent,
}

/// A dispatch that runs.
pub(super) struct Running {
    pub(super) lifecycle: Lifecycle,
}

fn options() -> DbOptions {
    DbOptions {
        max_connections: 4,
        application: "test",
    }
}

async fn database(folder: &Path, name: &str) -> Db {
    let url = format!("sqlite:{}", folder.join(name).display());
    connect(&url, &options()).await.unwrap()
}

impl World {
    /// A controller with so many systems, all at one client's address.
    pub(super) async fn new(systems: usize) -> Self {
        Self::of(systems, Notices::None).await
    }

    /// A controller with one system, and one for its notices.
    pub(super) async fn with_notices() -> Self {
        Self::of(1, Notices::Sent).await
    }

    async fn of(systems: usize, notices: Notices) -> Self {
        platform::install_crypto();
        let folder = tempfile::tempdir().unwrap();
        let rng: SharedRng = Arc::new(SystemRng::new());
        let deps = deps(folder.path(), &rng).await;
        let key = TokenKey::new(Algorithm::EdDsa, &chance::bytes(&*rng)).unwrap();
        let client = Client::start(key, Arc::clone(&rng));
        let controller = ControllerId::new(deps.clock.now(), chance::bytes(&*rng));
        let instruction = InstructionId::new(deps.clock.now(), chance::bytes(&*rng));
        let id = || SystemId::new(deps.clock.now(), chance::bytes(&*rng));
        let mut world = Self {
            notices: (notices == Notices::Sent).then(id),
            answer_within: Duration::from_hours(30 * 24),
            systems: (0..systems).map(|_| id()).collect(),
            config: config(),
            deps,
            client,
            controller,
            instruction,
            folder,
        };
        world.register().await;
        world
    }

    async fn register(&mut self) {
        let now = self.deps.clock.now();
        let entry = || EntryId::new(now, chance::bytes(&*self.deps.rng));
        let systems: Vec<System> = self.systems.iter().map(|id| self.system(*id)).collect();
        let secret = |system: &System| {
            let secret = webhook::generate_shared(&*self.deps.rng);
            self.client.trust(secret.expose());
            Some(secrets::seal(&self.deps.keyring, system.id.uuid(), &[Kept::current(secret)]).unwrap())
        };
        let all = systems.iter().cloned().chain(self.notices.map(|id| self.notices(id)));
        let rows: Vec<_> = all
            .collect::<Vec<_>>()
            .iter()
            .map(|system| (system.clone(), secret(system)))
            .collect();
        let key = NewKey {
            id: KeyId::new(now, chance::bytes(&*self.deps.rng)),
            controller: self.controller,
            issuer: ISSUER.to_owned(),
            kid: self.client.key().kid().to_owned(),
            jwk: self.client.key().jwk().required_members(),
            entry: entry(),
        };
        let instruction = (self.instruction(), entry());
        let snapshot = NewSnapshot {
            entry: entry(),
            controller: self.controller,
            digest: [1; 32],
            body: serde_json::to_string(&systems).unwrap(),
        };
        let logged: Vec<(EntryId, i64)> = [key.entry, instruction.1, snapshot.entry]
            .into_iter()
            .zip(0..)
            .collect();
        let mut tx = self.deps.store.db().begin().await.unwrap();
        write::upsert_controllers(&mut tx, &[(self.controller(), None)], now)
            .await
            .unwrap();
        write::upsert_systems(&mut tx, &rows, now).await.unwrap();
        write::insert_keys(&mut tx, &[key], now).await.unwrap();
        write::insert_instructions(&mut tx, &[instruction], now).await.unwrap();
        write::insert_snapshots(&mut tx, &[snapshot], now).await.unwrap();
        entries::logged(&mut tx, &logged, 3).await.unwrap();
        tx.commit().await.unwrap();
        self.deps.directory.refresh().await.unwrap();
    }

    fn controller(&self) -> Controller {
        Controller {
            id: self.controller,
            slug: "nablus-sweets".to_owned(),
            name: "Nablus Sweets".to_owned(),
            aliases: vec![],
            regime: "gdpr".to_owned(),
            zone: "Asia/Hebron".to_owned(),
            country: "PS".to_owned(),
            days: OwnDays::default(),
            contract: Contract::default(),
            issuer: ISSUER.to_owned(),
            assurance: vec![],
            operator: false,
        }
    }

    fn system(&self, id: SystemId) -> System {
        System {
            url: Some(format!("{}/hook", self.client.url())),
            ..System::webhook(id, self.controller, &id.to_string())
        }
    }

    fn notices(&self, id: SystemId) -> System {
        System {
            url: Some(format!("{}/notices", self.client.url())),
            kind: ConnectorKind::Notices,
            ..System::webhook(id, self.controller, "notices")
        }
    }

    fn instruction(&self) -> Instruction {
        Instruction {
            id: self.instruction,
            controller: self.controller,
            version: 1,
            mode: InstructionMode::ActOnInstruction,
            rights: vec![],
            approver: "privacy office".to_owned(),
        }
    }

    /// Builds and runs a dispatch; several at once share the databases.
    pub(super) async fn run(&self) -> Running {
        let dispatch = crate::build(self.config.clone(), self.deps.clone()).await.unwrap();
        let (lifecycle, url) = (Lifecycle::new(), format!("http://{}", dispatch.addr()));
        dispatch.run(&lifecycle);
        self.client.router(&url);
        Running { lifecycle }
    }

    /// Another process over the same databases, in a runtime of its own, so that it can be killed.
    pub(super) fn doomed(&self) -> Runtime {
        let process = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (config, shared) = (self.config.clone(), self.deps.clone());
        let folder = self.folder.path().to_owned();
        process.spawn(async move {
            let deps = Deps {
                bus: shared.bus,
                ..over(&folder, &shared.rng, &shared.clock, shared.keyring).await
            };
            deps.directory.refresh().await.unwrap();
            let lifecycle = Lifecycle::new();
            crate::build(config, deps).await.unwrap().run(&lifecycle);
            std::future::pending::<()>().await;
        });
        process
    }

    /// Accepts a request that is ready, as intake does, without a message.
    pub(super) async fn accept(&self) -> RequestId {
        let now = self.deps.clock.now();
        let request = RequestId::new(now, chance::bytes(&*self.deps.rng));
        let keys = self.deps.keys.create(&[(request, self.controller)]).await.unwrap();
        let row = NewRow {
            id: request,
            digest: chance::bytes(&*self.deps.rng),
            body_digest: [0; 32],
            controller: self.controller,
            stage: StageName::Ready,
            version: 1,
            right: Right::Deletion,
            channel: Channel::Whatsapp,
            product: Some("smart-reply".to_owned()),
            binding: None,
            door: Door::Whatsapp,
            assurance: Assurance {
                level: AssuranceLevel::ChannelControl,
                at: now,
                evidence: None,
            },
            jurisdiction: None,
            locale: None,
            regime: "gdpr".to_owned(),
            regime_version: "2026.1".to_owned(),
            zone: "Asia/Hebron".to_owned(),
            received_at: now,
            due_at: now + self.answer_within,
            instruction: Some(self.instruction),
            status_digest: chance::bytes(&*self.deps.rng),
            answer: vec![0],
            sealed: keys[0].subject.seal(sealed::DETAILS, &sealed::to_bytes(&details())),
        };
        let mut tx = self.deps.store.db().begin().await.unwrap();
        requests::accept(&mut tx, &[row], now).await.unwrap();
        tx.commit().await.unwrap();
        request
    }

    /// Tells the planner of a request.
    pub(super) async fn publish(&self, request: RequestId) {
        let now = self.deps.clock.now();
        let published = RequestPublished {
            message_id: MessageId::new(now, chance::bytes(&*self.deps.rng)),
            occurred_at: now,
            request,
            controller: self.controller,
            request_version: 1,
            right: Right::Deletion,
            product: Some("smart-reply".to_owned()),
            channel: Channel::Whatsapp,
            binding: None,
            instruction: self.instruction,
            mode: InstructionMode::ActOnInstruction,
            received_at: now,
            due_at: now,
            regime: "gdpr".to_owned(),
        };
        let envelope = published.envelope();
        self.send(envelope.topic.to_string(), envelope.value).await;
    }

    pub(super) async fn receipt_entry(&self, request: RequestId) -> EntryId {
        const ENTRY: Statement = Statement::both("receipt_entry", "SELECT entry FROM receipt WHERE request = $1");
        let row = self
            .deps
            .store
            .db()
            .fetch(&ENTRY, Args::new().uuid(request.uuid()))
            .await;
        EntryId::from_uuid(row.unwrap()[0].get(0).unwrap())
    }

    pub(super) async fn send(&self, topic: String, value: Vec<u8>) {
        let message = Message {
            topic,
            key: b"key".to_vec(),
            headers: vec![],
            value,
        };
        for outcome in self.deps.bus.publish(vec![message]).await {
            outcome.unwrap();
        }
    }

    pub(super) async fn request(&self) -> RequestId {
        let request = self.accept().await;
        self.publish(request).await;
        request
    }

    pub(super) async fn case(&self, request: RequestId) -> Case {
        let mut tx = self.deps.store.db().begin().await.unwrap();
        cases::lock(&mut tx, &[request])
            .await
            .unwrap()
            .remove(&request)
            .unwrap()
    }

    /// Waits until a request is closed.
    pub(super) async fn closed(&self, request: RequestId) -> Closing {
        let closed = async || self.case(request).await.outcome;
        until(closed).await
    }

    /// The types of a request's entries, in their order.
    pub(super) async fn entries(&self, request: RequestId) -> Vec<i64> {
        const TYPES: Statement = Statement::both("types", "SELECT type FROM entry WHERE request = $1 ORDER BY rowid");
        self.column(&TYPES, Args::new().uuid(request.uuid())).await
    }

    pub(super) async fn count(&self, statement: &Statement) -> i64 {
        self.column(statement, Args::new()).await[0]
    }

    async fn column(&self, statement: &Statement, args: Args<'_>) -> Vec<i64> {
        let rows = self.deps.store.db().fetch(statement, args).await.unwrap();
        rows.iter().map(|row: &Row| row.get(0).unwrap()).collect()
    }
}

async fn deps(folder: &Path, rng: &SharedRng) -> Deps {
    let clock: SharedClock = Arc::new(SystemClock);
    let keyring = Keyring::parse(&generate(Part::ALL, &**rng), "test", Arc::clone(rng)).unwrap();
    over(folder, rng, &clock, Arc::new(keyring)).await
}

/// What a process has: its own connections to the files.
async fn over(folder: &Path, rng: &SharedRng, clock: &SharedClock, keyring: Arc<Keyring>) -> Deps {
    let (router, key_store) = (database(folder, "router.db").await, database(folder, "keys.db").await);
    router.migrate(&store::MIGRATIONS).await.unwrap();
    key_store.migrate(&keys::MIGRATIONS).await.unwrap();
    let store = Store::new(router);
    let bus: SharedBus = platform::bus::embedded(&folder.join("bus.db"), Arc::clone(clock))
        .await
        .unwrap();
    Deps {
        directory: DirectoryCache::new(store.clone()),
        keys: KeyStore::new(key_store, Arc::clone(&keyring), Arc::clone(rng), Arc::clone(clock)),
        store,
        bus,
        keyring,
        statement_key: Arc::new(TokenKey::new(Algorithm::EdDsa, &STATEMENT_SEED).unwrap()),
        clock: Arc::clone(clock),
        rng: Arc::clone(rng),
    }
}

fn config() -> Config {
    let mut config = Config {
        http: Http {
            listen: ([127, 0, 0, 1], 0).into(),
            workers: Some(1),
            ..Http::default()
        },
        public_url: PUBLIC_URL.to_owned(),
        egress: EgressConfig {
            trusted: vec!["127.0.0.1".parse().unwrap()],
            ..EgressConfig::default()
        },
        ..Config::default()
    };
    config.deliver.schedule.steps_seconds = vec![0];
    config.deliver.lease_ms = 500;
    config.deliver.poll_ms = 100;
    config.deliver.attempt_ms = 1_000;
    config.messages.gather_ms = 50;
    config
}

fn details() -> Details {
    let phone = Identity::parse("phone".parse().unwrap(), "+970591234567", Proof::Verified).unwrap();
    Details {
        subject: Subject {
            name: Some(Personal::new("Layla")),
            kind: None,
            identities: vec![phone],
        },
        requester: Requester {
            relation: Relation::Myself,
            authority: None,
        },
        business: None,
        interaction: None,
        description: Some(Personal::new("delete my chats")),
    }
}

/// Asks again and again until there is an answer; half a minute is longer than anything here takes.
pub(super) async fn until<T>(ask: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..1_500 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited in vain");
}

pub(super) fn fresh_uuid() -> Uuid {
    let mut bytes = [0; 16];
    SystemRng::new().fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}
