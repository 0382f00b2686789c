//! What was left behind: ready requests without a plan, entries without a leaf, keys without a request.
//!
//! It makes every other path a matter of speed: a message that a broker lost, a batch that a crash cut, an announcement
//! that never came are all found here, from the database alone.

use std::collections::HashSet;
use std::time::Duration;

use domain::id::RequestId;
use jiff::{SignedDuration, Timestamp};
use keys::KeyStore;
use platform::clock::SharedClock;
use platform::db::DbError;
use platform::lifecycle::{Stop, Woken};
use platform::metrics::{Counter, Gauge};
use platform::problem::chain;
use store::tasks::alarms;
use store::{Store, entries, plans, requests};

use crate::plan::{PlanError, Planner};

/// A message is planned within a second; what is unplanned for longer was left behind.
const UNPLANNED_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// Looked at in one go; a larger backlog is worked off go by go.
const BATCH: i64 = 500;

static LEFT_BEHIND: Counter = Counter::new(
    "quittance_reconciled_total",
    "What the reconciler found left behind, by what it was.",
);

static PARKED: Gauge = Gauge::new(
    "quittance_tasks_parked",
    "Tasks that are not handed over for now, counted up to 10,000.",
);

static OVERDUE: Gauge = Gauge::new(
    "quittance_requests_overdue",
    "Open requests whose deadline has passed, counted up to 10,000.",
);

/// Looks until the stop.
#[derive(Debug, Clone)]
pub(crate) struct Reconciler {
    pub(crate) store: Store,
    pub(crate) keys: KeyStore,
    pub(crate) planner: Planner,
    pub(crate) clock: SharedClock,
    pub(crate) pause: Duration,
}

impl Reconciler {
    /// Looks, rests, looks again. A look that fails is only a later one.
    pub(crate) async fn run(self, stop: Stop) -> Result<(), std::convert::Infallible> {
        while stop.sleep(self.pause).await == Woken::Rested {
            if let Err(error) = self.look().await {
                tracing::warn!(error = %chain(&error), "the reconciler could not look");
            }
            if let Err(error) = self.sweep_keys().await {
                tracing::warn!(error = %chain(&error), "keys without a request could not be swept");
            }
        }
        Ok(())
    }

    async fn look(&self) -> Result<(), PlanError> {
        self.plan_what_was_left().await?;
        let now = self.clock.now();
        let resent = self
            .store
            .db()
            .transaction("resend_entries", move |tx| {
                Box::pin(async move { entries::resend(tx, now, BATCH).await })
            })
            .await?;
        if !resent.is_empty() {
            LEFT_BEHIND.add(resent.len() as u64, &[("what", "entry")]);
            self.store.waker().wake();
        }
        self.count(now).await?;
        Ok(())
    }

    async fn count(&self, now: Timestamp) -> Result<(), DbError> {
        let alarms = alarms::alarms(self.store.db(), now).await?;
        PARKED.set(u32::try_from(alarms.parked).unwrap_or(u32::MAX).into(), &[]);
        OVERDUE.set(u32::try_from(alarms.overdue).unwrap_or(u32::MAX).into(), &[]);
        Ok(())
    }

    async fn plan_what_was_left(&self) -> Result<(), PlanError> {
        let before = self.clock.now() - UNPLANNED_AFTER;
        let mut after: Option<RequestId> = None;
        loop {
            let left = plans::unplanned(self.store.db(), before, after, BATCH).await?;
            let Some(last) = left.last() else { return Ok(()) };
            after = Some(*last);
            LEFT_BEHIND.add(left.len() as u64, &[("what", "request")]);
            self.planner.plan_apart(&left).await?;
        }
    }

    /// Keys are stored before their request; where that never came, they are of no use.
    async fn sweep_keys(&self) -> Result<(), keys::KeyError> {
        while let Some(suspects) = self.keys.suspects(BATCH).await? {
            let existing = requests::existing(self.store.db(), suspects.requests()).await?;
            let swept = self
                .keys
                .sweep_orphans(suspects, &existing.into_iter().collect::<HashSet<_>>())
                .await?;
            LEFT_BEHIND.add(swept as u64, &[("what", "key")]);
        }
        Ok(())
    }
}
