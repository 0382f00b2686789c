//! The ledger's newest signed head, outside the ledger's own database.
//!
//! After a restore of the ledger's database, this is what tells that its log is shorter than what was signed already.
//! So a head is only ever replaced by a larger one.

use jiff::Timestamp;
use platform::db::{Args, Db, DbError, Statement};

const READ: Statement = Statement::both("log_head_read", "SELECT size, note FROM log_head WHERE origin = $1");

const WRITE: Statement = Statement::both(
    "log_head_write",
    "INSERT INTO log_head (origin, size, note, written_at) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (origin) DO UPDATE SET size = excluded.size, note = excluded.note, written_at = excluded.written_at \
     WHERE log_head.size < excluded.size OR (log_head.size = excluded.size AND log_head.note = excluded.note)",
);

pub(crate) const ALL: &[Statement] = &[READ, WRITE];

/// A signed head as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHead {
    /// Leaves of the tree.
    pub size: i64,
    /// The whole signed note.
    pub note: String,
}

/// Whether a head was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Kept {
    /// It is durable.
    Yes,
    /// What is kept is larger, or another head of the same size: the log that signed this one must stop.
    Contradicted,
}

/// The newest head of a log, if any was ever kept.
pub async fn read(db: &Db, origin: &str) -> Result<Option<LogHead>, DbError> {
    let row = db.fetch_optional(&READ, Args::new().text(origin)).await?;
    row.map(|row| {
        Ok(LogHead {
            size: row.get(0)?,
            note: row.get(1)?,
        })
    })
    .transpose()
}

/// Keeps a head, durably, unless what is kept contradicts it.
pub async fn write(db: &Db, origin: &str, head: &LogHead, now: Timestamp) -> Result<Kept, DbError> {
    let args = Args::new().text(origin).int(head.size).text(&head.note);
    let touched = db.execute(&WRITE, args.int(now.as_microsecond())).await?;
    Ok(if touched == 1 { Kept::Yes } else { Kept::Contradicted })
}
