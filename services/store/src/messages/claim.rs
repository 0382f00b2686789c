//! Claiming due messages, as tasks are claimed: lanes first, then the earliest of each, then when the next is due.
//!
//! In the same transaction, reminders whose receipt came meanwhile are taken off the schedule: their moment has passed.

use domain::id::{ControllerId, MessageId, RequestId, SystemId};
use domain::message::MessageType;
use domain::task::Fence;
use jiff::Timestamp;
use platform::db::{DbError, Row, Statement, Tx};
use uuid::Uuid;

use crate::tasks::claim::{Room, lanes, wanted};

/// On SQLite the one writer holds everything anyway.
const LOCK: Statement = Statement {
    name: "messages_claim_lock",
    pg: "SELECT 1::int8 FROM lane JOIN UNNEST($1::uuid[], $2::uuid[]) AS wanted (system, controller) \
         USING (system, controller) WHERE lane.freight = 'message' \
         ORDER BY lane.system, lane.controller FOR UPDATE OF lane",
    lite: "SELECT 1 FROM jsonb_each($1) LIMIT 0",
};

/// Only who still awaits a receipt is reminded.
const MOOT: Statement = Statement {
    name: "messages_claim_moot",
    pg: "UPDATE message SET stage = 'moot', due_at = NULL, ended_at = $3 \
         FROM UNNEST($1::uuid[], $2::uuid[]) AS wanted (system, controller), task \
         WHERE message.system = wanted.system AND message.controller = wanted.controller AND message.stage = 'due' \
         AND message.due_at <= $3 AND message.type = 'dsr.task.reminder' AND task.id = message.task \
         AND task.stage <> 'awaiting_receipt'",
    lite: "UPDATE message SET stage = 'moot', due_at = NULL, ended_at = $2 FROM jsonb_each($1) AS wanted, task \
           WHERE message.system = unhex(wanted.value ->> 0) AND message.controller = unhex(wanted.value ->> 1) \
           AND message.stage = 'due' AND message.due_at <= $2 AND message.type = 'dsr.task.reminder' \
           AND task.id = message.task AND task.stage <> 'awaiting_receipt'",
};

const CLAIM: Statement = Statement {
    name: "messages_claim",
    pg: "WITH picked AS (SELECT message.id, wanted.fence \
         FROM UNNEST($1::uuid[], $2::uuid[], $3::int8[], $4::int8[]) AS wanted (system, controller, fence, room) \
         JOIN endpoint_lease AS lease \
         ON lease.system = wanted.system AND lease.fence = wanted.fence AND lease.worker = $5 \
         CROSS JOIN LATERAL (SELECT id FROM message WHERE message.system = wanted.system \
         AND message.controller = wanted.controller AND message.stage = 'due' AND message.due_at <= $6 \
         ORDER BY message.due_at LIMIT LEAST(wanted.room, $7) FOR UPDATE SKIP LOCKED) AS message) \
         UPDATE message SET stage = 'sending', due_at = NULL, fence = picked.fence, started_at = $6 \
         FROM picked WHERE message.id = picked.id \
         RETURNING message.id, message.type, message.controller, message.system, message.fence, message.steps, \
         message.rejections, message.deadline_at, message.digest, message.sealed, message.request",
    lite: "UPDATE message SET stage = 'sending', due_at = NULL, fence = picked.fence, started_at = $3 \
           FROM (SELECT id, fence FROM (SELECT message.id, wanted.fence, wanted.room, \
           ROW_NUMBER() OVER (PARTITION BY message.system, message.controller ORDER BY message.due_at) AS place \
           FROM (SELECT unhex(value ->> 0) AS system, unhex(value ->> 1) AS controller, value ->> 2 AS fence, \
           value ->> 3 AS room FROM jsonb_each($1)) AS wanted \
           JOIN endpoint_lease AS lease \
           ON lease.system = wanted.system AND lease.fence = wanted.fence AND lease.worker = $2 \
           JOIN message ON message.id IN (SELECT id FROM message WHERE system = wanted.system \
           AND controller = wanted.controller AND stage = 'due' AND due_at <= $3 ORDER BY due_at LIMIT $4)) \
           WHERE place <= room) AS picked WHERE message.id = picked.id \
           RETURNING message.id, message.type, message.controller, message.system, message.fence, message.steps, \
           message.rejections, message.deadline_at, message.digest, message.sealed, message.request",
};

const REST: Statement = Statement {
    name: "messages_claim_rest",
    pg: "UPDATE lane SET next_due = (SELECT MIN(due_at) FROM message \
         WHERE message.system = lane.system AND message.controller = lane.controller AND message.stage = 'due') \
         FROM UNNEST($1::uuid[], $2::uuid[]) AS wanted (system, controller) \
         WHERE lane.system = wanted.system AND lane.controller = wanted.controller AND lane.freight = 'message'",
    lite: "UPDATE lane SET next_due = (SELECT MIN(due_at) FROM message \
           WHERE message.system = lane.system AND message.controller = lane.controller AND message.stage = 'due') \
           FROM jsonb_each($1) AS wanted \
           WHERE lane.system = unhex(wanted.value ->> 0) AND lane.controller = unhex(wanted.value ->> 1) \
           AND lane.freight = 'message'",
};

pub(super) const ALL: &[Statement] = &[LOCK, MOOT, CLAIM, REST];

/// A message that is the claimer's to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedMessage {
    /// Its id.
    pub id: MessageId,
    /// What it says.
    pub kind: MessageType,
    /// Whose evidence key opens it.
    pub request: RequestId,
    /// Whose it is.
    pub controller: ControllerId,
    /// Where it goes.
    pub system: SystemId,
    /// Under which fence it was claimed.
    pub fence: Fence,
    /// Steps of the retry schedule that are used up.
    pub steps: i64,
    /// Answers 401, 403 or 404 in a row.
    pub rejections: i64,
    /// When what it is about is settled.
    pub deadline: Timestamp,
    /// SHA-256 of the body.
    pub digest: [u8; 32],
    /// The body, sealed as [`BODY`](super::BODY).
    pub sealed: Vec<u8>,
}

/// Claims the earliest due messages of lanes, for as much room as there is; `now` is when the claim was made, and what
/// [`record::release_claim`](super::record::release_claim) knows it by.
pub async fn claim(tx: &mut Tx, worker: Uuid, rooms: &[Room], now: Timestamp) -> Result<Vec<ClaimedMessage>, DbError> {
    tx.fetch(&LOCK, lanes(rooms)).await?;
    tx.execute(&MOOT, lanes(rooms).int(now.as_microsecond())).await?;
    let claimed = tx.fetch(&CLAIM, wanted(rooms, worker, now)).await?;
    tx.execute(&REST, lanes(rooms)).await?;
    let mut claimed: Vec<ClaimedMessage> = claimed.iter().map(read).collect::<Result<_, _>>()?;
    claimed.sort_unstable_by_key(|claimed| claimed.id);
    Ok(claimed)
}

fn read(row: &Row) -> Result<ClaimedMessage, DbError> {
    Ok(ClaimedMessage {
        id: MessageId::from_uuid(row.get(0)?),
        kind: row.parse(1, "a message's type is unknown")?,
        controller: ControllerId::from_uuid(row.get(2)?),
        system: SystemId::from_uuid(row.get(3)?),
        fence: row.get(4)?,
        steps: row.get(5)?,
        rejections: row.get(6)?,
        deadline: crate::instant(row.get(7)?)?,
        digest: row.bytes(8, "a message's digest is not 32 bytes")?,
        sealed: row.get(9)?,
        request: RequestId::from_uuid(row.get(10)?),
    })
}
