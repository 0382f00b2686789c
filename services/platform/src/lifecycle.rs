//! Stopping in two steps, and telling the truth about why.
//!
//! Every long-running task is spawned here under a name. The first SIGTERM or SIGINT is the *soft* stop: take
//! nothing new, finish what is in hand. Seven seconds later, or at the second signal, comes the *hard* stop: cut
//! what is open and release it. A task that fails or panics asks for the stop itself, and then the process says
//! so with its exit code. What carries correctness is not this order but that everything in hand can be taken up
//! again after a crash; the order only spares that work.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, error, info, warn};

/// Orchestrators kill 10 s after the first signal at the earliest; three seconds are left to cut, to write that
/// down and to flush.
const HARD_AFTER: Duration = Duration::from_secs(7);

/// What a task may still use after the hard stop; 9.5 s in all leaves half a second to the exit itself.
const CUT_WITHIN: Duration = Duration::from_millis(2_500);

/// What a task holds to learn that it should stop. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Stop {
    /// Resolves when nothing new should be begun.
    pub async fn soft(&self) {
        self.soft.cancelled().await;
    }

    /// Resolves when what is open should be cut.
    pub async fn hard(&self) {
        self.hard.cancelled().await;
    }

    /// Whether the soft stop has come.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Asks for the soft stop.
    pub fn ask(&self) {
        self.soft.cancel();
    }

    /// Asks for the hard stop, and so for the soft one.
    pub fn cut(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }

    /// Waits, but not beyond the soft stop; says which it was.
    pub async fn sleep(&self, duration: Duration) -> Woken {
        tokio::select! {
            () = self.soft() => Woken::Stopping,
            () = tokio::time::sleep(duration) => Woken::Rested,
        }
    }
}

/// How a [`Stop::sleep`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The time is over.
    Rested,
    /// The soft stop came first, or had come already.
    Stopping,
}

/// Why everything ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A signal or the program asked for it, and all tasks ended well.
    Asked,
    /// A task failed, panicked, or did not end in time.
    Failed,
}

impl From<Ended> for ExitCode {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Asked => Self::SUCCESS,
            Ended::Failed => Self::FAILURE,
        }
    }
}

/// The tasks of one process (or of one deployment inside a test) and their stop. Clones share both.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    stop: Stop,
    patience: Patience,
    tasks: TaskTracker,
    names: Arc<Mutex<BTreeMap<u64, &'static str>>>,
    next: Arc<AtomicU64>,
    failed: Arc<AtomicBool>,
}

/// How long the tasks may take to end; shorter in this module's tests.
#[derive(Debug, Clone, Copy)]
struct Patience {
    hard_after: Duration,
    cut_within: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            hard_after: HARD_AFTER,
            cut_within: CUT_WITHIN,
        }
    }
}

impl Lifecycle {
    /// Nothing runs yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The handle that tasks take with them.
    #[must_use]
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Runs a task until it ends. An error or a panic is logged under its name and stops everything.
    pub fn spawn<F, E>(&self, name: &'static str, future: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let id = self.enter(name);
        let lifecycle = self.clone();
        let task = tokio::spawn(future.in_current_span());
        self.tasks.spawn(async move {
            match task.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => lifecycle.fail(name, &error),
                Err(panic) => lifecycle.fail(name, &panic),
            }
            lifecycle.leave(id);
        });
    }

    /// Waits for a signal, a failure or [`Stop::ask`], then for the tasks to end: at most 10 s from then.
    pub async fn run_until_stopped(&self) -> io::Result<Ended> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = self.stop();
        let signals = async move {
            tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
            info!("stopping: finishing what is in hand");
            stop.ask();
            tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
            stop.cut();
            std::future::pending().await
        };
        tokio::select! {
            ended = self.ended() => Ok(ended),
            never = signals => never,
        }
    }

    /// Asks for the stop and waits for the tasks to end; for tests and for programs that end by themselves.
    pub async fn shut_down(&self) -> Ended {
        self.stop.ask();
        self.ended().await
    }

    /// Waits for the soft stop, then for the tasks.
    async fn ended(&self) -> Ended {
        self.stop.soft().await;
        self.tasks.close();
        if !self.drained(self.patience.hard_after).await {
            warn!(tasks = %self.running(), "cutting what is still open");
            self.stop.cut();
            if !self.drained(self.patience.cut_within).await {
                error!(tasks = %self.running(), "gave up waiting for tasks to end");
                return Ended::Failed;
            }
        }
        if self.failed.load(Ordering::Acquire) {
            Ended::Failed
        } else {
            Ended::Asked
        }
    }

    /// Whether the tasks end within `limit`, or before the hard stop if that has not come yet.
    async fn drained(&self, limit: Duration) -> bool {
        let hard_comes = async {
            if self.stop.hard.is_cancelled() {
                std::future::pending::<()>().await;
            }
            self.stop.hard().await;
        };
        tokio::select! {
            biased;
            () = self.tasks.wait() => true,
            () = hard_comes => false,
            () = tokio::time::sleep(limit) => false,
        }
    }

    fn fail(&self, name: &'static str, error: &dyn Display) {
        error!(task = name, %error, "a task failed");
        self.failed.store(true, Ordering::Release);
        self.stop.ask();
    }

    fn enter(&self, name: &'static str) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.names
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, name);
        id
    }

    fn leave(&self, id: u64) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    fn running(&self) -> String {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.values().copied().collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn impatient() -> Lifecycle {
        let patience = Patience {
            hard_after: Duration::from_millis(200),
            cut_within: Duration::from_millis(100),
        };
        Lifecycle {
            patience,
            ..Lifecycle::default()
        }
    }

    #[tokio::test]
    async fn a_polite_task_ends_at_the_soft_stop() {
        let lifecycle = Lifecycle::new();
        let stop = lifecycle.stop();
        lifecycle.spawn("polite", async move {
            stop.soft().await;
            Ok::<_, Infallible>(())
        });
        assert_eq!(lifecycle.shut_down().await, Ended::Asked);
        assert!(!lifecycle.stop.hard.is_cancelled());
    }

    #[tokio::test]
    async fn a_busy_task_is_cut() {
        let lifecycle = impatient();
        let stop = lifecycle.stop();
        lifecycle.spawn("busy", async move {
            stop.hard().await;
            Ok::<_, Infallible>(())
        });
        assert_eq!(lifecycle.shut_down().await, Ended::Asked);
        assert!(lifecycle.stop.hard.is_cancelled());
    }

    #[tokio::test]
    async fn a_deaf_task_is_left_behind() {
        let lifecycle = impatient();
        lifecycle.spawn("deaf", std::future::pending::<Result<(), Infallible>>());
        assert_eq!(lifecycle.shut_down().await, Ended::Failed);
        assert_eq!(lifecycle.running(), "deaf");
        assert!(HARD_AFTER + CUT_WITHIN < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn a_failed_task_stops_the_others() {
        for panics in [false, true] {
            let lifecycle = Lifecycle::new();
            let stop = lifecycle.stop();
            lifecycle.spawn("other", async move {
                stop.soft().await;
                Ok::<_, Infallible>(())
            });
            lifecycle.spawn("failing", async move {
                assert!(!panics, "on purpose");
                Err("on purpose")
            });
            assert_eq!(lifecycle.run_until_stopped().await.unwrap(), Ended::Failed);
        }
    }
}
