//! What can go wrong with a log, and whether it may go on after it.

use std::io;
use std::path::PathBuf;

use evidence::merkle::grow::LoadError;
use evidence::merkle::prove::ProveError;
use evidence::note::NoteError;
use keys::KeyError;
use platform::bus::BusError;
use platform::db::DbError;

/// Why the log can't be appended to. Each text is one line that says what to do where somebody must.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The ledger's database.
    #[error("the ledger's database failed")]
    Database(#[from] DbError),
    /// The key store.
    #[error("the key store failed")]
    Keys(#[from] KeyError),
    /// The bus is gone for good.
    #[error("the bus gives no entries any more")]
    Bus(#[from] BusError),
    /// The disk did not take a signed head: nothing may be published any more.
    #[error("the signed head can't be kept in {0} ({1}); make the disk sound, then start again")]
    Disk(PathBuf, #[source] io::Error),
    /// What is kept outside is no head of this log.
    #[error("what is kept as this log's newest head is not signed by this log; put the right head or key in place")]
    Head(#[from] NoteError),
    /// No head is kept, though there is a log.
    #[error(
        "the database holds a log of {size} leaves and no signed head is kept outside of it; bring that head back: the \
         newest checkpoint of this log that anybody holds serves"
    )]
    NoHead {
        /// The log's leaves.
        size: u64,
    },
    /// The database is older than what was signed: to go on would fork the log.
    #[error(
        "the log has signed a tree of {kept} leaves and the database holds {stored}: it is an older copy; bring a \
         newer backup, or start a successor log whose first entry names the last signed head"
    )]
    Older {
        /// Leaves of the signed tree.
        kept: u64,
        /// Leaves of the stored one.
        stored: u64,
    },
    /// The database holds another log than the one that was signed.
    #[error(
        "the database's tree does not begin with the tree of {size} leaves that was signed: it is another log or was \
         changed; bring the database that belongs to the signed head"
    )]
    Forked {
        /// Leaves of the signed tree.
        size: u64,
    },
    /// The log is another one.
    #[error("the database's log is `{stored}` and the configuration's is `{configured}`; an origin never changes")]
    Origin {
        /// As at the first start.
        stored: String,
        /// As configured now.
        configured: String,
    },
    /// The key is another one.
    #[error("the log signs as `{stored}` and the key file holds `{given}`; put the log's own key in place")]
    Key {
        /// As at the first start.
        stored: String,
        /// As the file has it now.
        given: String,
    },
    /// Stored tiles are missing or changed.
    #[error("the stored tree is damaged; bring a sound copy of the ledger's database")]
    Damaged(#[from] LoadError),
    /// Tiles that a proof needs are missing.
    #[error("a proof can't be made from the stored tiles; bring a sound copy of the ledger's database")]
    Unproved(#[from] ProveError),
    /// Entries and tree have different sizes.
    #[error("the tree has {tree} leaves and the database {entries} entries; bring a sound copy of it")]
    Uneven {
        /// Leaves of the tree.
        tree: u64,
        /// Entries that have a leaf.
        entries: u64,
    },
}

impl Fault {
    /// Whether the process must stop: to go on could sign what contradicts an earlier signature.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Database(error) | Self::Keys(KeyError::Database(error)) => unsound(error),
            Self::Keys(_) => false,
            _ => true,
        }
    }
}

/// After a failed write or `fsync` nobody knows what is on the disk (`SQLITE_IOERR`, `CORRUPT`, `FULL`, `NOTADB`);
/// PostgreSQL decides that for itself and restarts.
fn unsound(error: &DbError) -> bool {
    let code = match error {
        DbError::Inconsistent(_) => return true,
        DbError::Driver(sqlx::Error::Database(error)) => error.code().unwrap_or_default().into_owned(),
        DbError::Driver(_) => return false,
    };
    code.len() < 5
        && code
            .parse::<u32>()
            .is_ok_and(|code| matches!(code & 0xff, 10 | 11 | 13 | 26))
}
