//! What this process knows of the endpoints that it owns: what is under way, what waits, who was served last.
//!
//! Pure bookkeeping. An endpoint's capacity is its own, whatever happens to others; it is shared over the controllers
//! whose tasks wait for it, in turns, so that one's bulk import doesn't delay another's single request. An owner claims
//! ahead of its capacity, and not before half of that is used up: a claim costs the same for one task and for many.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use domain::id::SystemId;
use domain::task::Fence;
use jiff::Timestamp;
use store::leases::DueLane;
use store::tasks::claim::Room;

use super::attempt::Freed;
use super::breaker::{Breaker, Turn};
use super::endpoint::{Endpoint, Lane, Terms};
use super::parcel::Parcel;

/// Tasks of one claim: some megabytes, and some milliseconds of locks.
const CLAIM_MAX: usize = 2_000;

/// The endpoints of this process.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    known: HashMap<SystemId, Endpoint>,
    /// Those that have something waiting and capacity for it, in turns.
    startable: VecDeque<SystemId>,
    /// Those that have used up their rate, by when they may go on.
    resting: BTreeSet<(Timestamp, SystemId)>,
    /// Those whose last claim was as large as its room, so that there may be more.
    more: HashSet<SystemId>,
}

/// What may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// Anything.
    Any,
    /// Only what was never tried before.
    FirstOnly,
}

impl Endpoints {
    /// An endpoint that was just taken begins where its last holder stood.
    pub(super) fn took(&mut self, system: SystemId, breaker: Breaker) {
        self.known.entry(system).or_default().breaker = breaker;
    }

    /// Those whose lanes need not be looked at now.
    pub(super) fn busy(&self, now: Timestamp) -> Vec<SystemId> {
        let busy = |endpoint: &Endpoint| !endpoint.wants(now) || endpoint.is_paused(now);
        let busy = self.known.iter().filter(|(_, endpoint)| busy(endpoint));
        busy.map(|(system, _)| *system).collect()
    }

    /// Whether an endpoint has used up what it had, and there may be more.
    pub(super) fn is_hungry(&self, now: Timestamp) -> bool {
        let wants = |system: &SystemId| self.known.get(system).is_some_and(|endpoint| endpoint.wants(now));
        self.more.iter().any(wants)
    }

    /// How many breakers are open.
    pub(super) fn open_breakers(&self) -> usize {
        let open = |endpoint: &&Endpoint| matches!(endpoint.breaker, Breaker::Open(..));
        self.known.values().filter(open).count()
    }

