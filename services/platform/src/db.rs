//! The two engines behind one door.
//!
//! [`Db`] is PostgreSQL in a cluster and SQLite on one machine; nothing above it asks which. A [`Statement`] holds
//! the words for each engine, [`Args`] holds what it is given — whole columns for set-based statements, then single
//! values — and [`Row`] what comes back. On PostgreSQL a column is an array for `UNNEST`; on SQLite all columns
//! together are one JSON text for `jsonb_each($1)`, because there every statement costs a thread hop and a row none; it
//! is `jsonb_each` and not `json_each`, whose rows are texts that each `value ->> n` would parse once more.
//! A transaction has a name, is timed under it, and is tried again when the engine says that it collided with another.
//! What carries correctness is the database's own isolation: a collision undoes everything that the closure wrote.

mod args;
mod connect;
mod migrate;
mod row;

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use sqlx::{Executor, PgPool, Postgres, SqlSafeStr, Sqlite, SqlitePool, Transaction};

use crate::metrics::Histogram;

pub use args::Args;
pub(crate) use args::hex;
pub use connect::{DbOptions, connect};
pub use migrate::{Migrations, SchemaError};
pub use row::{Readable, Row};

/// Collisions are rare and short; what collides five times in a row is a design fault that should be seen.
const TRIES: u32 = 5;

static STATEMENTS: Histogram = Histogram::new(
    "quittance_db_statement_duration_seconds",
    "How long statements took, the way to the database and back included; their number says what work costs.",
);

static TRANSACTIONS: Histogram = Histogram::new(
    "quittance_db_transaction_duration_seconds",
    "How long transactions took, from the wait for a connection to the end of COMMIT.",
);

/// One statement, in the words of each engine.
#[derive(Debug, Clone, Copy)]
pub struct Statement {
    /// Its name in metrics and in the test that prepares it.
    pub name: &'static str,
    /// For PostgreSQL: each column is an array, `$1` and on; then the single values.
    pub pg: &'static str,
    /// For SQLite: `$1` is the JSON text of all columns if there are any; then the single values.
    pub lite: &'static str,
}

impl Statement {
    /// A statement whose words both engines understand; it takes single values only.
    #[must_use]
    pub const fn both(name: &'static str, sql: &'static str) -> Self {
        Self {
            name,
            pg: sql,
            lite: sql,
        }
    }
}

/// A database on either engine; cheap to clone.
#[derive(Debug, Clone)]
pub enum Db {
    /// PostgreSQL.
    Pg(PgPool),
    /// SQLite.
    Lite(Lite),
}

/// SQLite has one writer at a time: waiting for a connection is cheaper and fairer than waiting for its lock.
#[derive(Debug, Clone)]
pub struct Lite {
    write: SqlitePool,
    read: SqlitePool,
}

