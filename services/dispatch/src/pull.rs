//! Tasks for systems that nobody can reach from outside: their systems fetch them (contracts.md §5).
//!
//! A system asks with its own token and waits for a while; it gets the very bytes that a webhook would have brought, for
//! a time that it names. Until then nobody else gets them; afterwards they are due again, and no step of any schedule
//! is spent. Handing bytes over an answer proves nothing about their arrival, so nothing is logged for it: what the
//! system says, an acknowledgement or a receipt, is the first evidence that it has them.
//!
//! Whoever waits looks when something was planned here, and every few seconds for what others planned. What carries
//! correctness is the claim in one statement; a waiter whose caller has gone leaves at most a lease that runs out.

pub(crate) mod door;

mod refusal;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::id::{AttemptId, ControllerId, SystemId, TaskId};
use domain::task::ParkReason;
use evidence::digest::ContentDigest;
use jiff::Timestamp;
use keys::{Class, KeyStore};
use platform::chance::{self, SharedRng};
use platform::clock::SharedClock;
use platform::db::{DbError, Tx};
use platform::lifecycle::Stop;
use platform::metrics::Counter;
use store::attempts::{self, Attempt};
use store::receipts::AnomalyKind;
use store::registry::DirectoryCache;
use store::tasks::fetch::{self, Fetched, Lease};
use store::tasks::record::{Next, Step};
use store::tokens::Finder;
use store::{Store, tasks};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::bell::Bell;
use crate::collect::Collector;
use crate::deliver::parcel;
use crate::deliver::record::{Outcome, write_tasks};
use crate::oddities;

pub(crate) use refusal::ALL as PROBLEMS;
use refusal::Refusal;

/// Callers that wait at once; each looks into the database every few seconds.
const WAITING_MAX: usize = 256;

/// The net under the bell, for what another process planned or whose lease ran out.
const LOOK: Duration = Duration::from_secs(2);

/// Below every sender's: whoever fetches writes nothing that would have to be told apart.
const NO_FENCE: i64 = 0;

static FETCHED: Counter = Counter::new(
    "quittance_tasks_fetched_total",
    "Tasks that their systems fetched, each time that they did.",
);

/// Hands tasks to systems that fetch them; clones share the waiting room.
#[derive(Debug, Clone)]
pub(crate) struct Pull {
    pub(crate) store: Store,
    pub(crate) keys: KeyStore,
    pub(crate) directory: DirectoryCache,
    pub(crate) collector: Collector,
    pub(crate) tokens: Finder,
    pub(crate) bell: Bell,
    pub(crate) clock: SharedClock,
    pub(crate) rng: SharedRng,
    pub(crate) room: Room,
}

/// Where callers wait, and whose turn it is.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    seats: Arc<Semaphore>,
    open: Arc<watch::Sender<bool>>,
    served: Arc<Mutex<HashMap<SystemId, ControllerId>>>,
}

/// What a system asks for.
#[derive(Debug, Clone, Copy)]
struct Ask {
    system: SystemId,
    most: i64,
    wait: Duration,
    lease: Duration,
}

/// A task as its system gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Handed {
    task: TaskId,
    body: Vec<u8>,
    digest: ContentDigest,
    until: Timestamp,
}

/// Why fetched bytes can't be handed over.
enum Closed {
    /// Gone, or not what was planned.
    Corrupt,
    /// The key store is away.
    Ours,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            seats: Arc::new(Semaphore::new(WAITING_MAX)),
            open: Arc::new(watch::Sender::new(true)),
            served: Arc::default(),
        }
    }
}

impl Room {
    /// Sends everybody home at the soft stop, with what there is.
    pub(crate) async fn close_at(self, stop: Stop) -> Result<(), std::convert::Infallible> {
        stop.soft().await;
        self.open.send_replace(false);
        Ok(())
    }

    fn after(&self, system: SystemId) -> Option<ControllerId> {
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.get(&system).copied()
    }

    fn note(&self, system: SystemId, fetched: &[Fetched]) {
        if let Some(last) = fetched.last() {
            let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
            served.insert(system, last.controller);
        }
    }
}

