//! Entries as the log holds them.

use domain::id::{ControllerId, EntryId, ReceiptId, RequestId};
use evidence::entry::EntryType;
use evidence::leaf::{Leaf, Opening};
use jiff::Timestamp;
use keys::Class;
use platform::db::{Args, DbError, Row, Statement};

use super::{Archive, leaf, signed};
use crate::fault::Fault;
use crate::incoming::{entry_type, instant};

/// What salt and bytes of an entry are sealed as.
pub(crate) const BODY: &str = "ledger.entry.body";

const BY_ID: Statement = Statement::both(
    "held_by_id",
    "SELECT leaf_index, id, controller, controller_seq, request, type, at, leaf, body FROM entry WHERE id = $1",
);

/// A receipt has one entry.
const BY_RECEIPT: Statement = Statement::both(
    "held_by_receipt",
    "SELECT leaf_index, id, controller, controller_seq, request, type, at, leaf, body FROM entry WHERE receipt = $1 \
     ORDER BY leaf_index LIMIT 1",
);

const BY_REQUEST: Statement = Statement::both(
    "held_by_request",
    "SELECT leaf_index, id, controller, controller_seq, request, type, at, leaf, body FROM entry WHERE request = $1 \
     ORDER BY leaf_index LIMIT $2",
);

/// From an index on, so that any number of them is read in pieces.
const RECEIPTS: Statement = Statement::both(
    "held_receipts",
    "SELECT leaf_index, id, controller, controller_seq, request, type, at, leaf, body FROM entry \
     WHERE receipt IS NOT NULL AND leaf_index >= $1 ORDER BY leaf_index LIMIT $2",
);

const RANGE: Statement = Statement::both(
    "held_range",
    "SELECT leaf_index, id, controller, controller_seq, request, type, at, leaf, body FROM entry \
     WHERE leaf_index >= $1 AND leaf_index < $2 ORDER BY leaf_index",
);

const KEY_EVENTS: Statement = Statement::both(
    "held_key_events",
    "SELECT leaf_index, id, controller, controller_seq, request, type, at, leaf, body FROM entry \
     WHERE type = 11 AND leaf_index >= $1 ORDER BY leaf_index LIMIT $2",
);

pub(super) const ALL: &[Statement] = &[BY_ID, BY_RECEIPT, BY_REQUEST, RECEIPTS, RANGE, KEY_EVENTS];

/// An entry with its place; its bytes may still be closed.
#[derive(Debug, Clone)]
pub struct Held {
    /// Its leaf's index.
    pub index: u64,
    /// Its id.
    pub id: EntryId,
    /// In whose sequence it stands.
    pub controller: ControllerId,
    /// Its number there, from 1.
    pub controller_seq: u64,
    /// What it is about, if it is about a request.
    pub request: Option<RequestId>,
    /// What kind it is.
    pub entry_type: EntryType,
    /// When it happened.
    pub at: Timestamp,
    /// Its leaf.
    pub leaf: Leaf,
    body: Option<Vec<u8>>,
}

/// What explains a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The salt, and what the leaf commits to beside the bytes.
    pub opening: Opening,
    /// The entry's bytes as they were written.
    pub bytes: Vec<u8>,
}

impl Archive {
    /// The entry with this id.
    pub async fn entry(&self, id: EntryId) -> Result<Option<Held>, Fault> {
        self.one(&BY_ID, Args::new().uuid(id.uuid())).await
    }

    /// The entry of a receipt.
    pub async fn receipt(&self, id: ReceiptId) -> Result<Option<Held>, Fault> {
        self.one(&BY_RECEIPT, Args::new().uuid(id.uuid())).await
    }

    /// The entries about a request in the order of the log, at most `limit`.
    pub async fn about(&self, request: RequestId, limit: u32) -> Result<Vec<Held>, Fault> {
        let args = Args::new().uuid(request.uuid()).int(limit.into());
        self.many(&BY_REQUEST, args).await
    }

    /// Receipts' entries from an index on, at most `limit`.
    pub async fn receipts(&self, from: u64, limit: u32) -> Result<Vec<Held>, Fault> {
        self.many(&RECEIPTS, Args::new().int(signed(from)).int(limit.into()))
            .await
    }

    /// Entries from one index on and before another; the caller keeps the two close.
    pub async fn range(&self, from: u64, until: u64) -> Result<Vec<Held>, Fault> {
        self.many(&RANGE, Args::new().int(signed(from)).int(signed(until)))
            .await
    }

    /// What happened to keys, from an index on, at most `limit` events.
    pub async fn key_events(&self, from: u64, limit: u32) -> Result<Vec<Held>, Fault> {
        self.many(&KEY_EVENTS, Args::new().int(signed(from)).int(limit.into()))
            .await
    }

    /// Opens entries, each if its bytes are not shredded.
    pub async fn open(&self, entries: &[Held]) -> Result<Vec<Option<Opened>>, Fault> {
        let closed = entries.iter().filter(|entry| entry.body.is_some());
        let requests: Vec<RequestId> = closed.filter_map(|entry| entry.request).collect();
        let keys = self.keys.load(Class::Evidence, &requests).await?;
        let open = |entry: &Held| {
            let Some(body) = &entry.body else { return Ok(None) };
            let body = match entry.request {
                None => body.clone(),
                Some(request) => match keys.get(&request) {
                    None => return Ok(None),
                    Some(key) => key.open(BODY, body).map_err(|_| DAMAGED)?,
                },
            };
            Opened::read(entry, &body).map(Some)
        };
        Ok(entries.iter().map(open).collect::<Result<_, _>>()?)
    }

    /// Opens one entry, if its bytes are not shredded.
    pub async fn open_one(&self, entry: &Held) -> Result<Option<Opened>, Fault> {
        Ok(self.open(std::slice::from_ref(entry)).await?.pop().flatten())
    }

    async fn one(&self, statement: &Statement, args: Args<'_>) -> Result<Option<Held>, Fault> {
        Ok(self.many(statement, args).await?.pop())
    }

    async fn many(&self, statement: &Statement, args: Args<'_>) -> Result<Vec<Held>, Fault> {
        let rows = self.db.fetch(statement, args).await?;
        Ok(rows.iter().map(held).collect::<Result<_, _>>()?)
    }
}

const DAMAGED: DbError = DbError::Inconsistent("a stored entry does not lead to its leaf");

impl Opened {
    /// Salt and bytes, if they lead to the leaf: what does not is never handed out.
    fn read(entry: &Held, body: &[u8]) -> Result<Self, DbError> {
        let (salt, bytes) = body.split_first_chunk().ok_or(DAMAGED)?;
        let opening = Opening {
            salt: *salt,
            entry_type: entry.entry_type,
            controller: entry.controller,
            controller_seq: entry.controller_seq,
        };
        if Leaf::commit(&opening, bytes) == entry.leaf {
            let bytes = bytes.to_vec();
            Ok(Self { opening, bytes })
        } else {
            Err(DAMAGED)
        }
    }
}

fn held(row: &Row) -> Result<Held, DbError> {
    let request: Option<uuid::Uuid> = row.get(4)?;
    Ok(Held {
        index: row.get::<i64>(0)?.unsigned_abs(),
        id: EntryId::from_uuid(row.get(1)?),
        controller: ControllerId::from_uuid(row.get(2)?),
        controller_seq: row.get::<i64>(3)?.unsigned_abs(),
        request: request.map(RequestId::from_uuid),
        entry_type: entry_type(row.get(5)?)?,
        at: instant(row.get(6)?)?,
        leaf: leaf(row, 7)?,
        body: row.get(8)?,
    })
}
