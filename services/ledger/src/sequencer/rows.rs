//! What a batch writes, in statements whose number does not depend on its size.
//!
//! [`advance`] comes first in the transaction: it is a compare-and-set of fence and size, and what follows is written
//! by the one holder that it lets through.

use std::collections::{BTreeMap, BTreeSet};

use domain::id::{ControllerId, ReceiptId, RequestId};
use jiff::Timestamp;
use platform::db::{Args, Db, DbError, Statement, Tx};

use crate::archive::signed;
use crate::batch::{Batch, Placed};
use crate::hold::Hold;

const LAST: Statement = Statement {
    name: "sequencer_last",
    pg: "SELECT controller, last FROM sequence WHERE controller = ANY($1)",
    lite: "SELECT controller, last FROM sequence WHERE controller IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))",
};

/// The one place where the log grows: under this fence, and from this size.
const ADVANCE: Statement = Statement::both(
    "sequencer_advance",
    "UPDATE log SET size = $1, root = $2, held_until = $3 WHERE fence = $4 AND size = $5",
);

const INSERT: Statement = Statement {
    name: "sequencer_insert",
    pg: "INSERT INTO entry (leaf_index, id, controller, controller_seq, request, type, receipt, at, leaf, body, \
         logged_at) SELECT *, $11 FROM UNNEST($1::int8[], $2::uuid[], $3::uuid[], $4::int8[], $5::uuid[], $6::int8[], \
         $7::uuid[], $8::int8[], $9::bytea[], $10::bytea[])",
    lite: "INSERT INTO entry (leaf_index, id, controller, controller_seq, request, type, receipt, at, leaf, body, \
           logged_at) SELECT value ->> 0, unhex(value ->> 1), unhex(value ->> 2), value ->> 3, unhex(value ->> 4), \
           value ->> 5, unhex(value ->> 6), value ->> 7, unhex(value ->> 8), unhex(value ->> 9), $2 \
           FROM jsonb_each($1)",
};

const TILES: Statement = Statement {
    name: "sequencer_tiles",
    pg: "INSERT INTO tile (level, tile_index, width, content) \
         SELECT * FROM UNNEST($1::int8[], $2::int8[], $3::int8[], $4::bytea[]) \
         ON CONFLICT (level, tile_index) DO UPDATE SET width = excluded.width, content = excluded.content",
    lite: "INSERT INTO tile (level, tile_index, width, content) \
           SELECT value ->> 0, value ->> 1, value ->> 2, unhex(value ->> 3) FROM jsonb_each($1) WHERE true \
           ON CONFLICT (level, tile_index) DO UPDATE SET width = excluded.width, content = excluded.content",
};

const SEQUENCES: Statement = Statement {
    name: "sequencer_sequences",
    pg: "INSERT INTO sequence (controller, last) SELECT * FROM UNNEST($1::uuid[], $2::int8[]) \
         ON CONFLICT (controller) DO UPDATE SET last = excluded.last",
    lite: "INSERT INTO sequence (controller, last) \
           SELECT unhex(value ->> 0), value ->> 1 FROM jsonb_each($1) WHERE true \
           ON CONFLICT (controller) DO UPDATE SET last = excluded.last",
};

const AGAIN: Statement = Statement {
    name: "sequencer_again",
    pg: "INSERT INTO again (id) SELECT * FROM UNNEST($1::uuid[]) ON CONFLICT (id) DO NOTHING",
    lite: "INSERT INTO again (id) SELECT unhex(value ->> 0) FROM jsonb_each($1) WHERE true ON CONFLICT (id) DO NOTHING",
};

const DONE: Statement = Statement {
    name: "sequencer_done",
    pg: "DELETE FROM pending WHERE place = ANY($1)",
    lite: "DELETE FROM pending WHERE place IN (SELECT value ->> 0 FROM jsonb_each($1))",
};

const PUBLISH: Statement = Statement::both(
    "sequencer_publish",
    "INSERT INTO checkpoint (size, note, signed_at) VALUES ($1, $2, $3) ON CONFLICT (size) DO NOTHING",
);