impl Pull {
    /// Waits for due tasks of a system; nothing if none came in time.
    async fn wait(&self, ask: Ask) -> Result<Vec<Handed>, Refusal> {
        let _seat = self.room.seats.try_acquire().map_err(|_| Refusal::Full)?;
        let end = Instant::now() + ask.wait;
        let mut open = self.room.open.subscribe();
        loop {
            // Listening before looking, so that what is planned in between is heard.
            let rung = self.bell.rung_for_all();
            let handed = self.take(ask).await?;
            if !handed.is_empty() || Instant::now() >= end || !*open.borrow_and_update() {
                return Ok(handed);
            }
            tokio::select! {
                () = rung => {}
                () = tokio::time::sleep_until(end.min(Instant::now() + LOOK)) => {}
                _ = open.changed() => {}
            }
        }
    }

    async fn take(&self, ask: Ask) -> Result<Vec<Handed>, Refusal> {
        let now = self.clock.now();
        let lease = Lease {
            system: ask.system,
            after: self.room.after(ask.system),
            most: ask.most,
            now,
            until: now + ask.lease,
        };
        let fetched = self.lease(lease).await?;
        self.room.note(ask.system, &fetched);
        FETCHED.add(fetched.len() as u64, &[]);
        let (handed, closed) = self.open(fetched, lease.until).await;
        self.put_aside(&closed, ask.system, now).await?;
        Ok(handed)
    }

    /// Claims, and writes the attempts down, in one transaction.
    async fn lease(&self, lease: Lease) -> Result<Vec<Fetched>, DbError> {
        let rng = Arc::clone(&self.rng);
        self.store
            .db()
            .transaction("fetch_tasks", move |tx| {
                let rng = Arc::clone(&rng);
                Box::pin(async move { lease_in(tx, lease, &rng).await })
            })
            .await
    }

    async fn open(&self, fetched: Vec<Fetched>, until: Timestamp) -> (Vec<Handed>, Vec<(Fetched, Closed)>) {
        let requests: Vec<_> = fetched.iter().map(|one| one.request).collect();
        let keys = self.keys.load(Class::Subject, &requests).await;
        if let Err(error) = &keys {
            tracing::warn!(error = error as &dyn std::error::Error, "tasks can't be opened now");
        }
        let (mut handed, mut closed) = (Vec::new(), Vec::new());
        for one in fetched {
            let body = match &keys {
                Ok(keys) => parcel::open(keys.get(&one.request), tasks::BODY, one.sealed.as_deref(), one.digest)
                    .ok_or(Closed::Corrupt),
                Err(_) => Err(Closed::Ours),
            };
            match body {
                Ok(body) => handed.push(Handed {
                    task: one.id,
                    body,
                    digest: ContentDigest(one.digest),
                    until,
                }),
                Err(why) => closed.push((one, why)),
            }
        }
        (handed, closed)
    }

    /// Parks what is broken, and makes due again what is ours to mend.
    async fn put_aside(&self, closed: &[(Fetched, Closed)], system: SystemId, now: Timestamp) -> Result<(), DbError> {
        if closed.is_empty() {
            return Ok(());
        }
        let outcome = |(one, why): &(Fetched, Closed)| {
            let (next, anomaly) = match why {
                Closed::Corrupt => {
                    let odd = oddities::of_task(AnomalyKind::Corrupt, one.request, one.id, system);
                    (Next::Parked(ParkReason::Corrupt), Some(odd))
                }
                Closed::Ours => (Next::Due(now), None),
            };
            Outcome {
                attempt: None,
                step: Step {
                    task: one.id,
                    fence: NO_FENCE,
                    next,
                    steps: 0,
                    rejections: 0,
                },
                anomaly,
            }
        };
        let outcomes: Arc<Vec<Outcome>> = Arc::new(closed.iter().map(outcome).collect());
        let rng = Arc::clone(&self.rng);
        self.store
            .db()
            .transaction("fetch_aside", move |tx| {
                let (outcomes, rng) = (Arc::clone(&outcomes), Arc::clone(&rng));
                Box::pin(async move { write_tasks(tx, &outcomes, now, rng).await })
            })
            .await
    }
}

async fn lease_in(tx: &mut Tx, lease: Lease, rng: &SharedRng) -> Result<Vec<Fetched>, DbError> {
    let fetched = fetch::lease(tx, lease).await?;
    let attempt = |one: &Fetched| Attempt {
        id: AttemptId::new(lease.now, chance::bytes(&**rng)),
        task: one.id,
        fence: NO_FENCE,
        started_at: lease.now,
        ended_at: lease.now,
        status: None,
        result: "fetched",
    };
    attempts::insert(tx, &fetched.iter().map(attempt).collect::<Vec<_>>()).await?;
    Ok(fetched)
}
