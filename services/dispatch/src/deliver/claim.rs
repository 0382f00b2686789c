//! Taking endpoints and claiming their tasks.

use std::collections::{BTreeMap, HashMap};

use domain::id::{ControllerId, RequestId, SystemId};
use domain::task::Fence;
use jiff::Timestamp;
use keys::{Class, DataKey};
use platform::db::DbError;
use store::leases::{self, DueLane};
use store::tasks::claim::{self, Claimed, Room};
use store::tasks::release;

use super::Worker;

/// Lanes that are looked at in one go; more wait for the next, which follows at once.
const LANES_MAX: i64 = 512;

/// What a claim got.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) tasks: Vec<Claimed>,
    /// The keys that open their bodies.
    pub(super) keys: HashMap<RequestId, DataKey>,
    /// Whether more lanes may be due than were looked at.
    pub(super) more: More,
}

/// Whether it is worth looking again at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum More {
    Perhaps,
    No,
}

impl Worker {
    /// Claims what is due and fits into the free room of its system. `busy` systems have none.
    pub(super) async fn claim(
        &self,
        busy: &[SystemId],
        room: impl Fn(SystemId) -> usize,
        in_all: usize,
    ) -> Result<Got, DbError> {
        let now = self.bench.clock.now();
        let lanes = leases::due(self.bench.store.db(), self.id, busy, now, LANES_MAX).await?;
        let more = if i64::try_from(lanes.len()) == Ok(LANES_MAX) {
            More::Perhaps
        } else {
            More::No
        };
        if lanes.is_empty() {
            return Ok(Got {
                tasks: vec![],
                keys: HashMap::new(),
                more,
            });
        }
        let shares = share(&lanes, room, in_all);
        let tasks = self.take_and_claim(lanes, shares, now).await?;
        let keys = self.subject_keys(&tasks).await?;
        Ok(Got { tasks, keys, more })
    }

    async fn take_and_claim(
        &self,
        lanes: Vec<DueLane>,
        shares: BTreeMap<(SystemId, ControllerId), i64>,
        now: Timestamp,
    ) -> Result<Vec<Claimed>, DbError> {
        let systems: Vec<SystemId> = lanes.iter().map(|lane| lane.system).collect();
        let id = self.id;
        let claimed = self.bench.store.db().transaction("claim_tasks", move |tx| {
            let (lanes, shares) = (lanes.clone(), shares.clone());
            Box::pin(async move {
                let free: Vec<SystemId> = lanes.iter().filter(|l| l.fence.is_none()).map(|l| l.system).collect();
                let mut fences: HashMap<SystemId, Fence> = lanes
                    .iter()
                    .filter_map(|lane| Some((lane.system, lane.fence?)))
                    .collect();
                if !free.is_empty() {
                    fences.extend(leases::take(tx, id, &free, now).await?);
                }
                let rooms = rooms(&lanes, &fences, &shares);
                claim::claim(tx, id, &rooms, now).await
            })
        });
        match claimed.await {
            Ok(claimed) => Ok(claimed),
            Err(error) => {
                // Whether the COMMIT arrived is not known; the claim's instant tells.
                self.undo(systems, now).await;
                Err(error)
            }
        }
    }

    async fn undo(&self, systems: Vec<SystemId>, claimed_at: Timestamp) {
        let undone = self.bench.store.db().transaction("undo_claim", move |tx| {
            let systems = systems.clone();
            Box::pin(async move { release::claim(tx, &systems, claimed_at).await })
        });
        if let Err(error) = undone.await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a claim in doubt waits for its time-out"
            );
        }
    }

    /// From another database; without it nothing can be opened, and the tasks go back.
    async fn subject_keys(&self, tasks: &[Claimed]) -> Result<HashMap<RequestId, DataKey>, DbError> {
        let mut requests: Vec<RequestId> = tasks.iter().map(|task| task.request).collect();
        requests.sort_unstable();
        requests.dedup();
        self.bench.keys.load(Class::Subject, &requests).await.or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "subject keys can't be read");
            Ok(HashMap::new())
        })
    }
}

fn rooms(
    lanes: &[DueLane],
    fences: &HashMap<SystemId, Fence>,
    shares: &BTreeMap<(SystemId, ControllerId), i64>,
) -> Vec<Room> {
    let room = |lane: &DueLane| {
        let tasks = *shares.get(&(lane.system, lane.controller))?;
        let fence = *fences.get(&lane.system)?;
        Some(Room {
            system: lane.system,
            controller: lane.controller,
            fence,
            tasks,
        })
    };
    lanes.iter().filter_map(room).collect()
}

/// Room is shared over the lanes of a system, and what there is in all over all lanes, in turns: a controller with a
/// thousand tasks gets no more than one with a few until theirs are taken.
fn share(
    lanes: &[DueLane],
    room: impl Fn(SystemId) -> usize,
    in_all: usize,
) -> BTreeMap<(SystemId, ControllerId), i64> {
    let mut left: HashMap<SystemId, usize> = lanes.iter().map(|lane| (lane.system, room(lane.system))).collect();
    let mut shares = BTreeMap::new();
    let mut in_all = in_all;
    loop {
        let before = in_all;
        for lane in lanes {
            let room = left.entry(lane.system).or_default();
            if in_all > 0 && *room > 0 {
                *room -= 1;
                in_all -= 1;
                *shares.entry((lane.system, lane.controller)).or_insert(0) += 1;
            }
        }
        if in_all == before {
            return shares;
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn lane(system: u128, controller: u128) -> DueLane {
        DueLane {
            system: SystemId::from_uuid(Uuid::from_u128(system)),
            controller: ControllerId::from_uuid(Uuid::from_u128(controller)),
            fence: Some(1),
        }
    }

    #[test]
    fn room_is_shared_in_turns() {
        let lanes = [lane(1, 1), lane(1, 2), lane(2, 1)];
        let shares = share(&lanes, |_| 5, 100);
        assert_eq!(shares.values().copied().collect::<Vec<_>>(), [3, 2, 5]);
        let shares = share(&lanes, |_| 5, 4);
        assert_eq!(shares.values().copied().collect::<Vec<_>>(), [2, 1, 1]);
    }
}