pub(crate) const ALL: &[Statement] = &[LAST, ADVANCE, INSERT, TILES, SEQUENCES, AGAIN, DONE, PUBLISH];

/// The last number of each controller's sequence; one that has none is left out.
pub(super) async fn last(
    db: &Db,
    controllers: &BTreeSet<ControllerId>,
) -> Result<BTreeMap<ControllerId, u64>, DbError> {
    let args = Args::new().uuids(controllers.iter().map(|controller| controller.uuid()));
    let rows = db.fetch(&LAST, args).await?;
    let read = |row: &platform::db::Row| {
        let last: i64 = row.get(1)?;
        Ok((ControllerId::from_uuid(row.get(0)?), last.unsigned_abs()))
    };
    rows.iter().map(read).collect()
}

/// Whether the log still stands where the holder left it; then it grows, whatever else this transaction writes.
pub(super) async fn advance(tx: &mut Tx, batch: &Batch, hold: &Hold, until: Timestamp) -> Result<bool, DbError> {
    let root = batch.edge.root();
    let args = Args::new()
        .int(signed(batch.edge.size()))
        .blob(root.as_ref())
        .int(until.as_microsecond())
        .int(hold.fence)
        .int(signed(hold.edge.size()));
    Ok(tx.execute(&ADVANCE, args).await? == 1)
}

/// Everything else of a batch: entries, tiles, numbers, and what waited for them.
pub(super) async fn write(tx: &mut Tx, batch: &Batch, now: Timestamp) -> Result<(), DbError> {
    if !batch.placed.is_empty() {
        tx.execute(&INSERT, entries(&batch.placed).int(now.as_microsecond()))
            .await?;
        tx.execute(&TILES, tiles(batch)).await?;
        tx.execute(&SEQUENCES, sequences(batch)).await?;
    }
    if !batch.known.is_empty() {
        let known = Args::new().uuids(batch.known.iter().map(|id| id.uuid()));
        tx.execute(&AGAIN, known).await?;
    }
    let done = Args::new().ints(batch.done.iter().copied());
    tx.execute(&DONE, done).await.map(drop)
}

/// A signed head, as everybody may read it.
pub(super) async fn publish(db: &Db, size: u64, note: &str, now: Timestamp) -> Result<(), DbError> {
    let args = Args::new().int(signed(size)).text(note).int(now.as_microsecond());
    db.execute(&PUBLISH, args).await.map(drop)
}

fn entries(placed: &[Placed]) -> Args<'_> {
    Args::new()
        .ints(placed.iter().map(|placed| signed(placed.index)))
        .uuids(placed.iter().map(|placed| placed.entry.id.uuid()))
        .uuids(placed.iter().map(|placed| placed.entry.controller.uuid()))
        .ints(placed.iter().map(|placed| signed(placed.controller_seq)))
        .maybe_uuids(placed.iter().map(|placed| placed.entry.request.map(RequestId::uuid)))
        .ints(placed.iter().map(|placed| placed.entry.entry_type.byte().into()))
        .maybe_uuids(placed.iter().map(|placed| placed.entry.receipt.map(ReceiptId::uuid)))
        .ints(placed.iter().map(|placed| placed.entry.at.as_microsecond()))
        .blobs(placed.iter().map(|placed| &placed.leaf.bytes()[..]))
        .maybe_blobs(placed.iter().map(|placed| placed.body.as_deref()))
}

fn tiles(batch: &Batch) -> Args<'_> {
    Args::new()
        .ints(batch.tiles.iter().map(|tile| tile.id.level.into()))
        .ints(batch.tiles.iter().map(|tile| signed(tile.id.index)))
        .ints(batch.tiles.iter().map(|tile| tile.id.width.into()))
        .blobs(batch.tiles.iter().map(|tile| tile.content.as_slice()))
}

fn sequences(batch: &Batch) -> Args<'_> {
    Args::new()
        .uuids(batch.last.keys().map(|controller| controller.uuid()))
        .ints(batch.last.values().map(|last| signed(*last)))
}
