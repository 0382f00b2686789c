//! Appending: what a sequencer does between two heads.
//!
//! An [`Edge`] is the partial tile of each level, which together determine the root; a leaf goes to the lowest, and
//! a tile that becomes full hands its root to the level above. So appending costs two hashes a leaf however large
//! the tree is, and the tiles that come back are exactly the rows that changed. Loading compares the root with the
//! head that was signed: a log that has lost or changed a tile stops here, before it signs anything.

use super::prove::Missing;
use super::tile::{TILE_HEIGHT, TILE_WIDTH, Tile, TileId, Tiles};
use super::{EMPTY_ROOT, Hash, MAX_SIZE, node_hash};

/// The right edge of a tree.
#[derive(Debug, Clone, Default)]
pub struct Edge {
    size: u64,
    /// One partial tile a level, lowest first; empty where the size is a multiple.
    levels: Vec<Tile>,
}

/// Why stored tiles can't be grown from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// A tile of the right edge was not handed over, or is narrower than the tree has it.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The tiles hash to another root than the head says.
    #[error("the stored tiles hash to another root than the head's")]
    Root,
}

/// One tile that a growth wrote, with the content to store under its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its place, and its width now.
    pub id: TileId,
    /// What is stored and served: `32 × width` bytes.
    pub content: Vec<u8>,
}

impl Edge {
    /// The edge of a tree of `size` leaves, from the tiles of [`TileId::right_edge`], checked against its `root`.
    pub fn load(size: u64, root: Hash, tiles: &Tiles) -> Result<Self, LoadError> {
        let mut edge = Self {
            size,
            levels: Vec::new(),
        };
        for id in TileId::right_edge(size) {
            let tile = tiles.get(id.level, id.index).and_then(|tile| narrowed(tile, id.width));
            edge.levels.resize_with(usize::from(id.level), Tile::default);
            edge.levels.push(tile.ok_or(Missing(id))?);
        }
        if edge.root() == root {
            Ok(edge)
        } else {
            Err(LoadError::Root)
        }
    }

    /// How many leaves the tree has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree: its complete subtrees, folded from the smallest, which is the rightmost.
    ///
    /// # Panics
    /// Never: a tile has the nodes that its width says.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut root = None;
        for tile in &self.levels {
            for level in (0..TILE_HEIGHT).filter(|level| tile.width() >> level & 1 == 1) {
                let number = u64::from(tile.width() >> level) - 1;
                let left = tile
                    .node(level, number)
                    .expect("the width has this bit, so the node is complete");
                root = Some(root.map_or(left, |right| node_hash(left, right)));
            }
        }
        root.unwrap_or(EMPTY_ROOT)
    }

    /// Appends leaves, given as [`super::record_hash`]es, and says which tiles are new or wider for it.
    ///
    /// Full tiles come once; of the partial ones only the last state comes.
    ///
    /// # Panics
    /// At [`MAX_SIZE`], which no log reaches.
    pub fn append(&mut self, leaves: impl IntoIterator<Item = Hash>) -> Vec<Written> {
        let before = self.size;
        let mut written = Vec::new();
        for leaf in leaves {
            assert!(self.size < MAX_SIZE, "a log ends long before 2^48 leaves");
            self.size += 1;
            self.push(0, leaf, &mut written);
        }
        let partial = TileId::right_edge(self.size).into_iter();
        let grown = partial.filter(|id| TileId::in_tree(id.level, id.index, before) != Some(*id));
        written.extend(grown.map(|id| Written {
            id,
            content: self.levels[usize::from(id.level)].content(),
        }));
        written
    }

    fn push(&mut self, level: u8, hash: Hash, written: &mut Vec<Written>) {
        let at = usize::from(level);
        if at == self.levels.len() {
            self.levels.push(Tile::default());
        }
        self.levels[at].push(hash);
        if let Some(root) = self.levels[at].root() {
            let full = std::mem::take(&mut self.levels[at]);
            let index = (self.size >> (TILE_HEIGHT * (level + 1))) - 1;
            written.push(Written {
                id: TileId {
                    level,
                    index,
                    width: TILE_WIDTH,
                },
                content: full.content(),
            });
            self.push(level + 1, root, written);
        }
    }
}

