//! The router's database: every statement of it, on both engines.
//!
//! It is the system of record and the only scheduler. Each module holds one subject — its statements as constants
//! in a list that a test prepares on each engine, and functions that take a [`Tx`](platform::db::Tx) where they are
//! part of something bigger. Nothing here decides: `domain` decides, services do, this remembers.

pub mod cases;
pub mod receipts;

pub mod entries;
pub mod outbox;
pub mod registry;
pub mod requests;
pub mod scope;
pub mod sealed;

use platform::db::{Db, Migrations, Statement};

use crate::outbox::Waker;

/// The schema's history on both engines.
pub const MIGRATIONS: Migrations = Migrations { pg: &PG, lite: &LITE };

static PG: sqlx::migrate::Migrator = sqlx::migrate!("migrations/pg");
static LITE: sqlx::migrate::Migrator = sqlx::migrate!("migrations/lite");

/// The router's database, migrated.
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
    waker: Waker,
}

impl Store {
    /// Takes a database whose schema was migrated or checked.
    #[must_use]
    pub fn new(db: Db) -> Self {
        let waker = Waker::new();
        Self { db, waker }
    }

    /// The database, for transactions that span modules.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// To be woken after each COMMIT that put messages into the outbox.
    #[must_use]
    pub fn waker(&self) -> &Waker {
        &self.waker
    }
}

/// Every statement of this crate, module by module, for the test that prepares them.
#[must_use]
pub fn statements() -> Vec<&'static Statement> {
    let modules: &[&[&'static [Statement]]] = &[
        cases::ALL,
        receipts::ALL,
        entries::ALL,
        outbox::ALL,
        registry::ALL,
        requests::ALL,
    ];
    modules.iter().copied().flatten().copied().flatten().collect()
}

#[cfg(test)]
mod tests {
    use platform::db::{DbOptions, connect};

    use super::*;

    #[tokio::test]
    async fn every_statement_prepares_on_sqlite() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("router.db").display());
        let db = connect(
            &url,
            &DbOptions {
                max_connections: 1,
                application: "test",
            },
        )
        .await
        .unwrap();
        db.migrate(&MIGRATIONS).await.unwrap();
        db.check_schema(&MIGRATIONS).await.unwrap();
        for statement in statements() {
            let prepared = db.prepare(statement).await;
            assert!(prepared.is_ok(), "{}: {:?}", statement.name, prepared.err());
        }
    }
}
