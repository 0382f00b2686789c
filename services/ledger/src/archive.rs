//! Reading the log: what is published, entries as they were written, and proofs on demand.
//!
//! Everything is bound to the newest published checkpoint, so nobody sees a leaf that no signature covers yet. A proof
//! costs one statement for its tiles; full tiles never change and stay in memory. An entry's bytes and salt are opened
//! with its request's evidence key, and are gone with it: then the leaf alone is left, and it says nothing.

mod held;
mod warm;

use std::sync::Arc;

use evidence::leaf::{Leaf, bundle};
use evidence::merkle::prove::{self, Missing, ProveError};
use evidence::merkle::tile::{BundleId, TILE_WIDTH, Tile, TileId, Tiles};
use evidence::merkle::{HASH_LENGTH, Hash};
use evidence::note::{NoteKey, SignedCheckpoint};
use evidence::proof::Proof;
use keys::KeyStore;
use platform::db::{Args, Db, DbError, Row, Statement};

use crate::fault::Fault;

pub(crate) use held::BODY;
pub use held::{Held, Opened};

const TILES: Statement = Statement {
    name: "archive_tiles",
    pg: "SELECT level, tile_index, width, content FROM tile \
         JOIN UNNEST($1::int8[], $2::int8[]) AS wanted (level, tile_index) USING (level, tile_index)",
    lite: "SELECT level, tile_index, width, content FROM tile \
           WHERE (level, tile_index) IN (SELECT value ->> 0, value ->> 1 FROM jsonb_each($1))",
};

const NEWEST: Statement = Statement::both(
    "archive_newest",
    "SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1",
);

/// The oldest that has leaves: the longest way that a consistency proof can go.
const OLDEST: Statement = Statement::both(
    "archive_oldest",
    "SELECT note FROM checkpoint WHERE size > 0 ORDER BY size LIMIT 1",
);

const LEAVES: Statement = Statement::both(
    "archive_leaves",
    "SELECT leaf FROM entry WHERE leaf_index >= $1 AND leaf_index < $2 ORDER BY leaf_index",
);

pub(crate) const ALL: &[&[Statement]] = &[&[TILES, NEWEST, OLDEST, LEAVES], held::ALL];

/// The log as readers see it. Cheap to clone; clones share what is warm.
#[derive(Debug, Clone)]
pub struct Archive {
    db: Db,
    keys: KeyStore,
    key: Arc<NoteKey>,
    warm: Arc<warm::Warm>,
}

impl Archive {
    /// Reads a log's database, with a key store that has the evidence class.
    #[must_use]
    pub fn new(db: Db, keys: KeyStore, key: NoteKey) -> Self {
        Self {
            db,
            keys,
            key: Arc::new(key),
            warm: Arc::default(),
        }
    }

    /// The log's public key, by which auditors know it.
    #[must_use]
    pub fn key(&self) -> &NoteKey {
        &self.key
    }

    /// The ledger's database.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The newest published checkpoint; none before the first start.
    pub async fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, Fault> {
        self.one_checkpoint(&NEWEST).await
    }

    /// The oldest checkpoint of a tree with leaves.
    pub async fn oldest_checkpoint(&self) -> Result<Option<SignedCheckpoint>, Fault> {
        self.one_checkpoint(&OLDEST).await
    }

    async fn one_checkpoint(&self, statement: &Statement) -> Result<Option<SignedCheckpoint>, Fault> {
        let row = self.db.fetch_optional(statement, Args::new()).await?;
        let note: Option<String> = row.map(|row| row.get(0)).transpose()?;
        Ok(note.map(|note| SignedCheckpoint::parse(note.as_bytes())).transpose()?)
    }

    /// A tile's content, if the published tree has it at least as wide.
    pub async fn tile(&self, id: TileId) -> Result<Option<Vec<u8>>, Fault> {
        let published = TileId::in_tree(id.level, id.index, self.size().await?);
        if published.is_none_or(|published| published.width < id.width) {
            return Ok(None);
        }
        let found = self.fetch(&[id]).await?.pop();
        let (_, tile) = found.ok_or(ProveError::Missing(Missing(id)))?;
        let mut content = tile.content();
        content.truncate(usize::from(id.width) * HASH_LENGTH);
        Ok(Some(content))
    }