/// An open transaction on either engine.
#[derive(Debug)]
pub enum Tx {
    /// PostgreSQL.
    Pg(Transaction<'static, Postgres>),
    /// SQLite, begun with the intention to write.
    Lite(Transaction<'static, Sqlite>),
}

/// What can go wrong between us and a database. Texts of the driver are for logs, never for callers.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The engine or the way to it failed.
    #[error("the database did not carry out the statement")]
    Driver(#[from] sqlx::Error),
    /// The stored rows contradict the program: nothing was written.
    #[error("the database holds what it should not: {0}")]
    Inconsistent(&'static str),
}

impl DbError {
    /// Whether another transaction was in the way, so that the same work may succeed now.
    #[must_use]
    pub fn is_collision(&self) -> bool {
        // serialization_failure, deadlock_detected; SQLITE_BUSY, SQLITE_BUSY_SNAPSHOT.
        const COLLISIONS: [&str; 4] = ["40001", "40P01", "5", "517"];
        let Self::Driver(sqlx::Error::Database(error)) = self else {
            return false;
        };
        error.code().is_some_and(|code| COLLISIONS.contains(&code.as_ref()))
    }

    /// Whether the statement itself was refused because of what it was given (a constraint, a value out of range):
    /// with a batch, some member is to blame, and its fellows may succeed without it.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        // Classes 22 (data exception) and 23 (constraint); SQLITE_TOOBIG 18, SQLITE_CONSTRAINT 19 and its extensions.
        let Self::Driver(sqlx::Error::Database(error)) = self else {
            return false;
        };
        let code = error.code().unwrap_or_default().into_owned();
        let extended = code
            .parse::<u32>()
            .is_ok_and(|number| number & 0xff == 19 || number == 18);
        code.len() == 5 && (code.starts_with("22") || code.starts_with("23")) || code.len() != 5 && extended
    }

    /// Whether what was given is to blame, or what is stored, and not something that is away: then it fails again, and
    /// of a batch the other members may succeed without it.
    #[must_use]
    pub fn is_of_content(&self) -> bool {
        self.is_refusal() || matches!(self, Self::Inconsistent(_))
    }
}

impl Db {
    /// Runs `work` in a transaction: committed if it returns `Ok`, undone otherwise, tried again after a collision.
    /// `work` may run more than once, so it has no effects but on `Tx`.
    pub async fn transaction<T, W>(&self, name: &'static str, work: W) -> Result<T, DbError>
    where
        W: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T, DbError>> + Send + Sync,
        T: Send,
    {
        let mut tried = 1;
        loop {
            match self.once(name, &work).await {
                Err(error) if error.is_collision() && tried < TRIES => {
                    tracing::debug!(transaction = name, tried, "collided, trying again");
                    tokio::time::sleep(Duration::from_millis(u64::from(tried * tried) * 5)).await;
                    tried += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn once<T, W>(&self, name: &'static str, work: &W) -> Result<T, DbError>
    where
        W: for<'t> Fn(&'t mut Tx) -> BoxFuture<'t, Result<T, DbError>> + Send + Sync,
        T: Send,
    {
        let started = Instant::now();
        let mut tx = self.begin().await?;
        let value = work(&mut tx).await?;
        tx.commit().await?;
        TRANSACTIONS.record(started.elapsed().as_secs_f64(), &[("transaction", name)]);
        Ok(value)
    }

    /// Begins a transaction that the caller commits; for one that is not to be tried again.
    pub async fn begin(&self) -> Result<Tx, DbError> {
        Ok(match self {
            Self::Pg(pool) => Tx::Pg(pool.begin().await?),
            // A deferred transaction fails at once when it meets another writer, whatever the timeout.
            Self::Lite(lite) => Tx::Lite(lite.write.begin_with("BEGIN IMMEDIATE").await?),
        })
    }

    /// The rows of a reading statement.
    pub async fn fetch(&self, statement: &Statement, args: Args<'_>) -> Result<Vec<Row>, DbError> {
        let _timed = Timed::new(statement);
        match self {
            Self::Pg(pool) => {
                let rows = args.pg(statement)?.fetch_all(pool).await?;
                Ok(rows.into_iter().map(Row::Pg).collect())
            }
            Self::Lite(lite) => {
                let rows = args.lite(statement)?.fetch_all(&lite.read).await?;
                Ok(rows.into_iter().map(Row::Lite).collect())
            }
        }
    }

    /// The one row of a reading statement, if there is one.
    pub async fn fetch_optional(&self, statement: &Statement, args: Args<'_>) -> Result<Option<Row>, DbError> {
        Ok(self.fetch(statement, args).await?.into_iter().next())
    }

    /// Runs one writing statement on its own; returns how many rows it touched.
    pub async fn execute(&self, statement: &Statement, args: Args<'_>) -> Result<u64, DbError> {
        let _timed = Timed::new(statement);
        match self {
            Self::Pg(pool) => Ok(args.pg(statement)?.execute(pool).await?.rows_affected()),
            Self::Lite(lite) => Ok(args.lite(statement)?.execute(&lite.write).await?.rows_affected()),
        }
    }

    /// Has the engine parse and plan a statement, for the test that every one of them is sound.
    pub async fn prepare(&self, statement: &Statement) -> Result<(), DbError> {
        match self {
            Self::Pg(pool) => drop(pool.acquire().await?.prepare(statement.pg.into_sql_str()).await?),
            Self::Lite(lite) => drop(
                lite.write
                    .acquire()
                    .await?
                    .prepare(statement.lite.into_sql_str())
                    .await?,
            ),
        }
        Ok(())
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), DbError> {
        const PING: Statement = Statement::both("ping", "SELECT 1");
        self.fetch(&PING, Args::new()).await.map(drop)
    }

    /// Closes all connections; what is under way ends first.
    pub async fn close(&self) {
        match self {
            Self::Pg(pool) => pool.close().await,
            Self::Lite(lite) => {
                lite.read.close().await;
                lite.write.close().await;
            }
        }
    }
}

impl Tx {
    /// Runs a writing statement; returns how many rows it touched.
    pub async fn execute(&mut self, statement: &Statement, args: Args<'_>) -> Result<u64, DbError> {
        let _timed = Timed::new(statement);
        match self {
            Self::Pg(tx) => Ok(args.pg(statement)?.execute(&mut **tx).await?.rows_affected()),
            Self::Lite(tx) => Ok(args.lite(statement)?.execute(&mut **tx).await?.rows_affected()),
        }
    }

    /// The rows of a statement.
    pub async fn fetch(&mut self, statement: &Statement, args: Args<'_>) -> Result<Vec<Row>, DbError> {
        let _timed = Timed::new(statement);
        match self {
            Self::Pg(tx) => {
                let rows = args.pg(statement)?.fetch_all(&mut **tx).await?;
                Ok(rows.into_iter().map(Row::Pg).collect())
            }
            Self::Lite(tx) => {
                let rows = args.lite(statement)?.fetch_all(&mut **tx).await?;
                Ok(rows.into_iter().map(Row::Lite).collect())
            }
        }
    }

    /// The one row of a statement, if there is one.
    pub async fn fetch_optional(&mut self, statement: &Statement, args: Args<'_>) -> Result<Option<Row>, DbError> {
        Ok(self.fetch(statement, args).await?.into_iter().next())
    }

    /// Makes it durable.
    pub async fn commit(self) -> Result<(), DbError> {
        match self {
            Self::Pg(tx) => tx.commit().await?,
            Self::Lite(tx) => tx.commit().await?,
        }
        Ok(())
    }
}

/// Notes how long a statement took, whatever came of it.
struct Timed {
    statement: &'static str,
    started: Instant,
}

impl Timed {
    fn new(statement: &Statement) -> Self {
        Self {
            statement: statement.name,
            started: Instant::now(),
        }
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        let took = self.started.elapsed().as_secs_f64();
        STATEMENTS.record(took, &[("statement", self.statement)]);
    }
}

#[cfg(test)]
mod tests;
