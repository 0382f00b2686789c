//! The herald: it tells clients' systems, beside their tasks, what happened.
//!
//! Three sources, each looked at once a second: happenings that were put down where they came true ([`tell`]), numbered
//! requests that a notices system has no acknowledgement of yet ([`acknowledge`]), and tasks whose owners are silent
//! ([`remind`]). What is found becomes messages, rendered and sealed once, in the transaction that takes it off its
//! source; so each thing is told in one message, which then is sent with the same id and bytes until a 2xx or until it
//! is given up. The second's rest between two looks is what gathers a controller's notices: all that happened meanwhile
//! goes into one body for each type, up to what a webhook may hold.
//!
//! A message is rendered here and not where something happens, because doors and collectors would otherwise have to
//! render, seal and sign on the path that somebody waits for; and sent by the engine, because a notices system's
//! outages are like any other system's. A controller without a notices system costs nothing anywhere.
//!
//! There is no mail service yet. Where the table of policies (delivery.md §2) has the controller's escalation contact,
//! an event on `dsr.events.v1`, a metric and a message to the controller's notices system stand in for it.

mod acknowledge;
mod body;
mod draft;
mod remind;
mod tell;

use std::sync::Arc;
use std::time::Duration;

use domain::message::MessageStage;
use jiff::SignedDuration;
use keys::{KeyError, KeyStore};
use platform::chance::SharedRng;
use platform::clock::SharedClock;
use platform::db::DbError;
use platform::lifecycle::{Stop, Woken};
use platform::metrics::Gauge;
use platform::problem::chain;
use schemars::JsonSchema;
use serde::Deserialize;
use store::registry::DirectoryCache;
use store::{Store, messages};

use crate::bell::Bell;
use crate::signing::Signer;

/// Looked at in one go: a transaction of some milliseconds. A larger backlog is worked off go by go.
const BATCH: i64 = 500;

/// Rounds between two sweeps: about a minute.
const SWEEP_ROUNDS: u32 = 60;

/// Rows swept at a time.
const SWEEP_MAX: i64 = 1_000;

static GIVEN_UP: Gauge = Gauge::new(
    "quittance_messages_given_up",
    "Messages that were given up and are kept still, counted up to 10,000.",
);

/// How clients' systems are told what happened.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long what happened is gathered before it is told, in milliseconds.
    pub gather_ms: u64,
    /// How long a message is kept after it was delivered or given up, in days.
    pub keep_days: u32,
    /// Where the ledger's questions are answered, if that is not the public address: proofs are fetched there.
    pub ledger_url: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            gather_ms: 1_000,
            // Long enough to ask about last week's alarm.
            keep_days: 14,
            ledger_url: String::new(),
        }
    }
}

/// Tells until the stop; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Herald {
    pub(crate) store: Store,
    pub(crate) keys: KeyStore,
    pub(crate) directory: DirectoryCache,
    pub(crate) bell: Bell,
    pub(crate) clock: SharedClock,
    pub(crate) rng: SharedRng,
    pub(crate) signer: Signer,
    pub(crate) public_url: Arc<str>,
    pub(crate) config: Config,
    /// After this long an attempt that is under way must be over.
    pub(crate) over: Duration,
}

/// Why a look was cut short; the next one goes on.
#[derive(Debug, thiserror::Error)]
enum HeraldError {
    #[error("messages were not stored")]
    Database(#[from] DbError),
    #[error("the requests' keys can't be had")]
    Keys(#[from] KeyError),
}

/// Whether a look found as much as it can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Part,
    All,
}

impl Found {
    fn of(count: usize, limit: i64) -> Self {
        if i64::try_from(count).is_ok_and(|count| count >= limit) {
            Self::Part
        } else {
            Self::All
        }
    }
}

impl Herald {
    /// Looks, rests, looks again. A look that fails is only a later one.
    pub(crate) async fn run(self, stop: Stop) -> Result<(), std::convert::Infallible> {
        let gather = Duration::from_millis(self.config.gather_ms.max(1));
        let mut acknowledged = acknowledge::Kept::default();
        let mut rounds = 0;
        while stop.sleep(gather).await == Woken::Rested {
            if let Err(error) = self.look(&mut acknowledged).await {
                tracing::warn!(error = %chain(&error), "the herald could not look");
            }
            if rounds % SWEEP_ROUNDS == 0
                && let Err(error) = self.sweep().await
            {
                tracing::warn!(error = %chain(&error), "messages that are over could not be swept");
            }
            rounds += 1;
        }
        Ok(())
    }

    async fn look(&self, acknowledged: &mut acknowledge::Kept) -> Result<(), HeraldError> {
        while self.remind().await? == Found::Part {}
        while self.acknowledge(acknowledged).await? == Found::Part {}
        while self.tell().await? == Found::Part {}
        Ok(())
    }

    /// To be called after each COMMIT that stored messages.
    fn stored(&self) {
        self.bell.ring();
        self.store.waker().wake();
    }

    /// Forgets what is over for long enough, and counts what was given up.
    async fn sweep(&self) -> Result<(), DbError> {
        let keep = SignedDuration::from_hours(24 * i64::from(self.config.keep_days));
        let before = self.clock.now().checked_sub(keep).unwrap_or(jiff::Timestamp::MIN);
        let db = self.store.db();
        for stage in [MessageStage::Delivered, MessageStage::Moot, MessageStage::GivenUp] {
            messages::sweep(db, stage, before, SWEEP_MAX).await?;
        }
        let given_up = messages::given_up(db).await?;
        GIVEN_UP.set(u32::try_from(given_up).unwrap_or(u32::MAX).into(), &[]);
        Ok(())
    }
}
