//! The one row that is renewed, and tasks whose holder is gone.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use platform::db::DbError;
use store::leases;
use store::tasks::release;

use super::Worker;

/// An attempt may end so much later than its deadline says, and its result take so long to be written.
const OVER_MARGIN: Duration = Duration::from_secs(5);

/// Tasks released at a time: a takeover of more goes on with the next beat.
const STALE_MAX: i64 = 1_000;

/// Renews a few times a lease, for as long as the engine runs.
pub(super) async fn run(worker: Worker) {
    let pause = worker.bench.config.lease() / 5;
    loop {
        if let Err(error) = worker.beat().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the worker's lease was not renewed"
            );
        }
        tokio::time::sleep(pause).await;
    }
}

impl Worker {
    /// Renews, and makes what a dead worker left due again.
    pub(super) async fn beat(&self) -> Result<(), DbError> {
        let now = self.bench.clock.now();
        let until = now + self.bench.config.lease();
        leases::renew(self.bench.store.db(), self.id, until).await?;
        self.alive_until.store(until.as_microsecond(), Ordering::Release);
        self.release_stale(now).await
    }

    /// Whether others still leave our endpoints to us: asked before every claim, by our own clock.
    pub(super) fn is_alive(&self, now: Timestamp) -> bool {
        now.as_microsecond() < self.alive_until.load(Ordering::Acquire)
    }

    async fn release_stale(&self, now: Timestamp) -> Result<(), DbError> {
        let over = self.bench.config.limits().whole + OVER_MARGIN;
        let db = self.bench.store.db();
        let released = db.transaction("release_stale_tasks", move |tx| {
            Box::pin(async move { release::stale(tx, now, over, STALE_MAX).await })
        });
        let released = released.await?;
        if !released.is_empty() {
            tracing::info!(tasks = released.len(), "released tasks whose holder is gone");
            self.bench.bell.ring();
        }
        Ok(())
    }
}
