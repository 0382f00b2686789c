//! Delivering: from a task that is due to a result that is stored.
//!
//! One engine a process. It renews its worker's row ([`heartbeat`]), takes endpoints whose lanes are due, claims their
//! tasks ahead of need in one transaction ([`mod@claim`]), and runs attempts: each system's own number at once, a
//! process-wide number in all ([`hand`]). Results are gathered for a few milliseconds and written together
//! ([`mod@record`]); what becomes of a task is decided by a pure function ([`policy`]).
//! What carries correctness is the task's stable id and bytes plus the receipt. Leases and fences only save work: a
//! task that is sent twice is one task to its owner.

pub(crate) mod policy;

mod attempt;
mod claim;
mod hand;
mod heartbeat;
mod record;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use keys::KeyStore;
use platform::chance::SharedRng;
use platform::clock::SharedClock;
use platform::db::DbError;
use platform::egress::{Egress, Limits};
use platform::keyring::Keyring;
use platform::lifecycle::Stop;
use schemars::JsonSchema;
use serde::Deserialize;
use store::Store;
use store::registry::DirectoryCache;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::bell::Bell;
use crate::collect::Collector;
use attempt::Ended;
use hand::Hand;
use policy::Schedule;

/// How the engine works.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A worker that has not renewed for so long is gone, and its endpoints are taken over.
    pub lease_ms: u64,
    /// The net under the wake-ups: how long a due task waits at most to be seen.
    pub poll_ms: u64,
    /// Attempts under way in this process.
    pub concurrency: usize,
    /// From the begin of an attempt to the last byte of its answer.
    pub attempt_ms: u64,
    /// When a task is tried again.
    pub schedule: Schedule,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lease_ms: 5_000,
            poll_ms: 1_000,
            concurrency: 1_024,
            attempt_ms: 20_000,
            schedule: Schedule::default(),
        }
    }
}

impl Config {
    fn limits(&self) -> Limits {
        Limits {
            whole: Duration::from_millis(self.attempt_ms),
            ..Limits::default()
        }
    }

    fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }
}

/// What the engine needs of the process; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Bench {
    /// The router's database.
    pub(crate) store: Store,
    /// Opens the bodies.
    pub(crate) keys: KeyStore,
    /// Where systems are, and their sealed secrets.
    pub(crate) directory: DirectoryCache,
    /// Opens the secrets.
    pub(crate) keyring: Arc<Keyring>,
    /// The way out.
    pub(crate) egress: Egress,
    /// Takes receipts that come with an answer.
    pub(crate) collector: Collector,
    /// For what is recorded and decided.
    pub(crate) clock: SharedClock,
    /// For ids and jitter.
    pub(crate) rng: SharedRng,
    /// Rung when tasks have become due in this process.
    pub(crate) bell: Bell,
    /// How it works.
    pub(crate) config: Arc<Config>,
}

/// One worker: an engine from its start to its stop.
#[derive(Debug, Clone)]
struct Worker {
    bench: Bench,
    id: Uuid,
    /// Until when the worker's row is renewed, in microseconds: after that others may take its endpoints over.
    alive_until: Arc<AtomicI64>,
}

/// Delivers until the soft stop; then what is under way ends, or is cut at the hard stop and released.
pub(crate) async fn run(bench: Bench, stop: Stop) -> Result<(), DbError> {
    let worker = Worker::new(bench);
    let (ended, results) = mpsc::unbounded_channel();
    let (record, recorded) = mpsc::unbounded_channel();
    let writer = tokio::spawn(record::run(worker.clone(), recorded));
    let heart = tokio::spawn(heartbeat::run(worker.clone()));

    let mut hand = Hand::new(worker.clone(), ended, record);
    hand.work(results, &stop).await;
    // Dropping the hand closes the recorder's queue, which ends when everything is written.
    drop(hand);
    if let Err(error) = writer.await {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the recorder of attempts ended badly"
        );
    }
    heart.abort();
    store::leases::retire(worker.bench.store.db(), worker.id, worker.bench.clock.now()).await
}

impl Worker {
    fn new(bench: Bench) -> Self {
        let id = uuid::Builder::from_random_bytes(platform::chance::bytes(&*bench.rng)).into_uuid();
        Self {
            bench,
            id,
            alive_until: Arc::default(),
        }
    }
}

/// What attempts report to the engine's owner.
type Results = mpsc::UnboundedReceiver<Ended>;
