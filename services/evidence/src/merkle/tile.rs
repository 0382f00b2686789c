//! Tiles: 256 consecutive hashes of one level in eight, named by a path, and kept warm.
//!
//! A [`TileId`] is the path `tile/<L>/<N>[.p/<W>]` of C2SP tlog-tiles, a [`BundleId`] that of the leaves under
//! `tile/entries/`. A [`Tile`] computes the nodes between its hashes once, when it is read: a proof then only looks
//! hashes up, where it would otherwise hash up to 255 times per tile.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{HASH_LENGTH, Hash, MAX_SIZE};

/// How many hashes a full tile holds.
pub const TILE_WIDTH: u16 = 256;

/// How many levels of the tree one level of tiles spans: log2 of [`TILE_WIDTH`].
pub const TILE_HEIGHT: u8 = 8;

/// How many levels of tiles the largest tree has.
const TILE_LEVELS: u8 = 6;

/// The place and width of one tile of hashes; prints and parses as `tile/<L>/<N>[.p/<W>]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// 0 holds the leaves' hashes; each level above holds the roots of the full tiles below it.
    pub level: u8,
    /// Counted from 0 within the level.
    pub index: u64,
    /// 1 to 256 hashes; fewer than 256 only at the right edge of the tree.
    pub width: u16,
}

/// The place and width of one bundle of leaves; prints and parses as `tile/entries/<N>[.p/<W>]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId {
    /// Counted from 0.
    pub index: u64,
    /// 1 to 256 leaves; fewer than 256 only at the end of the log.
    pub width: u16,
}

/// A path that names neither a tile nor a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the path of a tile: tile/<level or entries>/<number in groups of three>[.p/<width>]")]
pub struct NotATilePath;

/// Tile content whose length is not 1 to 256 hashes of 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tile holds 1 to 256 hashes of 32 bytes")]
pub struct NotATile;

impl TileId {
    /// The tile of `level` numbered `index`, as wide as a tree of `size` leaves has it; `None` if that has none.
    #[must_use]
    pub fn in_tree(level: u8, index: u64, size: u64) -> Option<Self> {
        let width = width_at(size >> (TILE_HEIGHT * level), index)?;
        Some(Self { level, index, width })
    }

    /// The partial tiles at the right edge of a tree of `size` leaves, lowest level first: all that
    /// [`super::grow::Edge`] needs to go on from there.
    #[must_use]
    pub fn right_edge(size: u64) -> Vec<Self> {
        (0..TILE_LEVELS)
            .filter_map(|level| Self::in_tree(level, size >> (TILE_HEIGHT * (level + 1)), size))
            .collect()
    }
}

impl BundleId {
    /// The bundle numbered `index`, as wide as a tree of `size` leaves has it; `None` if that has none.
    #[must_use]
    pub fn in_tree(index: u64, size: u64) -> Option<Self> {
        width_at(size, index).map(|width| Self { index, width })
    }
}

/// How many of `count` things fall into group `index` of 256.
fn width_at(count: u64, index: u64) -> Option<u16> {
    let rest = count.checked_sub(index.checked_mul(u64::from(TILE_WIDTH))?)?;
    let width = u16::try_from(rest).map_or(TILE_WIDTH, |rest| rest.min(TILE_WIDTH));
    (width > 0).then_some(width)
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        write_number(f, self.index, self.width)
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tile/entries/")?;
        write_number(f, self.index, self.width)
    }
}

impl FromStr for TileId {
    type Err = NotATilePath;
    fn from_str(path: &str) -> Result<Self, NotATilePath> {
        let rest = path.strip_prefix("tile/").ok_or(NotATilePath)?;
        let (level, rest) = rest.split_once('/').ok_or(NotATilePath)?;
        let (index, width) = parse_number(rest)?;
        let level = level.parse().ok().filter(|level| *level < TILE_LEVELS);
        let id = Self {
            level: level.ok_or(NotATilePath)?,
            index,
            width,
        };
        // Printing it again refuses signs, leading zeroes and every other second spelling at once.
        if id.to_string() == path {
            Ok(id)
        } else {
            Err(NotATilePath)
        }
    }
}

