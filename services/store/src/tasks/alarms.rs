//! How much needs a person: counted up to a limit, since beyond it the number changes nothing.

use jiff::Timestamp;
use platform::db::{Args, Db, DbError, Row, Statement};

/// SQLite finds a partial index only by its own words.
const COUNT: Statement = Statement::both(
    "tasks_alarms",
    "SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM task \
     WHERE stage IN ('held', 'awaiting_receipt', 'parked') AND stage = 'parked' LIMIT $2) AS parked), \
     (SELECT COUNT(*) FROM (SELECT 1 FROM request WHERE stage <> 'closed' AND due_at < $1 LIMIT $2) AS overdue)",
);

pub(super) const ALL: &[Statement] = &[COUNT];

/// Beyond so many the alarm can't get any louder.
const COUNT_MAX: i64 = 10_000;

/// What needs a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarms {
    /// Tasks that are not handed over for now.
    pub parked: i64,
    /// Open requests whose deadline has passed.
    pub overdue: i64,
}

/// Counts what needs a person.
pub async fn alarms(db: &Db, now: Timestamp) -> Result<Alarms, DbError> {
    let args = Args::new().int(now.as_microsecond()).int(COUNT_MAX);
    let row = db.fetch_optional(&COUNT, args).await?;
    let read = |row: Row| {
        Ok(Alarms {
            parked: row.get(0)?,
            overdue: row.get(1)?,
        })
    };
    row.map_or(Err(DbError::Inconsistent("a count has a row")), read)
}