    /// Shares the room of each system over its lanes; `terms` is what its registration allows now.
    pub(super) fn rooms(
        &mut self,
        lanes: &[DueLane],
        terms: impl Fn(SystemId) -> Option<Terms>,
        now: Timestamp,
    ) -> Vec<Room> {
        let mut rooms = Vec::new();
        let mut left = CLAIM_MAX;
        for (system, mut lanes) in by_system(lanes) {
            let Some(terms) = terms(system) else { continue };
            let endpoint = self.known.entry(system).or_default();
            endpoint.agree(terms, now);
            self.more.remove(&system);
            let room = endpoint.room(now).min(left);
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
    pub(super) fn put(&mut self, parcels: Vec<Parcel>, rooms: &[Room], now: Timestamp) {
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
            self.queue(room.system, now);
        }
    }

    /// The next to be sent, from the endpoint whose turn it is.
    pub(super) fn next(&mut self, start: Start, now: Timestamp) -> Option<Parcel> {
        self.wake(now);
        for _ in 0..self.startable.len() {
            let system = self.startable.pop_front()?;
            let endpoint = self.known.entry(system).or_default();
            endpoint.queued = false;
            let Some(first) = endpoint.waiting.front() else {
                continue;
            };
            if start == Start::FirstOnly && first.is_retry() {
                self.queue(system, now);
                continue;
            }
            if let Err(at) = endpoint.pace.take(now) {
                self.resting.insert((at, system));
                continue;
            }
            let parcel = endpoint.begin();
            self.queue(system, now);
            return parcel;
        }
        None
    }

    /// When the first of those that rest may go on.
    pub(super) fn next_rested(&self) -> Option<Timestamp> {
        self.resting.first().map(|(at, _)| *at)
    }

    fn wake(&mut self, now: Timestamp) {
        while let Some((at, system)) = self.resting.first().copied().filter(|(at, _)| *at <= now) {
            self.resting.remove(&(at, system));
            self.queue(system, now);
        }
    }

    /// An attempt is over. Says whether the endpoint's breaker turned; if it opened, what waits comes back.
    pub(super) fn free(&mut self, freed: &Freed, now: Timestamp, chance: f64) -> (Option<Turn>, Vec<Parcel>) {
        let endpoint = self.known.entry(freed.system).or_default();
        let turn = endpoint.end(freed, now, chance);
        let waiting = match turn {
            Some(Turn::Opened(_)) => endpoint.waiting.drain(..).collect(),
            Some(Turn::Closed) => {
                self.more.insert(freed.system);
                vec![]
            }
            None => vec![],
        };
        self.queue(freed.system, now);
        (turn, waiting)
    }

    /// An endpoint wants to be left alone; what waits for it comes back.
    pub(super) fn pause(&mut self, system: SystemId, until: Timestamp) -> Vec<Parcel> {
        let endpoint = self.known.entry(system).or_default();
        endpoint.paused_until = endpoint.paused_until.max(Some(until));
        endpoint.waiting.drain(..).collect()
    }

    /// Everything that waits comes back.
    pub(super) fn empty(&mut self) -> Vec<Parcel> {
        self.more.clear();
        let waiting = self.known.values_mut().flat_map(|endpoint| endpoint.waiting.drain(..));
        waiting.collect()
    }

    fn queue(&mut self, system: SystemId, now: Timestamp) {
        let Some(endpoint) = self.known.get_mut(&system) else {
            return;
        };
        if endpoint.may_start(now) && !endpoint.queued {
            endpoint.queued = true;
            self.startable.push_back(system);
        }
    }
}

/// The lanes of each system that is ours.
fn by_system(lanes: &[DueLane]) -> BTreeMap<SystemId, Vec<(Lane, Fence)>> {
    let mut of_system: BTreeMap<SystemId, Vec<(Lane, Fence)>> = BTreeMap::new();
    for lane in lanes {
        if let Some(fence) = lane.fence {
            let of_lane = ((lane.controller, lane.freight), fence);
            of_system.entry(lane.system).or_default().push(of_lane);
        }
    }
    of_system
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
    use domain::id::{ControllerId, RequestId, TaskId};
    use store::leases::Freight;
    use store::tasks::claim::Claimed;
    use uuid::Uuid;

    use super::*;
    use crate::deliver::parcel::{Key, Load};
    use crate::deliver::policy::Health;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

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
        let terms = Terms {
            concurrency: capacity,
            rate: None,
        };
        let rooms = endpoints.rooms(lanes, |_| Some(terms), NOW);
        let parcels = rooms.iter().flat_map(|room| {
            let number = room.controller.uuid().as_u128() * 100;
            (0..room.tasks.unsigned_abs()).map(move |one| parcel(room, number + u128::from(one)))
        });
        endpoints.put(parcels.collect(), &rooms, NOW);
        let told = rooms.iter().map(|room| (room.controller.uuid().as_u128(), room.tasks));
        told.collect()
    }

    /// An attempt ended that showed this.
    fn free(endpoints: &mut Endpoints, health: Health) -> (Option<Turn>, usize) {
        let freed = Freed {
            load: Load::Task(TaskId::from_uuid(Uuid::nil())),
            system: system(1),
            pause: None,
            health,
        };
        let (turn, back) = endpoints.free(&freed, NOW, 0.5);
        (turn, back.len())
    }

    fn sent(endpoints: &mut Endpoints) -> Vec<u128> {
        std::iter::from_fn(|| endpoints.next(Start::Any, NOW))
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
        free(&mut endpoints, Health::Good);
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
        assert_eq!(fill(&mut endpoints, &[lane(1, 1)], 2), [(1, 8)]);
        assert_eq!(
            (endpoints.busy(NOW), endpoints.is_hungry(NOW)),
            (vec![system(1)], false)
        );
        for _ in 0..3 {
            endpoints.next(Start::Any, NOW).unwrap();
            free(&mut endpoints, Health::Good);
        }
        assert!(!endpoints.is_hungry(NOW));
        endpoints.next(Start::Any, NOW).unwrap();
        free(&mut endpoints, Health::Good);
        assert_eq!((endpoints.busy(NOW), endpoints.is_hungry(NOW)), (vec![], true));
    }

