//! Whose owners are to be reminded: tasks that were handed over, and whose time has come without a last word.

use domain::id::{ControllerId, RequestId, SystemId, TaskId};
use jiff::Timestamp;
use platform::db::{Args, Db, DbError, Row, Statement, Tx};

const DUE: Statement = Statement::both(
    "tasks_remind_due",
    // SQLite finds a partial index only by its own words.
    "SELECT id, request, controller, system, dispatched_at, deadline_at, digest, remind_at FROM task \
     WHERE stage = 'awaiting_receipt' AND remind_at IS NOT NULL AND remind_at <= $1 AND dispatched_at IS NOT NULL \
     ORDER BY remind_at LIMIT $2",
);

/// Whoever comes second, or after the last word, finds nothing to move.
const MOVE: Statement = Statement {
    name: "tasks_remind_move",
    pg: "WITH next AS (SELECT * FROM UNNEST($1::uuid[], $2::int8[], $3::int8[]) AS n (id, before, after)), \
         held AS (SELECT task.id FROM task JOIN next ON next.id = task.id ORDER BY task.id FOR UPDATE OF task) \
         UPDATE task SET remind_at = next.after FROM next JOIN held USING (id) WHERE task.id = next.id \
         AND task.remind_at = next.before AND task.stage = 'awaiting_receipt' RETURNING task.id",
    lite: "UPDATE task SET remind_at = next.value ->> 2 FROM jsonb_each($1) AS next \
           WHERE task.id = unhex(next.value ->> 0) AND task.remind_at = (next.value ->> 1) \
           AND task.stage = 'awaiting_receipt' RETURNING task.id",
};

pub(super) const ALL: &[Statement] = &[DUE, MOVE];

/// A task that nobody has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silent {
    /// The task.
    pub task: TaskId,
    /// The request.
    pub request: RequestId,
    /// Whose data it is about.
    pub controller: ControllerId,
    /// Where it went.
    pub system: SystemId,
    /// When it was handed over.
    pub dispatched_at: Timestamp,
    /// When the request's answer is due.
    pub deadline: Timestamp,
    /// SHA-256 of its body.
    pub digest: [u8; 32],
    /// When it was to be reminded of.
    pub remind_at: Timestamp,
}

/// The tasks whose owners are to be reminded by now.
pub async fn due(db: &Db, now: Timestamp, limit: i64) -> Result<Vec<Silent>, DbError> {
    let args = Args::new().int(now.as_microsecond()).int(limit);
    let read = |row: &Row| {
        Ok(Silent {
            task: TaskId::from_uuid(row.get(0)?),
            request: RequestId::from_uuid(row.get(1)?),
            controller: ControllerId::from_uuid(row.get(2)?),
            system: SystemId::from_uuid(row.get(3)?),
            dispatched_at: crate::instant(row.get(4)?)?,
            deadline: crate::instant(row.get(5)?)?,
            digest: row.bytes(6, "a task's digest is not 32 bytes")?,
            remind_at: crate::instant(row.get(7)?)?,
        })
    };
    db.fetch(&DUE, args).await?.iter().map(read).collect()
}

/// Moves tasks on to their next reminder, if there is one; returns those that still had this one before them.
pub async fn advance(tx: &mut Tx, moves: &[(Silent, Option<Timestamp>)]) -> Result<Vec<TaskId>, DbError> {
    let args = Args::new()
        .uuids(moves.iter().map(|(silent, _)| silent.task.uuid()))
        .ints(moves.iter().map(|(silent, _)| silent.remind_at.as_microsecond()))
        .maybe_ints(moves.iter().map(|(_, next)| next.map(Timestamp::as_microsecond)));
    let rows = tx.fetch(&MOVE, args).await?;
    rows.iter().map(|row| Ok(TaskId::from_uuid(row.get(0)?))).collect()
}