impl FromStr for BundleId {
    type Err = NotATilePath;
    fn from_str(path: &str) -> Result<Self, NotATilePath> {
        let (index, width) = parse_number(path.strip_prefix("tile/entries/").ok_or(NotATilePath)?)?;
        let id = Self { index, width };
        if id.to_string() == path {
            Ok(id)
        } else {
            Err(NotATilePath)
        }
    }
}

/// `x001/x234/067` for 1,234,067, so that no folder ever holds more than a thousand files.
fn write_number(f: &mut fmt::Formatter<'_>, number: u64, width: u16) -> fmt::Result {
    let mut groups = vec![number % 1000];
    let mut rest = number / 1000;
    while rest > 0 {
        groups.push(rest % 1000);
        rest /= 1000;
    }
    for group in groups.iter().skip(1).rev() {
        write!(f, "x{group:03}/")?;
    }
    write!(f, "{:03}", groups[0])?;
    if width < TILE_WIDTH {
        write!(f, ".p/{width}")
    } else {
        Ok(())
    }
}

fn parse_number(text: &str) -> Result<(u64, u16), NotATilePath> {
    let (number, width) = match text.split_once(".p/") {
        Some((number, width)) => (number, width.parse().map_err(|_| NotATilePath)?),
        None => (text, TILE_WIDTH),
    };
    let number = number
        .split('/')
        .try_fold(0u64, |number, group| {
            let group: u64 = group.trim_start_matches('x').parse().ok()?;
            number.checked_mul(1000)?.checked_add(group)
        })
        .filter(|number| *number < MAX_SIZE);
    let width = Some(width).filter(|width| (1..=TILE_WIDTH).contains(width));
    Ok((number.ok_or(NotATilePath)?, width.ok_or(NotATilePath)?))
}

/// A tile's hashes together with the nodes above them that are complete.
///
/// The nodes lie in the order of `tlog_tiles::stored_hash_index`, counted within the tile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tile {
    width: u16,
    nodes: Vec<Hash>,
}

impl Tile {
    /// A tile from its content: its hashes one after the other.
    pub fn parse(content: &[u8]) -> Result<Self, NotATile> {
        let (hashes, rest) = content.as_chunks::<HASH_LENGTH>();
        if hashes.is_empty() || hashes.len() > usize::from(TILE_WIDTH) || !rest.is_empty() {
            return Err(NotATile);
        }
        let mut tile = Self {
            width: 0,
            nodes: Vec::with_capacity(2 * hashes.len()),
        };
        for hash in hashes {
            tile.push(Hash(*hash));
        }
        Ok(tile)
    }

    /// The content that is stored and served: the hashes one after the other.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        let mut content = Vec::with_capacity(usize::from(self.width) * HASH_LENGTH);
        for number in 0..self.width {
            content.extend_from_slice(&self.nodes[place(0, number.into())].0);
        }
        content
    }

    /// How many hashes it holds.
    #[must_use]
    pub fn width(&self) -> u16 {
        self.width
    }

    /// The root over all 256 hashes, once they are there.
    #[must_use]
    pub fn root(&self) -> Option<Hash> {
        self.node(TILE_HEIGHT, 0)
    }

    /// The node `number` of the tile's own level `level` (0 are its hashes), if the tile is wide enough.
    pub(super) fn node(&self, level: u8, number: u64) -> Option<Hash> {
        let fits = (number + 1) << level <= u64::from(self.width);
        fits.then(|| self.nodes[place(level, number)])
    }

    /// One more hash, and every node that it completes.
    pub(super) fn push(&mut self, hash: Hash) {
        debug_assert!(
            self.width < TILE_WIDTH,
            "a full tile is handed on before it is written to"
        );
        let number = u64::from(self.width);
        self.nodes.push(hash);
        let mut above = hash;
        for level in 0..u8::try_from((number + 1).trailing_zeros()).expect("at most eight") {
            above = super::node_hash(self.nodes[place(level, (number >> level) - 1)], above);
            self.nodes.push(above);
        }
        self.width += 1;
    }
}

