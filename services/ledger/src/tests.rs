//! The ledger over each engine and the embedded bus, each part driven by hand.

mod asking;
mod bus;
mod faults;
mod sequencing;
mod statements;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use domain::id::{ControllerId, EntryId, KeyId, MessageId, ReceiptId, RequestId, SystemId, TaskId};
use domain::receipt::{EvidenceLevel, Signer};
use evidence::entry::body::{KeyChange, KeyEvent, Receipt};
use evidence::entry::{Body, Entry};
use evidence::jwk::Jwk;
use evidence::note::NoteSigner;
use evidence::policy::Policy;
use evidence::proof::{Verified, verify_proof};
use jiff::Timestamp;
use keys::KeyStore;
use platform::bus::{Message, SharedBus, embedded};
use platform::chance::{SeededRng, SharedRng};
use platform::clock::ManualClock;
use platform::db::{Args, Db, DbOptions, Statement, connect};
use platform::keyring::{Keyring, Part, generate};
use proto::LedgerEntry;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

use crate::announce::{Announcer, message};
use crate::incoming::Incoming;
use crate::sequencer::{Parts, Sequencer, Turn};
use crate::*;

const ORIGIN: &str = "ledger.example/dsr";

const OPTIONS: DbOptions = DbOptions {
    max_connections: 4,
    application: "test",
};

const HOLD: Duration = Duration::from_secs(5);

/// One deployment's databases, bus and time.
struct Bench {
    folder: TempDir,
    db: Db,
    keys: KeyStore,
    bus: SharedBus,
    clock: Arc<ManualClock>,
    rng: SharedRng,
    signer: Arc<NoteSigner>,
}

impl Bench {
    /// Over SQLite.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = open(&folder.path().join("ledger.db")).await;
        Self::over(db, folder).await
    }

    async fn over(db: Db, folder: TempDir) -> Self {
        let clock = ManualClock::at(at(0));
        let rng: SharedRng = Arc::new(SeededRng::new(5));
        db.migrate(&MIGRATIONS).await.unwrap();
        db.check_schema(&MIGRATIONS).await.unwrap();
        let keys_db = open(&folder.path().join("keys.db")).await;
        keys_db.migrate(&keys::MIGRATIONS).await.unwrap();
        let roots = Keyring::parse(&generate(Part::ALL, &*rng), "ring", rng.clone()).unwrap();
        let log_key = folder.path().join("log.key");
        log_key::create(&log_key, &*rng).unwrap();
        Self {
            keys: KeyStore::new(keys_db, Arc::new(roots), rng.clone(), clock.clone()),
            bus: embedded(&folder.path().join("bus.db"), clock.clone()).await.unwrap(),
            signer: Arc::new(log_key::load(&log_key, ORIGIN).unwrap()),
            folder,
            db,
            clock,
            rng,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn heads(&self) -> HeadKeeper {
        HeadKeeper::File(self.file("head"))
    }

    fn parts(&self, name: &str) -> Parts {
        Parts {
            db: self.db.clone(),
            keys: self.keys.clone(),
            heads: self.heads(),
            signer: self.signer.clone(),
            clock: self.clock.clone(),
            rng: self.rng.clone(),
            name: name.to_owned(),
            batch_max: 5_000,
            hold: HOLD,
        }
    }

    fn sequencer(&self) -> Sequencer {
        Sequencer::new(self.parts("one"))
    }

    fn archive(&self) -> Archive {
        Archive::new(self.db.clone(), self.keys.clone(), self.signer.key().clone())
    }

    fn announcer(&self) -> Announcer {
        Announcer {
            db: self.db.clone(),
            bus: self.bus.clone(),
            clock: self.clock.clone(),
            rng: self.rng.clone(),
        }
    }

    fn deps(&self) -> Deps {
        Deps {
            db: self.db.clone(),
            keys: self.keys.clone(),
            bus: self.bus.clone(),
            heads: self.heads(),
            clock: self.clock.clone(),
            rng: self.rng.clone(),
        }
    }

    fn config(&self) -> Config {
        Config {
            http: platform::http::Http {
                listen: ([127, 0, 0, 1], 0).into(),
                workers: Some(1),
                ..platform::http::Http::default()
            },
            origin: ORIGIN.to_owned(),
            log_key: self.file("log.key"),
            name: None,
            interval_ms: 10,
            batch_max: 5_000,
            hold_ms: 5_000,
        }
    }

    /// Makes the keys of these requests.
    async fn requests(&self, numbers: impl IntoIterator<Item = u128>) {
        let requests: Vec<_> = numbers
            .into_iter()
            .map(|number| (request(number), controller(1)))
            .collect();
        self.keys.create(&requests).await.unwrap();
    }

    /// Lets entries wait.
    async fn put(&self, entries: &[Entry]) {
        let entries: Vec<Incoming> = entries.iter().map(Incoming::new).collect();
        incoming::put(&self.db, &entries).await.unwrap();
    }

    async fn held(&self, number: u128) -> archive::Held {
        self.archive().entry(entry_id(number)).await.unwrap().unwrap()
    }

    /// What is stored of the entries' bytes, in the log's order.
    async fn bodies(&self) -> Vec<Option<Vec<u8>>> {
        const BODIES: Statement = Statement::both("bodies", "SELECT body FROM entry ORDER BY leaf_index");
        let rows = self.db.fetch(&BODIES, Args::new()).await.unwrap();
        rows.iter().map(|row| row.get(0).unwrap()).collect()
    }

    /// The entry, proved from what the archive hands out.
    async fn prove(&self, id: EntryId) -> Verified {
        let archive = self.archive();
        let held = archive.entry(id).await.unwrap().unwrap();
        let opened = archive.open_one(&held).await.unwrap().unwrap();
        let proof = archive.prove(held.index, Some(&opened)).await.unwrap().unwrap();
        let policy = Policy::of_log(self.signer.key().clone());
        let read = proof.to_string().parse().unwrap();
        verify_proof(&opened.bytes, &read, &policy).unwrap()
    }

    /// Runs SQL that no statement of ours would.
    async fn spoil(&self, sql: &'static str) {
        let touched = self
            .db
            .execute(&Statement::both("spoil", sql), Args::new())
            .await
            .unwrap();
        assert!(touched > 0, "{sql}");
    }
}

/// Runs a test on a fresh deployment over each engine that there is.
async fn on_each_engine(test: impl AsyncFn(Bench)) {
    test(Bench::new().await).await;
    on_postgres(test).await;
}

/// Runs a test over PostgreSQL, if `QUITTANCE_TEST_PG` names a server (`postgres://…`).
async fn on_postgres<T>(test: impl AsyncFn(Bench) -> T) -> Option<T> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let server = std::env::var("QUITTANCE_TEST_PG").ok()?;
    let server = server.trim_end_matches('/');
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let name = format!("ledger_{}_{number}", std::process::id());
    administer(server, format!("CREATE DATABASE {name}")).await;
    let db = connect(&format!("{server}/{name}"), &OPTIONS).await.unwrap();
    let outcome = test(Bench::over(db, tempfile::tempdir().unwrap()).await).await;
    administer(server, format!("DROP DATABASE {name} WITH (FORCE)")).await;
    Some(outcome)
}

