//! Claiming due tasks: three statements for as many tasks as there is room for.
//!
//! The lanes are locked first, so that what is made due meanwhile wakes them afterwards; then the earliest tasks of
//! each are taken, if the lease still is the claimer's; then each lane learns when its next task is due. A row that
//! somebody holds (its receipt is just coming in) is passed over.

use domain::id::{ControllerId, RequestId, SystemId, TaskId};
use domain::task::Fence;
use jiff::Timestamp;
use platform::db::{Args, DbError, Row, Statement, Tx};
use uuid::Uuid;

use crate::leases::Freight;

/// On SQLite the one writer holds everything anyway.
const LOCK: Statement = Statement {
    name: "tasks_claim_lock",
    pg: "SELECT 1::int8 FROM lane JOIN UNNEST($1::uuid[], $2::uuid[]) AS wanted (system, controller) \
         USING (system, controller) WHERE lane.freight = 'task' \
         ORDER BY lane.system, lane.controller FOR UPDATE OF lane",
    lite: "SELECT 1 FROM jsonb_each($1) LIMIT 0",
};

const CLAIM: Statement = Statement {
    name: "tasks_claim",
    pg: "WITH picked AS (SELECT task.id, wanted.fence \
         FROM UNNEST($1::uuid[], $2::uuid[], $3::int8[], $4::int8[]) AS wanted (system, controller, fence, room) \
         JOIN endpoint_lease AS lease \
         ON lease.system = wanted.system AND lease.fence = wanted.fence AND lease.worker = $5 \
         CROSS JOIN LATERAL (SELECT id FROM task WHERE task.system = wanted.system \
         AND task.controller = wanted.controller AND task.stage = 'due' AND task.due_at <= $6 \
         ORDER BY task.due_at LIMIT LEAST(wanted.room, $7) FOR UPDATE SKIP LOCKED) AS task) \
         UPDATE task SET stage = 'sending', due_at = NULL, fence = picked.fence, started_at = $6 \
         FROM picked WHERE task.id = picked.id \
         RETURNING task.id, task.request, task.controller, task.system, task.fence, task.steps, task.rejections, \
         task.deadline_at, task.digest, task.sealed",
    lite: "UPDATE task SET stage = 'sending', due_at = NULL, fence = picked.fence, started_at = $3 \
           FROM (SELECT id, fence FROM (SELECT task.id, wanted.fence, wanted.room, \
           ROW_NUMBER() OVER (PARTITION BY task.system, task.controller ORDER BY task.due_at) AS place \
           FROM (SELECT unhex(value ->> 0) AS system, unhex(value ->> 1) AS controller, value ->> 2 AS fence, \
           value ->> 3 AS room FROM jsonb_each($1)) AS wanted \
           JOIN endpoint_lease AS lease \
           ON lease.system = wanted.system AND lease.fence = wanted.fence AND lease.worker = $2 \
           JOIN task ON task.id IN (SELECT id FROM task WHERE system = wanted.system \
           AND controller = wanted.controller AND stage = 'due' AND due_at <= $3 ORDER BY due_at LIMIT $4)) \
           WHERE place <= room) AS picked WHERE task.id = picked.id \
           RETURNING task.id, task.request, task.controller, task.system, task.fence, task.steps, task.rejections, \
           task.deadline_at, task.digest, task.sealed",
};

const REST: Statement = Statement {
    name: "tasks_claim_rest",
    pg: "UPDATE lane SET next_due = (SELECT MIN(due_at) FROM task \
         WHERE task.system = lane.system AND task.controller = lane.controller AND task.stage = 'due') \
         FROM UNNEST($1::uuid[], $2::uuid[]) AS wanted (system, controller) \
         WHERE lane.system = wanted.system AND lane.controller = wanted.controller AND lane.freight = 'task'",
    lite: "UPDATE lane SET next_due = (SELECT MIN(due_at) FROM task \
           WHERE task.system = lane.system AND task.controller = lane.controller AND task.stage = 'due') \
           FROM jsonb_each($1) AS wanted \
           WHERE lane.system = unhex(wanted.value ->> 0) AND lane.controller = unhex(wanted.value ->> 1) \
           AND lane.freight = 'task'",
};

pub(super) const ALL: &[Statement] = &[LOCK, CLAIM, REST];

/// How many tasks, or messages, of a lane its system's owner has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// The system.
    pub system: SystemId,
    /// The controller.
    pub controller: ControllerId,
    /// Of what.
    pub freight: Freight,
    /// The owner's fence.
    pub fence: Fence,
    /// At most so many.
    pub tasks: i64,
}

/// A task that is the claimer's to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Its id.
    pub id: TaskId,
    /// The request.
    pub request: RequestId,
    /// Whose data it is about.
    pub controller: ControllerId,
    /// Where it goes.
    pub system: SystemId,
    /// Under which fence it was claimed.
    pub fence: Fence,
    /// Steps of the retry schedule that are used up.
    pub steps: i64,
    /// Answers 401, 403 or 404 in a row.
    pub rejections: i64,
    /// When the request's answer is due.
    pub deadline: Timestamp,
    /// SHA-256 of the body.
    pub digest: [u8; 32],
    /// The body, sealed as [`BODY`](super::BODY); `None` once shredded.
    pub sealed: Option<Vec<u8>>,
}

/// Claims the earliest due tasks of lanes, for as much room as there is; `now` is when the claim was made, and what
/// [`release::claim`](super::release::claim) knows it by.
pub async fn claim(tx: &mut Tx, worker: Uuid, rooms: &[Room], now: Timestamp) -> Result<Vec<Claimed>, DbError> {
    tx.fetch(&LOCK, lanes(rooms)).await?;
    let claimed = tx.fetch(&CLAIM, wanted(rooms, worker, now)).await?;
    tx.execute(&REST, lanes(rooms)).await?;
    let mut claimed: Vec<Claimed> = claimed.iter().map(read).collect::<Result<_, _>>()?;
    claimed.sort_unstable_by_key(|claimed| claimed.id);
    Ok(claimed)
}

/// The lanes of rooms, as columns.
pub(crate) fn lanes(rooms: &[Room]) -> Args<'static> {
    Args::new()
        .uuids(rooms.iter().map(|room| room.system.uuid()))
        .uuids(rooms.iter().map(|room| room.controller.uuid()))
}

/// What is claimed for rooms, by whom and when; the last value is the largest room.
pub(crate) fn wanted(rooms: &[Room], worker: Uuid, now: Timestamp) -> Args<'static> {
    let most = rooms.iter().map(|room| room.tasks).max().unwrap_or(0);
    lanes(rooms)
        .ints(rooms.iter().map(|room| room.fence))
        .ints(rooms.iter().map(|room| room.tasks))
        .uuid(worker)
        .int(now.as_microsecond())
        .int(most)
}

fn read(row: &Row) -> Result<Claimed, DbError> {
    Ok(Claimed {
        id: TaskId::from_uuid(row.get(0)?),
        request: RequestId::from_uuid(row.get(1)?),
        controller: ControllerId::from_uuid(row.get(2)?),
        system: SystemId::from_uuid(row.get(3)?),
        fence: row.get(4)?,
        steps: row.get(5)?,
        rejections: row.get(6)?,
        deadline: crate::instant(row.get(7)?)?,
        digest: row.bytes(8, "a task's digest is not 32 bytes")?,
        sealed: row.get(9)?,
    })
}
