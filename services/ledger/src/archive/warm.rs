//! Full tiles in memory: they never change, so they are read once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use evidence::merkle::tile::{TILE_WIDTH, Tile, TileId};

/// A tile with its inner nodes takes 16 kB, so these take 16 MB and cover the upper levels of any tree and the leaves
/// of its newest 250,000 entries, which is what proofs are asked for.
const TILES_MAX: usize = 1024;

/// Shared between readers; whoever finds it full lets half of it go.
#[derive(Debug, Default)]
pub(super) struct Warm(Mutex<HashMap<(u8, u64), Arc<Tile>>>);

impl Warm {
    /// What is there, and what has to be fetched.
    pub(super) fn find(&self, wanted: &[TileId]) -> (Vec<(TileId, Arc<Tile>)>, Vec<TileId>) {
        let warm = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for id in wanted {
            match warm.get(&(id.level, id.index)) {
                Some(tile) => found.push((*id, Arc::clone(tile))),
                None => missing.push(*id),
            }
        }
        (found, missing)
    }

    /// Remembers those that will never change.
    pub(super) fn keep(&self, tiles: &[(TileId, Arc<Tile>)]) {
        let mut warm = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, tile) in tiles.iter().filter(|(id, _)| id.width == TILE_WIDTH) {
            if warm.len() >= TILES_MAX {
                let mut odd = false;
                warm.retain(|_, _| {
                    odd = !odd;
                    odd
                });
            }
            warm.insert((id.level, id.index), Arc::clone(tile));
        }
    }
}
