//! What the ledger holds: its announcements end the waiting of entries, and put into force what waited to be logged.
//!
//! All of it may come twice and then changes nothing. A registration that comes into force is seen by this process at
//! once, by others with their next look. A receipt that has its place is told to its controller's notices system.

use std::sync::Arc;

use domain::id::{EntryId, EventId};
use platform::bus::Received;
use platform::chance::{self, SharedRng};
use platform::clock::SharedClock;
use platform::db::DbError;
use proto::{ErrorClass, LoggedEntries};
use store::Store;
use store::entries::{self, Activated, PlacedReceipt};
use store::happenings::{self, Happening, Told};
use store::registry::DirectoryCache;

use crate::consume::Taker;
use crate::dead_letters::DeadLetters;

/// Takes note of announcements; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Logged {
    pub(crate) store: Store,
    pub(crate) directory: DirectoryCache,
    pub(crate) clock: SharedClock,
    pub(crate) rng: SharedRng,
}

/// An announcement, in the numbers of the database.
type Announced = (Vec<(EntryId, i64)>, i64);

impl Taker for Logged {
    type Error = DbError;

    async fn take_in(&self, received: &[Received]) -> Result<(), DbError> {
        let mut letters = DeadLetters::new(self.clock.now());
        let mut announced = Vec::new();
        for message in received {
            match read(&message.message.value) {
                Some(entries) => announced.push(entries),
                None => letters.add(message, ErrorClass::Malformed, None),
            }
        }
        if self.note(announced).await? == Activated::Something {
            self.directory.refresh().await?;
        }
        letters.store(&self.store).await
    }
}

impl Logged {
    async fn note(&self, announced: Vec<Announced>) -> Result<Activated, DbError> {
        let announced: Arc<[Announced]> = announced.into();
        let teller = Arc::new(self.clone());
        let db = self.store.db();
        db.transaction("logged", move |tx| {
            let (announced, teller) = (Arc::clone(&announced), Arc::clone(&teller));
            Box::pin(async move {
                let mut activated = Activated::Nothing;
                for (entries, size) in announced.iter() {
                    let noted = entries::logged(tx, entries, *size).await?;
                    if noted.activated == Activated::Something {
                        activated = Activated::Something;
                    }
                    happenings::put(tx, &teller.told(&noted.placed, *size)).await?;
                }
                Ok(activated)
            })
        })
        .await
    }

    /// What the controllers' notices systems are to be told of receipts that have their place.
    fn told(&self, placed: &[PlacedReceipt], size: i64) -> Vec<Happening> {
        let (directory, now) = (self.directory.current(), self.clock.now());
        let happening = |one: &PlacedReceipt| {
            Some(Happening {
                id: EventId::new(now, chance::bytes(&*self.rng)),
                system: directory.notices_of(one.controller)?,
                controller: one.controller,
                at: now,
                told: Told::Logged {
                    request: one.request,
                    task: one.task,
                    system: one.system,
                    receipt: one.receipt,
                    entry: one.entry,
                    index: one.index,
                    size,
                },
            })
        };
        placed.iter().filter_map(happening).collect()
    }
}

/// Numbers beyond what the database holds are no log's.
fn read(bytes: &[u8]) -> Option<Announced> {
    let announced = LoggedEntries::decode(bytes).ok()?;
    let entry = |logged: &proto::Logged| Some((logged.entry, i64::try_from(logged.index).ok()?));
    let entries = announced.entries.iter().map(entry).collect::<Option<_>>()?;
    Some((entries, i64::try_from(announced.tree_size).ok()?))
}
