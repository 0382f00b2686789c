//! How long this process may act for the endpoints that it holds.
//!
//! One row is renewed, five times within its own length. Whoever sends asks here first: while the database can't be
//! reached, the time runs out, and others may have taken over by then. A time that ran out is counted, so that what was
//! in hand then is given back before anything new is begun.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use platform::db::{Db, DbError};
use store::leases;
use uuid::Uuid;

/// Renewals within one length: four may fail.
const RENEWALS: u32 = 5;

/// Before the first renewal.
const NEVER: i64 = i64::MIN;

/// This process's time; clones tell the same.
#[derive(Debug, Clone)]
pub(super) struct Tenure(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    worker: Uuid,
    length: Duration,
    until: AtomicI64,
    lapses: AtomicU64,
}

impl Tenure {
    /// Not begun yet.
    pub(super) fn new(worker: Uuid, length: Duration) -> Self {
        Self(Arc::new(Inner {
            worker,
            length,
            until: AtomicI64::new(NEVER),
            lapses: AtomicU64::new(0),
        }))
    }

    /// Under which name this process holds its endpoints.
    pub(super) fn worker(&self) -> Uuid {
        self.0.worker
    }

    /// Whether this process may act.
    pub(super) fn holds(&self, now: Timestamp) -> bool {
        self.0.until.load(Ordering::Acquire) > now.as_microsecond()
    }

    /// How often its time has run out.
    pub(super) fn lapses(&self) -> u64 {
        self.0.lapses.load(Ordering::Acquire)
    }

    /// How long to rest between two renewals.
    pub(super) fn pause(&self) -> Duration {
        self.0.length / RENEWALS
    }

    /// Counts from the beginning of the renewal, so that we never think that we hold longer than others do.
    pub(super) async fn renew(&self, db: &Db, now: Timestamp) -> Result<(), DbError> {
        let until = now + self.0.length;
        leases::renew(db, self.0.worker, until).await?;
        let before = self.0.until.swap(until.as_microsecond(), Ordering::AcqRel);
        if before != NEVER && before <= now.as_microsecond() {
            self.0.lapses.fetch_add(1, Ordering::AcqRel);
        }
        Ok(())
    }
}
