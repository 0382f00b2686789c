//! Giving entries their places, one batch at a time.
//!
//! A turn takes what waits, computes the batch (`batch`), and commits entries, tiles and the new head in one
//! transaction that begins with a compare-and-set of size and fence. Only then is the head signed, kept outside the
//! database, and published. A crash anywhere between leaves a committed head without a signature, which the next
//! holder signs: the signature is deterministic, so signing twice says the same twice. What a turn costs depends on
//! the batch alone, not on the size of the tree.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::id::{ControllerId, EntryId, RequestId};
use evidence::merkle::Hash;
use evidence::note::{Checkpoint, NoteSigner};
use jiff::Timestamp;
use keys::log_head::Kept;
use keys::{Class, KeyStore};
use platform::chance::SharedRng;
use platform::clock::SharedClock;
use platform::db::Db;
use platform::lifecycle::{Stop, Woken};
use platform::problem::chain;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::batch::{self, Batch};
use crate::fault::Fault;
use crate::figures;
use crate::heads::HeadKeeper;
use crate::hold::{self, Hold};
use crate::incoming::{self, Waiting};

mod rows;

pub(crate) use rows::ALL;

/// After a fault that may pass by itself.
const REST: Duration = Duration::from_secs(1);

/// What a sequencer works with.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The ledger's database.
    pub db: Db,
    /// Keys of the evidence class.
    pub keys: KeyStore,
    /// Where signed heads are kept.
    pub heads: HeadKeeper,
    /// Signs heads.
    pub signer: Arc<NoteSigner>,
    /// Time.
    pub clock: SharedClock,
    /// Chance, for salts.
    pub rng: SharedRng,
    /// This process, as the log's holder.
    pub name: String,
    /// Entries of one batch, at most.
    pub batch_max: u32,
    /// How long the log stays with a holder that is not heard of.
    pub hold: Duration,
}

/// Appends to the log while this process holds it.
#[derive(Debug)]
pub struct Sequencer {
    parts: Parts,
    hold: Option<Hold>,
    news: watch::Sender<Role>,
}

/// What this process is to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Another process appends.
    Standby,
    /// This one does; so many leaves are published.
    Holder {
        /// The published tree's size.
        published: u64,
    },
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Another process holds the log.
    Standby,
    /// Nothing waits.
    Idle,
    /// So many entries were dealt with, and no more wait.
    Appended(usize),
    /// The batch was full; more may wait.
    Full,
}

