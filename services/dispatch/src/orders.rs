//! Working off what persons ordered: replays, parkings, decisions.
//!
//! A command stores a job and dispatch does it, because only dispatch signs, and because work on a hundred thousand
//! tasks must survive the terminal that asked for it. Jobs are worked off batch by batch ([`moves`]), each batch one
//! transaction that also moves the job's cursor; a decision about one request ([`verdict`]) is one transaction in all.
//! What carries correctness is the lock on the job's row, then those on the requests' in the order of their ids.

mod moves;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use domain::id::JobId;
use keys::KeyStore;
use platform::chance::SharedRng;
use platform::clock::SharedClock;
use platform::db::{DbError, Tx};
use platform::lifecycle::{Stop, Woken};
use platform::metrics::Counter;
use platform::problem::chain;
use store::Store;
use store::jobs::{self, Job, Order, State};
use store::registry::DirectoryCache;

use crate::bell::Bell;
use crate::signing::Signer;

/// A person waits for it; a look costs one read of an index that is nearly always empty.
const PAUSE: Duration = Duration::from_millis(500);

/// Jobs of one look: more than people order at once.
const JOBS_MAX: i64 = 50;

static MOVED: Counter = Counter::new(
    "quittance_ordered_tasks_total",
    "Tasks that were changed because a person ordered it, by what was ordered.",
);

/// Works until the stop.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    pub(crate) store: Store,
    pub(crate) keys: KeyStore,
    pub(crate) directory: DirectoryCache,
    pub(crate) signer: Signer,
    pub(crate) bell: Bell,
    pub(crate) clock: SharedClock,
    pub(crate) rng: SharedRng,
}

/// Why a job was not worked on; it is tried again.
#[derive(Debug, thiserror::Error)]
enum OrderError {
    #[error("a job was not worked on")]
    Database(#[from] DbError),
    #[error("the request's keys can't be had")]
    Keys(#[from] keys::KeyError),
}

/// Whether a job has more to do for this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    More,
    Nothing,
}

impl Orders {
    /// Looks, rests, looks again. A job that fails for want of a database is tried again.
    pub(crate) async fn run(self, stop: Stop) -> Result<(), std::convert::Infallible> {
        while stop.sleep(PAUSE).await == Woken::Rested {
            match jobs::open(self.store.db(), JOBS_MAX).await {
                Ok(open) => {
                    for job in open {
                        self.work(job, &stop).await;
                    }
                }
                Err(error) => tracing::warn!(error = %chain(&error), "orders can't be looked for"),
            }
        }
        Ok(())
    }

    /// Batch after batch, until it is over, somebody else has it, or the stop comes.
    async fn work(&self, job: JobId, stop: &Stop) {
        loop {
            match self.step(job).await {
                Ok(Rest::More) if stop.sleep(Duration::ZERO).await == Woken::Rested => {}
                Ok(_) => return,
                Err(OrderError::Database(error)) if error.is_of_content() => {
                    tracing::error!(%job, error = %chain(&error), "a job can't be done");
                    self.give_up(job).await;
                    return;
                }
                Err(error) => {
                    tracing::warn!(%job, error = %chain(&error), "a job waits");
                    return;
                }
            }
        }
    }

    async fn step(&self, id: JobId) -> Result<Rest, OrderError> {
        let Some(job) = jobs::show(self.store.db(), id).await? else {
            return Ok(Rest::Nothing);
        };
        let rest = match &job.order {
            Order::Replay(_) | Order::Park(_) => self.step_moves(&job).await?,
            Order::Decide { request, verdict } => self.decide(&job, *request, *verdict).await?,
        };
        self.store.waker().wake();
        self.bell.ring();
        Ok(rest)
    }

    async fn step_moves(&self, job: &Job) -> Result<Rest, DbError> {
        let (id, word, orders) = (job.id, job.order.as_str(), Arc::new(self.clone()));
        let moving = self.store.db().transaction("work_job", move |tx| {
            let orders = Arc::clone(&orders);
            Box::pin(async move { moves::step(&orders, tx, id).await })
        });
        let (moved, rest) = moving.await?;
        MOVED.add(moved, &[("order", word)]);
        Ok(rest)
    }

    /// What the database refuses today it refuses tomorrow: somebody must look.
    async fn give_up(&self, id: JobId) {
        let now = self.clock.now();
        let giving_up = self.store.db().transaction("give_up_job", move |tx| {
            Box::pin(async move { end(tx, id, State::Failed(now, "refused".to_owned())).await })
        });
        if let Err(error) = giving_up.await {
            tracing::warn!(job = %id, error = %chain(&error), "a job could not be given up");
        }
    }
}

async fn end(tx: &mut Tx, id: JobId, state: State) -> Result<(), DbError> {
    match jobs::lock(tx, id).await? {
        Some(job) => jobs::save(tx, &Job { state, ..job }).await,
        None => Ok(()),
    }
}
