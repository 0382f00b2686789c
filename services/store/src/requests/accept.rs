//! Many callers, one COMMIT.
//!
//! A batch is inserted sorted by digest and its counters are taken in controller order, so that two processes with
//! the same keys can't lock each other. What carries correctness is the unique digest: a request that is already
//! there answers like the first time, and a batch whose COMMIT was cut may be sent again as it is.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::assurance::Assurance;
use domain::id::{BindingId, ControllerId, InstructionId, RequestId};
use domain::new_request::Door;
use domain::request::StageName;
use domain::right::{Channel, Right};
use jiff::Timestamp;
use platform::db::{Args, Db, DbError, Row, Statement, Tx};
use uuid::Uuid;

/// One row a request; a row whose digest is known already is left out of what comes back.
const INSERT: Statement = Statement {
    name: "requests_insert",
    pg: "INSERT INTO request (id, digest, body_digest, controller, stage, version, exercised, channel, product, \
         binding, door, assurance, regime, regime_version, zone, received_at, due_at, instruction, status_digest, \
         answer, sealed, assured_at, assured_by, jurisdiction, locale, accepted_at) \
         SELECT *, $26 FROM UNNEST($1::uuid[], $2::bytea[], $3::bytea[], $4::uuid[], $5::text[], $6::int8[], \
         $7::text[], $8::text[], $9::text[], $10::uuid[], $11::text[], $12::text[], $13::text[], $14::text[], \
         $15::text[], $16::int8[], $17::int8[], $18::uuid[], $19::bytea[], $20::bytea[], $21::bytea[], \
         $22::int8[], $23::bytea[], $24::text[], $25::text[]) \
         ON CONFLICT DO NOTHING RETURNING id",
    lite: "INSERT INTO request (id, digest, body_digest, controller, stage, version, exercised, channel, product, \
           binding, door, assurance, regime, regime_version, zone, received_at, due_at, instruction, status_digest, \
           answer, sealed, assured_at, assured_by, jurisdiction, locale, accepted_at) \
           SELECT unhex(value ->> 0), unhex(value ->> 1), unhex(value ->> 2), unhex(value ->> 3), value ->> 4, \
           value ->> 5, value ->> 6, value ->> 7, value ->> 8, unhex(value ->> 9), value ->> 10, value ->> 11, \
           value ->> 12, value ->> 13, value ->> 14, value ->> 15, value ->> 16, unhex(value ->> 17), \
           unhex(value ->> 18), unhex(value ->> 19), unhex(value ->> 20), value ->> 21, unhex(value ->> 22), \
           value ->> 23, value ->> 24, $2 FROM jsonb_each($1) \
           WHERE true ON CONFLICT DO NOTHING RETURNING id",
};

/// Takes as many numbers as a controller has new requests; the last of them comes back.
const COUNT: Statement = Statement {
    name: "requests_count",
    pg: "INSERT INTO intake_counter (controller, last) SELECT * FROM UNNEST($1::uuid[], $2::int8[]) \
         ON CONFLICT (controller) DO UPDATE SET last = intake_counter.last + excluded.last \
         RETURNING controller, last",
    lite: "INSERT INTO intake_counter (controller, last) \
           SELECT unhex(value ->> 0), value ->> 1 FROM jsonb_each($1) \
           WHERE true ON CONFLICT (controller) DO UPDATE SET last = intake_counter.last + excluded.last \
           RETURNING controller, last",
};

const NUMBER: Statement = Statement {
    name: "requests_number",
    pg: "INSERT INTO intake (controller, seq, request) SELECT * FROM UNNEST($1::uuid[], $2::int8[], $3::uuid[])",
    lite: "INSERT INTO intake (controller, seq, request) \
           SELECT unhex(value ->> 0), value ->> 1, unhex(value ->> 2) FROM jsonb_each($1)",
};

const FIRSTS: Statement = Statement {
    name: "requests_firsts",
    pg: "SELECT digest, id, body_digest, answer FROM request WHERE digest = ANY($1)",
    lite: "SELECT digest, id, body_digest, answer FROM request \
           WHERE digest IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))",
};

