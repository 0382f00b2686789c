//! The loop that sends: look for due lanes, claim, start attempts, take their slots back.
//!
//! Nothing here waits for the database or a client: looking, claiming and attempts are tasks of their own, and the loop
//! only keeps the books between them. It looks when the bell rings, when the next lane's time comes, when an endpoint
//! has used up what it had, and every second anyway.
//!
//! A claim whose COMMIT was cut may have taken effect: it is undone by its instant before the next look. When the
//! tenure has run out, what waits in memory is given back before anything else is begun.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use domain::id::SystemId;
use domain::registration::ConnectorKind;
use futures_util::FutureExt as _;
use jiff::Timestamp;
use platform::chance;
use platform::db::DbError;
use platform::lifecycle::Stop;
use platform::metrics::{Counter, Gauge};
use store::leases::{DueLane, OpenBreaker};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::Config;
use super::attempt::{Freed, Tools};
use super::breaker::{Breaker, Turn};
use super::endpoint::Terms;
use super::endpoints::{Endpoints, Start};
use super::parcel::{Load, Parcel};
use super::places::{Claims, Doubt, LANES_MAX, Places, Seen};
use super::policy::Health;
use super::record::Report;
use super::tenure::Tenure;
use crate::bell::Bell;

/// The least between two looks, so that many bells in a row are one.
const LINGER: Duration = Duration::from_millis(2);

/// Between two looks while the database is away.
const PAUSE: Duration = Duration::from_millis(500);

/// Of what may be under way, one part in so many is kept for what was never tried: endpoints that fail in turns must
/// not fill every place with their retries.
const RESERVED: usize = 4;

static UNDER_WAY: Gauge = Gauge::new("quittance_attempts_under_way", "Attempts that are under way now.");

static OPEN_BREAKERS: Gauge = Gauge::new(
    "quittance_breakers_open",
    "Endpoints of this process that are not called for now, because they failed.",
);

static TURNS: Counter = Counter::new(
    "quittance_breaker_turns_total",
    "How often an endpoint's breaker opened or closed.",
);

/// Sends what is due.
pub(super) struct Courier {
    places: Places,
    tools: Arc<Tools>,
    tenure: Tenure,
    bell: Bell,
    concurrency: usize,
    poll: Duration,
    endpoints: Endpoints,
    /// What is under way, to be given back if it is cut.
    open: HashMap<Load, Report>,
    /// Which of it was tried before.
    retried: HashSet<Load>,
    running: JoinSet<Event>,
    /// A look or a claim is under way.
    looking: bool,
    next_look: Instant,
    last_look: Instant,
    /// Claims of which we don't know whether they were written.
    doubts: Vec<Doubt>,
    /// Systems whose lanes are not ours to serve, under that version of the registry.
    foreign: (i64, HashSet<SystemId>),
    lapses: u64,
}

enum Event {
    Freed(Freed),
    Seen(Result<Seen, DbError>),
    Claimed(Claims),
    Noted,
}

impl Courier {
    pub(super) fn new(places: Places, tools: Tools, tenure: Tenure, bell: Bell, config: &Config) -> Self {
        let now = Instant::now();
        Self {
            places,
            tools: Arc::new(tools),
            tenure,
            bell,
            concurrency: config.concurrency.max(1),
            poll: Duration::from_millis(config.poll_ms.max(1)),
            endpoints: Endpoints::default(),
            open: HashMap::new(),
            retried: HashSet::new(),
            running: JoinSet::new(),
            looking: false,
            next_look: now,
            last_look: now,
            doubts: Vec::new(),
            foreign: (0, HashSet::new()),
            lapses: 0,
        }
    }

    /// Sends until the soft stop; then winds up.
    pub(super) async fn run(mut self, stop: Stop) {
        loop {
            self.heed_lapses().await;
            self.start();
            let rested = self.rested();
            tokio::select! {
                biased;
                () = stop.soft() => break,
                () = tokio::time::sleep_until(rested.unwrap_or(self.next_look)), if rested.is_some() => {}
                // Ended attempts come last: there may always be another one.
                () = tokio::time::sleep_until(self.next_look), if !self.looking => self.look(),
                () = self.bell.rung() => self.look_at(self.last_look + LINGER),
                Some(ended) = self.running.join_next() => self.take(ended).await,
            }
        }
        self.wind_up(&stop).await;
    }

