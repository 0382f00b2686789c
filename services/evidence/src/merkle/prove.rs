//! Proofs on demand: which tiles one needs, and the proof from them.
//!
//! Each proof is a pair of functions with the same arguments: `…_needs` names the tiles, `prove_…` computes from
//! them. Both run the same `tlog_tiles` walk, once with a reader that only writes down what it is asked for and
//! once with one that answers, so they can't disagree.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::tile::{TILE_HEIGHT, TileId, Tiles};
use super::{Hash, MAX_SIZE};

/// A tile that is needed and was not handed over, or is narrower than the tree has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is missing or too narrow")]
pub struct Missing(pub TileId);

/// Why there is no proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProveError {
    /// The index lies outside the tree, or the old tree is empty or larger than the new one.
    #[error("there is no such leaf or earlier tree in a tree of {0} leaves")]
    OutOfRange(u64),
    /// The caller did not fetch all that was needed.
    #[error(transparent)]
    Missing(#[from] Missing),
}

/// The tiles for [`prove_inclusion`]: about two a level of tiles.
pub fn inclusion_needs(index: u64, size: u64) -> Result<Vec<TileId>, ProveError> {
    in_range(index < size, size)?;
    Ok(needs(size, |reader| tlog_tiles::prove_record(size, index, reader)))
}

/// The hashes that prove leaf `index` to be in the tree of `size` leaves (RFC 6962 §2.1.1), leaf's sibling first.
pub fn prove_inclusion(index: u64, size: u64, tiles: &Tiles) -> Result<Vec<Hash>, ProveError> {
    in_range(index < size, size)?;
    compute(size, tiles, |reader| tlog_tiles::prove_record(size, index, reader))
}

/// The tiles for [`prove_consistency`].
pub fn consistency_needs(old: u64, size: u64) -> Result<Vec<TileId>, ProveError> {
    in_range((1..=size).contains(&old), size)?;
    Ok(needs(size, |reader| tlog_tiles::prove_tree(size, old, reader)))
}

/// The hashes that prove the tree of `old` leaves to be a prefix of that of `size` leaves (RFC 6962 §2.1.2).
pub fn prove_consistency(old: u64, size: u64, tiles: &Tiles) -> Result<Vec<Hash>, ProveError> {
    in_range((1..=size).contains(&old), size)?;
    compute(size, tiles, |reader| tlog_tiles::prove_tree(size, old, reader))
}

/// The tiles for [`root`].
pub fn root_needs(size: u64) -> Result<Vec<TileId>, ProveError> {
    in_range(size <= MAX_SIZE, size)?;
    Ok(needs(size, |reader| {
        tlog_tiles::tree_hash(size, reader).map(|root| vec![root])
    }))
}

/// The root of the tree of `size` leaves: what an earlier checkpoint said, or a later one must say.
pub fn root(size: u64, tiles: &Tiles) -> Result<Hash, ProveError> {
    in_range(size <= MAX_SIZE, size)?;
    let root = compute(size, tiles, |reader| {
        tlog_tiles::tree_hash(size, reader).map(|root| vec![root])
    })?;
    Ok(root[0])
}

fn in_range(holds: bool, size: u64) -> Result<(), ProveError> {
    if holds && size <= MAX_SIZE {
        Ok(())
    } else {
        Err(ProveError::OutOfRange(size))
    }
}

type Walked = Result<Vec<tlog_tiles::Hash>, tlog_tiles::tlog::Error>;

/// Runs a walk for the sake of what it asks; what it computes from zeroes is thrown away.
fn needs(size: u64, walk: impl Fn(&Asked) -> Walked) -> Vec<TileId> {
    let asked = Asked {
        size,
        tiles: RefCell::default(),
    };
    walk(&asked).expect("the range was checked and this reader never fails");
    asked.tiles.into_inner().into_iter().collect()
}

