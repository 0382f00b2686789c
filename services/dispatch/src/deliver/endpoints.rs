//! What this process knows of the endpoints that it owns: what is under way, what waits, who was served last.
//!
//! Pure bookkeeping. An endpoint's capacity is its own, whatever happens to others; it is shared over the controllers
//! whose tasks wait for it, in turns, so that one's bulk import doesn't delay another's single request. An owner claims
//! ahead of its capacity, and not before half of that is used up: a claim costs the same for one task and for many.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use domain::id::{ControllerId, SystemId};
use domain::task::Fence;
use jiff::Timestamp;
use store::leases::{DueLane, Freight};
use store::tasks::claim::Room;

use super::parcel::Parcel;

/// Tasks in hand for each one that may be under way. The fast endpoint never waits for a claim, and the slow one keeps
/// few tasks from other owners.
const AHEAD: usize = 4;

/// Tasks of one claim: some megabytes, and some milliseconds of locks.
const CLAIM_MAX: usize = 2_000;

/// The endpoints of this process.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    known: HashMap<SystemId, Endpoint>,
    /// Those that have a task waiting and capacity for it, in turns.
    startable: VecDeque<SystemId>,
    /// Those whose last claim was as large as its room, so that there may be more.
    more: HashSet<SystemId>,
}

/// Of one endpoint: whose, and what waits in it.
type Lane = (ControllerId, Freight);

#[derive(Debug)]
struct Endpoint {
    capacity: usize,
    under_way: usize,
    waiting: VecDeque<Parcel>,
    queued: bool,
    paused_until: Option<Timestamp>,
    served: Option<Lane>,
}

impl Endpoint {
    fn new(capacity: usize) -> Self {
        Self {
            capacity,
            under_way: 0,
            waiting: VecDeque::new(),
            queued: false,
            paused_until: None,
            served: None,
        }
    }

    fn held(&self) -> usize {
        self.under_way + self.waiting.len()
    }

    fn room(&self) -> usize {
        (self.capacity * AHEAD).saturating_sub(self.held())
    }

    /// Whether it is worth a claim.
    fn wants(&self) -> bool {
        self.room() * 2 >= self.capacity * AHEAD
    }

    fn is_paused(&self, now: Timestamp) -> bool {
        self.paused_until.is_some_and(|until| until > now)
    }
}

impl Endpoints {
    /// Those whose lanes need not be looked at now.
    pub(super) fn busy(&self, now: Timestamp) -> Vec<SystemId> {
        let busy = |endpoint: &Endpoint| !endpoint.wants() || endpoint.is_paused(now);
        let busy = self.known.iter().filter(|(_, endpoint)| busy(endpoint));
        busy.map(|(system, _)| *system).collect()
    }

    /// Whether an endpoint has used up what it had, and there may be more.
    pub(super) fn is_hungry(&self) -> bool {
        let wants = |system: &SystemId| self.known.get(system).is_some_and(Endpoint::wants);
        self.more.iter().any(wants)
    }

    /// Shares the room of each system over its lanes; `capacity` is what its registration allows now.
    pub(super) fn rooms(&mut self, lanes: &[DueLane], capacity: impl Fn(SystemId) -> Option<usize>) -> Vec<Room> {
        let mut of_system: BTreeMap<SystemId, Vec<(Lane, Fence)>> = BTreeMap::new();
        for lane in lanes {
            if let Some(fence) = lane.fence {
                let of_lane = ((lane.controller, lane.freight), fence);
                of_system.entry(lane.system).or_default().push(of_lane);
            }
        }
        let mut rooms = Vec::new();
        let mut left = CLAIM_MAX;
        for (system, mut lanes) in of_system {
            let Some(capacity) = capacity(system) else { continue };
            let endpoint = self.known.entry(system).or_insert_with(|| Endpoint::new(capacity));
            endpoint.capacity = capacity;
            self.more.remove(&system);
            let room = endpoint.room().min(left);
            if room == 0 {
                self.more.insert(system);
                continue;
            }
            turn(&mut lanes, endpoint.served);
            lanes.truncate(room);
            endpoint.served = lanes.last().map(|(lane, _)| *lane);
            left -= room;
            rooms.extend(share(system, &lanes, room));
        }
        rooms
    }

