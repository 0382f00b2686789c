//! The registry's tables, and the picture of them that every process keeps in memory.
//!
//! Twenty thousand systems are a few megabytes, and every message needs them, so a [`Directory`] is loaded whole and
//! shared; [`DirectoryCache`] looks once a second whether the registry's version grew. What takes effect only when it
//! is logged (keys, instructions, snapshots) is in the picture only once its row is active.

pub mod secrets;
pub mod write;

mod directory;
mod read;

use std::sync::{Arc, RwLock};
use std::time::Duration;

use platform::db::{Args, DbError, Statement};

use tokio::sync::Mutex;

use crate::Store;

pub use directory::{Directory, KeyState, SealedSecrets, SigningKey, Snapshot};

/// A change of the registry is seen everywhere after this long at the most.
const REFRESH: Duration = Duration::from_secs(1);

const VERSION: Statement = Statement::both("registry_version", "SELECT version FROM registry_version");

pub(crate) const ALL: &[&[Statement]] = &[&[VERSION], read::ALL, write::ALL];

/// The newest picture of the registry; cheap to clone.
#[derive(Debug, Clone)]
pub struct DirectoryCache {
    store: Store,
    current: Arc<RwLock<Arc<Directory>>>,
    /// Who reads the registry: the others wait, and find its picture.
    reading: Arc<Mutex<()>>,
}

impl DirectoryCache {
    /// Begins with an empty picture; [`refresh`](Self::refresh) fills it.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self {
            store,
            current: Arc::default(),
            reading: Arc::default(),
        }
    }

    /// The newest picture that this process has.
    #[must_use]
    pub fn current(&self) -> Arc<Directory> {
        // A poisoned lock holds a whole picture all the same: it is only ever replaced, never changed.
        let current = self.current.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(&current)
    }

    /// Loads the picture if the registry has changed since. Callers at the same time load it once.
    pub async fn refresh(&self) -> Result<(), DbError> {
        let _reading = self.reading.lock().await;
        let row = self.store.db().fetch_optional(&VERSION, Args::new()).await?;
        let version = row
            .ok_or(DbError::Inconsistent("the registry has no version"))?
            .get(0)?;
        if version != self.current().version() {
            let directory = Arc::new(read::load(self.store.db(), version).await?);
            *self.current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = directory;
        }
        Ok(())
    }

    /// Keeps the picture fresh for ever; the caller drops it at its stop. A database that is away leaves the
    /// last picture in use.
    pub async fn keep_fresh(&self) {
        loop {
            if let Err(error) = self.refresh().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the registry could not be read"
                );
            }
            tokio::time::sleep(REFRESH).await;
        }
    }
}