fn place(level: u8, number: u64) -> usize {
    usize::try_from(tlog_tiles::stored_hash_index(level, number)).expect("a tile has at most 511 nodes")
}

/// The tiles that a caller fetched. One that is wider than asked for serves as well: a log only grows.
#[derive(Debug, Clone, Default)]
pub struct Tiles(BTreeMap<(u8, u64), Arc<Tile>>);

impl Tiles {
    /// Adds a tile; a cache may share it.
    pub fn insert(&mut self, id: TileId, tile: Arc<Tile>) {
        self.0.insert((id.level, id.index), tile);
    }

    pub(super) fn get(&self, level: u8, index: u64) -> Option<&Tile> {
        self.0.get(&(level, index)).map(Arc::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::record_hash;

    #[test]
    fn paths_are_those_of_the_specification() {
        let tile = |level, index, width| TileId { level, index, width };
        for (path, id) in [
            ("tile/0/000", tile(0, 0, 256)),
            ("tile/0/x001/x234/067", tile(0, 1_234_067, 256)),
            ("tile/3/x001/x234/067.p/8", tile(3, 1_234_067, 8)),
            ("tile/5/999.p/255", tile(5, 999, 255)),
        ] {
            assert_eq!(id.to_string(), path);
            assert_eq!(path.parse(), Ok(id));
        }
        let bundle = BundleId { index: 1000, width: 1 };
        assert_eq!(bundle.to_string(), "tile/entries/x001/000.p/1");
        assert_eq!("tile/entries/x001/000.p/1".parse(), Ok(bundle));
    }

    #[test]
    fn a_place_has_one_spelling() {
        for path in [
            "tile/8/0/000",
            "tile/00/000",
            "tile/64/000",
            "tile/0/0",
            "tile/0/1000",
            "tile/0/001/000",
            "tile/0/x001/x000",
            "tile/0/x000/001",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/08",
            "tile/0/000.p/1/2",
            "tile/0/+01",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
            "tile/data/000",
            "tile/entries/000",
            "/tile/0/000",
        ] {
            assert_eq!(path.parse::<TileId>(), Err(NotATilePath), "{path}");
        }
        assert_eq!("tile/entries/0".parse::<BundleId>(), Err(NotATilePath));
    }

    /// The two examples that the specification computes.
    #[test]
    fn widths_are_those_of_the_specification() {
        let edge = |size| {
            let ids = TileId::right_edge(size);
            ids.iter().map(|id| (id.level, id.index, id.width)).collect::<Vec<_>>()
        };
        assert_eq!(edge(70_000), [(0, 273, 112), (1, 1, 17), (2, 0, 1)]);
        assert_eq!(edge(256), [(1, 0, 1)]);
        assert_eq!(edge(0), []);
        assert_eq!(TileId::in_tree(0, 272, 70_000).map(|id| id.width), Some(256));
        assert_eq!(TileId::in_tree(0, 274, 70_000), None);
        assert_eq!(
            BundleId::in_tree(273, 70_000),
            Some(BundleId { index: 273, width: 112 })
        );
        assert_eq!(BundleId::in_tree(u64::MAX, 70_000), None);
    }

    #[test]
    fn content_reads_back_and_odd_lengths_are_refused() {
        let content: Vec<u8> = (0..7u8).flat_map(|byte| record_hash(&[byte]).0).collect();
        let tile = Tile::parse(&content).unwrap();
        assert_eq!((tile.width(), tile.content(), tile.root()), (7, content.clone(), None));
        let full = Tile::parse(&[0; 256 * HASH_LENGTH]).unwrap();
        assert!(full.root().is_some());
        for length in [0, 31, 33, 257 * HASH_LENGTH] {
            assert_eq!(Tile::parse(&vec![0; length]), Err(NotATile), "{length}");
        }
    }
}