    /// Takes claimed tasks in. A lane whose room was filled may have more.
    pub(super) fn put(&mut self, parcels: Vec<Parcel>, rooms: &[Room]) {
        let mut of_lane: BTreeMap<(SystemId, Lane), VecDeque<Parcel>> = BTreeMap::new();
        for parcel in parcels {
            let lane = (parcel.system(), parcel.lane());
            of_lane.entry(lane).or_default().push_back(parcel);
        }
        for room in rooms {
            let got = of_lane
                .get(&(room.system, (room.controller, room.freight)))
                .map_or(0, VecDeque::len);
            if i64::try_from(got).is_ok_and(|got| got >= room.tasks) {
                self.more.insert(room.system);
            }
        }
        // One of each controller, then the next of each.
        while !of_lane.is_empty() {
            for ((system, _), lane) in &mut of_lane {
                if let (Some(endpoint), Some(parcel)) = (self.known.get_mut(system), lane.pop_front()) {
                    endpoint.waiting.push_back(parcel);
                }
            }
            of_lane.retain(|_, lane| !lane.is_empty());
        }
        for room in rooms {
            self.queue(room.system);
        }
    }

    /// The next task to be sent, from the endpoint whose turn it is.
    pub(super) fn next(&mut self) -> Option<Parcel> {
        let system = self.startable.pop_front()?;
        let endpoint = self.known.get_mut(&system)?;
        endpoint.queued = false;
        let parcel = endpoint.waiting.pop_front();
        endpoint.under_way += usize::from(parcel.is_some());
        self.queue(system);
        parcel
    }

    /// An attempt is over.
    pub(super) fn free(&mut self, system: SystemId) {
        if let Some(endpoint) = self.known.get_mut(&system) {
            endpoint.under_way = endpoint.under_way.saturating_sub(1);
        }
        self.queue(system);
    }

    /// An endpoint wants to be left alone; what waits for it comes back.
    pub(super) fn pause(&mut self, system: SystemId, until: Timestamp) -> Vec<Parcel> {
        let Some(endpoint) = self.known.get_mut(&system) else {
            return vec![];
        };
        endpoint.paused_until = endpoint.paused_until.max(Some(until));
        endpoint.waiting.drain(..).collect()
    }

    /// Everything that waits comes back.
    pub(super) fn empty(&mut self) -> Vec<Parcel> {
        self.more.clear();
        let waiting = self.known.values_mut().flat_map(|endpoint| endpoint.waiting.drain(..));
        waiting.collect()
    }

    fn queue(&mut self, system: SystemId) {
        let Some(endpoint) = self.known.get_mut(&system) else {
            return;
        };
        let can = !endpoint.waiting.is_empty() && endpoint.under_way < endpoint.capacity;
        if can && !endpoint.queued {
            endpoint.queued = true;
            self.startable.push_back(system);
        }
    }
}

/// Begins with the lane after the one that was served last.
fn turn(lanes: &mut [(Lane, Fence)], served: Option<Lane>) {
    lanes.sort_unstable_by_key(|(lane, _)| *lane);
    let after = served.map_or(0, |served| lanes.partition_point(|(lane, _)| *lane <= served));
    if after < lanes.len() {
        lanes.rotate_left(after);
    }
}

/// Evenly; what doesn't divide goes to those whose turn is first.
fn share(system: SystemId, lanes: &[(Lane, Fence)], room: usize) -> impl Iterator<Item = Room> {
    let (each, rest) = (room / lanes.len().max(1), room % lanes.len().max(1));
    lanes
        .iter()
        .enumerate()
        .map(move |(place, ((controller, freight), fence))| Room {
            system,
            controller: *controller,
            freight: *freight,
            fence: *fence,
            tasks: i64::try_from(each + usize::from(place < rest)).unwrap_or(1),
        })
}

#[cfg(test)]
mod tests {
    use domain::id::{RequestId, TaskId};
    use store::tasks::claim::Claimed;
    use uuid::Uuid;

    use super::*;
    use crate::deliver::parcel::{Key, Load};

    fn system(number: u128) -> SystemId {
        SystemId::from_uuid(Uuid::from_u128(number))
    }

