//! The key store: what can be read, and for how long.
//!
//! Each request has two data keys: `subject` seals what is about the person, `evidence` what proves that the request
//! was dealt with. Deleting a data key is what shredding means: the ciphertext may lie in any backup and no one can
//! read it. Data keys are wrapped under a key per controller, quarter and class, and those under the root key of
//! their class, which only a key ring file holds: a process without the subject root can't read about persons, however
//! much of this database it sees. The database is apart from the router's and its backups are short-lived, so that
//! restoring the router brings nothing back to life.
//!
//! A request's keys are committed before the request; keys whose request never came are swept later.

mod aead;
mod cache;
mod data_key;
mod key_store;
mod wrapping;

pub mod log_head;

use platform::db::{DbError, Migrations, Statement};
use platform::keyring::KeyringError;

pub use data_key::{DataKey, SealError};
pub use key_store::{KeyStore, RequestKeys, Suspects};

/// The schema's history on both engines.
pub const MIGRATIONS: Migrations = Migrations { pg: &PG, lite: &LITE };

static PG: sqlx::migrate::Migrator = sqlx::migrate!("migrations/pg");
static LITE: sqlx::migrate::Migrator = sqlx::migrate!("migrations/lite");

/// What a data key protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Identities, free text, rendered tasks, attachments: shredded some days after closing.
    Subject,
    /// Receipts' bytes, salts, the HMACs of identities: shredded after the retention period.
    Evidence,
}

impl Class {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Subject, Self::Evidence];

    /// As the database and the authenticated data name it.
    const fn number(self) -> u8 {
        match self {
            Self::Subject => 1,
            Self::Evidence => 2,
        }
    }

    fn from_number(number: i64) -> Result<Self, DbError> {
        let class = Self::ALL.into_iter().find(|class| i64::from(class.number()) == number);
        class.ok_or(DbError::Inconsistent("a key has an unknown class"))
    }
}

/// Why keys can't be had. No text names a person or a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key store's database.
    #[error("the key store's database failed")]
    Database(#[from] DbError),
    /// The key ring.
    #[error("the key ring does not fit the key store")]
    Keyring(#[from] KeyringError),
    /// A data key does not open under its wrapping key.
    #[error("a stored key is damaged, or was moved to another row")]
    Damaged,
    /// The keys belong to neither of the controllers that they were to be moved between.
    #[error("a request's keys belong to another controller than was said")]
    OtherController,
}

/// Every statement of this crate, for the test that prepares them.
#[must_use]
pub fn statements() -> Vec<&'static Statement> {
    key_store::ALL
        .iter()
        .copied()
        .chain([log_head::ALL])
        .flatten()
        .collect()
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
