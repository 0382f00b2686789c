//! Telling relays of the same process that something was committed.

use tokio::sync::watch;

/// Wakes every relay of this process; clones wake the same ones. A relay of another process finds the rows when it
/// looks by itself.
#[derive(Debug, Clone)]
pub struct Waker(watch::Sender<()>);

impl Waker {
    /// Nobody listens yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    /// Says that rows were committed. A wake-up during a relay's round is kept until the round's end.
    pub fn wake(&self) {
        self.0.send_replace(());
    }

    pub(super) fn listen(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}

impl Default for Waker {
    fn default() -> Self {
        Self::new()
    }
}