impl Sequencer {
    /// Holds nothing yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let (news, _) = watch::channel(Role::Standby);
        Self {
            parts,
            hold: None,
            news,
        }
    }

    /// Tells of each published head, and of entries that are to be announced again.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<Role> {
        self.news.subscribe()
    }

    /// Takes turns until the stop; ends early only if going on could sign what contradicts an earlier signature.
    pub async fn run(mut self, interval: Duration, stop: Stop) -> Result<(), Fault> {
        loop {
            let pause = match self.turn().await {
                Ok(Turn::Full) => Duration::ZERO,
                Ok(_) => interval,
                Err(fault) if fault.is_fatal() => {
                    error!(error = %chain(&fault), "the log stops");
                    return Err(fault);
                }
                Err(fault) => {
                    warn!(error = %chain(&fault), "the log rests");
                    REST
                }
            };
            if stop.is_stopping() || stop.sleep(pause).await == Woken::Stopping {
                return self.leave().await;
            }
        }
    }

    /// One batch, if this process holds or can take the log. After an error the next turn reads everything anew.
    pub async fn turn(&mut self) -> Result<Turn, Fault> {
        let outcome = self.attempt().await;
        if outcome.is_err() {
            self.let_go();
        }
        outcome
    }

    /// Lets another process take the log at once.
    pub async fn release(&mut self) -> Result<(), Fault> {
        if let Some(hold) = self.hold.take() {
            self.let_go();
            hold::renew(&self.parts.db, hold.fence, Timestamp::UNIX_EPOCH).await?;
        }
        Ok(())
    }

    /// At the stop: a database that is away can't be told, and the hold ends by itself.
    async fn leave(&mut self) -> Result<(), Fault> {
        match self.release().await {
            Err(fault) if !fault.is_fatal() => {
                warn!(error = %chain(&fault), "the log is not handed over");
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn let_go(&mut self) {
        self.hold = None;
        self.news.send_replace(Role::Standby);
    }

    async fn attempt(&mut self) -> Result<Turn, Fault> {
        let Some(hold) = self.held().await? else {
            return Ok(Turn::Standby);
        };
        let started = Instant::now();
        let waiting = incoming::take(&self.parts.db, self.parts.batch_max).await?;
        let taken = waiting.len();
        let behind = incoming::waiting(&self.parts.db).await?;
        figures::PENDING.set(figures::count(behind), &[]);
        if taken == 0 {
            return Ok(Turn::Idle);
        }
        let batch = self.place(waiting, &hold).await?;
        let now = self.parts.clock.now();
        let Some(hold) = self.append(batch, &hold, now).await? else {
            self.let_go();
            return Ok(Turn::Standby);
        };
        figures::BATCH.record(started.elapsed().as_secs_f64(), &[]);
        self.publish(hold).await?;
        let full = taken == usize::try_from(self.parts.batch_max).unwrap_or(usize::MAX);
        Ok(if full { Turn::Full } else { Turn::Appended(taken) })
    }

    /// The hold, renewed if half of it is over; taken if the log is free.
    async fn held(&mut self) -> Result<Option<Hold>, Fault> {
        let now = self.parts.clock.now();
        match &mut self.hold {
            None => self.take(now).await,
            Some(hold) if now + self.parts.hold / 2 < hold.until => Ok(Some(hold.clone())),
            Some(hold) => {
                hold.until = now + self.parts.hold;
                if hold::renew(&self.parts.db, hold.fence, hold.until).await? {
                    return Ok(Some(hold.clone()));
                }
                info!("another process appends to the log now");
                self.let_go();
                Ok(None)
            }
        }
    }

    /// Takes the log, checks everything, and signs what a predecessor left unsigned.
    async fn take(&mut self, now: Timestamp) -> Result<Option<Hold>, Fault> {
        let Parts {
            db,
            heads,
            signer,
            name,
            hold,
            ..
        } = &self.parts;
        hold::begin(db, signer.key()).await?;
        let Some(fence) = hold::take(db, name, now, *hold).await? else {
            return Ok(None);
        };
        let (log, edge) = hold::check(db, heads, signer.key()).await?;
        info!(leaves = log.size, fence, "this process appends to the log");
        let until = now + *hold;
        self.publish(Hold { fence, until, edge }).await?;
        Ok(self.hold.clone())
    }

    async fn place(&self, waiting: Vec<Waiting>, hold: &Hold) -> Result<Batch, Fault> {
        let new = || {
            waiting
                .iter()
                .filter(|waiting| waiting.known.is_none())
                .map(|waiting| &waiting.entry)
        };
        let requests: BTreeSet<RequestId> = new().filter_map(|entry| entry.request).collect();
        let requests: Vec<RequestId> = requests.into_iter().collect();
        let controllers: BTreeSet<ControllerId> = new().map(|entry| entry.controller).collect();
        let keys = self.parts.keys.load(Class::Evidence, &requests).await?;
        let last = rows::last(&self.parts.db, &controllers).await?;
        Ok(batch::place(waiting, &hold.edge, last, &keys, &*self.parts.rng))
    }

    /// Commits a batch; none if another process has taken the log.
    async fn append(&self, batch: Batch, hold: &Hold, now: Timestamp) -> Result<Option<Hold>, Fault> {
        let until = now + self.parts.hold;
        let mut tx = self.parts.db.begin().await?;
        if !rows::advance(&mut tx, &batch, hold, until).await? {
            return Ok(None);
        }
        rows::write(&mut tx, &batch, now).await?;
        tx.commit().await?;
        count(&batch, now);
        Ok(Some(Hold {
            fence: hold.fence,
            until,
            edge: batch.edge,
        }))
    }

    /// Signs the head of a hold's edge, keeps it outside, and only then lets anybody see it.
    pub(crate) async fn publish(&mut self, hold: Hold) -> Result<(), Fault> {
        let Parts {
            db,
            heads,
            signer,
            clock,
            ..
        } = &self.parts;
        let now = clock.now();
        let (size, root) = (hold.edge.size(), hold.edge.root());
        let head = checkpoint(signer, size, root).sign(signer);
        if heads.keep(&head, signer.key(), now).await? == Kept::Contradicted {
            // Either another process went ahead meanwhile, or the check says what is wrong.
            hold::check(db, heads, signer.key()).await?;
            self.let_go();
            return Ok(());
        }
        let note = head.text();
        rows::publish(db, size, &note, now).await?;
        figures::LEAVES.set(figures::count(size), &[]);
        self.hold = Some(hold);
        self.news.send_replace(Role::Holder { published: size });
        Ok(())
    }
}

fn checkpoint(signer: &NoteSigner, size: u64, root: Hash) -> Checkpoint {
    Checkpoint {
        origin: signer.key().name().to_owned(),
        size,
        root,
    }
}

fn count(batch: &Batch, now: Timestamp) {
    figures::LOGGED.add(batch.placed.len() as u64, &[]);
    if let Some(oldest) = batch.placed.iter().map(|placed| placed.entry.at).min() {
        figures::LOGGED_AFTER.record(now.duration_since(oldest).as_secs_f64().max(0.0), &[]);
    }
    if batch.unsealable > 0 {
        figures::UNSEALABLE.add(batch.unsealable, &[]);
        let lost: Vec<EntryId> = batch
            .placed
            .iter()
            .filter(|placed| placed.body.is_none())
            .take(10)
            .map(|placed| placed.entry.id)
            .collect();
        warn!(entries = batch.unsealable, first = ?lost, "requests have no evidence key: bytes dropped, leaves logged");
    }
}