fn compute(size: u64, tiles: &Tiles, walk: impl Fn(&Fetched<'_>) -> Walked) -> Result<Vec<Hash>, ProveError> {
    let fetched = Fetched {
        size,
        tiles,
        missing: RefCell::default(),
    };
    match walk(&fetched) {
        Ok(hashes) => Ok(hashes.into_iter().map(|hash| Hash(hash.0)).collect()),
        Err(_) => Err(fetched
            .missing
            .into_inner()
            .expect("the range was checked, so a tile is missing")
            .into()),
    }
}

/// Where a node lies: its tile, and its level and number within the tile.
fn locate(stored: u64, size: u64) -> (TileId, u8, u64) {
    let (level, number) = tlog_tiles::split_stored_hash_index(stored);
    let (tile_level, level) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
    let index = number >> (TILE_HEIGHT - level);
    let tile = TileId::in_tree(tile_level, index, size).expect("a walk asks only for nodes of its tree");
    (tile, level, number - (index << (TILE_HEIGHT - level)))
}

/// Writes down which tiles it is asked for.
struct Asked {
    size: u64,
    tiles: RefCell<BTreeSet<TileId>>,
}

impl tlog_tiles::HashReader for Asked {
    fn read_hashes(&self, stored: &[u64]) -> Walked {
        self.tiles
            .borrow_mut()
            .extend(stored.iter().map(|stored| locate(*stored, self.size).0));
        Ok(vec![tlog_tiles::Hash::default(); stored.len()])
    }
}

/// Answers from the tiles that were fetched, and remembers the first that was not.
struct Fetched<'a> {
    size: u64,
    tiles: &'a Tiles,
    missing: RefCell<Option<Missing>>,
}

impl tlog_tiles::HashReader for Fetched<'_> {
    fn read_hashes(&self, stored: &[u64]) -> Walked {
        let answer = |stored: &u64| {
            let (tile, level, number) = locate(*stored, self.size);
            let node = self
                .tiles
                .get(tile.level, tile.index)
                .and_then(|found| found.node(level, number));
            if node.is_none() {
                self.missing.replace(Some(Missing(tile)));
            }
            // The walk only has to stop; which tile it was, `missing` says.
            node.map(|hash| tlog_tiles::Hash(hash.0))
                .ok_or(tlog_tiles::tlog::Error::InvalidTile)
        };
        stored.iter().map(answer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::grow::Edge;
    use crate::merkle::grow::tests::{Rows, leaf};
    use crate::merkle::verify::{verify_consistency, verify_inclusion};

    /// Trees around every border of a tile, proved from the tiles of a larger one, which are wider than needed.
    #[test]
    fn proves_what_a_stranger_verifies() {
        let (mut edge, mut rows, mut roots) = (Edge::default(), Rows::default(), vec![]);
        let sizes = [1, 2, 3, 255, 256, 257, 600, 65_535, 65_536, 65_537, 65_900];
        for size in sizes {
            rows.write(edge.append((edge.size()..size).map(leaf)));
            roots.push((size, edge.root()));
        }
        for (size, tree) in &roots {
            let found = rows.read(&root_needs(*size).unwrap());
            assert_eq!(root(*size, &found), Ok(*tree));
            for index in [0, size / 3, size / 2, size - 1] {
                let tiles = rows.read(&inclusion_needs(index, *size).unwrap());
                let proof = prove_inclusion(index, *size, &tiles).unwrap();
                assert_eq!(verify_inclusion(index, *size, leaf(index), *tree, &proof), Ok(()));
            }
            for (old, old_root) in roots.iter().filter(|(old, _)| old <= size) {
                let tiles = rows.read(&consistency_needs(*old, *size).unwrap());
                let proof = prove_consistency(*old, *size, &tiles).unwrap();
                assert_eq!(verify_consistency(*old, old_root, *size, tree, &proof), Ok(()));
            }
        }
    }

    #[test]
    fn says_which_tile_is_missing_and_what_is_out_of_range() {
        let (mut edge, mut rows) = (Edge::default(), Rows::default());
        rows.write(edge.append((0..300).map(leaf)));
        let needs = inclusion_needs(299, 300).unwrap();
        let tiles = rows.read(&needs[..needs.len() - 1]);
        assert!(matches!(prove_inclusion(299, 300, &tiles), Err(ProveError::Missing(_))));
        // Proofs in a tree that is ahead of the tiles.
        let stale = rows.read(&TileId::right_edge(300));
        assert!(matches!(prove_inclusion(310, 320, &stale), Err(ProveError::Missing(_))));
        for (index, size) in [(0, 0), (300, 300), (u64::MAX, 300), (0, MAX_SIZE + 1)] {
            assert_eq!(inclusion_needs(index, size), Err(ProveError::OutOfRange(size)));
        }
        for (old, size) in [(0, 0), (0, 300), (301, 300), (1, u64::MAX)] {
            assert_eq!(consistency_needs(old, size), Err(ProveError::OutOfRange(size)));
        }
    }
}
