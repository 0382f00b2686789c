//! What is said when time runs out: that a deadline is near, that it has passed, and what we state about each task that
//! nobody has answered by then.
//!
//! Open requests are read page by page in the order of their due dates. Each level of alarm is told once, as an event
//! and a figure; the request's own row remembers it. At the deadline every task without a last word gets a statement of
//! ours ([`statements`]): signed, stored, logged. It closes nothing: that takes a person who approves it
//! ([`orders`](crate::orders)). Several processes may look at once; who raises a level or marks a task first tells it.

mod statements;

pub(crate) use statements::count;

use std::sync::Arc;
use std::time::Duration;

use domain::id::RequestId;
use jiff::{SignedDuration, Timestamp};
use keys::{KeyError, KeyStore};
use platform::chance::SharedRng;
use platform::clock::SharedClock;
use platform::db::{DbError, Tx};
use platform::lifecycle::{Stop, Woken};
use platform::metrics::Counter;
use platform::problem::chain;
use proto::Happened;
use schemars::JsonSchema;
use serde::Deserialize;
use store::Store;
use store::deadlines::{self, After, Alarm, Alarmed, Pressing};
use store::outbox::{self, OutboxRow};
use store::registry::DirectoryCache;

use crate::messages::Occurrence;
use crate::own_key;
use crate::signing::Signer;

/// Requests of one page: a transaction of some milliseconds.
const BATCH: i64 = 500;

/// Pages of one look: ten thousand pressing requests are seen at once, and a larger mountain look by look.
const PAGES_MAX: usize = 20;

static ALARMS: Counter = Counter::new(
    "quittance_deadline_alarms_total",
    "Requests of which was told that their deadline is near, or has passed, by level.",
);

/// When something is said about deadlines.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long before its deadline an open request is said to be due soon.
    pub due_soon_seconds: u32,
    /// What comes late gets its time too: a task is not stated about before it, and its handing-over, are so old.
    pub grace_seconds: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // A weekend and a day to act.
            due_soon_seconds: 3 * 86_400,
            grace_seconds: 86_400,
        }
    }
}

/// Looks until the stop.
#[derive(Debug, Clone)]
pub(crate) struct Deadlines {
    pub(crate) store: Store,
    pub(crate) keys: KeyStore,
    pub(crate) directory: DirectoryCache,
    pub(crate) signer: Signer,
    pub(crate) clock: SharedClock,
    pub(crate) rng: SharedRng,
    pub(crate) config: Config,
    pub(crate) pause: Duration,
}

/// Why a look was cut short; the next one goes on.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("what is due was not told")]
    Database(#[from] DbError),
    #[error("the requests' keys can't be had")]
    Keys(#[from] KeyError),
}

impl Deadlines {
    /// Looks, rests, looks again. A look that fails is only a later one.
    pub(crate) async fn run(self, stop: Stop) -> Result<(), std::convert::Infallible> {
        let mut after = None;
        while stop.sleep(self.pause).await == Woken::Rested {
            match self.look(after).await {
                Ok(ended) => after = ended,
                Err(error) => tracing::warn!(error = %chain(&error), "deadlines could not be looked at"),
            }
        }
        Ok(())
    }

    /// Returns where the next look begins: at the beginning, unless there was more than one look takes.
    async fn look(&self, mut after: Option<After>) -> Result<Option<After>, LookError> {
        let now = self.clock.now();
        let standing = own_key::standing(&self.store, &self.directory, &self.signer, &self.rng, now).await?;
        let until = now + SignedDuration::from_secs(self.config.due_soon_seconds.into());
        for _ in 0..PAGES_MAX {
            let page = deadlines::page(self.store.db(), until, after, BATCH).await?;
            self.alarm(&page, now).await?;
            if standing == own_key::Standing::Counts {
                self.state(&page, now).await?;
            }
            let full = i64::try_from(page.len()).is_ok_and(|length| length >= BATCH);
            after = page.last().filter(|_| full).map(|last| (last.due_at, last.request));
            if after.is_none() {
                break;
            }
        }
        Ok(after)
    }

    async fn alarm(&self, page: &[Pressing], now: Timestamp) -> Result<(), DbError> {
        let raised = page.iter().map(|one| (one, level(one.due_at, now)));
        let raised: Vec<_> = raised
            .filter(|(one, level)| one.alarm < *level)
            .map(|(one, level)| (one.request, level))
            .collect();
        if raised.is_empty() {
            return Ok(());
        }
        let teller = Arc::new((self.clone(), raised));
        let telling = self.store.db().transaction("alarm_deadlines", move |tx| {
            let teller = Arc::clone(&teller);
            Box::pin(async move { teller.0.tell(tx, &teller.1, now).await })
        });
        for alarmed in telling.await? {
            ALARMS.add(1, &[("level", word(alarmed.alarm))]);
        }
        self.store.waker().wake();
        Ok(())
    }

    async fn tell(&self, tx: &mut Tx, raised: &[(RequestId, Alarm)], now: Timestamp) -> Result<Vec<Alarmed>, DbError> {
        let alarmed = deadlines::raise(tx, raised).await?;
        let events: Vec<OutboxRow> = alarmed.iter().filter_map(|one| self.event(one, now)).collect();
        outbox::put(tx, &events).await?;
        Ok(alarmed)
    }

    fn event(&self, alarmed: &Alarmed, now: Timestamp) -> Option<OutboxRow> {
        let event = Occurrence {
            request: alarmed.request,
            controller: alarmed.controller,
            version: alarmed.version,
            happened: match alarmed.alarm {
                Alarm::None => return None,
                Alarm::DueSoon => Happened::DueSoon(alarmed.due_at),
                Alarm::Overdue => Happened::Overdue(alarmed.due_at),
            },
        };
        Some(event.row(now, &*self.rng))
    }
}

fn level(due_at: Timestamp, now: Timestamp) -> Alarm {
    if due_at <= now { Alarm::Overdue } else { Alarm::DueSoon }
}

const fn word(alarm: Alarm) -> &'static str {
    match alarm {
        Alarm::None => "none",
        Alarm::DueSoon => "due_soon",
        Alarm::Overdue => "overdue",
    }
}