pub(super) const ALL: &[Statement] = &[INSERT, COUNT, NUMBER, FIRSTS];

/// A request that can't be wrong any more, sealed.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "each is the column of its name; `Shown` tells what they mean"
)]
pub struct NewRow {
    pub id: RequestId,
    /// HMAC of the caller's scope and its key, or of the account and the provider's message id.
    pub digest: [u8; 32],
    /// HMAC of what was asked under that key.
    pub body_digest: [u8; 32],
    pub controller: ControllerId,
    pub stage: StageName,
    pub version: i64,
    pub right: Right,
    pub channel: Channel,
    pub product: Option<String>,
    pub binding: Option<BindingId>,
    pub door: Door,
    pub assurance: Assurance,
    pub jurisdiction: Option<String>,
    pub locale: Option<String>,
    pub regime: String,
    pub regime_version: String,
    pub zone: String,
    pub received_at: Timestamp,
    pub due_at: Timestamp,
    pub instruction: Option<InstructionId>,
    /// SHA-256 of the status page's token.
    pub status_digest: [u8; 32],
    /// The first answer, sealed as [`ANSWER`](crate::sealed::ANSWER).
    pub answer: Vec<u8>,
    /// The details, sealed as [`DETAILS`](crate::sealed::DETAILS).
    pub sealed: Vec<u8>,
}

/// What became of one row of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placed {
    /// It is stored, under this number among its controller's requests.
    New {
        /// From 1, without gaps.
        intake_seq: i64,
    },
    /// Its digest was there before.
    Before(First),
}

/// The request that holds a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct First {
    /// Its id; a row of the same id is the very one, whose COMMIT was cut.
    pub request: RequestId,
    /// HMAC of what was asked then.
    pub body_digest: [u8; 32],
    /// What was answered then, sealed under that request's key.
    pub answer: Vec<u8>,
}

/// Stores the batch and numbers what is new in it; answers in the order of the batch. Four statements at the most.
pub async fn accept(tx: &mut Tx, batch: &[NewRow], now: Timestamp) -> Result<Vec<Placed>, DbError> {
    let inserted = insert(tx, batch, now).await?;
    let numbers = number(tx, batch, &inserted).await?;
    let known: Vec<[u8; 32]> = batch
        .iter()
        .filter(|row| !numbers.contains_key(&row.id))
        .map(|row| row.digest)
        .collect();
    let firsts = if known.is_empty() {
        HashMap::new()
    } else {
        read_firsts(&tx.fetch(&FIRSTS, digests(&known)).await?)?
    };
    batch.iter().map(|row| placed(row, &numbers, &firsts)).collect()
}

/// The requests that hold these digests, where there are such.
pub async fn firsts(db: &Db, wanted: &[[u8; 32]]) -> Result<HashMap<[u8; 32], First>, DbError> {
    read_firsts(&db.fetch(&FIRSTS, digests(wanted)).await?)
}

async fn insert(tx: &mut Tx, batch: &[NewRow], now: Timestamp) -> Result<HashSet<Uuid>, DbError> {
    let mut sorted: Vec<&NewRow> = batch.iter().collect();
    sorted.sort_unstable_by_key(|row| row.digest);
    let rows = tx.fetch(&INSERT, columns(&sorted).int(now.as_microsecond())).await?;
    rows.iter().map(|row| row.get(0)).collect()
}