/// The tile as it was when it had `width` hashes; a later, wider one contains it.
fn narrowed(tile: &Tile, width: u16) -> Option<Tile> {
    if tile.width() == width {
        return Some(tile.clone());
    }
    let content = tile.content();
    let narrow = content.get(..usize::from(width) * super::HASH_LENGTH)?;
    Tile::parse(narrow).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::merkle::record_hash;

    /// A store of tiles as a ledger keeps it: one row a place, overwritten as it widens.
    #[derive(Default)]
    pub(crate) struct Rows(BTreeMap<(u8, u64), Vec<u8>>);

    impl Rows {
        pub(crate) fn write(&mut self, written: Vec<Written>) {
            for tile in written {
                assert_eq!(tile.content.len(), usize::from(tile.id.width) * 32);
                self.0.insert((tile.id.level, tile.id.index), tile.content);
            }
        }

        pub(crate) fn read(&self, needs: &[TileId]) -> Tiles {
            let mut tiles = Tiles::default();
            for id in needs {
                let content = &self.0[&(id.level, id.index)];
                tiles.insert(*id, Arc::new(Tile::parse(content).unwrap()));
            }
            tiles
        }
    }

    pub(crate) fn leaf(number: u64) -> Hash {
        record_hash(&number.to_be_bytes())
    }

    /// RFC 6962 §2.1's own recursion, to compare with.
    fn root_by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => EMPTY_ROOT,
            [leaf] => *leaf,
            _ => {
                let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                node_hash(root_by_definition(left), root_by_definition(right))
            }
        }
    }

    #[test]
    fn grows_by_any_batch_to_the_same_tree() {
        let leaves: Vec<Hash> = (0..66_000).map(leaf).collect();
        let mut at_once = Edge::default();
        let mut all = Rows::default();
        all.write(at_once.append(leaves.iter().copied()));
        for batch in [257, 4_099] {
            let (mut edge, mut rows) = (Edge::default(), Rows::default());
            for chunk in leaves.chunks(batch) {
                rows.write(edge.append(chunk.iter().copied()));
            }
            assert_eq!((edge.size(), edge.root()), (66_000, at_once.root()), "{batch}");
            assert!(rows.0 == all.0, "the tiles differ at batches of {batch}");
        }
        assert_eq!(at_once.root(), root_by_definition(&leaves));
    }

    #[test]
    fn goes_on_from_what_is_stored() {
        let (mut edge, mut rows) = (Edge::default(), Rows::default());
        for (size, add) in [(0, 1), (1, 254), (255, 1), (256, 0), (256, 700), (956, 65_000)] {
            let tiles = rows.read(&TileId::right_edge(size));
            edge = Edge::load(size, edge.root(), &tiles).unwrap();
            rows.write(edge.append((size..size + add).map(leaf)));
        }
        let mut at_once = Edge::default();
        at_once.append((0..65_956).map(leaf));
        assert_eq!(edge.root(), at_once.root());
    }

    #[test]
    fn loads_an_older_head_from_wider_tiles() {
        let (mut edge, mut rows) = (Edge::default(), Rows::default());
        rows.write(edge.append((0..300).map(leaf)));
        let old = edge.root();
        rows.write(edge.append((300..400).map(leaf)));
        let tiles = rows.read(&TileId::right_edge(300));
        assert_eq!(Edge::load(300, old, &tiles).unwrap().root(), old);
    }

    #[test]
    fn refuses_tiles_that_are_not_the_head_s() {
        let (mut edge, mut rows) = (Edge::default(), Rows::default());
        rows.write(edge.append((0..300).map(leaf)));
        let needs = TileId::right_edge(300);
        assert_eq!(needs.len(), 2);
        let tiles = rows.read(&needs);
        assert_eq!(Edge::load(300, leaf(0), &tiles).unwrap_err(), LoadError::Root);
        let one = rows.read(&needs[..1]);
        assert_eq!(
            Edge::load(300, edge.root(), &one).unwrap_err(),
            LoadError::Missing(Missing(needs[1]))
        );
        // A head that is ahead of the tiles: the row is there, but narrower.
        let error = Edge::load(301, edge.root(), &tiles).unwrap_err();
        assert_eq!(
            error,
            LoadError::Missing(Missing(TileId {
                level: 0,
                index: 1,
                width: 45
            }))
        );
    }
}