    /// Starts as many attempts as there is capacity for.
    fn start(&mut self) {
        let now = self.tools.clock.now();
        while self.open.len() < self.concurrency && self.tenure.holds(now) {
            let Some(parcel) = self.endpoints.next(self.may_start(), now) else {
                break;
            };
            self.open.insert(parcel.load(), parcel.given_back(now));
            if parcel.is_retry() {
                self.retried.insert(parcel.load());
            }
            let tools = Arc::clone(&self.tools);
            self.running
                .spawn(async move { Event::Freed(unbroken(&tools, parcel).await) });
        }
    }

    fn may_start(&self) -> Start {
        let most = self.concurrency - self.concurrency / RESERVED;
        if self.retried.len() < most {
            Start::Any
        } else {
            Start::FirstOnly
        }
    }

    /// When an endpoint that has used up its rate may go on.
    fn rested(&self) -> Option<Instant> {
        let at = self.endpoints.next_rested()?;
        let wait = at.duration_since(self.tools.clock.now());
        Some(Instant::now() + Duration::try_from(wait).unwrap_or_default())
    }

    async fn take(&mut self, ended: Result<Event, JoinError>) {
        match ended {
            Ok(Event::Freed(freed)) => self.free(freed).await,
            Ok(Event::Seen(seen)) => self.seen(seen),
            Ok(Event::Claimed(claims)) => self.claimed(claims),
            Ok(Event::Noted) => {}
            // Looking and claiming have no reason to; the next look begins anew.
            Err(error) => {
                tracing::error!(%error, "looking for due tasks broke");
                self.looking = false;
            }
        }
    }

    async fn free(&mut self, freed: Freed) {
        self.open.remove(&freed.load);
        self.retried.remove(&freed.load);
        let now = self.tools.clock.now();
        let (turn, waiting) = self.endpoints.free(&freed, now, chance::unit(&*self.tools.rng));
        self.give_back(&waiting, now).await;
        if let Some(turn) = turn {
            self.turned(freed.system, turn);
        }
        if let Some(until) = freed.pause {
            let waiting = self.endpoints.pause(freed.system, until);
            self.give_back(&waiting, until).await;
        }
        if self.endpoints.is_hungry(now) {
            self.look_at(self.last_look + LINGER);
        }
    }

    fn turned(&mut self, system: SystemId, turn: Turn) {
        let word = match turn {
            Turn::Opened(OpenBreaker { until, times }) => {
                tracing::warn!(%system, %until, times, "an endpoint fails and is left alone until then");
                "opened"
            }
            Turn::Closed => {
                tracing::info!(%system, "an endpoint works again");
                "closed"
            }
        };
        TURNS.add(1, &[("turn", word)]);
        let places = self.places.clone();
        self.running.spawn(async move {
            places.note(system, turn).await;
            Event::Noted
        });
    }

    fn look_at(&mut self, at: Instant) {
        self.next_look = self.next_look.min(at);
    }

    /// Looks for due lanes, if this process may act.
    fn look(&mut self) {
        let now = self.tools.clock.now();
        self.last_look = Instant::now();
        self.next_look = self.last_look + self.poll;
        if !self.tenure.holds(now) {
            self.next_look = self.last_look + LINGER * 10;
            return;
        }
        self.looking = true;
        UNDER_WAY.set(u32::try_from(self.open.len()).unwrap_or(u32::MAX).into(), &[]);
        OPEN_BREAKERS.set(
            u32::try_from(self.endpoints.open_breakers()).unwrap_or(u32::MAX).into(),
            &[],
        );
        let mut busy = self.endpoints.busy(now);
        busy.extend(self.foreign());
        let (places, doubts) = (self.places.clone(), self.doubts.clone());
        self.running
            .spawn(async move { Event::Seen(places.look(&doubts, &busy, now).await) });
    }

    fn foreign(&mut self) -> impl Iterator<Item = SystemId> {
        let version = self.tools.directory.current().version();
        if self.foreign.0 != version {
            self.foreign = (version, HashSet::new());
        }
        self.foreign.1.iter().copied()
    }

    fn seen(&mut self, seen: Result<Seen, DbError>) {
        self.looking = false;
        match seen {
            Ok(seen) => {
                self.doubts.clear();
                self.plan_next(&seen);
                for taken in &seen.taken {
                    self.endpoints.took(taken.system, Breaker::stored(taken.breaker));
                }
                self.claim(&seen.lanes);
            }
            Err(error) => self.troubled(&error),
        }
    }

