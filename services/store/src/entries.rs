//! Entries that the ledger must hold, until it says that it does.
//!
//! An entry is written in the transaction of the change that it records, together with its message, and goes only
//! when `dsr.logged.v1` names its index. Meanwhile it is sent again, after a minute first and then ever more seldom:
//! no correctness rests on a bus that keeps what it has acknowledged. The ledger knows an entry by its id, so one
//! that arrives twice is held once.
//!
//! Some things take effect only once they are logged: keys, instructions and registry snapshots. [`logged()`] is where
//! they do.

mod logged;

use std::time::Duration;

use domain::id::{ControllerId, EntryId, MessageId, RequestId};
use jiff::Timestamp;
use platform::db::{Args, DbError, Row, Statement, Tx};
use platform::metrics::Counter;

use crate::outbox::{self, OutboxRow};

pub use logged::{Activated, Noted, PlacedReceipt, logged};

/// Where entries travel.
const TOPIC: &str = "dsr.ledger.v1";

/// Sequencing takes a fraction of a second; what takes a minute met a fault.
const RESEND_AFTER: Duration = Duration::from_mins(1);

/// The longest pause between two sendings: soon enough after a long outage, rare enough during one.
const RESEND_MAX: Duration = Duration::from_hours(1);

const PUT: Statement = Statement {
    name: "entries_put",
    pg: "INSERT INTO entry (id, controller, request, type, message, created_at, resend_at, resent) \
         SELECT *, $6, $7, 0 FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::int8[], $5::bytea[])",
    lite: "INSERT INTO entry (id, controller, request, type, message, created_at, resend_at, resent) \
           SELECT unhex(value ->> 0), unhex(value ->> 1), unhex(value ->> 2), value ->> 3, unhex(value ->> 4), \
           $2, $3, 0 FROM jsonb_each($1)",
};

/// Two that resend at once take different entries on PostgreSQL; on SQLite there is one writer.
/// The pause doubles with each sending: `$3` is the first, `$4` the longest.
const RESEND: Statement = Statement {
    name: "entries_resend",
    pg: "UPDATE entry SET resent = resent + 1, resend_at = $1 + LEAST($4, $3 << LEAST(resent + 1, 20)::int4) \
         WHERE id IN (SELECT id FROM entry WHERE resend_at <= $1 ORDER BY resend_at LIMIT $2 FOR UPDATE SKIP LOCKED) \
         RETURNING id, request, message",
    lite: "UPDATE entry SET resent = resent + 1, resend_at = $1 + MIN($4, $3 << MIN(resent + 1, 20)) \
           WHERE id IN (SELECT id FROM entry WHERE resend_at <= $1 ORDER BY resend_at LIMIT $2) \
           RETURNING id, request, message",
};

pub(crate) const ALL: &[&[Statement]] = &[&[PUT, RESEND], logged::ALL];

static RESENT: Counter = Counter::new(
    "quittance_entries_resent_total",
    "Entries that were sent to the ledger again, because it had not answered for them in time.",
);

/// An entry on its way to the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRow {
    /// Its id, and the id of its message.
    pub id: EntryId,
    /// In whose sequence it counts.
    pub controller: ControllerId,
    /// The request that it is about, if it is about one.
    pub request: Option<RequestId>,
    /// The type's byte, 1 to 15.
    pub kind: i64,
    /// The whole encoded message; the same bytes on every sending.
    pub message: Vec<u8>,
}

/// The id of an entry's message: the same number, for an entry has one message for ever.
#[must_use]
pub fn message_id(entry: EntryId) -> MessageId {
    MessageId::from_uuid(entry.uuid())
}

/// Writes entries and their messages.
pub async fn put(tx: &mut Tx, rows: &[EntryRow], now: Timestamp) -> Result<(), DbError> {
    if rows.is_empty() {
        return Ok(());
    }
    let now = now.as_microsecond();
    let args = Args::new()
        .uuids(rows.iter().map(|row| row.id.uuid()))
        .uuids(rows.iter().map(|row| row.controller.uuid()))
        .maybe_uuids(rows.iter().map(|row| row.request.map(RequestId::uuid)))
        .ints(rows.iter().map(|row| row.kind))
        .blobs(rows.iter().map(|row| row.message.as_slice()));
    let args = args.int(now).int(now.saturating_add(micros(RESEND_AFTER)));
    tx.execute(&PUT, args).await?;
    let messages = rows.iter().map(|row| message(row.id, row.request, row.message.clone()));
    outbox::put(tx, &messages.collect::<Vec<_>>()).await
}

/// Puts the messages of entries that are unlogged for too long into the outbox again, at most `limit` of them, and
/// returns which. One whose message still lies there is not put twice.
pub async fn resend(tx: &mut Tx, now: Timestamp, limit: i64) -> Result<Vec<EntryId>, DbError> {
    let args = Args::new().int(now.as_microsecond()).int(limit);
    let args = args.int(micros(RESEND_AFTER)).int(micros(RESEND_MAX));
    let due = tx.fetch(&RESEND, args).await?;
    let messages = due.iter().map(overdue).collect::<Result<Vec<_>, _>>()?;
    outbox::put(tx, &messages).await?;
    RESENT.add(messages.len() as u64, &[]);
    Ok(messages
        .iter()
        .map(|message| EntryId::from_uuid(message.id.uuid()))
        .collect())
}

fn overdue(row: &Row) -> Result<OutboxRow, DbError> {
    let request: Option<uuid::Uuid> = row.get(1)?;
    let id = EntryId::from_uuid(row.get(0)?);
    Ok(message(id, request.map(RequestId::from_uuid), row.get(2)?))
}

/// Keyed by request, so that the ledger gets a request's entries in their order; else by the entry itself.
fn message(entry: EntryId, request: Option<RequestId>, value: Vec<u8>) -> OutboxRow {
    let key = request.map_or_else(|| entry.to_string(), |request| request.to_string());
    OutboxRow::new(message_id(entry), TOPIC, key.into_bytes(), Vec::new(), value)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).expect("an hour at the most")
}

#[cfg(test)]
mod tests;
