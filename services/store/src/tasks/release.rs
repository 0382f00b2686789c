//! Making due again what nobody is sending: no step of the schedule is spent by it.
//!
//! A claim whose COMMIT was cut is known by its instant. A task whose holder is gone waits until the attempt that the
//! holder may still have under way must be over. Both wake their lanes in the same transaction.

use std::time::Duration;

use domain::id::{ControllerId, SystemId, TaskId};
use jiff::Timestamp;
use platform::db::{Args, DbError, Row, Statement, Tx};

use crate::leases;

const CLAIM: Statement = Statement {
    name: "tasks_release_claim",
    pg: "UPDATE task SET stage = 'due', due_at = $2 \
         WHERE stage = 'sending' AND started_at = $2 AND system = ANY($1) RETURNING id, system, controller",
    lite: "UPDATE task SET stage = 'due', due_at = $2 WHERE stage = 'sending' AND started_at = $2 \
           AND system IN (SELECT unhex(value ->> 0) FROM jsonb_each($1)) RETURNING id, system, controller",
};

/// A task is stale if it was claimed before `$2` and its claimer no longer holds the endpoint, or before `$3` in any
/// case. One that somebody is just changing is left for the next look.
macro_rules! stale {
    ($skip:literal) => {
        concat!(
            "UPDATE task SET stage = 'due', due_at = $1 WHERE id IN (SELECT id FROM task \
             WHERE stage = 'sending' AND leased_until IS NULL AND started_at < $2 AND (started_at < $3 OR NOT EXISTS \
             (SELECT 1 FROM endpoint_lease AS lease JOIN worker ON worker.id = lease.worker \
             WHERE lease.system = task.system AND lease.fence = task.fence AND worker.until >= $1)) \
             ORDER BY started_at LIMIT $4",
            $skip,
            ") RETURNING id, system, controller"
        )
    };
}

const STALE: Statement = Statement {
    name: "tasks_release_stale",
    pg: stale!(" FOR UPDATE SKIP LOCKED"),
    lite: stale!(""),
};

pub(super) const ALL: &[Statement] = &[CLAIM, STALE];

/// A task waits in its holder's memory for the holder's capacity at most for a few attempts; what takes longer is lost.
pub(crate) const LOST_AFTER: Duration = Duration::from_mins(30);

/// Makes the tasks of a claim due again, if it was written after all; `claimed_at` is its instant.
pub async fn claim(tx: &mut Tx, systems: &[SystemId], claimed_at: Timestamp) -> Result<Vec<TaskId>, DbError> {
    let args = Args::new()
        .uuids(systems.iter().map(|system| system.uuid()))
        .int(claimed_at.as_microsecond());
    let rows = tx.fetch(&CLAIM, args).await?;
    woken(tx, &rows, claimed_at).await
}

/// Makes tasks due again whose holder is gone and whose attempt must be over, `over` after it was claimed; at most
/// `limit` of them.
pub async fn stale(tx: &mut Tx, now: Timestamp, over: Duration, limit: i64) -> Result<Vec<TaskId>, DbError> {
    let args = Args::new()
        .int(now.as_microsecond())
        .int((now - over).as_microsecond())
        .int((now - LOST_AFTER).as_microsecond())
        .int(limit);
    let rows = tx.fetch(&STALE, args).await?;
    woken(tx, &rows, now).await
}

async fn woken(tx: &mut Tx, rows: &[Row], due_at: Timestamp) -> Result<Vec<TaskId>, DbError> {
    let read = |row: &Row| {
        let system = SystemId::from_uuid(row.get(1)?);
        let controller = ControllerId::from_uuid(row.get(2)?);
        Ok::<_, DbError>((TaskId::from_uuid(row.get(0)?), (system, controller, due_at)))
    };
    let released: Vec<_> = rows.iter().map(read).collect::<Result<_, _>>()?;
    leases::wake(tx, released.iter().map(|(_, lane)| *lane)).await?;
    Ok(released.into_iter().map(|(task, _)| task).collect())
}
