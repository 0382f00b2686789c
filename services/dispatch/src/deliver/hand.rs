//! What the engine has in its hand: claimed tasks by system, and the attempts under way.
//!
//! One loop owns it, so that a system's number of attempts is exact without a lock. A slot is free as soon as its
//! answer is read; the result is written later, by the recorder. Claimed tasks wait here for a slot, up to a few times
//! a system's capacity, so that a fast endpoint never waits for the database.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use domain::id::{RequestId, SystemId};
use keys::DataKey;
use platform::lifecycle::Stop;
use platform::metrics::{Counter, Gauge};
use store::tasks::claim::Claimed;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::attempt::{Came, Ended, Endpoint, endpoint};
use super::claim::More;
use super::{Results, Worker};

/// How many times its capacity a system's tasks are claimed ahead: an answer's time times four is longer than a claim
/// takes, unless the endpoint answers at once.
const AHEAD: usize = 4;

/// After a failed claim, the database is left alone for a moment.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

static UNDER_WAY: Gauge = Gauge::new("quittance_attempts_under_way", "Attempts that this process is making.");
static CLAIMED: Counter = Counter::new("quittance_tasks_claimed_total", "Tasks that were claimed.");

/// Claimed tasks and attempts under way.
pub(super) struct Hand {
    worker: Worker,
    systems: HashMap<SystemId, Slots>,
    attempts: JoinSet<()>,
    under_way: HashMap<domain::id::TaskId, (AbortHandle, Claimed)>,
    ended: mpsc::UnboundedSender<Ended>,
    record: mpsc::UnboundedSender<Ended>,
    /// The registry's version that endpoints were read at.
    version: i64,
}

/// One system's part.
struct Slots {
    endpoint: Option<Endpoint>,
    waiting: VecDeque<(Claimed, Option<DataKey>)>,
    under_way: usize,
}

impl Slots {
    fn capacity(&self) -> usize {
        self.endpoint
            .as_ref()
            .map_or(0, |endpoint| usize::from(endpoint.system.concurrency))
    }

    fn room(&self) -> usize {
        (self.capacity() * AHEAD).saturating_sub(self.waiting.len() + self.under_way)
    }
}

impl Hand {
    pub(super) fn new(
        worker: Worker,
        ended: mpsc::UnboundedSender<Ended>,
        record: mpsc::UnboundedSender<Ended>,
    ) -> Self {
        Self {
            worker,
            systems: HashMap::new(),
            attempts: JoinSet::new(),
            under_way: HashMap::new(),
            ended,
            record,
            version: 0,
        }
    }

