//! Where due work is found and claimed: what a courier asks the database.
//!
//! A look undoes doubtful claims, reads the due lanes and takes the endpoints that nobody holds; a claim takes what there
//! is room for and fetches the keys of all at once. Each is a task of its own beside the courier's loop. What carries
//! correctness is the fence that a taken endpoint has, and the instant by which a claim is known.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use domain::id::{RequestId, SystemId};
use jiff::Timestamp;
use keys::{Class, DataKey, KeyStore};
use platform::db::{DbError, Tx};
use store::Store;
use store::leases::{self, DueLane, Freight, Taken};
use store::messages;
use store::messages::claim::ClaimedMessage;
use store::tasks::claim::{self, Claimed, Room};
use store::tasks::release;
use uuid::Uuid;

use super::breaker::Turn;
use super::parcel::{Key, Parcel};

/// Lanes of one look; what is cut off is seen by the next, which follows at once.
pub(super) const LANES_MAX: i64 = 1_000;

/// Where tasks are claimed.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) store: Store,
    pub(super) keys: KeyStore,
    pub(super) worker: Uuid,
}

/// A claim of which we don't know whether it was written.
#[derive(Debug, Clone)]
pub(super) struct Doubt {
    pub(super) systems: Vec<SystemId>,
    pub(super) at: Timestamp,
}

/// What a look saw.
pub(super) struct Seen {
    pub(super) lanes: Vec<DueLane>,
    pub(super) next: Option<Timestamp>,
    /// Endpoints that were nobody's and are ours now.
    pub(super) taken: Vec<Taken>,
}

/// What a claim came to.
pub(super) struct Claims {
    pub(super) rooms: Vec<Room>,
    pub(super) at: Timestamp,
    pub(super) result: Result<Vec<Parcel>, DbError>,
}

impl Places {
    /// Undoes doubtful claims, reads the due lanes, and takes their endpoints where nobody holds them.
    pub(super) async fn look(&self, doubts: &[Doubt], busy: &[SystemId], now: Timestamp) -> Result<Seen, DbError> {
        for doubt in doubts {
            self.undo(doubt).await?;
        }
        let db = self.store.db();
        let lanes = leases::due(db, self.worker, busy, now, LANES_MAX).await?;
        let next = leases::next(db, now).await?;
        let free = lanes.iter().filter(|lane| lane.fence.is_none());
        let free: Vec<SystemId> = free.map(|lane| lane.system).collect();
        let taken = self.take(free, now).await?;
        let fences: HashMap<SystemId, _> = taken.iter().map(|taken| (taken.system, taken.fence)).collect();
        let held = |lane: DueLane| DueLane {
            fence: lane.fence.or(fences.get(&lane.system).copied()),
            ..lane
        };
        Ok(Seen {
            lanes: lanes.into_iter().map(held).collect(),
            next,
            taken,
        })
    }

    async fn undo(&self, doubt: &Doubt) -> Result<(), DbError> {
        let doubt = Arc::new(doubt.clone());
        let db = self.store.db();
        db.transaction("undo_claim", move |tx| {
            let doubt = Arc::clone(&doubt);
            Box::pin(async move {
                release::claim(tx, &doubt.systems, doubt.at).await?;
                messages::record::release_claim(tx, &doubt.systems, doubt.at)
                    .await
                    .map(drop)
            })
        })
        .await
    }

    async fn take(&self, free: Vec<SystemId>, now: Timestamp) -> Result<Vec<Taken>, DbError> {
        if free.is_empty() {
            return Ok(vec![]);
        }
        let (worker, free) = (self.worker, Arc::new(free));
        let db = self.store.db();
        let taken = db.transaction("take_endpoints", move |tx| {
            let free = Arc::clone(&free);
            Box::pin(async move { leases::take(tx, worker, &free, now).await })
        });
        taken.await
    }

    pub(super) async fn claim(&self, rooms: Vec<Room>, at: Timestamp) -> Claims {
        let shared = Arc::new(rooms);
        let worker = self.worker;
        let db = self.store.db();
        let claiming = {
            let rooms = Arc::clone(&shared);
            db.transaction("claim", move |tx| {
                let rooms = Arc::clone(&rooms);
                Box::pin(async move { claim_both(tx, worker, &rooms, at).await })
            })
        };
        let result = match claiming.await {
            Ok(claimed) => Ok(self.unlock(claimed).await),
            Err(error) => Err(error),
        };
        Claims {
            rooms: shared.to_vec(),
            at,
            result,
        }
    }

    /// Notes that a breaker turned, so that the next holder begins there. If that fails it begins anew, and finds out.
    pub(super) async fn note(&self, system: SystemId, turn: Turn) {
        let breaker = match turn {
            Turn::Opened(open) => Some(open),
            Turn::Closed => None,
        };
        if let Err(error) = leases::turn(self.store.db(), self.worker, system, breaker).await {
            tracing::warn!(%system, error = &error as &dyn std::error::Error, "a breaker's turn was not noted");
        }
    }

    /// Fetches the keys of all at once.
    async fn unlock(&self, claimed: (Vec<Claimed>, Vec<ClaimedMessage>)) -> Vec<Parcel> {
        let (tasks, messages) = claimed;
        let subject = self.keys(Class::Subject, tasks.iter().map(|one| one.request)).await;
        let evidence = self.keys(Class::Evidence, messages.iter().map(|one| one.request)).await;
        let task = |claimed: Claimed| {
            let key = key(subject.as_ref(), claimed.request);
            Parcel::Task(claimed, key)
        };
        let message = |claimed: ClaimedMessage| {
            let key = key(evidence.as_ref(), claimed.request);
            Parcel::Message(claimed, key)
        };
        let tasks = tasks.into_iter().map(task);
        tasks.chain(messages.into_iter().map(message)).collect()
    }

    /// `None` if they can't be had now.
    async fn keys(&self, class: Class, of: impl Iterator<Item = RequestId>) -> Option<HashMap<RequestId, DataKey>> {
        let requests: HashSet<RequestId> = of.collect();
        if requests.is_empty() {
            return Some(HashMap::new());
        }
        let requests: Vec<RequestId> = requests.into_iter().collect();
        let loaded = self.keys.load(class, &requests).await;
        loaded
            .inspect_err(|error| {
                tracing::warn!(
                    error = error as &dyn std::error::Error,
                    "what is due can't be opened now"
                );
            })
            .ok()
    }
}

fn key(keys: Option<&HashMap<RequestId, DataKey>>, request: RequestId) -> Key {
    match keys {
        Some(keys) => keys.get(&request).cloned().map_or(Key::Shredded, Key::Here),
        None => Key::Away,
    }
}

/// Tasks and messages of the lanes that there is room for; of what no lane tells, nothing is asked.
async fn claim_both(
    tx: &mut Tx,
    worker: Uuid,
    rooms: &[Room],
    at: Timestamp,
) -> Result<(Vec<Claimed>, Vec<ClaimedMessage>), DbError> {
    let (tasks, others): (Vec<Room>, Vec<Room>) = rooms.iter().partition(|room| room.freight == Freight::Tasks);
    let tasks = if tasks.is_empty() {
        vec![]
    } else {
        claim::claim(tx, worker, &tasks, at).await?
    };
    let messages = if others.is_empty() {
        vec![]
    } else {
        messages::claim::claim(tx, worker, &others, at).await?
    };
    Ok((tasks, messages))
}
