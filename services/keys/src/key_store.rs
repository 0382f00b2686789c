//! Making, finding, moving and deleting data keys.
//!
//! A batch of any size costs one statement and one commit; a second statement looks for wrapping keys that this
//! process has not used for a minute, and only a controller's first request of a quarter makes new ones. Those are
//! committed on their own before they wrap anything: if two processes make the same one, the first stays and both use
//! it. A data key can't be stored under a wrapping key that is gone, because it refers to it.

mod create;
mod load;
mod rewrap;
mod sweep;
mod wrapping_keys;

use std::fmt;
use std::sync::Arc;

use domain::id::RequestId;
use jiff::Timestamp;
use platform::chance::SharedRng;
use platform::clock::SharedClock;
use platform::db::{Args, Db, Statement};
use platform::keyring::Keyring;

use crate::cache::{Cache, GENERATION};
use crate::wrapping::{Place, WrappingKey};
use crate::{Class, DataKey, KeyError};

pub use create::RequestKeys;
pub use sweep::Suspects;

/// Requests whose keys a process has in hand at a time are some thousands; a key and its place take half a kilobyte.
const DATA_KEYS: usize = 10_000;

/// More than the controllers of a large deployment, twice; as small each.
const WRAPPING_KEYS: usize = 20_000;

const SHRED: Statement = Statement {
    name: "keys_shred",
    pg: "DELETE FROM data_key WHERE request = ANY($1) AND class = $2",
    lite: "DELETE FROM data_key WHERE request IN (SELECT unhex(value ->> 0) FROM jsonb_each($1)) AND class = $2",
};

pub(crate) const ALL: &[&[Statement]] = &[
    &[SHRED],
    create::ALL,
    load::ALL,
    rewrap::ALL,
    sweep::ALL,
    wrapping_keys::ALL,
];

/// The key store. Cheap to clone; clones share what is unwrapped.
#[derive(Clone)]
pub struct KeyStore(Arc<Inner>);

struct Inner {
    db: Db,
    keyring: Arc<Keyring>,
    rng: SharedRng,
    clock: SharedClock,
    data: Cache<(RequestId, Class), DataKey>,
    wrapping: Cache<Place, Arc<WrappingKey>>,
}

impl KeyStore {
    /// Takes a database whose schema was migrated or checked. With a key ring that has one class only, that class
    /// can be loaded and nothing can be made.
    #[must_use]
    pub fn new(db: Db, keyring: Arc<Keyring>, rng: SharedRng, clock: SharedClock) -> Self {
        Self(Arc::new(Inner {
            db,
            keyring,
            rng,
            clock,
            data: Cache::new(DATA_KEYS),
            wrapping: Cache::new(WRAPPING_KEYS),
        }))
    }

    /// The database, for [`log_head`](crate::log_head) and for checks.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.0.db
    }

    /// Deletes data keys for ever: what they sealed can't be read any more, here at once and in other processes within
    /// a minute. Returns how many there were.
    pub async fn shred(&self, class: Class, requests: &[RequestId]) -> Result<u64, KeyError> {
        let args = Args::new().uuids(requests.iter().map(|request| request.uuid()));
        let shredded = self.0.db.execute(&SHRED, args.int(number(class))).await?;
        let places: Vec<_> = requests.iter().map(|request| (*request, class)).collect();
        self.0.data.forget(&places, self.now());
        Ok(shredded)
    }

    /// Lets go of unwrapped keys in time even if nobody asks for any; for ever, the caller drops it at its stop.
    pub async fn keep_tidy(&self) {
        loop {
            tokio::time::sleep(GENERATION.unsigned_abs()).await;
            self.0.data.tidy(self.now());
            self.0.wrapping.tidy(self.now());
        }
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyStore").finish_non_exhaustive()
    }
}

fn number(class: Class) -> i64 {
    class.number().into()
}
