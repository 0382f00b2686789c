//! How a database is reached.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::{Db, DbError, Lite};

/// Readers beside SQLite's one writer; two cores don't feed more.
const LITE_READERS: u32 = 4;

/// A writer waits this long for another process (a backup, `quittance doctor`) to let go of the file.
const LITE_BUSY: Duration = Duration::from_secs(10);

/// Pages that a connection keeps, in KiB: with the engine's own 2 MiB, a batch of a few hundred rows reads pages from
/// the file that the batch before it has just written.
const LITE_CACHE: &str = "-32768";

/// Rows that SQLite's thread hands over before it waits for their reader: a batch's, since each wait is two thread hops.
const LITE_ROWS: usize = 4_096;

/// Longer than a failover's connection storm, shorter than a caller's patience: then it is 503.
const ACQUIRE: Duration = Duration::from_secs(5);

/// Turning a file to WAL takes milliseconds, unless the disk is very slow.
const BUSY_TRIES: u32 = 250;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

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
        .pragma("cache_size", LITE_CACHE)
        .row_buffer_size(LITE_ROWS)
        .foreign_keys(true)
        .busy_timeout(LITE_BUSY);
    // A file doesn't hang up: asking it whether it is still there before each use is a thread hop for nothing.
    let pool = SqlitePoolOptions::new()
        .acquire_timeout(ACQUIRE)
        .test_before_acquire(false);
    let write = pool.clone().max_connections(1);
    let read = pool.max_connections(LITE_READERS);
    Ok(Lite {
        write: first(write, &options).await?,
        read: read.connect_with(options.read_only(true)).await?,
    })
}

/// Whoever makes a file turns it to WAL, and a process that opens it in that moment is refused at once instead of
/// waiting like for every other lock.
async fn first(pool: SqlitePoolOptions, options: &SqliteConnectOptions) -> Result<sqlx::SqlitePool, sqlx::Error> {
    for _ in 0..BUSY_TRIES {
        match pool.clone().connect_with(options.clone()).await {
            Err(error) if is_busy(&error) => tokio::time::sleep(BUSY_PAUSE).await,
            outcome => return outcome,
        }
    }
    pool.connect_with(options.clone()).await
}

/// `SQLITE_BUSY` and its extended codes.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.and_then(|code| code.parse::<u32>().ok())
        .is_some_and(|code| code & 0xff == 5)
}
