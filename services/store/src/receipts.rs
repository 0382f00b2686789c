//! Receipts as they were signed, and what was odd about some of them.
//!
//! An issuer's `jti` is unique, so a receipt is stored once however often it comes. Nothing is overwritten: what
//! contradicts an earlier receipt is kept beside it, and an anomaly tells of it.

use std::collections::HashMap;

use domain::id::{ControllerId, EntryId, EventId, ReceiptId, RequestId, SystemId, TaskId};
use domain::receipt::{EvidenceLevel, Outcome, Signer};
use jiff::Timestamp;
use platform::db::{Args, DbError, Statement, Tx};
use uuid::Uuid;

const KNOWN: Statement = Statement {
    name: "receipts_known",
    pg: "SELECT receipt.issuer, receipt.jti, receipt.id, receipt.task, receipt.statement_digest FROM receipt \
         JOIN UNNEST($1::text[], $2::uuid[]) AS wanted (issuer, jti) \
         ON receipt.issuer = wanted.issuer AND receipt.jti = wanted.jti",
    lite: "SELECT receipt.issuer, receipt.jti, receipt.id, receipt.task, receipt.statement_digest \
           FROM jsonb_each($1) AS wanted CROSS JOIN receipt \
           ON receipt.issuer = (wanted.value ->> 0) AND receipt.jti = unhex(wanted.value ->> 1)",
};

const INSERT: Statement = Statement {
    name: "receipts_insert",
    pg: "INSERT INTO receipt (id, request, task, controller, system, issuer, kid, jti, statement_digest, signer, level, \
         outcome, standing, sealed, entry, received_at) \
         SELECT *, $16 FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], \
         $8::uuid[], $9::bytea[], $10::text[], $11::text[], $12::text[], $13::text[], $14::bytea[], $15::uuid[])",
    lite: "INSERT INTO receipt (id, request, task, controller, system, issuer, kid, jti, statement_digest, signer, \
           level, outcome, standing, sealed, entry, received_at) \
           SELECT unhex(value ->> 0), unhex(value ->> 1), unhex(value ->> 2), unhex(value ->> 3), unhex(value ->> 4), \
           value ->> 5, value ->> 6, unhex(value ->> 7), unhex(value ->> 8), value ->> 9, value ->> 10, value ->> 11, \
           value ->> 12, unhex(value ->> 13), unhex(value ->> 14), $2 FROM jsonb_each($1)",
};

const SUPERSEDE: Statement = Statement {
    name: "receipts_supersede",
    pg: "UPDATE receipt SET standing = 'superseded' WHERE id = ANY($1)",
    lite: "UPDATE receipt SET standing = 'superseded' WHERE id IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))",
};

const INSERT_ANOMALIES: Statement = Statement {
    name: "anomalies_insert",
    pg: "INSERT INTO anomaly (id, kind, request, task, system, sealed, seen_at) \
         SELECT *, $7 FROM UNNEST($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::uuid[], $6::bytea[]) \
         ON CONFLICT (id) DO NOTHING",
    lite: "INSERT INTO anomaly (id, kind, request, task, system, sealed, seen_at) \
           SELECT unhex(value ->> 0), value ->> 1, unhex(value ->> 2), unhex(value ->> 3), unhex(value ->> 4), \
           unhex(value ->> 5), $2 FROM jsonb_each($1) WHERE true ON CONFLICT (id) DO NOTHING",
};

pub(crate) const ALL: &[&[Statement]] = &[&[KNOWN, INSERT, SUPERSEDE, INSERT_ANOMALIES]];

/// A receipt that is stored already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub receipt: ReceiptId,
    /// Its task.
    pub task: TaskId,
    /// What it says, without who signed it when.
    pub statement_digest: [u8; 32],
}

/// Those of these (issuer, `jti`) that are stored already.
pub async fn known(tx: &mut Tx, wanted: &[(&str, Uuid)]) -> Result<HashMap<(String, Uuid), Known>, DbError> {
    let args = Args::new()
        .texts(wanted.iter().map(|(issuer, _)| *issuer))
        .uuids(wanted.iter().map(|(_, jti)| *jti));
    let rows = tx.fetch(&KNOWN, args).await?;
    let read = |row: &platform::db::Row| {
        let known = Known {
            receipt: ReceiptId::from_uuid(row.get(2)?),
            task: TaskId::from_uuid(row.get(3)?),
            statement_digest: row.bytes(4, "a receipt's digest is not 32 bytes")?,
        };
        Ok(((row.get(0)?, row.get(1)?), known))
    };
    rows.iter().map(read).collect()
}

/// Whether a receipt is what its task rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It moved its task.
    Counted,
    /// It contradicts an earlier one, came too late, or shows less than is demanded.
    Kept,
}

impl Standing {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Kept => "kept",
        }
    }
}