    /// Claims and attempts until the soft stop, then ends what is under way.
    pub(super) async fn work(&mut self, mut results: Results, stop: &Stop) {
        let poll = Duration::from_millis(self.worker.bench.config.poll_ms);
        let bell = self.worker.bench.bell.clone();
        let mut look_at = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = stop.soft() => break,
                Some(ended) = results.recv() => {
                    if self.finish(ended) {
                        look_at = Instant::now();
                    }
                }
                () = bell.rung() => look_at = Instant::now(),
                () = tokio::time::sleep_until(look_at) => look_at = Instant::now() + self.look(poll).await,
            }
        }
        self.end(results, stop).await;
    }

    /// Claims what fits; returns how long nothing else needs to be looked for.
    async fn look(&mut self, poll: Duration) -> Duration {
        self.see_registry();
        let now = self.worker.bench.clock.now();
        let in_all = self.worker.bench.config.concurrency.saturating_sub(self.in_hand());
        if in_all == 0 || !self.worker.is_alive(now) {
            return poll.min(AFTER_FAILURE);
        }
        let busy: Vec<SystemId> = self.busy();
        let worker = self.worker.clone();
        match worker.claim(&busy, |system| self.room(system), in_all).await {
            Ok(got) => {
                let claimed = got.tasks.len();
                CLAIMED.add(claimed as u64, &[]);
                self.take(got.tasks, &got.keys);
                if claimed > 0 || got.more == More::Perhaps {
                    Duration::ZERO
                } else {
                    self.until_next(poll).await
                }
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "no tasks could be claimed");
                AFTER_FAILURE
            }
        }
    }

    /// A task that is due sooner than the next poll is not made to wait for it.
    async fn until_next(&self, poll: Duration) -> Duration {
        let now = self.worker.bench.clock.now();
        match store::leases::next(self.worker.bench.store.db(), now).await {
            Ok(Some(at)) => Duration::try_from(at.duration_since(now)).unwrap_or(poll).min(poll),
            _ => poll,
        }
    }

    /// Endpoints are read anew when the registry has changed.
    fn see_registry(&mut self) {
        let version = self.worker.bench.directory.current().version();
        if version != self.version {
            self.version = version;
            for (system, slots) in &mut self.systems {
                slots.endpoint = endpoint(&self.worker, *system);
            }
        }
    }

    fn room(&self, system: SystemId) -> usize {
        if let Some(slots) = self.systems.get(&system) {
            return slots.room();
        }
        let directory = self.worker.bench.directory.current();
        let known = directory.system(system);
        AHEAD * known.map_or(0, |known| usize::from(known.concurrency))
    }

    fn busy(&self) -> Vec<SystemId> {
        let full = |slots: &Slots| slots.room() < slots.capacity().max(1);
        self.systems
            .iter()
            .filter(|(_, slots)| full(slots))
            .map(|(system, _)| *system)
            .collect()
    }

    fn in_hand(&self) -> usize {
        self.under_way.len() + self.systems.values().map(|slots| slots.waiting.len()).sum::<usize>()
    }

    fn take(&mut self, tasks: Vec<Claimed>, keys: &HashMap<RequestId, DataKey>) {
        let mut touched = Vec::new();
        for task in tasks {
            let (system, key) = (task.system, keys.get(&task.request).cloned());
            let worker = &self.worker;
            let slots = self.systems.entry(system).or_insert_with(|| Slots {
                endpoint: endpoint(worker, system),
                waiting: VecDeque::new(),
                under_way: 0,
            });
            slots.waiting.push_back((task, key));
            touched.push(system);
        }
        touched.dedup();
        for system in touched {
            self.start(system);
        }
    }

    /// Starts attempts for as many waiting tasks as the system has free slots.
    fn start(&mut self, system: SystemId) {
        let Some(slots) = self.systems.get_mut(&system) else {
            return;
        };
        while slots.under_way < slots.capacity() {
            let (Some(endpoint), Some((task, key))) = (slots.endpoint.clone(), slots.waiting.pop_front()) else {
                break;
            };
            slots.under_way += 1;
            let (worker, ended, copy) = (self.worker.clone(), self.ended.clone(), task.clone());
            let id = task.id;
            let handle = self.attempts.spawn(async move {
                let outcome = worker.attempt(task, endpoint, key).await;
                // The engine outlives its attempts; if it is gone, so is whoever would care.
                drop(ended.send(outcome));
            });
            self.under_way.insert(id, (handle, copy));
        }
        let under_way = u32::try_from(self.under_way.len()).unwrap_or(u32::MAX);
        UNDER_WAY.set(f64::from(under_way), &[]);
    }

    /// Frees the slot, hands the result on, and starts the next; `true` if more should be claimed.
    fn finish(&mut self, ended: Ended) -> bool {
        while self.attempts.try_join_next().is_some() {}
        let system = ended.task.system;
        self.under_way.remove(&ended.task.id);
        if let Some(slots) = self.systems.get_mut(&system) {
            slots.under_way = slots.under_way.saturating_sub(1);
        }
        drop(self.record.send(ended));
        self.start(system);
        self.systems
            .get(&system)
            .is_some_and(|slots| slots.waiting.len() < slots.capacity())
    }

    /// What was not begun goes back at once; what is under way may end until the hard stop, and then goes back too.
    async fn end(&mut self, mut results: Results, stop: &Stop) {
        for slots in self.systems.values_mut() {
            for (task, _) in slots.waiting.drain(..) {
                drop(self.record.send(Ended {
                    task,
                    result: Came::NotMade,
                }));
            }
        }
        while !self.under_way.is_empty() {
            tokio::select! {
                Some(ended) = results.recv() => {
                    self.under_way.remove(&ended.task.id);
                    drop(self.record.send(ended));
                }
                () = stop.hard() => break,
            }
        }
        for (_, (handle, task)) in self.under_way.drain() {
            handle.abort();
            drop(self.record.send(Ended {
                task,
                result: Came::NotMade,
            }));
        }
    }
}