async fn administer(server: &str, statement: String) {
    let mut connection = PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
    connection.execute(AssertSqlSafe(statement)).await.unwrap();
}

async fn open(path: &std::path::Path) -> Db {
    connect(&format!("sqlite:{}", path.display()), &OPTIONS).await.unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_777_885_200 + second).unwrap()
}

fn request(number: u128) -> RequestId {
    RequestId::from_uuid(Uuid::from_u128(number))
}

fn controller(number: u128) -> ControllerId {
    ControllerId::from_uuid(Uuid::from_u128(number))
}

fn receipt_id(number: u128) -> ReceiptId {
    ReceiptId::from_uuid(Uuid::from_u128(number))
}

fn entry_id(number: u128) -> EntryId {
    EntryId::from_uuid(Uuid::from_u128(number))
}

/// Receipt `number` of request `of`.
fn receipt(number: u128, owner: u128, of: u128) -> Entry {
    let body = Receipt {
        receipt: receipt_id(number),
        task: TaskId::from_uuid(Uuid::from_u128(number)),
        system: SystemId::from_uuid(Uuid::from_u128(7)),
        signer: Signer::Owner,
        level: EvidenceLevel::Declared,
        received_at: at(0),
        jws: format!("e30.e30.{number:x}"),
    };
    entry(number, owner, Some(request(of)), body)
}

/// A key of this controller was added.
fn key_event(number: u128, owner: u128) -> Entry {
    let jwk = Jwk::parse(r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#).unwrap();
    let body = KeyEvent {
        key: KeyId::from_uuid(Uuid::from_u128(number)),
        iss: "https://client.example".to_owned(),
        kid: jwk.thumbprint(),
        event: KeyChange::Added,
        jwk,
    };
    entry(number, owner, None, body)
}

fn entry(number: u128, owner: u128, about: Option<RequestId>, body: impl Into<Body>) -> Entry {
    Entry {
        id: entry_id(number),
        controller: controller(owner),
        request: about,
        at: at(0),
        body: body.into(),
    }
}

fn on_the_bus(entry: &Entry) -> Message {
    let sent = LedgerEntry {
        message_id: MessageId::from_uuid(entry.id.uuid()),
        occurred_at: entry.at,
        entry: entry.id,
        entry_type: entry.entry_type().byte(),
        controller: entry.controller,
        request: entry.request,
        content: entry.encode(),
    };
    message(sent.envelope())
}

/// The numbers that each controller's entries got.
fn sequences(verified: &[Verified]) -> HashMap<ControllerId, Vec<u64>> {
    let mut sequences: HashMap<_, Vec<u64>> = HashMap::new();
    for one in verified {
        sequences
            .entry(one.entry.controller)
            .or_default()
            .push(one.controller_seq);
    }
    for numbers in sequences.values_mut() {
        numbers.sort_unstable();
    }
    sequences
}
