//! Collecting receipts, however they came.
//!
//! A receipt is verified where it arrives ([`Collector::submit`]): signature, key, audience, without the database.
//! Then it waits with its fellows, and one transaction takes them all ([`mod@batch`]): the requests' rows are locked in
//! the order of their ids, [`desk`] decides about each receipt in turn — pure, over what was read under the locks — and
//! what it decided is written in a handful of set-based statements, entries and messages included. Only after the
//! COMMIT is anybody answered. If the batch is refused because of one member, its members are taken one by one.
//! What carries correctness is the lock on the request's row and the unique (`iss`, `jti`): two last receipts at once
//! close a request exactly once, and the same receipt twice is one receipt.

pub(crate) mod batch;
pub(crate) mod door;

mod desk;
pub(crate) mod notices;

use std::sync::Arc;

use domain::id::{ControllerId, TaskId};
use evidence::jwk::Jwk;
use evidence::token::bind::BindingError;
use evidence::token::{self, Refusal, RegisteredKey, VerifiedReceipt};
use platform::gather::{Callers, NotDone, Work, gather};
use platform::metrics::Counter;
use store::registry::{DirectoryCache, KeyState};

/// Receipts that wait for a commit: a second of work at the rate that one database takes.
const WAITING_MAX: usize = 4_096;

/// Receipts in one transaction: it holds a few megabytes and a few milliseconds of locks.
const BATCH_MAX: usize = 256;

static RECEIPTS: Counter = Counter::new(
    "quittance_receipts_total",
    "Receipts that came, by what became of them.",
);

/// Where receipts wait for their commit.
pub(crate) type Queue = Work<Incoming, Taken>;

/// Takes receipts in; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Collector {
    callers: Callers<Incoming, Taken>,
    directory: DirectoryCache,
    audience: Arc<str>,
}

/// A receipt whose signature holds.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    /// The exact bytes.
    token: Vec<u8>,
    receipt: VerifiedReceipt,
    /// Whose key signed it: an issuer's name alone binds nobody.
    key_of: ControllerId,
}

/// What became of a receipt that was well signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is stored, now or since an earlier time.
    Stored,
    /// It does not count; nothing of it was stored but perhaps an anomaly.
    Refused(Refusal),
    /// Ours, not theirs: nothing is stored, and it should come again.
    Failed,
}

/// Why a receipt was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTaken {
    /// It does not count.
    #[error("the receipt does not count")]
    Refused(#[from] Refusal),
    /// It should come again.
    #[error("the receipt was not stored")]
    Again,
}

impl Collector {
    /// A collector, and the work for [`batch::run`].
    pub(crate) fn new(directory: DirectoryCache, audience: &str) -> (Self, Queue) {
        let (callers, work) = gather(WAITING_MAX, BATCH_MAX);
        let audience = Arc::from(audience);
        (
            Self {
                callers,
                directory,
                audience,
            },
            work,
        )
    }

    /// Verifies a receipt and waits until it is durable.
    pub(crate) async fn submit(&self, token: Vec<u8>) -> Result<(), NotTaken> {
        self.submit_where(token, |_| true).await
    }

    /// The same for a receipt that must be about this task.
    pub(crate) async fn submit_about(&self, task: TaskId, token: Vec<u8>) -> Result<(), NotTaken> {
        self.submit_where(token, |receipt| receipt.report.task() == task).await
    }

    async fn submit_where(&self, token: Vec<u8>, fits: impl Fn(&VerifiedReceipt) -> bool) -> Result<(), NotTaken> {
        let outcome = self.take(token, fits).await;
        let result = match &outcome {
            Ok(()) => "stored",
            Err(NotTaken::Refused(refusal)) => refusal.code().as_str(),
            Err(NotTaken::Again) => "failed",
        };
        RECEIPTS.add(1, &[("result", result)]);
        outcome
    }

    async fn take(&self, token: Vec<u8>, fits: impl Fn(&VerifiedReceipt) -> bool) -> Result<(), NotTaken> {
        let incoming = self.verify(token)?;
        if !fits(&incoming.receipt) {
            return Err(NotTaken::Refused(Refusal::Unbound(BindingError::NotYours)));
        }
        match self.callers.submit(incoming).await {
            Ok(Taken::Stored) => Ok(()),
            Ok(Taken::Refused(refusal)) => Err(NotTaken::Refused(refusal)),
            Ok(Taken::Failed) | Err(NotDone::Full | NotDone::Stopped) => Err(NotTaken::Again),
        }
    }

    fn verify(&self, token: Vec<u8>) -> Result<Incoming, Refusal> {
        let directory = self.directory.current();
        let mut key_of = None;
        let find = |issuer: &str, kid: &str| {
            let key = directory.key(issuer, kid).filter(|key| key.state == KeyState::Active)?;
            key_of = Some(key.controller);
            Some(RegisteredKey::new(issuer, &Jwk::parse(&key.jwk).ok()?))
        };
        let receipt = token::verify(&token, find, &self.audience)?;
        let key_of = key_of.ok_or(Refusal::UnknownKey)?;
        Ok(Incoming { token, receipt, key_of })
    }
}
