//! The ledger: what was said is put into a log that nobody can change unseen, this ledger's owner included.
//!
//! Entries come over the bus and wait in `pending` ([`incoming`]). One process at a time holds the log ([`hold`]) and
//! gives them places: a number in their controller's dense sequence and a leaf in the tree ([`sequencer`]). The new
//! head is committed with them, signed, kept outside the database ([`heads`]), published, and announced ([`announce`]).
//! Auditors read what was published and its proofs ([`archive`]) over HTTP, and tools write them to files ([`export`]).
//!
//! What carries correctness: appending is one transaction that begins with a compare-and-set of size and fence, so no
//! two processes can append at once; an entry's id is unique, so it is logged once however often it comes; and a head
//! is signed only after it is committed, so a crash leaves a log that is ahead of its signature and never behind it.

pub mod announce;
pub mod archive;
pub mod config;
pub mod export;
pub mod heads;
pub mod hold;
pub mod incoming;
pub mod log_key;
pub mod sequencer;
pub mod tokens;

mod batch;
mod consume;
mod fault;
mod figures;
mod http;
mod service;

use platform::db::{Migrations, Statement};

pub use archive::Archive;
pub use config::Config;
pub use fault::Fault;
pub use heads::HeadKeeper;
pub use http::PROBLEMS;
pub use service::{BuildError, Deps, Ledger, build};

/// The schema's history on both engines.
pub const MIGRATIONS: Migrations = Migrations { pg: &PG, lite: &LITE };

static PG: sqlx::migrate::Migrator = sqlx::migrate!("migrations/pg");
static LITE: sqlx::migrate::Migrator = sqlx::migrate!("migrations/lite");

/// Every statement of this crate, for the test that prepares them.
#[must_use]
pub fn statements() -> Vec<&'static Statement> {
    let own = [announce::ALL, hold::ALL, incoming::ALL, sequencer::ALL, tokens::ALL];
    own.iter().chain(archive::ALL).copied().flatten().collect()
}

#[cfg(test)]
mod tests;
