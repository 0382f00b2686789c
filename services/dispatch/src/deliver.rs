//! Delivery: how a due task reaches its system, and what holds when things go wrong.
//!
//! Endpoints are owned, not tasks. A process keeps its [`tenure`] alive with one row and takes endpoints whose lanes are
//! due and that nobody owns; the owner alone sends for them, so capacity and pauses live in its memory ([`endpoints`])
//! and are exact across the fleet. One loop ([`mod@courier`]) looks for due lanes, claims as much as there is room for, and
//! starts attempts ([`attempt`]); what each came to is judged by a pure [`policy`] and written down in batches
//! ([`record`]).
//!
//! What carries correctness is the task's id and bytes, the same for ever, and the fence: a result counts only under
//! the fence of its task's last claim. Leases only save work.
//!
//! Messages beside the tasks ([`message`]) are another freight of the same engine, not another engine: their lanes are
//! found by the same look, their claims share the endpoint's lease, turns and capacity, and their results the same
//! transaction. Without a due message there is no statement about messages in any of it.

pub(crate) mod policy;

mod attempt;
mod breaker;
mod courier;
mod endpoint;
mod endpoints;
mod message;
mod pace;
pub(crate) mod parcel;
mod places;
pub(crate) mod record;
mod secrets;
mod tenure;

use std::sync::Arc;
use std::time::Duration;

use keys::KeyStore;
use platform::chance::{self, SharedRng};
use platform::clock::SharedClock;
use platform::db::DbError;
use platform::egress::{Egress, Limits};
use platform::keyring::Keyring;
use platform::lifecycle::Stop;
use platform::metrics::Counter;
use schemars::JsonSchema;
use serde::Deserialize;
use store::registry::DirectoryCache;
use store::tasks::{fetch, release};
use store::{Store, leases, messages};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use uuid::Uuid;

use crate::bell::Bell;
use crate::collect::Collector;

use attempt::Tools;
use courier::Courier;
use policy::Schedule;
use record::Recorder;
use secrets::Secrets;
use tenure::Tenure;

/// Giving leases back spares others a wait of seconds; it is not worth more than one.
const RETIRE_WITHIN: Duration = Duration::from_secs(1);

/// Tasks released at a time: a take-over of more goes on with the next look.
const RELEASE_MAX: i64 = 1_000;

static RELEASED: Counter = Counter::new(
    "quittance_tasks_released_total",
    "Tasks that were due again because their sender was gone.",
);

/// How the engine works.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A worker that has not renewed for so long is gone, and its endpoints are taken over.
    #[serde(deserialize_with = "platform::config::positive")]
    #[schemars(range(min = 1))]
    pub lease_ms: u64,
    /// The net under the wake-ups: how long a due task waits at most to be seen.
    #[serde(deserialize_with = "platform::config::positive")]
    #[schemars(range(min = 1))]
    pub poll_ms: u64,
    /// Attempts under way in this process.
    #[serde(deserialize_with = "platform::config::positive")]
    #[schemars(range(min = 1))]
    pub concurrency: usize,
    /// From the begin of an attempt to the last byte of its answer.
    #[serde(deserialize_with = "platform::config::positive")]
    #[schemars(range(min = 1))]
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
        Duration::from_millis(self.lease_ms.max(1))
    }

    /// After this long an attempt must be over, whoever made it: its own limit, and a quarter for writing it down.
    pub(crate) fn over(&self) -> Duration {
        let limit = self.limits().whole;
        limit + limit / 4
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

/// Delivers until the stop: at the soft one nothing new is claimed, at the hard one what is open is cut and its tasks
/// are due again; then the leases are given back.
pub(crate) async fn run(bench: Bench, stop: Stop) -> Result<(), JoinError> {
    let tenure = Tenure::new(Uuid::from_bytes(chance::bytes(&*bench.rng)), bench.config.lease());
    let mut keepers = JoinSet::new();
    keepers.spawn(keep(tenure.clone(), bench.clone()));
    let (outcomes, received) = mpsc::channel(record::WAITING_MAX);
    let mut workers = JoinSet::new();
    workers.spawn(recorder(&bench, received).run(stop.clone()));
    workers.spawn(courier(&bench, &tenure, outcomes).run(stop));
    while let Some(ended) = workers.join_next().await {
        ended?;
    }
    drop(keepers);
    let retiring = leases::retire(bench.store.db(), tenure.worker(), bench.clock.now());
    let retired = tokio::time::timeout(RETIRE_WITHIN, retiring).await;
    if !matches!(retired, Ok(Ok(()))) {
        tracing::warn!("endpoints were not given back; their leases will end");
    }
    Ok(())
}

/// Renews the tenure, and looks after tasks whose sender is gone, for ever.
async fn keep(tenure: Tenure, bench: Bench) {
    loop {
        if let Err(error) = keep_once(&tenure, &bench).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the lease was not renewed");
        }
        tokio::time::sleep(tenure.pause()).await;
    }
}

async fn keep_once(tenure: &Tenure, bench: &Bench) -> Result<(), DbError> {
    let now = bench.clock.now();
    tenure.renew(bench.store.db(), now).await?;
    let over = bench.config.over();
    let released = bench.store.db().transaction("release_stale", move |tx| {
        Box::pin(async move {
            let sent = release::stale(tx, now, over, RELEASE_MAX).await?.len() as u64;
            let fetched = fetch::over(tx, now, RELEASE_MAX).await?;
            let messages = messages::record::release_stale(tx, now, over, RELEASE_MAX).await?.len();
            Ok((sent + fetched, messages as u64))
        })
    });
    let (tasks, messages) = released.await?;
    if tasks + messages > 0 {
        tracing::info!(tasks, messages, "what had a sender that is gone is due again");
        RELEASED.add(tasks, &[]);
        bench.bell.ring();
    }
    Ok(())
}

fn recorder(bench: &Bench, outcomes: mpsc::Receiver<record::Report>) -> Recorder {
    Recorder {
        store: bench.store.clone(),
        bell: bench.bell.clone(),
        clock: Arc::clone(&bench.clock),
        rng: Arc::clone(&bench.rng),
        outcomes,
    }
}

fn courier(bench: &Bench, tenure: &Tenure, outcomes: mpsc::Sender<record::Report>) -> Courier {
    let tools = Tools {
        egress: bench.egress.clone(),
        directory: bench.directory.clone(),
        secrets: Secrets::new(Arc::clone(&bench.keyring)),
        collector: bench.collector.clone(),
        schedule: bench.config.schedule.clone(),
        limits: bench.config.limits(),
        clock: Arc::clone(&bench.clock),
        rng: Arc::clone(&bench.rng),
        outcomes,
    };
    let places = places::Places {
        store: bench.store.clone(),
        keys: bench.keys.clone(),
        worker: tenure.worker(),
    };
    Courier::new(places, tools, tenure.clone(), bench.bell.clone(), &bench.config)
}
