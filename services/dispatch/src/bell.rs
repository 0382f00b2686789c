//! Waking whoever sends: something may be due now.
//!
//! A ring while nobody listens is kept, and many rings are one. It only spares time: what it tells of is in the
//! database, where it is found anyway.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// Clones ring the same bell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bell {
    sender: Arc<Notify>,
    waiting: Arc<Notify>,
}

impl Bell {
    /// To be called after the COMMIT that made something due.
    pub(crate) fn ring(&self) {
        self.sender.notify_one();
        self.waiting.notify_waiters();
    }

    /// Waits for the next ring, or takes one that came already; for the one who sends.
    pub(crate) async fn rung(&self) {
        self.sender.notified().await;
    }

    /// Hears the next ring after this call; for any number of systems that wait for their tasks.
    pub(crate) fn rung_for_all(&self) -> OwnedNotified {
        Arc::clone(&self.waiting).notified_owned()
    }
}
