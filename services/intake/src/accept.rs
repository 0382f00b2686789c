//! Accepting: what a caller is told is durable, whoever else is being told at the same time.
//!
//! Callers bring a [`Candidate`] each and wait; a worker takes whatever is waiting, makes all their keys in one
//! commit, stores all of them in another ([`batch`]), and answers only then. A full queue is a refusal at once, while
//! the caller can still come again.
//!
//! What carries correctness is the digest under which each request is stored. A repeat finds the first answer; a
//! COMMIT whose outcome is unknown is simply sent again; and a member that the database refuses is found by storing
//! the members singly, so that it harms nobody else.

mod batch;
mod candidate;
mod tell;

use std::convert::Infallible;

use domain::id::RequestId;
use keys::KeyStore;
use platform::clock::SharedClock;
use platform::db::Db;
use platform::gather::{Callers, NotDone, Work, gather};
use platform::lifecycle::Stop;
use store::Store;

pub(crate) use batch::earlier;
pub(crate) use candidate::{Candidate, Origin};

/// A caller is told 503 once this many are waiting: at thousands a second, a second's worth.
const QUEUE: usize = 4_096;

/// Beyond this, a larger batch makes nothing cheaper: the COMMIT is a small part of it already.
const BATCH_MAX: usize = 256;

/// One batch makes its keys while another one is being committed; more would only wait for the same disk. SQLite has one
/// writer: two would share what waits between them, and commit twice as often.
const fn workers(db: &Db) -> usize {
    match db {
        Db::Pg(_) => 2,
        Db::Lite(_) => 1,
    }
}

/// A request that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// Its id.
    pub(crate) request: RequestId,
    /// The bytes of the first answer.
    pub(crate) answer: Vec<u8>,
    /// Whether this call made it.
    pub(crate) how: How,
}

/// Whether a call made its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// It did.
    New,
    /// An earlier one did.
    Repeat,
}

/// Why a candidate is not accepted. Unless it says so, nothing is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAccepted {
    /// Too many are waiting.
    #[error("too many requests are waiting to be stored")]
    Busy,
    /// A database doesn't answer; it may be stored all the same, and the same key finds out.
    #[error("the request could not be stored now")]
    Unavailable,
    /// The key was used for another body.
    #[error("the same key came with another body before")]
    AnotherBody,
    /// The database takes this request under no circumstances.
    #[error("the request can't be stored as it is")]
    Unstorable,
    /// It was accepted before, so long ago that its evidence is destroyed.
    #[error("the request was accepted before, and its evidence is destroyed by now")]
    Forgotten,
}

pub(crate) type Outcome = Result<Accepted, NotAccepted>;

/// Where doors bring candidates. Once all clones are gone and everybody is answered, the workers end.
#[derive(Debug, Clone)]
pub(crate) struct Accepting(Callers<Candidate, Outcome>);

/// Stores what callers bring.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    work: Work<Candidate, Outcome>,
    store: Store,
    keys: KeyStore,
    clock: SharedClock,
}

/// A queue and the workers that empty it, each to be [`run`](Worker::run).
pub(crate) fn accepting(store: &Store, keys: &KeyStore, clock: &SharedClock) -> (Accepting, Vec<Worker>) {
    let (callers, work) = gather(QUEUE, BATCH_MAX);
    let worker = Worker {
        work,
        store: store.clone(),
        keys: keys.clone(),
        clock: clock.clone(),
    };
    (Accepting(callers), vec![worker; workers(store.db())])
}

impl Accepting {
    /// Stores a request; when this returns `Ok`, it is durable.
    pub(crate) async fn accept(&self, candidate: Candidate) -> Outcome {
        let told = self.0.submit(candidate).await;
        told.unwrap_or_else(|not_done| {
            Err(match not_done {
                NotDone::Full => NotAccepted::Busy,
                NotDone::Stopped => NotAccepted::Unavailable,
            })
        })
    }
}

impl Worker {
    /// Works until all callers are gone, or until the hard stop: what is cut then is an unknown outcome.
    pub(crate) async fn run(self, stop: Stop) -> Result<(), Infallible> {
        tokio::select! {
            () = self.work() => {}
            () = stop.hard() => {}
        }
        Ok(())
    }

    async fn work(&self) {
        while let Some(batch) = self.work.next().await {
            let outcomes = self.accept(&batch.items).await;
            batch.answer(outcomes);
        }
    }
}

#[cfg(test)]
mod tests;