fn columns<'r>(rows: &[&'r NewRow]) -> Args<'r> {
    Args::new()
        .uuids(rows.iter().map(|row| row.id.uuid()))
        .blobs(rows.iter().map(|row| &row.digest[..]))
        .blobs(rows.iter().map(|row| &row.body_digest[..]))
        .uuids(rows.iter().map(|row| row.controller.uuid()))
        .texts(rows.iter().map(|row| row.stage.as_str()))
        .ints(rows.iter().map(|row| row.version))
        .texts(rows.iter().map(|row| row.right.as_str()))
        .texts(rows.iter().map(|row| row.channel.as_str()))
        .maybe_texts(rows.iter().map(|row| row.product.as_deref()))
        .maybe_uuids(rows.iter().map(|row| row.binding.map(BindingId::uuid)))
        .texts(rows.iter().map(|row| row.door.as_str()))
        .texts(rows.iter().map(|row| row.assurance.level.as_str()))
        .texts(rows.iter().map(|row| row.regime.as_str()))
        .texts(rows.iter().map(|row| row.regime_version.as_str()))
        .texts(rows.iter().map(|row| row.zone.as_str()))
        .ints(rows.iter().map(|row| row.received_at.as_microsecond()))
        .ints(rows.iter().map(|row| row.due_at.as_microsecond()))
        .maybe_uuids(rows.iter().map(|row| row.instruction.map(InstructionId::uuid)))
        .blobs(rows.iter().map(|row| &row.status_digest[..]))
        .blobs(rows.iter().map(|row| row.answer.as_slice()))
        .blobs(rows.iter().map(|row| row.sealed.as_slice()))
        .ints(rows.iter().map(|row| row.assurance.at.as_microsecond()))
        .maybe_blobs(
            rows.iter()
                .map(|row| row.assurance.evidence.as_ref().map(|digest| &digest[..])),
        )
        .maybe_texts(rows.iter().map(|row| row.jurisdiction.as_deref()))
        .maybe_texts(rows.iter().map(|row| row.locale.as_deref()))
}

/// Gives each inserted row its controller's next number, in the order of the batch.
async fn number(tx: &mut Tx, batch: &[NewRow], inserted: &HashSet<Uuid>) -> Result<HashMap<RequestId, i64>, DbError> {
    let mut new: BTreeMap<Uuid, Vec<RequestId>> = BTreeMap::new();
    for row in batch.iter().filter(|row| inserted.contains(&row.id.uuid())) {
        new.entry(row.controller.uuid()).or_default().push(row.id);
    }
    if new.is_empty() {
        return Ok(HashMap::new());
    }
    let wanted = new
        .values()
        .map(|requests| i64::try_from(requests.len()).expect("a batch is small"));
    let taken = tx
        .fetch(&COUNT, Args::new().uuids(new.keys().copied()).ints(wanted))
        .await?;
    let mut numbered = Vec::with_capacity(inserted.len());
    for row in &taken {
        let (controller, last): (Uuid, i64) = (row.get(0)?, row.get(1)?);
        let requests = new.get(&controller).map_or(&[][..], Vec::as_slice);
        numbered.extend(
            requests
                .iter()
                .rev()
                .zip(0..)
                .map(|(request, back)| (controller, last - back, *request)),
        );
    }
    let args = Args::new()
        .uuids(numbered.iter().map(|(controller, ..)| *controller))
        .ints(numbered.iter().map(|(_, seq, _)| *seq))
        .uuids(numbered.iter().map(|(.., request)| request.uuid()));
    tx.execute(&NUMBER, args).await?;
    Ok(numbered.into_iter().map(|(_, seq, request)| (request, seq)).collect())
}

fn placed(
    row: &NewRow,
    numbers: &HashMap<RequestId, i64>,
    firsts: &HashMap<[u8; 32], First>,
) -> Result<Placed, DbError> {
    if let Some(intake_seq) = numbers.get(&row.id) {
        return Ok(Placed::New {
            intake_seq: *intake_seq,
        });
    }
    let first = firsts.get(&row.digest).cloned().map(Placed::Before);
    first.ok_or(DbError::Inconsistent("a request was neither stored nor there before"))
}

fn digests(wanted: &[[u8; 32]]) -> Args<'_> {
    Args::new().blobs(wanted.iter().map(|digest| &digest[..]))
}

fn read_firsts(rows: &[Row]) -> Result<HashMap<[u8; 32], First>, DbError> {
    let read = |row: &Row| {
        let first = First {
            request: RequestId::from_uuid(row.get(1)?),
            body_digest: row.bytes(2, "a body's digest is not 32 bytes")?,
            answer: row.get(3)?,
        };
        Ok((row.bytes(0, "a request's digest is not 32 bytes")?, first))
    };
    rows.iter().map(read).collect()
}