/// A receipt to be stored.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the columns' comments in the migration say it")]
pub struct ReceiptRow {
    pub id: ReceiptId,
    pub request: RequestId,
    pub task: TaskId,
    pub controller: ControllerId,
    pub system: SystemId,
    pub issuer: String,
    pub kid: String,
    pub jti: Uuid,
    pub statement_digest: [u8; 32],
    pub signer: Signer,
    pub level: EvidenceLevel,
    /// An acknowledgement declares none.
    pub outcome: Option<Outcome>,
    pub standing: Standing,
    pub sealed: Vec<u8>,
    pub entry: EntryId,
}

/// Stores receipts; one whose `jti` was stored meanwhile fails the whole transaction.
pub async fn insert(tx: &mut Tx, rows: &[ReceiptRow], received_at: Timestamp) -> Result<(), DbError> {
    if rows.is_empty() {
        return Ok(());
    }
    let args = Args::new()
        .uuids(rows.iter().map(|row| row.id.uuid()))
        .uuids(rows.iter().map(|row| row.request.uuid()))
        .uuids(rows.iter().map(|row| row.task.uuid()))
        .uuids(rows.iter().map(|row| row.controller.uuid()))
        .uuids(rows.iter().map(|row| row.system.uuid()))
        .texts(rows.iter().map(|row| row.issuer.as_str()))
        .texts(rows.iter().map(|row| row.kid.as_str()))
        .uuids(rows.iter().map(|row| row.jti))
        .blobs(rows.iter().map(|row| &row.statement_digest[..]))
        .texts(rows.iter().map(|row| row.signer.as_str()))
        .texts(rows.iter().map(|row| row.level.as_str()))
        .texts(
            rows.iter()
                .map(|row| row.outcome.map_or("acknowledged", Outcome::as_str)),
        )
        .texts(rows.iter().map(|row| row.standing.as_str()))
        .blobs(rows.iter().map(|row| row.sealed.as_slice()))
        .uuids(rows.iter().map(|row| row.entry.uuid()));
    tx.execute(&INSERT, args.int(received_at.as_microsecond()))
        .await
        .map(drop)
}

/// Marks receipts whose place an amendment has taken.
pub async fn supersede(tx: &mut Tx, receipts: &[ReceiptId]) -> Result<(), DbError> {
    if receipts.is_empty() {
        return Ok(());
    }
    let args = Args::new().uuids(receipts.iter().map(|receipt| receipt.uuid()));
    tx.execute(&SUPERSEDE, args).await.map(drop)
}

/// What can be odd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnomalyKind {
    /// An issuer used a `jti` again for another statement.
    JtiReused,
    /// A second completion contradicts the first without amending it.
    Conflict,
    /// A receipt came for a task that a statement of ours had ended, or for a withdrawn request.
    Late,
    /// A receipt fits its task's issuer but not the bytes that it was sent, or its clock.
    Misfit,
    /// The stored bytes of a task don't have the planned digest.
    Corrupt,
    /// No registered system is reached by a request.
    NoSystems,
    /// A request's controller, instruction or registry snapshot is not in force.
    NotInForce,
    /// A request's sealed details don't open.
    Unopenable,
    /// The body of a task would be longer than a webhook may be.
    TooLong,
    /// The answer to a webhook held a receipt that doesn't count.
    RefusedAnswer,
    /// A message names a request that isn't there.
    UnknownRequest,
    /// A message on the bus could not be used.
    Poison,
}

impl AnomalyKind {
    /// Its word in the table.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JtiReused => "jti_reused",
            Self::Conflict => "conflict",
            Self::Late => "late",
            Self::Misfit => "misfit",
            Self::Corrupt => "corrupt",
            Self::NoSystems => "no_systems",
            Self::NotInForce => "not_in_force",
            Self::Unopenable => "unopenable",
            Self::TooLong => "too_long",
            Self::RefusedAnswer => "refused_answer",
            Self::UnknownRequest => "unknown_request",
            Self::Poison => "poison",
        }
    }
}

/// Something odd, for a person to look at. Under the same id it is recorded once, however often it is seen.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub struct AnomalyRow {
    pub id: EventId,
    pub kind: AnomalyKind,
    pub request: Option<RequestId>,
    pub task: Option<TaskId>,
    pub system: Option<SystemId>,
    /// The bytes that are odd, under the request's evidence key.
    pub sealed: Option<Vec<u8>>,
}

/// Records anomalies.
pub async fn insert_anomalies(tx: &mut Tx, rows: &[AnomalyRow], seen_at: Timestamp) -> Result<(), DbError> {
    if rows.is_empty() {
        return Ok(());
    }
    let args = Args::new()
        .uuids(rows.iter().map(|row| row.id.uuid()))
        .texts(rows.iter().map(|row| row.kind.as_str()))
        .maybe_uuids(rows.iter().map(|row| row.request.map(RequestId::uuid)))
        .maybe_uuids(rows.iter().map(|row| row.task.map(TaskId::uuid)))
        .maybe_uuids(rows.iter().map(|row| row.system.map(SystemId::uuid)))
        .maybe_blobs(rows.iter().map(|row| row.sealed.as_deref()));
    tx.execute(&INSERT_ANOMALIES, args.int(seen_at.as_microsecond()))
        .await
        .map(drop)
}
