//! Attempts: each try to hand a task over, written once it is over.

use domain::id::{AttemptId, TaskId};
use domain::task::Fence;
use jiff::Timestamp;
use platform::db::{Args, DbError, Statement, Tx};

/// An attempt that is there already comes from a transaction whose COMMIT was cut: it is left out of what comes back.
const INSERT: Statement = Statement {
    name: "attempts_insert",
    pg: "INSERT INTO attempt (id, task, fence, started_at, ended_at, status, result) \
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::text[]) \
         ON CONFLICT (id) DO NOTHING RETURNING id",
    lite: "INSERT INTO attempt (id, task, fence, started_at, ended_at, status, result) \
           SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4, value ->> 5, \
           value ->> 6 FROM jsonb_each($1) WHERE true ON CONFLICT (id) DO NOTHING RETURNING id",
};

pub(crate) const ALL: &[&[Statement]] = &[&[INSERT]];

/// One try to hand a task over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// The task.
    pub task: TaskId,
    /// The fence that the task was claimed under.
    pub fence: Fence,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was over.
    pub ended_at: Timestamp,
    /// The HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// `delivered`, or the class of failure.
    pub result: &'static str,
}

/// Stores attempts; returns those that were not there before.
pub async fn insert(tx: &mut Tx, attempts: &[Attempt]) -> Result<Vec<AttemptId>, DbError> {
    if attempts.is_empty() {
        return Ok(vec![]);
    }
    let args = Args::new()
        .uuids(attempts.iter().map(|attempt| attempt.id.uuid()))
        .uuids(attempts.iter().map(|attempt| attempt.task.uuid()))
        .ints(attempts.iter().map(|attempt| attempt.fence))
        .ints(attempts.iter().map(|attempt| attempt.started_at.as_microsecond()))
        .ints(attempts.iter().map(|attempt| attempt.ended_at.as_microsecond()))
        .maybe_ints(attempts.iter().map(|attempt| attempt.status.map(i64::from)))
        .texts(attempts.iter().map(|attempt| attempt.result));
    let rows = tx.fetch(&INSERT, args).await?;
    rows.iter().map(|row| Ok(AttemptId::from_uuid(row.get(0)?))).collect()
}
