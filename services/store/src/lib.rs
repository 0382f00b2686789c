//! The router's database: every statement of it, on both engines.
//!
//! It is the system of record and the only scheduler. Each module holds one subject — its statements as constants
//! in a list that a test prepares on each engine, and functions that take a [`Tx`](platform::db::Tx) where they are
//! part of something bigger. Nothing here decides: `domain` decides, services do, this remembers.

pub mod cases;
pub mod plans;
pub mod receipts;
pub mod statements;

pub mod deadlines;
pub mod jobs;
pub mod pauses;

pub mod acknowledgements;
pub mod attempts;
pub mod happenings;
pub mod leases;
pub mod messages;
pub mod tasks;

pub mod entries;
pub mod outbox;
pub mod registry;
pub mod requests;
pub mod scope;
pub mod sealed;
pub mod story;
pub mod tokens;

use jiff::Timestamp;
use platform::db::{Db, DbError, Migrations, Statement};

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
        plans::ALL,
        receipts::ALL,
        statements::ALL,
        deadlines::ALL,
        jobs::ALL,
        pauses::ALL,
        attempts::ALL,
        acknowledgements::ALL,
        happenings::ALL,
        leases::ALL,
        messages::ALL,
        tasks::ALL,
        entries::ALL,
        outbox::ALL,
        registry::ALL,
        requests::ALL,
        story::ALL,
        tokens::ALL,
    ];
    modules.iter().copied().flatten().copied().flatten().collect()
}

/// An instant as a column holds it.
fn instant(micros: i64) -> Result<Timestamp, DbError> {
    Timestamp::from_microsecond(micros).map_err(|_| DbError::Inconsistent("a row has an instant outside of time"))
}

#[cfg(test)]
mod fixture;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use platform::db::{Args, Row};

    use super::*;
    use crate::fixture::{on_each_engine, on_postgres, on_sqlite};

    #[tokio::test]
    async fn every_statement_prepares() {
        on_each_engine(async |store| {
            for statement in statements() {
                let prepared = store.db().prepare(statement).await;
                assert!(prepared.is_ok(), "{}: {:?}", statement.name, prepared.err());
            }
        })
        .await;
    }

    #[test]
    fn statements_have_names_of_their_own() {
        let names: BTreeSet<_> = statements().iter().map(|statement| statement.name).collect();
        assert_eq!(names.len(), statements().len());
    }

    const COLUMNS: Statement = Statement {
        name: "columns",
        pg: "SELECT table_name || '.' || column_name || ' ' || CASE data_type WHEN 'uuid' THEN 'BLOB' \
             WHEN 'bytea' THEN 'BLOB' WHEN 'bigint' THEN 'INTEGER' ELSE upper(data_type) END || ' ' || is_nullable \
             FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations'",
        lite: "SELECT kept.name || '.' || col.name || ' ' || col.type || ' ' || iif(col.\"notnull\" OR col.pk, 'NO', 'YES') \
               FROM sqlite_schema AS kept JOIN pragma_table_info(kept.name) AS col \
               WHERE kept.type = 'table' AND kept.name NOT IN ('_sqlx_migrations', 'sqlite_sequence')",
    };

    /// Those with a name; what a constraint makes is called differently on each engine.
    const INDEXES: Statement = Statement {
        name: "indexes",
        pg: "SELECT tablename || ' ' || indexname FROM pg_indexes WHERE schemaname = 'public' \
             AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = indexname)",
        lite: "SELECT tbl_name || ' ' || name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL",
    };

    async fn schema(store: Store) -> BTreeSet<String> {
        let columns = store.db().fetch(&COLUMNS, Args::new()).await.unwrap();
        let indexes = store.db().fetch(&INDEXES, Args::new()).await.unwrap();
        let text = |row: &Row| row.get(0).unwrap();
        columns.iter().chain(&indexes).map(text).collect()
    }

    #[tokio::test]
    async fn both_engines_have_the_same_schema() {
        let lite = on_sqlite(schema).await;
        assert!(lite.contains("outbox.shard INTEGER NO"), "{lite:?}");
        if let Some(pg) = on_postgres(schema).await {
            let differences: Vec<_> = lite.symmetric_difference(&pg).collect();
            assert!(differences.is_empty(), "{differences:?}");
        }
    }
}
