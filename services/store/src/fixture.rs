//! Databases for tests: SQLite always, and PostgreSQL where `QUITTANCE_TEST_PG` names a server (`postgres://…`).

use std::sync::atomic::{AtomicU32, Ordering};

use platform::db::{Db, DbOptions, connect};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

use crate::{MIGRATIONS, Store};

const OPTIONS: DbOptions = DbOptions {
    max_connections: 8,
    application: "test",
};

/// Runs a test on a fresh store of each engine that there is.
pub(crate) async fn on_each_engine(test: impl AsyncFn(Store)) {
    on_sqlite(&test).await;
    on_postgres(&test).await;
}

/// Runs a test on a fresh store over SQLite.
pub(crate) async fn on_sqlite<T>(test: impl AsyncFn(Store) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    test(lite(&folder).await).await
}

/// Runs a test on a fresh store over PostgreSQL, if there is a server.
pub(crate) async fn on_postgres<T>(test: impl AsyncFn(Store) -> T) -> Option<T> {
    let database = Database::create().await?;
    let store = migrated(&database.address).await;
    let outcome = test(store.clone()).await;
    store.db().close().await;
    database.drop().await;
    Some(outcome)
}

async fn lite(folder: &TempDir) -> Store {
    migrated(&format!("sqlite:{}", folder.path().join("router.db").display())).await
}

async fn migrated(url: &str) -> Store {
    let db: Db = connect(url, &OPTIONS).await.unwrap();
    db.migrate(&MIGRATIONS).await.unwrap();
    db.check_schema(&MIGRATIONS).await.unwrap();
    Store::new(db)
}

/// A database of its own on the shared server.
struct Database {
    server: String,
    name: String,
    address: String,
}

impl Database {
    async fn create() -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let server = std::env::var("QUITTANCE_TEST_PG")
            .ok()?
            .trim_end_matches('/')
            .to_owned();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("store_{}_{number}", std::process::id());
        let address = format!("{server}/{name}");
        let database = Self { server, name, address };
        database.administer("CREATE DATABASE").await;
        Some(database)
    }

    async fn drop(self) {
        self.administer("DROP DATABASE").await;
    }

    async fn administer(&self, verb: &str) {
        let mut connection = PgConnection::connect(&format!("{}/postgres", self.server))
            .await
            .unwrap();
        connection
            .execute(AssertSqlSafe(format!("{verb} {}", self.name)))
            .await
            .unwrap();
    }
}
