//! Key stores for tests: on SQLite always, and on PostgreSQL where `QUITTANCE_TEST_PG` names a server (`postgres://…`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use domain::id::{ControllerId, RequestId};
use jiff::Timestamp;
use platform::chance::{SeededRng, SharedRng};
use platform::clock::ManualClock;
use platform::db::{Args, Db, DbOptions, Statement, connect};
use platform::keyring::{KeyClass, Keyring, Part, generate};
use platform::secret::Secret;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use crate::{KeyStore, MIGRATIONS, RequestKeys};

/// A key store, and what is needed to open it again.
pub(crate) struct Fixture {
    pub(crate) keys: KeyStore,
    pub(crate) clock: Arc<ManualClock>,
    url: String,
}

/// Runs a test on a fresh key store of each engine that there is.
pub(crate) async fn on_each_engine(test: impl AsyncFn(Fixture)) {
    on_sqlite(&test).await;
    on_postgres(&test).await;
}

/// Runs a test on a fresh key store over SQLite.
pub(crate) async fn on_sqlite<T>(test: impl AsyncFn(Fixture) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("keys.db").display());
    test(Fixture::open(url).await).await
}

/// Runs a test on a fresh key store over PostgreSQL, if there is a server.
pub(crate) async fn on_postgres<T>(test: impl AsyncFn(Fixture) -> T) -> Option<T> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let server = std::env::var("QUITTANCE_TEST_PG").ok()?;
    let server = server.trim_end_matches('/');
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let name = format!("keys_{}_{number}", std::process::id());
    administer(server, format!("CREATE DATABASE {name}")).await;
    let outcome = test(Fixture::open(format!("{server}/{name}")).await).await;
    administer(server, format!("DROP DATABASE {name} WITH (FORCE)")).await;
    Some(outcome)
}

async fn administer(server: &str, statement: String) {
    let mut connection = PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
    connection.execute(AssertSqlSafe(statement)).await.unwrap();
}

impl Fixture {
    async fn open(url: String) -> Self {
        let clock = ManualClock::at("2026-05-04T09:00:00Z".parse::<Timestamp>().unwrap());
        let keys = KeyStore::new(database(&url).await, keyring(Part::ALL), rng(1), clock.clone());
        Self { keys, clock, url }
    }

    /// Another process, with connections and a key ring of its own.
    pub(crate) async fn another(&self, parts: &[Part]) -> KeyStore {
        KeyStore::new(database(&self.url).await, keyring(parts), rng(2), self.clock.clone())
    }

    pub(crate) async fn create(&self, number: u128, controller: u128) -> RequestKeys {
        let keys = self.keys.create(&[(request(number), owner(controller))]).await;
        keys.unwrap().remove(0)
    }

    /// The file that it lies in, on SQLite.
    pub(crate) fn file(&self) -> &str {
        self.url.trim_start_matches("sqlite:")
    }

    pub(crate) async fn sql(&self, text: &'static str) {
        let statement = Statement::both("test", text);
        self.keys.db().execute(&statement, Args::new()).await.unwrap();
    }

    pub(crate) async fn count(&self, text: &'static str) -> i64 {
        let statement = Statement::both("test", text);
        let row = self.keys.db().fetch_optional(&statement, Args::new()).await.unwrap();
        row.unwrap().get(0).unwrap()
    }
}

async fn database(url: &str) -> Db {
    let options = DbOptions {
        max_connections: 4,
        application: "test",
    };
    let db = connect(url, &options).await.unwrap();
    db.migrate(&MIGRATIONS).await.unwrap();
    db.check_schema(&MIGRATIONS).await.unwrap();
    db
}

/// The same roots each time; of those only the wanted parts.
fn keyring(parts: &[Part]) -> Arc<Keyring> {
    let whole = generate(Part::ALL, &SeededRng::new(9));
    let name = |part: &Part| match part {
        Part::Root(KeyClass::Subject) => "subject",
        Part::Root(KeyClass::Evidence) => "evidence",
        Part::Root(KeyClass::Secrets) => "secrets",
        Part::Dedupe => "dedupe",
    };
    let wanted = |line: &&str| parts.iter().any(|part| line.starts_with(name(part)));
    let lines: Vec<_> = whole.expose().lines().filter(wanted).collect();
    Arc::new(Keyring::parse(&Secret::new(lines.join("\n")), "ring", rng(3)).unwrap())
}

fn rng(seed: u64) -> SharedRng {
    Arc::new(SeededRng::new(seed))
}

pub(crate) fn request(number: u128) -> RequestId {
    RequestId::from_uuid(Uuid::from_u128(number))
}

pub(crate) fn owner(number: u128) -> ControllerId {
    ControllerId::from_uuid(Uuid::from_u128(number))
}
