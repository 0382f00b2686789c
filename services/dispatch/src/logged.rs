//! What the ledger says it holds: entries go, and what was waiting for them takes effect.

use domain::id::EntryId;
use platform::bus::Received;
use platform::db::{DbError, Tx};
use platform::problem::chain;
use proto::LoggedEntries;
use store::Store;
use store::entries::{self, Activated};
use store::registry::DirectoryCache;

use crate::consume::Taker;

/// Takes `dsr.logged.v1` in.
#[derive(Debug, Clone)]
pub(crate) struct Logged {
    pub(crate) store: Store,
    pub(crate) directory: DirectoryCache,
}

impl Taker for Logged {
    type Error = DbError;

    async fn take_in(&self, received: &[Received]) -> Result<(), DbError> {
        let batches: Vec<LoggedEntries> = received.iter().filter_map(read).collect();
        let activated = self
            .store
            .db()
            .transaction("entries_logged", move |tx| {
                let batches = batches.clone();
                Box::pin(async move { take(tx, &batches).await })
            })
            .await?;
        // A key that counts from now on should not wait for the next look at the registry.
        if activated == Activated::Something {
            self.directory.refresh().await?;
        }
        Ok(())
    }
}

async fn take(tx: &mut Tx, batches: &[LoggedEntries]) -> Result<Activated, DbError> {
    let mut activated = Activated::Nothing;
    for batch in batches {
        let number = |number: u64| i64::try_from(number).map_err(|_| DbError::Inconsistent("a log beyond 2^63"));
        let at = |logged: &proto::Logged| Ok::<(EntryId, i64), DbError>((logged.entry, number(logged.index)?));
        let entries = batch.entries.iter().map(at).collect::<Result<Vec<_>, _>>()?;
        if entries::logged(tx, &entries, number(batch.tree_size)?).await? == Activated::Something {
            activated = Activated::Something;
        }
    }
    Ok(activated)
}

/// An announcement that can't be read is no loss: its entries are sent again, and announced again.
fn read(received: &Received) -> Option<LoggedEntries> {
    LoggedEntries::decode(&received.message.value)
        .inspect_err(|error| tracing::error!(offset = received.offset, error = %chain(error), "no announcement"))
        .ok()
}
