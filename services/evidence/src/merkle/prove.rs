//! Proofs on demand: which tiles one needs, and the proof from them.
//!
//! A proof is a list of ranges of leaves, and each of its hashes is the root over one range (RFC 6962 §2.1.1 and
//! §2.1.2): a range's complete subtrees are read from tiles and folded. `…_needs` names the tiles of those subtrees,
//! `prove_…` reads them; both work on the same ranges, so they can't disagree.

use std::collections::BTreeSet;
use std::ops::Range;

use super::tile::{TILE_HEIGHT, TileId, Tiles};
use super::{EMPTY_ROOT, Hash, MAX_SIZE, node_hash};

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
    Ok(needs(inclusion(index, size)?, size))
}

/// The hashes that prove leaf `index` to be in the tree of `size` leaves (RFC 6962 §2.1.1), leaf's sibling first.
pub fn prove_inclusion(index: u64, size: u64, tiles: &Tiles) -> Result<Vec<Hash>, ProveError> {
    roots(inclusion(index, size)?, size, tiles)
}

/// The tiles for [`prove_consistency`].
pub fn consistency_needs(old: u64, size: u64) -> Result<Vec<TileId>, ProveError> {
    Ok(needs(consistency(old, size)?, size))
}

/// The hashes that prove the tree of `old` leaves to be a prefix of that of `size` leaves (RFC 6962 §2.1.2).
pub fn prove_consistency(old: u64, size: u64, tiles: &Tiles) -> Result<Vec<Hash>, ProveError> {
    roots(consistency(old, size)?, size, tiles)
}

/// The tiles for [`root`].
pub fn root_needs(size: u64) -> Result<Vec<TileId>, ProveError> {
    in_range(size <= MAX_SIZE, size)?;
    Ok(needs(std::iter::once(0..size), size))
}

/// The root of the tree of `size` leaves: what an earlier checkpoint said, or a later one must say.
pub fn root(size: u64, tiles: &Tiles) -> Result<Hash, ProveError> {
    in_range(size <= MAX_SIZE, size)?;
    range_root(0..size, size, tiles)
}

fn in_range(holds: bool, size: u64) -> Result<(), ProveError> {
    if holds && size <= MAX_SIZE {
        Ok(())
    } else {
        Err(ProveError::OutOfRange(size))
    }
}

/// The siblings on the way from a leaf to the root, lowest first.
fn inclusion(index: u64, size: u64) -> Result<Vec<Range<u64>>, ProveError> {
    in_range(index < size, size)?;
    let (mut here, mut siblings) = (0..size, Vec::new());
    while here.end - here.start > 1 {
        let middle = split(&here);
        let (inside, sibling) = if index < middle {
            (here.start..middle, middle..here.end)
        } else {
            (middle..here.end, here.start..middle)
        };
        siblings.push(sibling);
        here = inside;
    }
    siblings.reverse();
    Ok(siblings)
}

/// The same on the way from the old tree's right edge, which comes first unless it is the whole old tree.
fn consistency(old: u64, size: u64) -> Result<Vec<Range<u64>>, ProveError> {
    in_range((1..=size).contains(&old), size)?;
    let (mut here, mut siblings) = (0..size, Vec::new());
    while here.end > old {
        let middle = split(&here);
        let (inside, sibling) = if old <= middle {
            (here.start..middle, middle..here.end)
        } else {
            (middle..here.end, here.start..middle)
        };
        siblings.push(sibling);
        here = inside;
    }
    if here.start > 0 {
        siblings.push(here);
    }
    siblings.reverse();
    Ok(siblings)
}

/// Where RFC 6962 parts a range of more than one leaf: after the largest power of two that leaves something.
fn split(range: &Range<u64>) -> u64 {
    range.start + (1 << (range.end - range.start - 1).ilog2())
}

/// The complete subtrees that a range is made of, left to right, as level and number within the level.
fn subtrees(mut range: Range<u64>) -> impl DoubleEndedIterator<Item = (u8, u64)> {
    let mut subtrees = Vec::new();
    while !range.is_empty() {
        let level = (range.end - range.start).ilog2();
        subtrees.push((u8::try_from(level).expect("a level is below 64"), range.start >> level));
        range.start += 1 << level;
    }
    subtrees.into_iter()
}

fn needs(ranges: impl IntoIterator<Item = Range<u64>>, size: u64) -> Vec<TileId> {
    let nodes = ranges.into_iter().flat_map(subtrees);
    let tiles: BTreeSet<TileId> = nodes.map(|(level, number)| locate(level, number, size).0).collect();
    tiles.into_iter().collect()
}

fn roots(ranges: Vec<Range<u64>>, size: u64, tiles: &Tiles) -> Result<Vec<Hash>, ProveError> {
    ranges.into_iter().map(|range| range_root(range, size, tiles)).collect()
}

fn range_root(range: Range<u64>, size: u64, tiles: &Tiles) -> Result<Hash, ProveError> {
    let mut root = None;
    for (level, number) in subtrees(range).rev() {
        let (tile, level, number) = locate(level, number, size);
        let node = tiles
            .get(tile.level, tile.index)
            .and_then(|found| found.node(level, number));
        let left = node.ok_or(Missing(tile))?;
        root = Some(root.map_or(left, |right| node_hash(left, right)));
    }
    Ok(root.unwrap_or(EMPTY_ROOT))
}

/// Where a complete node lies: its tile, and its level and number within the tile.
fn locate(level: u8, number: u64, size: u64) -> (TileId, u8, u64) {
    let (tile_level, level) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
    let index = number >> (TILE_HEIGHT - level);
    let tile = TileId::in_tree(tile_level, index, size).expect("a complete node of the tree lies in one of its tiles");
    (tile, level, number - (index << (TILE_HEIGHT - level)))
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

    /// No tile is fetched for nothing: without any one of those that were named, there is no proof.
    #[test]
    fn names_the_tiles_that_it_reads_and_no_others() {
        let (mut edge, mut rows) = (Edge::default(), Rows::default());
        rows.write(edge.append((0..66_000).map(leaf)));
        for (index, size) in [(299, 300), (0, 65_537), (65_999, 66_000), (40_000, 66_000)] {
            let needs = inclusion_needs(index, size).unwrap();
            assert!(needs.len() <= 5, "{needs:?}");
            for without in &needs {
                let rest: Vec<TileId> = needs.iter().filter(|id| *id != without).copied().collect();
                let proof = prove_inclusion(index, size, &rows.read(&rest));
                assert_eq!(proof, Err(ProveError::Missing(Missing(*without))));
            }
        }
    }

    #[test]
    fn says_what_is_missing_or_out_of_range() {
        let (mut edge, mut rows) = (Edge::default(), Rows::default());
        rows.write(edge.append((0..300).map(leaf)));
        // A proof in a tree that is ahead of the tiles.
        let stale = rows.read(&TileId::right_edge(300));
        assert!(matches!(prove_inclusion(310, 320, &stale), Err(ProveError::Missing(_))));
        for (index, size) in [(0, 0), (300, 300), (u64::MAX, 300), (0, MAX_SIZE + 1)] {
            assert_eq!(inclusion_needs(index, size), Err(ProveError::OutOfRange(size)));
        }
        for (old, size) in [(0, 0), (0, 300), (301, 300), (1, u64::MAX)] {
            assert_eq!(consistency_needs(old, size), Err(ProveError::OutOfRange(size)));
        }
        assert_eq!(root(0, &Tiles::default()), Ok(EMPTY_ROOT));
    }
}
