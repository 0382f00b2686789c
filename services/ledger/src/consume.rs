//! From the bus into `pending`: one statement a batch, then the offset.
//!
//! A message that is no entry becomes a dead letter, which names where it lies and never what it says; its fellows go
//! on. Until the database has taken a batch nothing is committed to the bus, so a crash brings it again, and an entry
//! that comes again waits once. When very much waits the bus keeps the rest: it is made for that.

use std::time::Duration;

use domain::id::MessageId;
use platform::bus::{PublishError, Received, SharedBus, Subscription};
use platform::chance::{self, SharedRng};
use platform::clock::SharedClock;
use platform::db::{Db, DbError};
use platform::lifecycle::{Stop, Woken};
use platform::problem::chain;
use proto::{DeadLetter, ErrorClass, Group};
use tracing::warn;

use crate::announce::message;
use crate::fault::Fault;
use crate::figures;
use crate::incoming::{self, Incoming, NotAnEntry};

/// Messages of one statement: with their bytes a few megabytes at the most.
const MESSAGES_MAX: usize = 2_000;

/// Twenty of the largest batches; what is behind them waits on the bus.
const WAITING_MAX: u64 = 100_000;

/// After a fault that passes by itself.
const REST: Duration = Duration::from_secs(1);

/// Reads `dsr.ledger.v1`.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) db: Db,
    pub(crate) bus: SharedBus,
    pub(crate) clock: SharedClock,
    pub(crate) rng: SharedRng,
}

/// Why a batch is not taken in yet.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the ledger's database failed")]
    Database(#[from] DbError),
    #[error("the bus did not take a dead letter")]
    Bus(#[from] PublishError),
}

impl Consumer {
    /// Reads until the stop.
    pub(crate) async fn run(self, stop: Stop) -> Result<(), Fault> {
        let Some(mut subscription) = self.subscribe(&stop).await? else {
            return Ok(());
        };
        while self.room(&stop).await? == Woken::Rested {
            let received = tokio::select! {
                () = stop.soft() => return Ok(()),
                received = subscription.next(MESSAGES_MAX) => received,
            };
            match received {
                Err(error) if error.is_final() => return Err(error.into()),
                Err(error) => drop(rest(&stop, "the bus gives no entries", &error).await),
                Ok(received) if self.take_in(&received, &stop).await? == Woken::Stopping => return Ok(()),
                Ok(_) => {
                    if let Err(error) = subscription.commit().await {
                        rest(&stop, "the bus did not take note", &error).await;
                    }
                }
            }
        }
        Ok(())
    }

    async fn subscribe(&self, stop: &Stop) -> Result<Option<Box<dyn Subscription>>, Fault> {
        loop {
            match self.bus.subscribe(Group::Ledger.name(), &Group::Ledger.topics()).await {
                Ok(subscription) => return Ok(Some(subscription)),
                Err(error) if error.is_final() => return Err(error.into()),
                Err(error) if rest(stop, "the bus can't be joined", &error).await == Woken::Stopping => {
                    return Ok(None);
                }
                Err(_) => {}
            }
        }
    }

    /// Waits while too many entries wait, or the database doesn't say.
    async fn room(&self, stop: &Stop) -> Result<Woken, Fault> {
        while !stop.is_stopping() {
            match incoming::waiting(&self.db).await {
                Ok(waiting) if waiting < WAITING_MAX => return Ok(Woken::Rested),
                Ok(_) => drop(stop.sleep(REST).await),
                Err(error) => self.bear(error.into(), stop).await?,
            }
        }
        Ok(Woken::Stopping)
    }

    /// Tries until the batch is in `pending` and its dead letters are sent.
    async fn take_in(&self, received: &[Received], stop: &Stop) -> Result<Woken, Fault> {
        while !stop.is_stopping() {
            match self.store(received).await {
                Ok(()) => return Ok(Woken::Rested),
                Err(trouble) => self.bear(trouble, stop).await?,
            }
        }
        Ok(Woken::Stopping)
    }

    async fn store(&self, received: &[Received]) -> Result<(), Trouble> {
        let (mut entries, mut dead) = (Vec::new(), Vec::new());
        for message in received {
            match Incoming::read(&message.message.value) {
                Ok(entry) => entries.push((message, entry)),
                Err(error) => {
                    warn!(offset = message.offset, partition = message.partition, error = %chain(&error), "no entry");
                    dead.push(self.dead_letter(message, class(&error)));
                }
            }
        }
        self.put(entries, &mut dead).await?;
        if !dead.is_empty() {
            figures::DEAD.add(dead.len() as u64, &[]);
            let letters = dead.into_iter().map(|letter| message(letter.envelope())).collect();
            self.bus.publish(letters).await.into_iter().collect::<Result<(), _>>()?;
        }
        Ok(())
    }

    /// All at once; if the database refuses that, one by one, and what it refuses alone is dead.
    async fn put(&self, entries: Vec<(&Received, Incoming)>, dead: &mut Vec<DeadLetter>) -> Result<(), DbError> {
        let (messages, entries): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
        match incoming::put(&self.db, &entries).await {
            Err(error) if error.is_refusal() => {}
            outcome => return outcome,
        }
        for (message, entry) in messages.into_iter().zip(entries) {
            match incoming::put(&self.db, &[entry]).await {
                Err(error) if error.is_refusal() => dead.push(self.dead_letter(message, ErrorClass::Failed)),
                outcome => outcome?,
            }
        }
        Ok(())
    }

    fn dead_letter(&self, received: &Received, error_class: ErrorClass) -> DeadLetter {
        let now = self.clock.now();
        DeadLetter {
            message_id: MessageId::new(now, chance::bytes(&*self.rng)),
            occurred_at: now,
            failed: proto::message_id(&received.message.headers),
            topic: received.message.topic.clone(),
            partition: received.partition,
            offset: received.offset,
            error_class,
        }
    }

    /// Waits for what may pass by itself, and stops at what doesn't.
    async fn bear(&self, trouble: Trouble, stop: &Stop) -> Result<(), Fault> {
        rest(stop, "entries can't be taken in", &trouble).await;
        match trouble {
            Trouble::Database(error) => match Fault::from(error) {
                fault if fault.is_fatal() => Err(fault),
                _ => Ok(()),
            },
            Trouble::Bus(_) => Ok(()),
        }
    }
}

fn class(error: &NotAnEntry) -> ErrorClass {
    match error {
        NotAnEntry::Message(_) | NotAnEntry::Entry(_) => ErrorClass::Malformed,
        NotAnEntry::Contradiction => ErrorClass::Conflict,
    }
}

async fn rest(stop: &Stop, what: &'static str, error: &(dyn std::error::Error + Sync)) -> Woken {
    let error = chain(error);
    warn!(error, what, "trying again");
    stop.sleep(REST).await
}
