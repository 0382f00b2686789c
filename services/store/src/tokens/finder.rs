//! Looking tokens up together.
//!
//! Each call to a door asks whether its token opens anything *now*, so nothing is remembered; but calls that arrive while
//! a look-up is under way are answered by one statement after it. Whoever has the turn asks for all who wait. A caller
//! that hangs up while it asks leaves the others without an answer, and the next of them asks again.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use platform::db::{Args, Db, DbError, Statement};
use platform::secret::{Secret, digest};
use tokio::sync::oneshot;

use super::{Token, read};

const FIND_ALL: Statement = Statement {
    name: "tokens_find_all",
    pg: "SELECT digest, role, label, scope, created_at, expires_at, revoked_at FROM token WHERE digest = ANY($1)",
    lite: "SELECT digest, role, label, scope, created_at, expires_at, revoked_at FROM token \
           WHERE digest IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))",
};

pub(super) const ALL: &[Statement] = &[FIND_ALL];

/// A token that is kept, whether or not it opens anything; or why nobody can tell.
type Found = Result<Option<Token>, Arc<DbError>>;

/// Who waits for which digest.
type Waiting = ([u8; 32], oneshot::Sender<Found>);

/// Looks tokens up; clones share their look-ups.
#[derive(Debug, Clone)]
pub struct Finder {
    db: Db,
    waiting: Arc<Mutex<Vec<Waiting>>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Finder {
    /// Looks into this database.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self {
            db,
            waiting: Arc::default(),
            turn: Arc::default(),
        }
    }

    /// The token that a caller presents, if it is known and opens something at this instant.
    pub async fn find(&self, presented: &Secret, now: Timestamp) -> Found {
        let digest = digest(presented);
        loop {
            let (answer, mut answered) = oneshot::channel();
            self.queue().push((digest, answer));
            let turn = self.turn.lock().await;
            if let Ok(found) = answered.try_recv() {
                return found.map(|token| token.filter(|token| token.is_valid(now)));
            }
            let waiting = std::mem::take(&mut *self.queue());
            self.answer(waiting).await;
            drop(turn);
            if let Ok(found) = answered.try_recv() {
                return found.map(|token| token.filter(|token| token.is_valid(now)));
            }
        }
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, waiting: Vec<Waiting>) {
        let digests: BTreeSet<[u8; 32]> = waiting.iter().map(|(digest, _)| *digest).collect();
        let found = self.read(&digests).await.map_err(Arc::new);
        for (digest, caller) in waiting {
            let one = found.as_ref().map(|tokens| tokens.get(&digest).cloned());
            // Who hung up needs no answer.
            drop(caller.send(one.map_err(Arc::clone)));
        }
    }

    async fn read(&self, digests: &BTreeSet<[u8; 32]>) -> Result<HashMap<[u8; 32], Token>, DbError> {
        let args = Args::new().blobs(digests.iter().map(|digest| &digest[..]));
        let rows = self.db.fetch(&FIND_ALL, args).await?;
        let keyed = |row: &platform::db::Row| read(row).map(|token| (token.digest, token));
        rows.iter().map(keyed).collect()
    }
}
