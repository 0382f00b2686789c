//! Waking whoever sends: something may be due now.
//!
//! A ring while nobody listens is kept, and many rings are one. It only spares time: what it tells of is in the
//! database, where it is found anyway.

use std::sync::Arc;

use tokio::sync::Notify;

/// Clones ring the same bell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bell(Arc<Notify>);

impl Bell {
    /// To be called after the COMMIT that made something due.
    pub(crate) fn ring(&self) {
        self.0.notify_one();
    }

    /// Waits for the next ring, or takes one that came already.
    pub(crate) async fn rung(&self) {
        self.0.notified().await;
    }
}