    fn plan_next(&mut self, seen: &Seen) {
        if i64::try_from(seen.lanes.len()).is_ok_and(|lanes| lanes >= LANES_MAX) {
            self.look_at(self.last_look + LINGER);
        }
        if let Some(next) = seen.next {
            let wait = next.duration_since(self.tools.clock.now());
            let wait = Duration::try_from(wait).unwrap_or_default();
            self.look_at(Instant::now() + wait.min(self.poll));
        }
    }

    fn claim(&mut self, lanes: &[DueLane]) {
        let directory = self.tools.directory.current();
        let terms = |system| {
            let system = directory
                .system(system)
                .filter(|one| matches!(one.kind, ConnectorKind::Webhook | ConnectorKind::Notices))?;
            Some(Terms {
                concurrency: usize::from(system.concurrency).max(1),
                rate: system.rate_per_second,
            })
        };
        let foreign = lanes
            .iter()
            .map(|lane| lane.system)
            .filter(|system| terms(*system).is_none());
        self.foreign.1.extend(foreign);
        let now = self.tools.clock.now();
        let rooms = self.endpoints.rooms(lanes, terms, now);
        if rooms.is_empty() {
            return;
        }
        self.looking = true;
        let places = self.places.clone();
        self.running
            .spawn(async move { Event::Claimed(places.claim(rooms, now).await) });
    }

    fn claimed(&mut self, claims: Claims) {
        self.looking = false;
        match claims.result {
            Ok(parcels) => {
                let now = self.tools.clock.now();
                self.endpoints.put(parcels, &claims.rooms, now);
                if self.endpoints.is_hungry(now) {
                    self.look_at(self.last_look + LINGER);
                }
            }
            Err(error) => {
                let systems = claims.rooms.iter().map(|room| room.system).collect();
                self.doubts.push(Doubt { systems, at: claims.at });
                self.troubled(&error);
            }
        }
    }

    fn troubled(&mut self, error: &DbError) {
        tracing::warn!(error = error as &dyn std::error::Error, "due tasks can't be claimed");
        self.next_look = Instant::now() + PAUSE;
    }

    /// Another process may hold our endpoints by now: whatever waits is given back; if it is not ours any more, that
    /// changes nothing.
    async fn heed_lapses(&mut self) {
        let lapses = self.tenure.lapses();
        if lapses != self.lapses {
            self.lapses = lapses;
            let waiting = self.endpoints.empty();
            tracing::warn!(
                tasks = waiting.len(),
                "the lease had run out; what was claimed is given back"
            );
            self.give_back(&waiting, self.tools.clock.now()).await;
        }
    }

    async fn give_back(&self, parcels: &[Parcel], due: Timestamp) {
        for parcel in parcels {
            self.bring_back(parcel.given_back(due)).await;
        }
    }

    async fn bring_back(&self, report: Report) {
        // Only after the hard stop is there nobody to write it; then the task is found by its fence.
        drop(self.tools.outcomes.send(report).await);
    }

    /// Gives back what waits, lets attempts end until the hard stop, cuts the rest and gives that back too.
    async fn wind_up(mut self, stop: &Stop) {
        loop {
            let waiting = self.endpoints.empty();
            self.give_back(&waiting, self.tools.clock.now()).await;
            tokio::select! {
                biased;
                () = stop.hard() => break,
                ended = self.running.join_next() => match ended {
                    Some(Ok(Event::Freed(freed))) => drop(self.open.remove(&freed.load)),
                    Some(Ok(Event::Claimed(claims))) => self.claimed(claims),
                    Some(_) => {}
                    None => break,
                },
            }
        }
        self.running.shutdown().await;
        for report in std::mem::take(&mut self.open).into_values() {
            self.bring_back(report).await;
        }
    }
}

/// An attempt that breaks still frees its slot; its task is found by its age.
async fn unbroken(tools: &Tools, parcel: Parcel) -> Freed {
    let freed = Freed {
        load: parcel.load(),
        system: parcel.system(),
        pause: None,
        health: Health::Unknown,
    };
    let attempt = AssertUnwindSafe(tools.attempt(parcel)).catch_unwind();
    attempt.await.unwrap_or_else(|_| {
        tracing::error!(load = %freed.load, "an attempt broke");
        freed
    })
}
