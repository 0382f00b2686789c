//! Making parked tasks due again with a fresh schedule, whoever had parked them.

use domain::id::TaskId;
use jiff::Timestamp;
use platform::db::{Args, DbError, Statement, Tx};

/// Its id, its bytes and what was said about it stay; what its attempts had used up is given back.
const RESTART: Statement = Statement {
    name: "tasks_restart",
    pg: "UPDATE task SET stage = 'due', park = NULL, due_at = $2, steps = 0, rejections = 0, fence = NULL, \
         started_at = NULL WHERE id = ANY($1)",
    lite: "UPDATE task SET stage = 'due', park = NULL, due_at = $2, steps = 0, rejections = 0, fence = NULL, \
           started_at = NULL WHERE id IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))",
};

pub(super) const ALL: &[Statement] = &[RESTART];

/// Makes parked tasks due at that instant; their requests are locked. Their lanes are woken by the caller.
pub async fn restart(tx: &mut Tx, tasks: &[TaskId], due_at: Timestamp) -> Result<(), DbError> {
    if tasks.is_empty() {
        return Ok(());
    }
    let args = Args::new()
        .uuids(tasks.iter().map(|task| task.uuid()))
        .int(due_at.as_microsecond());
    tx.execute(&RESTART, args).await.map(drop)
}