    /// A bundle of leaves, if the published log has it at least as wide.
    pub async fn bundle(&self, id: BundleId) -> Result<Option<Vec<u8>>, Fault> {
        let published = BundleId::in_tree(id.index, self.size().await?);
        if published.is_none_or(|published| published.width < id.width) {
            return Ok(None);
        }
        let first = id.index * u64::from(TILE_WIDTH);
        let args = Args::new().int(signed(first)).int(signed(first + u64::from(id.width)));
        let rows = self.db.fetch(&LEAVES, args).await?;
        let leaves = rows.iter().map(|row| leaf(row, 0)).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(bundle(&leaves)))
    }

    /// The proof that a leaf is in the newest published tree; none if that is still smaller.
    pub async fn prove(&self, index: u64, opened: Option<&Opened>) -> Result<Option<Proof>, Fault> {
        let Some(checkpoint) = self.checkpoint().await? else {
            return Ok(None);
        };
        let size = checkpoint.checkpoint().size;
        if index >= size {
            return Ok(None);
        }
        let tiles = self.tiles(&prove::inclusion_needs(index, size)?).await?;
        Ok(Some(Proof {
            extra: opened.map(|opened| opened.opening.bytes().to_vec()),
            index,
            steps: prove::prove_inclusion(index, size, &tiles)?,
            checkpoint,
        }))
    }

    /// The proof that the tree of `from` leaves is the beginning of that of `to`; none if those are no sizes of it.
    pub async fn consistency(&self, from: u64, to: u64) -> Result<Option<Vec<Hash>>, Fault> {
        if !(1..=to).contains(&from) || to > self.size().await? {
            return Ok(None);
        }
        let tiles = self.tiles(&prove::consistency_needs(from, to)?).await?;
        Ok(Some(prove::prove_consistency(from, to, &tiles)?))
    }

    async fn size(&self) -> Result<u64, Fault> {
        let newest = self.checkpoint().await?;
        Ok(newest.map_or(0, |newest| newest.checkpoint().size))
    }

    async fn tiles(&self, wanted: &[TileId]) -> Result<Tiles, Fault> {
        Ok(gather(self.fetch(wanted).await?))
    }

    /// Tiles from memory, and the others from the database.
    async fn fetch(&self, wanted: &[TileId]) -> Result<Vec<(TileId, Arc<Tile>)>, Fault> {
        let (mut found, missing) = self.warm.find(wanted);
        let read = read_tiles(&self.db, &missing).await?;
        self.warm.keep(&read);
        found.extend(read);
        Ok(found)
    }
}

/// Tiles straight from the database.
pub(crate) async fn tiles(db: &Db, wanted: &[TileId]) -> Result<Tiles, DbError> {
    Ok(gather(read_tiles(db, wanted).await?))
}

fn gather(found: Vec<(TileId, Arc<Tile>)>) -> Tiles {
    let mut tiles = Tiles::default();
    for (id, tile) in found {
        tiles.insert(id, tile);
    }
    tiles
}

async fn read_tiles(db: &Db, wanted: &[TileId]) -> Result<Vec<(TileId, Arc<Tile>)>, DbError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let args = Args::new()
        .ints(wanted.iter().map(|id| id.level.into()))
        .ints(wanted.iter().map(|id| signed(id.index)));
    db.fetch(&TILES, args).await?.iter().map(tile).collect()
}

fn tile(row: &Row) -> Result<(TileId, Arc<Tile>), DbError> {
    const DAMAGED: DbError = DbError::Inconsistent("a stored tile is none");
    let content: Vec<u8> = row.get(3)?;
    let tile = Tile::parse(&content).map_err(|_| DAMAGED)?;
    let id = TileId {
        level: u8::try_from(row.get::<i64>(0)?).map_err(|_| DAMAGED)?,
        index: row.get::<i64>(1)?.unsigned_abs(),
        width: tile.width(),
    };
    if i64::from(id.width) == row.get::<i64>(2)? {
        Ok((id, Arc::new(tile)))
    } else {
        Err(DAMAGED)
    }
}

fn leaf(row: &Row, place: usize) -> Result<Leaf, DbError> {
    let bytes: Vec<u8> = row.get(place)?;
    Leaf::parse(&bytes).map_err(|_| DbError::Inconsistent("a stored leaf is none"))
}

/// Sizes and indices in a database; a tree has at most 2^48 leaves.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
