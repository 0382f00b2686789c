//! Keys whose request never came.
//!
//! Keys are committed before their request, so a crash in between leaves keys that protect nothing. Whoever can see
//! the requests goes through the keys in the order of their making, once: [`KeyStore::suspects`] gives the next page,
//! [`KeyStore::sweep_orphans`] deletes those whose request doesn't exist and remembers how far it came.

use std::collections::HashSet;
use std::time::Duration;

use domain::id::RequestId;
use platform::db::{Args, DbError, Statement};
use uuid::Uuid;

use super::KeyStore;
use crate::{Class, KeyError};

/// A request is committed within seconds of its keys, or never.
const ORPHANED_AFTER: Duration = Duration::from_hours(1);

/// An orphan has both keys, so it is enough to look at one class.
const SUSPECTS: Statement = Statement::both(
    "keys_suspects",
    "SELECT data_key.created_at, data_key.request FROM data_key, swept WHERE data_key.class = 2 \
     AND (data_key.created_at, data_key.request) > (swept.created_at, swept.request) AND data_key.created_at <= $1 \
     ORDER BY data_key.created_at, data_key.request LIMIT $2",
);

const DELETE: Statement = Statement {
    name: "keys_delete_orphans",
    pg: "DELETE FROM data_key WHERE request = ANY($1)",
    lite: "DELETE FROM data_key WHERE request IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))",
};

const SWEPT: Statement = Statement::both(
    "keys_swept",
    "UPDATE swept SET created_at = $1, request = $2 WHERE (created_at, request) < ($1, $2)",
);

pub(super) const ALL: &[Statement] = &[SUSPECTS, DELETE, SWEPT];

/// Keys that are old enough for their request to be there.
#[derive(Debug)]
pub struct Suspects {
    requests: Vec<RequestId>,
    last: (i64, Uuid),
}

impl Suspects {
    /// The requests to look for.
    #[must_use]
    pub fn requests(&self) -> &[RequestId] {
        &self.requests
    }
}

impl KeyStore {
    /// The next keys, oldest first, that nobody has looked at yet and whose request should have come; none if all were
    /// looked at.
    pub async fn suspects(&self, limit: i64) -> Result<Option<Suspects>, KeyError> {
        let until = self.now().as_microsecond() - i64::try_from(ORPHANED_AFTER.as_micros()).expect("an hour");
        let rows = self.0.db.fetch(&SUSPECTS, Args::new().int(until).int(limit)).await?;
        let keys = rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?)));
        let keys = keys.collect::<Result<Vec<(i64, Uuid)>, DbError>>()?;
        Ok(keys.last().map(|last| Suspects {
            requests: keys.iter().map(|(_, request)| RequestId::from_uuid(*request)).collect(),
            last: *last,
        }))
    }

    /// Deletes the keys of the suspects that are not among the `existing` requests, and returns how many requests
    /// those would have been.
    pub async fn sweep_orphans(&self, suspects: Suspects, existing: &HashSet<RequestId>) -> Result<usize, KeyError> {
        let Suspects { mut requests, last } = suspects;
        requests.retain(|request| !existing.contains(request));
        let mut tx = self.0.db.begin().await?;
        if !requests.is_empty() {
            let orphans = Args::new().uuids(requests.iter().map(|request| request.uuid()));
            tx.execute(&DELETE, orphans).await?;
        }
        tx.execute(&SWEPT, Args::new().int(last.0).uuid(last.1)).await?;
        tx.commit().await?;
        let places = requests
            .iter()
            .flat_map(|request| Class::ALL.map(|class| (*request, class)));
        self.0.data.forget(&places.collect::<Vec<_>>(), self.now());
        Ok(requests.len())
    }
}
