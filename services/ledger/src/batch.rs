//! A batch of entries gets its places: no database, no clock, so that what is committed can be tested as it is.

use std::collections::{BTreeMap, HashMap};

use domain::id::{ControllerId, EntryId, RequestId};
use evidence::leaf::{Leaf, Opening};
use evidence::merkle::grow::{Edge, Written};
use keys::DataKey;
use platform::chance::{self, Rng};

use crate::archive::BODY;
use crate::incoming::{Incoming, Waiting};

/// Everything that one append writes.
#[derive(Debug)]
pub(crate) struct Batch {
    /// New in the log, in its order.
    pub(crate) placed: Vec<Placed>,
    /// Tiles that are new or wider for it.
    pub(crate) tiles: Vec<Written>,
    /// The right edge after it.
    pub(crate) edge: Edge,
    /// The last number of each controller that got one.
    pub(crate) last: BTreeMap<ControllerId, u64>,
    /// Logged before: to be announced again.
    pub(crate) known: Vec<EntryId>,
    /// What need not wait any more.
    pub(crate) done: Vec<i64>,
    /// Entries whose bytes are dropped, because the key that would seal them is gone.
    pub(crate) unsealable: u64,
}

/// An entry with its place.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) index: u64,
    pub(crate) controller_seq: u64,
    pub(crate) entry: Incoming,
    pub(crate) leaf: Leaf,
    /// Salt and bytes, sealed where the entry is about a request.
    pub(crate) body: Option<Vec<u8>>,
}

/// Gives places to what waits: numbers after `last`, leaves after `edge`.
///
/// An entry about a request that has no evidence key is logged all the same, since its sender waits for it and its
/// controller's sequence must show it; but its bytes are dropped. A request's keys are committed before the request,
/// so a missing one was shredded, and what comes after the shredding must not bring back what it took away.
pub(crate) fn place(
    waiting: Vec<Waiting>,
    edge: &Edge,
    last: BTreeMap<ControllerId, u64>,
    keys: &HashMap<RequestId, DataKey>,
    rng: &dyn Rng,
) -> Batch {
    let mut batch = Batch {
        placed: Vec::with_capacity(waiting.len()),
        tiles: Vec::new(),
        edge: edge.clone(),
        last,
        known: Vec::new(),
        done: waiting.iter().map(|waiting| waiting.place).collect(),
        unsealable: 0,
    };
    for Waiting { entry, known, .. } in waiting {
        match known {
            Some(_) => batch.known.push(entry.id),
            None => batch.put(entry, edge.size(), keys, rng),
        }
    }
    batch.tiles = batch.edge.append(batch.placed.iter().map(|placed| placed.leaf.hash()));
    batch
}

impl Batch {
    fn put(&mut self, entry: Incoming, before: u64, keys: &HashMap<RequestId, DataKey>, rng: &dyn Rng) {
        let last = self.last.entry(entry.controller).or_default();
        *last += 1;
        let opening = Opening {
            salt: chance::bytes(rng),
            entry_type: entry.entry_type,
            controller: entry.controller,
            controller_seq: *last,
        };
        let body = body(&entry, &opening, keys);
        self.unsealable += u64::from(body.is_none());
        self.placed.push(Placed {
            index: before + self.placed.len() as u64,
            controller_seq: opening.controller_seq,
            leaf: Leaf::commit(&opening, &entry.content),
            body,
            entry,
        });
    }
}

fn body(entry: &Incoming, opening: &Opening, keys: &HashMap<RequestId, DataKey>) -> Option<Vec<u8>> {
    let plain = [&opening.salt[..], &entry.content].concat();
    match entry.request {
        None => Some(plain),
        Some(request) => keys.get(&request).map(|key| key.seal(BODY, &plain)),
    }
}
