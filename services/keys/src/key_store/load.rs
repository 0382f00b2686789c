//! Finding keys again.

use std::collections::{BTreeSet, HashMap};

use domain::id::{ControllerId, RequestId};
use jiff::Timestamp;
use platform::db::{Args, DbError, Row, Statement};

use super::{KeyStore, number};
use crate::wrapping::Place;
use crate::{Class, DataKey, KeyError};

const LOAD: Statement = Statement {
    name: "keys_load",
    pg: "SELECT request, controller, quarter, wrapped FROM data_key WHERE request = ANY($1) AND class = $2",
    lite: "SELECT request, controller, quarter, wrapped FROM data_key \
           WHERE request IN (SELECT unhex(value ->> 0) FROM jsonb_each($1)) AND class = $2",
};

pub(super) const ALL: &[Statement] = &[LOAD];

/// A data key as it is stored.
pub(super) struct Stored {
    pub(super) request: RequestId,
    pub(super) place: Place,
    pub(super) wrapped: Vec<u8>,
}

impl KeyStore {
    /// The keys of these requests. One that is absent was shredded, or never was.
    pub async fn load(&self, class: Class, requests: &[RequestId]) -> Result<HashMap<RequestId, DataKey>, KeyError> {
        let now = self.now();
        let cached = |request: &RequestId| Some((*request, self.0.data.get(&(*request, class), now)?));
        let mut found: HashMap<_, _> = requests.iter().filter_map(cached).collect();
        let missing = requests.iter().filter(|request| !found.contains_key(request));
        let missing: BTreeSet<_> = missing.copied().collect();
        if !missing.is_empty() {
            let read = self.read(class, &missing, now).await?;
            self.0
                .data
                .put(read.iter().map(|key| ((key.request(), class), key.clone())), now);
            found.extend(read.into_iter().map(|key| (key.request(), key)));
        }
        Ok(found)
    }

    async fn read(
        &self,
        class: Class,
        requests: &BTreeSet<RequestId>,
        now: Timestamp,
    ) -> Result<Vec<DataKey>, KeyError> {
        let args = Args::new().uuids(requests.iter().map(|request| request.uuid()));
        let rows = self.0.db.fetch(&LOAD, args.int(number(class))).await?;
        let stored = rows
            .iter()
            .map(|row| stored(row, class))
            .collect::<Result<Vec<_>, _>>()?;
        let places = stored.iter().map(|stored| stored.place).collect();
        let wrapping = self.wrapping_keys(&places, now).await?;
        let unwrap = |stored: &Stored| {
            let bytes = wrapping[&stored.place].unwrap(stored.request, class, &stored.wrapped)?;
            Ok(DataKey::new(stored.request, class, &bytes, self.0.rng.clone()))
        };
        stored.iter().map(unwrap).collect()
    }
}

fn stored(row: &Row, class: Class) -> Result<Stored, DbError> {
    Ok(Stored {
        request: RequestId::from_uuid(row.get(0)?),
        place: Place {
            controller: ControllerId::from_uuid(row.get(1)?),
            quarter: row.get(2)?,
            class,
        },
        wrapped: row.get(3)?,
    })
}