    fn lane(of: u128, controller: u128) -> DueLane {
        DueLane {
            system: system(of),
            controller: ControllerId::from_uuid(Uuid::from_u128(controller)),
            freight: Freight::Tasks,
            fence: Some(1),
        }
    }

    fn parcel(room: &Room, number: u128) -> Parcel {
        let claimed = Claimed {
            id: TaskId::from_uuid(Uuid::from_u128(number)),
            request: RequestId::from_uuid(Uuid::from_u128(number)),
            controller: room.controller,
            system: room.system,
            fence: room.fence,
            steps: 0,
            rejections: 0,
            deadline: Timestamp::UNIX_EPOCH,
            digest: [0; 32],
            sealed: None,
        };
        Parcel::Task(claimed, Key::Shredded)
    }

    /// Claims as much as there is room for.
    fn fill(endpoints: &mut Endpoints, lanes: &[DueLane], capacity: usize) -> Vec<(u128, i64)> {
        let rooms = endpoints.rooms(lanes, |_| Some(capacity));
        let parcels = rooms.iter().flat_map(|room| {
            let number = room.controller.uuid().as_u128() * 100;
            (0..room.tasks.unsigned_abs()).map(move |one| parcel(room, number + u128::from(one)))
        });
        endpoints.put(parcels.collect(), &rooms);
        let told = rooms.iter().map(|room| (room.controller.uuid().as_u128(), room.tasks));
        told.collect()
    }

    fn sent(endpoints: &mut Endpoints) -> Vec<u128> {
        std::iter::from_fn(|| endpoints.next())
            .map(|parcel| match parcel.load() {
                Load::Task(task) => task.uuid().as_u128(),
                Load::Message(message) => message.uuid().as_u128(),
            })
            .collect()
    }

    #[test]
    fn capacity_is_shared_over_controllers_in_turns() {
        let mut endpoints = Endpoints::default();
        let lanes = [lane(1, 3), lane(1, 1), lane(1, 2)];
        assert_eq!(fill(&mut endpoints, &lanes, 2), [(1, 3), (2, 3), (3, 2)]);
        assert_eq!(sent(&mut endpoints), [100, 200], "one of each, up to the capacity");
        endpoints.free(system(1));
        assert_eq!(sent(&mut endpoints), [300]);

        let mut endpoints = Endpoints::default();
        let many: Vec<DueLane> = (1..=6).map(|controller| lane(1, controller)).collect();
        let order = |rooms: Vec<(u128, i64)>| rooms.into_iter().map(|(controller, _)| controller).collect::<Vec<_>>();
        assert_eq!(order(fill(&mut endpoints, &many, 1)), [1, 2, 3, 4]);
        endpoints.empty();
        assert_eq!(order(fill(&mut endpoints, &many, 1)), [5, 6, 1, 2]);
    }

    #[test]
    fn an_endpoint_is_left_alone_until_half_of_its_store_is_used_up() {
        let mut endpoints = Endpoints::default();
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(fill(&mut endpoints, &[lane(1, 1)], 2), [(1, 8)]);
        assert_eq!((endpoints.busy(now), endpoints.is_hungry()), (vec![system(1)], false));
        for _ in 0..3 {
            endpoints.next().unwrap();
            endpoints.free(system(1));
        }
        assert!(!endpoints.is_hungry());
        endpoints.next().unwrap();
        endpoints.free(system(1));
        assert_eq!((endpoints.busy(now), endpoints.is_hungry()), (vec![], true));
    }

    #[test]
    fn a_paused_endpoint_gives_back_what_waits() {
        let mut endpoints = Endpoints::default();
        let until = Timestamp::from_second(60).unwrap();
        fill(&mut endpoints, &[lane(1, 1)], 1);
        endpoints.next().unwrap();
        assert_eq!(endpoints.pause(system(1), until).len(), 3);
        endpoints.free(system(1));
        assert_eq!(sent(&mut endpoints), Vec::<u128>::new());
        assert_eq!(endpoints.busy(Timestamp::UNIX_EPOCH), [system(1)]);
        assert_eq!(endpoints.busy(until), []);
    }
}