    #[test]
    fn a_paused_endpoint_gives_back_what_waits() {
        let mut endpoints = Endpoints::default();
        let until = Timestamp::from_second(60).unwrap();
        fill(&mut endpoints, &[lane(1, 1)], 1);
        endpoints.next(Start::Any, NOW).unwrap();
        assert_eq!(endpoints.pause(system(1), until).len(), 3);
        free(&mut endpoints, Health::Good);
        assert_eq!(sent(&mut endpoints), Vec::<u128>::new());
        assert_eq!(endpoints.busy(Timestamp::UNIX_EPOCH), [system(1)]);
        assert_eq!(endpoints.busy(until), []);
    }

    #[test]
    fn an_open_breaker_gives_back_what_waits_and_lets_one_probe_through() {
        let mut endpoints = Endpoints::default();
        fill(&mut endpoints, &[lane(1, 1)], 8);
        sent(&mut endpoints);
        for _ in 0..4 {
            assert_eq!(free(&mut endpoints, Health::Bad), (None, 0));
        }
        let (turn, back) = free(&mut endpoints, Health::Bad);
        let Some(Turn::Opened(opened)) = turn else {
            panic!("it opens");
        };
        assert_eq!(
            (back, endpoints.is_hungry(NOW), endpoints.busy(NOW)),
            (24, false, vec![system(1)])
        );
        assert_eq!(fill(&mut endpoints, &[lane(1, 1)], 8), [], "nothing is claimed");
        let later = opened.until;
        assert_eq!(endpoints.busy(later), []);
        let terms = Terms {
            concurrency: 8,
            rate: None,
        };
        let rooms = endpoints.rooms(&[lane(1, 1)], |_| Some(terms), later);
        assert_eq!(rooms.iter().map(|room| room.tasks).collect::<Vec<_>>(), [1]);
        endpoints.put(vec![parcel(&rooms[0], 7)], &rooms, later);
        let probe = endpoints.next(Start::Any, later).unwrap();
        assert!(endpoints.next(Start::Any, later).is_none());
        let freed = Freed {
            load: probe.load(),
            system: system(1),
            pause: None,
            health: Health::Good,
        };
        assert_eq!(endpoints.free(&freed, later, 0.5).0, Some(Turn::Closed));
        assert!(endpoints.is_hungry(later), "what waits is claimed at once");
    }

    #[test]
    fn what_was_tried_before_leaves_room_for_what_was_not() {
        let mut endpoints = Endpoints::default();
        let terms = Terms {
            concurrency: 1,
            rate: None,
        };
        let rooms = endpoints.rooms(&[lane(1, 1), lane(2, 1)], |_| Some(terms), NOW);
        let Parcel::Task(mut retried, key) = parcel(&rooms[0], 1) else {
            unreachable!()
        };
        retried.steps = 1;
        endpoints.put(vec![Parcel::Task(retried, key), parcel(&rooms[1], 2)], &rooms, NOW);
        let first = endpoints.next(Start::FirstOnly, NOW).unwrap();
        assert_eq!(first.system(), system(2));
        assert!(endpoints.next(Start::FirstOnly, NOW).is_none());
        assert_eq!(endpoints.next(Start::Any, NOW).unwrap().system(), system(1));
    }

    #[test]
    fn a_rate_puts_an_endpoint_to_rest() {
        let mut endpoints = Endpoints::default();
        let terms = Terms {
            concurrency: 8,
            rate: Some(2),
        };
        let rooms = endpoints.rooms(&[lane(1, 1)], |_| Some(terms), NOW);
        assert_eq!(rooms[0].tasks, 4, "two seconds' worth");
        endpoints.put((0..4).map(|number| parcel(&rooms[0], number)).collect(), &rooms, NOW);
        assert_eq!(sent(&mut endpoints).len(), 2);
        let rested = endpoints.next_rested().unwrap();
        assert!(rested > NOW);
        assert!(endpoints.next(Start::Any, rested).is_some());
    }
}
