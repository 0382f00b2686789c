//! Messages: what a client's system is told beside its tasks, with the exact bytes that it gets on every attempt.
//!
//! They are claimed and recorded as tasks are, from lanes of their own ([`claim`], [`record`]); unlike a task's, a
//! message's row has an end, and goes some days after it. Bodies name no person: they are sealed under the evidence key
//! of a request that they tell of, so that the erasure of what is personal takes no notice away that is still owed.

pub mod claim;
pub mod record;

use domain::id::{ControllerId, MessageId, RequestId, SystemId, TaskId};
use domain::message::MessageType;
use jiff::Timestamp;
use platform::db::{Args, Db, DbError, Statement, Tx};

use crate::leases;

/// What a message's body is sealed as, under its request's evidence key.
pub const BODY: &str = "message.body";

const INSERT: Statement = Statement {
    name: "messages_insert",
    pg: "INSERT INTO message (id, system, controller, type, request, task, due_at, deadline_at, digest, \
         sealed, stage, steps, rejections, created_at) \
         SELECT *, 'due', 0, 0, $11 FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], \
         $6::uuid[], $7::int8[], $8::int8[], $9::bytea[], $10::bytea[])",
    lite: "INSERT INTO message (id, system, controller, type, request, task, due_at, deadline_at, digest, \
           sealed, stage, steps, rejections, created_at) \
           SELECT unhex(value ->> 0), unhex(value ->> 1), unhex(value ->> 2), value ->> 3, unhex(value ->> 4), \
           unhex(value ->> 5), value ->> 6, value ->> 7, unhex(value ->> 8), unhex(value ->> 9), 'due', 0, 0, $2 \
           FROM jsonb_each($1)",
};

/// One stage at a time, so that each is a range of the index.
const SWEEP: Statement = Statement::both(
    "messages_sweep",
    "DELETE FROM message WHERE id IN \
     (SELECT id FROM message WHERE stage = $1 AND ended_at IS NOT NULL AND ended_at < $2 LIMIT $3)",
);

/// SQLite finds a partial index only by its own words.
const GIVEN_UP: Statement = Statement::both(
    "messages_given_up",
    "SELECT COUNT(*) FROM (SELECT 1 FROM message WHERE stage = 'given_up' AND ended_at IS NOT NULL LIMIT $1) AS ended",
);

pub(crate) const ALL: &[&[Statement]] = &[&[INSERT, SWEEP, GIVEN_UP], claim::ALL, record::ALL];

/// Beyond so many the alarm can't get any louder.
const COUNT_MAX: i64 = 10_000;

/// A message with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// Its id, which its system sees on every attempt.
    pub id: MessageId,
    /// Where it goes.
    pub system: SystemId,
    /// Whose it is.
    pub controller: ControllerId,
    /// What it says.
    pub kind: MessageType,
    /// The request that it is about, or the first of them: its evidence key seals the body.
    pub request: RequestId,
    /// The task that it is about, where it is about one.
    pub task: Option<TaskId>,
    /// When it is to be sent.
    pub due: Timestamp,
    /// When what it is about is settled; it is tried for as long after that as a task would be.
    pub deadline: Timestamp,
    /// SHA-256 of the body.
    pub digest: [u8; 32],
    /// The body, sealed as [`BODY`].
    pub sealed: Vec<u8>,
}

/// Stores messages and wakes their lanes.
pub async fn insert(tx: &mut Tx, messages: &[NewMessage], now: Timestamp) -> Result<(), DbError> {
    if messages.is_empty() {
        return Ok(());
    }
    let args = Args::new()
        .uuids(messages.iter().map(|message| message.id.uuid()))
        .uuids(messages.iter().map(|message| message.system.uuid()))
        .uuids(messages.iter().map(|message| message.controller.uuid()))
        .texts(messages.iter().map(|message| message.kind.as_str()))
        .uuids(messages.iter().map(|message| message.request.uuid()))
        .maybe_uuids(messages.iter().map(|message| message.task.map(TaskId::uuid)))
        .ints(messages.iter().map(|message| message.due.as_microsecond()))
        .ints(messages.iter().map(|message| message.deadline.as_microsecond()))
        .blobs(messages.iter().map(|message| &message.digest[..]))
        .blobs(messages.iter().map(|message| message.sealed.as_slice()))
        .int(now.as_microsecond());
    tx.execute(&INSERT, args).await?;
    let lanes = messages
        .iter()
        .map(|message| (message.system, message.controller, message.due));
    leases::wake_messages(tx, lanes).await
}

/// Forgets messages of an ended stage that ended before then; at most `limit` of them.
pub async fn sweep(
    db: &Db,
    stage: domain::message::MessageStage,
    before: Timestamp,
    limit: i64,
) -> Result<u64, DbError> {
    let args = Args::new().text(stage.as_str()).int(before.as_microsecond()).int(limit);
    db.execute(&SWEEP, args).await
}

/// How many messages were given up and are kept still, counted up to 10,000.
pub async fn given_up(db: &Db) -> Result<i64, DbError> {
    let row = db.fetch_optional(&GIVEN_UP, Args::new().int(COUNT_MAX)).await?;
    row.map_or(Err(DbError::Inconsistent("a count has a row")), |row| row.get(0))
}

#[cfg(test)]
mod tests;
