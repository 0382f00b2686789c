//! Moving a request's keys to the controller that it was matched to.

use std::collections::BTreeSet;

use domain::id::{ControllerId, RequestId};
use platform::db::{Args, DbError, Row, Statement};

use super::load::Stored;
use super::wrapping_keys::Unwrapped;
use super::{KeyStore, number};
use crate::wrapping::Place;
use crate::{Class, KeyError};

const STANDING: Statement = Statement::both(
    "keys_standing",
    "SELECT class, controller, quarter, wrapped FROM data_key WHERE request = $1",
);

const MOVE: Statement = Statement {
    name: "keys_move",
    pg: "UPDATE data_key SET controller = $4, wrapped = moved.wrapped \
         FROM UNNEST($1::int8[], $2::bytea[]) AS moved (class, wrapped) \
         WHERE data_key.request = $3 AND data_key.class = moved.class AND data_key.controller = $5",
    lite: "UPDATE data_key SET controller = $3, wrapped = unhex(moved.value ->> 1) FROM jsonb_each($1) AS moved \
           WHERE data_key.request = $2 AND data_key.class = moved.value ->> 0 AND data_key.controller = $4",
};

pub(super) const ALL: &[Statement] = &[STANDING, MOVE];

impl KeyStore {
    /// Wraps a request's keys under another controller's wrapping keys of the same quarter: when the request is
    /// matched, and its controller's keys are what it has to live and die with. The data keys stay as they are.
    /// Doing it twice, or for a request whose keys were shredded, changes nothing.
    pub async fn rewrap(&self, request: RequestId, from: ControllerId, to: ControllerId) -> Result<(), KeyError> {
        let rows = self.0.db.fetch(&STANDING, Args::new().uuid(request.uuid())).await?;
        let standing = rows
            .iter()
            .map(|row| standing(row, request))
            .collect::<Result<Vec<_>, _>>()?;
        if standing.iter().any(|key| ![from, to].contains(&key.place.controller)) {
            return Err(KeyError::OtherController);
        }
        let moving: Vec<&Stored> = standing.iter().filter(|key| key.place.controller == from).collect();
        if from == to || moving.is_empty() {
            return Ok(());
        }
        let places: BTreeSet<Place> = moving
            .iter()
            .flat_map(|key| [key.place, beside(key.place, to)])
            .collect();
        let wrapping = self.wrapping_keys(&places, self.now()).await?;
        let moved = moving.iter().map(|key| self.moved(key, to, &wrapping));
        let moved = moved.collect::<Result<Vec<_>, _>>()?;
        let args = Args::new()
            .ints(moving.iter().map(|key| number(key.place.class)))
            .blobs(moved.iter().map(Vec::as_slice));
        let args = args.uuid(request.uuid()).uuid(to.uuid()).uuid(from.uuid());
        Ok(self.0.db.execute(&MOVE, args).await.map(drop)?)
    }

    fn moved(&self, key: &Stored, to: ControllerId, wrapping: &Unwrapped) -> Result<Vec<u8>, KeyError> {
        let class = key.place.class;
        let bytes = wrapping[&key.place].unwrap(key.request, class, &key.wrapped)?;
        Ok(wrapping[&beside(key.place, to)].wrap(&*self.0.rng, key.request, class, &bytes))
    }
}

fn beside(place: Place, controller: ControllerId) -> Place {
    Place { controller, ..place }
}

fn standing(row: &Row, request: RequestId) -> Result<Stored, DbError> {
    Ok(Stored {
        request,
        place: Place {
            controller: ControllerId::from_uuid(row.get(1)?),
            quarter: row.get(2)?,
            class: Class::from_number(row.get(0)?)?,
        },
        wrapped: row.get(3)?,
    })
}
