//! Finding or making wrapping keys.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use domain::id::ControllerId;
use jiff::Timestamp;
use platform::db::{Args, DbError, Row, Statement};

use super::{KeyStore, number};
use crate::wrapping::{Place, WrappingKey};
use crate::{Class, KeyError};

const FIND: Statement = Statement {
    name: "keys_find_wrapping",
    pg: "SELECT controller, quarter, class, wrapped FROM wrapping_key \
         JOIN UNNEST($1::uuid[], $2::int8[], $3::int8[]) AS wanted (controller, quarter, class) \
         USING (controller, quarter, class)",
    lite: "SELECT controller, quarter, class, wrapped FROM jsonb_each($1) AS wanted CROSS JOIN wrapping_key \
           WHERE controller = unhex(wanted.value ->> 0) AND quarter = wanted.value ->> 1 \
           AND class = wanted.value ->> 2",
};

const INSERT: Statement = Statement {
    name: "keys_insert_wrapping",
    pg: "INSERT INTO wrapping_key (controller, quarter, class, wrapped, created_at) \
         SELECT *, $5 FROM UNNEST($1::uuid[], $2::int8[], $3::int8[], $4::bytea[]) ON CONFLICT DO NOTHING",
    lite: "INSERT INTO wrapping_key (controller, quarter, class, wrapped, created_at) \
           SELECT unhex(value ->> 0), value ->> 1, value ->> 2, unhex(value ->> 3), $2 FROM jsonb_each($1) \
           WHERE true ON CONFLICT DO NOTHING",
};

pub(super) const ALL: &[Statement] = &[FIND, INSERT];

/// One for each place that was asked for.
pub(super) type Unwrapped = HashMap<Place, Arc<WrappingKey>>;

impl KeyStore {
    /// The wrapping keys of these places, made where there are none.
    pub(super) async fn wrapping_keys(&self, places: &BTreeSet<Place>, now: Timestamp) -> Result<Unwrapped, KeyError> {
        let cached = |place: &Place| Some((*place, self.0.wrapping.get(place, now)?));
        let mut found: Unwrapped = places.iter().filter_map(cached).collect();
        let missing = absent(places, &found);
        if missing.is_empty() {
            return Ok(found);
        }
        let rows = self.0.db.fetch(&FIND, columns(&missing)).await?;
        let mut fresh = self.unwrap(&rows)?;
        let unmade = absent(&missing, &fresh);
        if !unmade.is_empty() {
            let rows = self.make_wrapping(&unmade, now).await?;
            fresh.extend(self.unwrap(&rows)?);
        }
        self.0
            .wrapping
            .put(fresh.iter().map(|(place, key)| (*place, key.clone())), now);
        found.extend(fresh);
        Ok(found)
    }

    /// In the order of their places, so that two that make the same ones wait for each other in one order; then what
    /// stands there, whoever made it.
    async fn make_wrapping(&self, places: &BTreeSet<Place>, now: Timestamp) -> Result<Vec<Row>, KeyError> {
        let wrapped = places.iter().map(|place| place.make(&self.0.keyring, &*self.0.rng));
        let wrapped = wrapped.collect::<Result<Vec<_>, _>>()?;
        let insert = columns(places)
            .blobs(wrapped.iter().map(Vec::as_slice))
            .int(now.as_microsecond());
        let mut tx = self.0.db.begin().await?;
        tx.execute(&INSERT, insert).await?;
        let rows = tx.fetch(&FIND, columns(places)).await?;
        tx.commit().await?;
        Ok(rows)
    }

    fn unwrap(&self, rows: &[Row]) -> Result<Unwrapped, KeyError> {
        let unwrap = |row: &Row| {
            let place = place(row)?;
            let wrapped: Vec<u8> = row.get(3)?;
            Ok((place, Arc::new(place.unwrap(&self.0.keyring, &wrapped)?)))
        };
        rows.iter().map(unwrap).collect()
    }
}

fn absent(places: &BTreeSet<Place>, found: &Unwrapped) -> BTreeSet<Place> {
    places
        .iter()
        .filter(|place| !found.contains_key(place))
        .copied()
        .collect()
}

fn columns(places: &BTreeSet<Place>) -> Args<'static> {
    Args::new()
        .uuids(places.iter().map(|place| place.controller.uuid()))
        .ints(places.iter().map(|place| place.quarter))
        .ints(places.iter().map(|place| number(place.class)))
}

fn place(row: &Row) -> Result<Place, DbError> {
    Ok(Place {
        controller: ControllerId::from_uuid(row.get(0)?),
        quarter: row.get(1)?,
        class: Class::from_number(row.get(2)?)?,
    })
}
