//! How a database is reached.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::{Db, DbError, Lite};

/// Readers beside SQLite's one writer; two cores don't feed more.
const LITE_READERS: u32 = 4;

/// A writer waits this long for another process (a backup, `quittance doctor`) to let go of the file.
const LITE_BUSY: Duration = Duration::from_secs(10);

/// Longer than a failover's connection storm, shorter than a caller's patience: then it is 503.
const ACQUIRE: Duration = Duration::from_secs(5);

/// How many connections, and what they call themselves.
#[derive(Debug, Clone)]
pub struct DbOptions {
    /// For PostgreSQL; SQLite has one writer and a few readers whatever this says.
    pub max_connections: u32,
    /// Shown in `pg_stat_activity`.
    pub application: &'static str,
}

/// Opens `postgres://…` or `sqlite:PATH` (made if it isn't there). PostgreSQL connects on first use, so that a
/// service can start and answer 503 while its database is away.
pub async fn connect(url: &str, options: &DbOptions) -> Result<Db, DbError> {
    match url.strip_prefix("sqlite:") {
        Some(path) => Ok(Db::Lite(lite(path.trim_start_matches("//")).await?)),
        None => Ok(Db::Pg(pg(url, options)?)),
    }
}

fn pg(url: &str, options: &DbOptions) -> Result<sqlx::PgPool, DbError> {
    let connection: PgConnectOptions = url.parse()?;
    // A plan that was made while a queue was empty reads the whole of it when it is full: plan for what is there now.
    let connection = connection.options([("plan_cache_mode", "force_custom_plan")]);
    let pool = PgPoolOptions::new()
        .max_connections(options.max_connections)
        .acquire_timeout(ACQUIRE);
    Ok(pool.connect_lazy_with(connection.application_name(options.application)))
}

async fn lite(path: &str) -> Result<Lite, DbError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // Durable before 2xx: every commit is on the disk when it returns.
        .synchronous(SqliteSynchronous::Full)
        // What is deleted is overwritten: a shredded key must not lie in a free page.
        .pragma("secure_delete", "ON")
        .foreign_keys(true)
        .busy_timeout(LITE_BUSY);
    let write = SqlitePoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE);
    let read = SqlitePoolOptions::new()
        .max_connections(LITE_READERS)
        .acquire_timeout(ACQUIRE);
    Ok(Lite {
        write: write.connect_with(options.clone()).await?,
        read: read.connect_with(options.read_only(true)).await?,
    })
}
