//! What happens when the ledger says that it holds entries.
//!
//! A receipt learns its place in the log; what waited for its entry takes effect, and what it replaces ends; the
//! entries go. All of it may happen twice, and then changes nothing the second time.

use domain::id::{ControllerId, EntryId, ReceiptId, RequestId, SystemId, TaskId};
use platform::db::{Args, DbError, Row, Statement, Tx};

/// The first announcement is kept: a later one of the same entry names the same index and a larger tree.
const PLACE_RECEIPTS: Statement = Statement {
    name: "entries_place_receipts",
    pg: "UPDATE receipt SET log_index = logged.index, log_size = $3 \
         FROM UNNEST($1::uuid[], $2::int8[]) AS logged (entry, index) \
         WHERE receipt.entry = logged.entry AND receipt.log_index IS NULL \
         RETURNING receipt.id, receipt.request, receipt.task, receipt.controller, receipt.system, receipt.entry, \
         receipt.log_index",
    lite: "UPDATE receipt SET log_index = logged.value ->> 1, log_size = $2 FROM jsonb_each($1) AS logged \
           WHERE receipt.entry = unhex(logged.value ->> 0) AND receipt.log_index IS NULL \
           RETURNING receipt.id, receipt.request, receipt.task, receipt.controller, receipt.system, receipt.entry, \
           receipt.log_index",
};

const PENDING: Statement = Statement {
    name: "entries_pending",
    pg: "SELECT 1::int8 FROM signing_key WHERE state = 'pending' AND entry = ANY($1) UNION ALL \
         SELECT 1::int8 FROM instruction WHERE state = 'pending' AND entry = ANY($1) UNION ALL \
         SELECT 1::int8 FROM registry_snapshot WHERE state = 'pending' AND entry = ANY($1) LIMIT 1",
    lite: "WITH logged AS MATERIALIZED (SELECT unhex(value ->> 0) AS entry FROM jsonb_each($1)) \
           SELECT 1 FROM signing_key WHERE state = 'pending' AND entry IN logged UNION ALL \
           SELECT 1 FROM instruction WHERE state = 'pending' AND entry IN logged UNION ALL \
           SELECT 1 FROM registry_snapshot WHERE state = 'pending' AND entry IN logged LIMIT 1",
};

/// Taken first, as everybody does who changes the registry, so that two changes wait for each other in one order.
const BUMP: Statement = Statement::both("entries_bump", "UPDATE registry_version SET version = version + 1");

const ACTIVATE_KEYS: Statement = Statement {
    name: "entries_activate_keys",
    pg: "UPDATE signing_key SET state = 'active' WHERE state = 'pending' AND entry = ANY($1)",
    lite: "UPDATE signing_key SET state = 'active' WHERE state = 'pending' \
           AND entry IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))",
};

const ACTIVATE_INSTRUCTIONS: Statement = Statement {
    name: "entries_activate_instructions",
    pg: "UPDATE instruction SET state = 'active' WHERE state = 'pending' AND entry = ANY($1)",
    lite: "UPDATE instruction SET state = 'active' WHERE state = 'pending' \
           AND entry IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))",
};

/// Whatever order the announcements come in, the newest active version is the one that stays.
const REPLACE_INSTRUCTIONS: Statement = Statement::both(
    "entries_replace_instructions",
    "UPDATE instruction SET state = 'replaced' WHERE state = 'active' AND EXISTS \
     (SELECT 1 FROM instruction AS newer WHERE newer.controller = instruction.controller \
     AND newer.state = 'active' AND newer.version > instruction.version)",
);

const ACTIVATE_SNAPSHOTS: Statement = Statement {
    name: "entries_activate_snapshots",
    pg: "UPDATE registry_snapshot SET state = 'active' WHERE state = 'pending' AND entry = ANY($1)",
    lite: "UPDATE registry_snapshot SET state = 'active' WHERE state = 'pending' \
           AND entry IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))",
};

