//! Carrying what was committed to the bus.
//!
//! One task keeps the leases of this process, another goes round: at once when a commit wakes it, after one to
//! twenty milliseconds while there is work, the more of it the later, so that many commits share a round, and by itself
//! now and then, because commits of other processes don't wake it. While the bus or the database is away it pauses, longer each time, and the rows stay.

use std::convert::Infallible;
use std::time::Duration;

use platform::bus::SharedBus;
use platform::chance::{self, SharedRng};
use platform::clock::SharedClock;
use platform::db::DbError;
use platform::lifecycle::Stop;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::lease;
use super::round::{self, Round};
use crate::Store;

/// The most from the beginning of one round to the next while there is work: a deletion's `fsync` for many messages, and
/// less than a person notices.
const LINGER: Duration = Duration::from_millis(20);

/// The least: a few messages are carried at once, because somebody may wait for each.
const LINGER_MIN: Duration = Duration::from_millis(1);

/// A round of so many messages is worth the longest wait for the next.
const BUSY: u32 = 200;

/// The longest that an idle relay leaves a row of another process unseen.
const POLL: Duration = Duration::from_millis(250);

/// So many short pauses after the last message: a journey of several steps seldom waits a second between two.
const ATTENTIVE: u32 = 50;

/// The first pause of trouble, and the longest: an outage of hours costs a try every few seconds.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Relays the shards that no other process does.
#[derive(Debug, Clone)]
pub struct Relay {
    /// Where the rows lie; its [`Waker`](super::Waker) wakes this relay.
    pub store: Store,
    /// Where they go.
    pub bus: SharedBus,
    /// Names this process's leases. Who restarts under the same id continues at once; no two may share one.
    pub worker: Uuid,
    /// For leases and ages.
    pub clock: SharedClock,
    /// For the spread of pauses.
    pub rng: SharedRng,
}

/// What a relay knows of its last rounds.
#[derive(Debug, Default)]
struct Mood {
    idle: u32,
    troubled: u32,
}

impl Relay {
    /// Relays until the soft stop, ends the round in hand, or cuts it at the hard stop, and releases its shards.
    pub async fn run(self, stop: Stop) -> Result<(), Infallible> {
        tokio::select! {
            () = self.keep_leases() => {}
            () = self.go_round(&stop) => {}
        }
        if let Err(error) = lease::release(self.store.db(), self.worker).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "shards were not released; their leases will end"
            );
        }
        Ok(())
    }

    async fn keep_leases(&self) {
        let mut held = 0;
        loop {
            match self.hold().await {
                Ok(now) if now != held => {
                    tracing::info!(shards = now, "relaying");
                    held = now;
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "leases were not renewed"),
            }
            tokio::time::sleep(lease::RENEW).await;
        }
    }

    async fn hold(&self) -> Result<u64, DbError> {
        let held = lease::hold(self.store.db(), self.worker, self.clock.now()).await?;
        round::measure(self.store.db(), self.clock.now()).await?;
        Ok(held)
    }

    async fn go_round(&self, stop: &Stop) {
        let mut commits = self.store.waker().listen();
        let mut mood = Mood::default();
        while !stop.is_stopping() {
            // What is committed during the round wakes us after it.
            commits.mark_unchanged();
            let began = Instant::now();
            let outcome = tokio::select! {
                outcome = self.round() => outcome,
                () = stop.hard() => return,
            };
            mood.note(&outcome);
            tokio::select! {
                () = self.rest(&outcome, &mood, began, &mut commits) => {}
                () = stop.soft() => {}
            }
        }
    }

    async fn round(&self) -> Result<Round, DbError> {
        round::round(self.store.db(), &self.bus, self.worker, self.clock.now()).await
    }

    async fn rest(
        &self,
        outcome: &Result<Round, DbError>,
        mood: &Mood,
        began: Instant,
        commits: &mut watch::Receiver<()>,
    ) {
        match outcome {
            Ok(Round::More) => {}
            Ok(Round::Done(messages)) => tokio::time::sleep_until(began + linger(*messages)).await,
            Ok(Round::Nothing) => {
                let poll = if mood.idle < ATTENTIVE { LINGER } else { POLL };
                // An error says that the store is gone; then only time is left to wait for.
                let _ = tokio::time::timeout(poll, commits.changed()).await;
            }
            Ok(Round::Unconfirmed) | Err(_) => tokio::time::sleep(self.pause(mood.troubled)).await,
        }
    }

    /// Doubled with each trouble in a row, and spread over its upper half.
    fn pause(&self, troubled: u32) -> Duration {
        let doubled = PAUSE.saturating_mul(1 << troubled.saturating_sub(1).min(10));
        doubled.min(PAUSE_MAX).mul_f64(0.5 + chance::unit(&*self.rng) / 2.0)
    }
}

fn linger(messages: usize) -> Duration {
    let messages = u32::try_from(messages).unwrap_or(u32::MAX).min(BUSY);
    (LINGER * messages / BUSY).max(LINGER_MIN)
}

impl Mood {
    /// Says when trouble begins and when it ends, and not every few seconds in between.
    fn note(&mut self, outcome: &Result<Round, DbError>) {
        let fine = matches!(outcome, Ok(round) if *round != Round::Unconfirmed);
        match (fine, self.troubled, outcome) {
            (true, 1.., _) => tracing::info!("messages are relayed again"),
            (false, 0, Err(error)) => {
                tracing::warn!(
                    error = error as &dyn std::error::Error,
                    "messages can't be relayed; their rows stay"
                );
            }
            (false, 0, Ok(_)) => tracing::warn!("the bus does not confirm messages; their rows stay"),
            _ => {}
        }
        self.troubled = if fine { 0 } else { self.troubled.saturating_add(1) };
        self.idle = if matches!(outcome, Ok(Round::Nothing)) {
            self.idle.saturating_add(1)
        } else {
            0
        };
    }
}
