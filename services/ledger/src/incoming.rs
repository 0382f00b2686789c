//! Entries on their way into the log: checked, and waiting in the order in which they came.
//!
//! An entry's bytes are read strictly before they may wait, so that everything behind this door can be logged and
//! answered from. Its id is unique among what waits; what is logged already is found out when its turn comes, and
//! announced again then, because whoever sends it again has missed the announcement.

use domain::id::{ControllerId, EntryId, ReceiptId, RequestId};
use evidence::entry::{Body, Entry, EntryError, EntryType};
use jiff::Timestamp;
use platform::db::{Args, Db, DbError, Row, Statement};
use proto::{LedgerEntry, Malformed};

/// Bytes of one batch that are held in memory: a batch of ordinary entries is a tenth of it.
const BATCH_BYTES_MAX: i64 = 64 * 1024 * 1024;

const PUT: Statement = Statement {
    name: "incoming_put",
    pg: "INSERT INTO pending (id, controller, request, type, receipt, at, content) \
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::int8[], $5::uuid[], $6::int8[], $7::bytea[]) \
         ON CONFLICT (id) DO NOTHING",
    lite: "INSERT INTO pending (id, controller, request, type, receipt, at, content) \
           SELECT unhex(value ->> 0), unhex(value ->> 1), unhex(value ->> 2), value ->> 3, unhex(value ->> 4), \
           value ->> 5, unhex(value ->> 6) FROM jsonb_each($1) WHERE true ON CONFLICT (id) DO NOTHING",
};

/// The oldest, until they are many or large; the first comes however large it is.
const TAKE: Statement = Statement::both(
    "incoming_take",
    "SELECT place, id, controller, request, type, receipt, at, content, known FROM \
     (SELECT waiting.*, entry.leaf_index AS known, SUM(LENGTH(waiting.content)) OVER (ORDER BY place) AS bytes FROM \
     (SELECT * FROM pending ORDER BY place LIMIT $1) AS waiting LEFT JOIN entry ON entry.id = waiting.id) AS batch \
     WHERE bytes - LENGTH(content) < $2 ORDER BY place",
);

/// An upper bound that costs two looks at the index.
const WAITING: Statement = Statement::both(
    "incoming_waiting",
    "SELECT COALESCE((SELECT MAX(place) FROM pending) - (SELECT MIN(place) FROM pending) + 1, 0)",
);

pub(crate) const ALL: &[Statement] = &[PUT, TAKE, WAITING];

/// An entry whose bytes were read and found to be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Its id.
    pub id: EntryId,
    /// In whose sequence it will count.
    pub controller: ControllerId,
    /// The request that it is about.
    pub request: Option<RequestId>,
    /// What kind it is.
    pub entry_type: EntryType,
    /// Of a receipt's entry, the receipt.
    pub receipt: Option<ReceiptId>,
    /// When it happened.
    pub at: Timestamp,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// Why a message can't be logged.
#[derive(Debug, thiserror::Error)]
pub enum NotAnEntry {
    /// The message is none.
    #[error("the message can't be read")]
    Message(#[from] Malformed),
    /// The bytes in it are none.
    #[error("the entry's bytes can't be read")]
    Entry(#[from] EntryError),
    /// The message says something else than the bytes in it.
    #[error("the message and the entry in it contradict each other")]
    Contradiction,
}

/// An entry that waits, and where.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) place: i64,
    pub(crate) entry: Incoming,
    /// Its leaf's index, if it is logged already.
    pub(crate) known: Option<i64>,
}

impl Incoming {
    /// Takes an entry that this process wrote itself.
    #[must_use]
    pub fn new(entry: &Entry) -> Self {
        Self::of(entry, entry.encode())
    }

    /// Reads a message of `dsr.ledger.v1`.
    pub fn read(message: &[u8]) -> Result<Self, NotAnEntry> {
        let message = LedgerEntry::decode(message)?;
        let entry = Entry::decode(&message.content)?;
        let said = (message.entry, message.controller, message.request, message.entry_type);
        if said == (entry.id, entry.controller, entry.request, entry.entry_type().byte()) {
            Ok(Self::of(&entry, message.content))
        } else {
            Err(NotAnEntry::Contradiction)
        }
    }

    fn of(entry: &Entry, content: Vec<u8>) -> Self {
        let receipt = match &entry.body {
            Body::Receipt(receipt) => Some(receipt.receipt),
            _ => None,
        };
        Self {
            id: entry.id,
            controller: entry.controller,
            request: entry.request,
            entry_type: entry.entry_type(),
            receipt,
            at: entry.at,
            content,
        }
    }
}

/// Lets entries wait; one that waits already does so once.
pub async fn put(db: &Db, entries: &[Incoming]) -> Result<(), DbError> {
    if entries.is_empty() {
        return Ok(());
    }
    let args = Args::new()
        .uuids(entries.iter().map(|entry| entry.id.uuid()))
        .uuids(entries.iter().map(|entry| entry.controller.uuid()))
        .maybe_uuids(entries.iter().map(|entry| entry.request.map(RequestId::uuid)))
        .ints(entries.iter().map(|entry| entry.entry_type.byte().into()))
        .maybe_uuids(entries.iter().map(|entry| entry.receipt.map(ReceiptId::uuid)))
        .ints(entries.iter().map(|entry| entry.at.as_microsecond()))
        .blobs(entries.iter().map(|entry| entry.content.as_slice()));
    db.execute(&PUT, args).await.map(drop)
}

/// How many wait, at most.
pub(crate) async fn waiting(db: &Db) -> Result<u64, DbError> {
    let row = db.fetch_optional(&WAITING, Args::new()).await?;
    let waiting: i64 = row.map_or(Ok(0), |row| row.get(0))?;
    Ok(waiting.unsigned_abs())
}

/// The oldest that wait, at most `limit`.
pub(crate) async fn take(db: &Db, limit: u32) -> Result<Vec<Waiting>, DbError> {
    let args = Args::new().int(limit.into()).int(BATCH_BYTES_MAX);
    db.fetch(&TAKE, args).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Waiting, DbError> {
    let request: Option<uuid::Uuid> = row.get(3)?;
    let receipt: Option<uuid::Uuid> = row.get(5)?;
    Ok(Waiting {
        place: row.get(0)?,
        entry: Incoming {
            id: EntryId::from_uuid(row.get(1)?),
            controller: ControllerId::from_uuid(row.get(2)?),
            request: request.map(RequestId::from_uuid),
            entry_type: entry_type(row.get(4)?)?,
            receipt: receipt.map(ReceiptId::from_uuid),
            at: instant(row.get(6)?)?,
            content: row.get(7)?,
        },
        known: row.get(8)?,
    })
}

pub(crate) fn entry_type(number: i64) -> Result<EntryType, DbError> {
    let known = u8::try_from(number).ok().and_then(EntryType::from_byte);
    known.ok_or(DbError::Inconsistent("an entry has an unknown type"))
}

pub(crate) fn instant(micros: i64) -> Result<Timestamp, DbError> {
    Timestamp::from_microsecond(micros).map_err(|_| DbError::Inconsistent("an entry's time is none"))
}