/// Ids grow with time, so the greatest is the newest.
const REPLACE_SNAPSHOTS: Statement = Statement::both(
    "entries_replace_snapshots",
    "UPDATE registry_snapshot SET state = 'replaced' WHERE state = 'active' AND EXISTS \
     (SELECT 1 FROM registry_snapshot AS newer WHERE newer.controller = registry_snapshot.controller \
     AND newer.state = 'active' AND newer.id > registry_snapshot.id)",
);

const DELETE: Statement = Statement {
    name: "entries_delete",
    pg: "DELETE FROM entry WHERE id = ANY($1)",
    lite: "DELETE FROM entry WHERE id IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))",
};

pub(super) const ALL: &[Statement] = &[
    PLACE_RECEIPTS,
    PENDING,
    BUMP,
    ACTIVATE_KEYS,
    ACTIVATE_INSTRUCTIONS,
    REPLACE_INSTRUCTIONS,
    ACTIVATE_SNAPSHOTS,
    REPLACE_SNAPSHOTS,
    DELETE,
];

/// Whether the registry has changed by what was logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activated {
    /// Nothing waited for these entries.
    Nothing,
    /// A key, an instruction or a snapshot took effect; every process sees it with its next look.
    Something,
}

/// What an announcement brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// Whether the registry has changed by it.
    pub activated: Activated,
    /// The receipts whose place was not known before.
    pub placed: Vec<PlacedReceipt>,
}

/// A receipt that has its place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedReceipt {
    /// The receipt.
    pub receipt: ReceiptId,
    /// The request.
    pub request: RequestId,
    /// The task.
    pub task: TaskId,
    /// Whose data it is about.
    pub controller: ControllerId,
    /// Whose receipt it is.
    pub system: SystemId,
    /// The entry that holds it.
    pub entry: EntryId,
    /// Its leaf's index.
    pub index: i64,
}

/// Takes note of entries that the log holds: each with its leaf's index, under a tree of `size`.
pub async fn logged(tx: &mut Tx, entries: &[(EntryId, i64)], size: i64) -> Result<Noted, DbError> {
    if entries.is_empty() {
        return Ok(Noted {
            activated: Activated::Nothing,
            placed: vec![],
        });
    }
    let indices = entries.iter().map(|(_, index)| *index);
    let placed = tx.fetch(&PLACE_RECEIPTS, ids(entries).ints(indices).int(size)).await?;
    let placed = placed.iter().map(placed_receipt).collect::<Result<_, _>>()?;
    let pending = tx.fetch_optional(&PENDING, ids(entries)).await?.is_some();
    if pending {
        activate(tx, entries).await?;
    }
    tx.execute(&DELETE, ids(entries)).await?;
    let activated = if pending {
        Activated::Something
    } else {
        Activated::Nothing
    };
    Ok(Noted { activated, placed })
}

fn placed_receipt(row: &Row) -> Result<PlacedReceipt, DbError> {
    Ok(PlacedReceipt {
        receipt: ReceiptId::from_uuid(row.get(0)?),
        request: RequestId::from_uuid(row.get(1)?),
        task: TaskId::from_uuid(row.get(2)?),
        controller: ControllerId::from_uuid(row.get(3)?),
        system: SystemId::from_uuid(row.get(4)?),
        entry: EntryId::from_uuid(row.get(5)?),
        index: row.get(6)?,
    })
}

async fn activate(tx: &mut Tx, entries: &[(EntryId, i64)]) -> Result<(), DbError> {
    tx.execute(&BUMP, Args::new()).await?;
    tx.execute(&ACTIVATE_KEYS, ids(entries)).await?;
    if tx.execute(&ACTIVATE_INSTRUCTIONS, ids(entries)).await? > 0 {
        tx.execute(&REPLACE_INSTRUCTIONS, Args::new()).await?;
    }
    if tx.execute(&ACTIVATE_SNAPSHOTS, ids(entries)).await? > 0 {
        tx.execute(&REPLACE_SNAPSHOTS, Args::new()).await?;
    }
    Ok(())
}

fn ids(entries: &[(EntryId, i64)]) -> Args<'static> {
    Args::new().uuids(entries.iter().map(|(entry, _)| entry.uuid()))
}
