//! A batch's new keys.

use std::collections::BTreeSet;

use domain::id::{ControllerId, RequestId};
use jiff::Timestamp;
use platform::db::{Args, DbError, Statement};
use zeroize::Zeroizing;

use super::wrapping_keys::Unwrapped;
use super::{KeyStore, number};
use crate::wrapping::{KEY_BYTES, Place, quarter};
use crate::{Class, DataKey, KeyError};

const INSERT: Statement = Statement {
    name: "keys_insert",
    pg: "INSERT INTO data_key (request, class, controller, quarter, wrapped, created_at) \
         SELECT *, $6 FROM UNNEST($1::uuid[], $2::int8[], $3::uuid[], $4::int8[], $5::bytea[])",
    lite: "INSERT INTO data_key (request, class, controller, quarter, wrapped, created_at) \
           SELECT unhex(value ->> 0), value ->> 1, unhex(value ->> 2), value ->> 3, unhex(value ->> 4), $2 \
           FROM jsonb_each($1)",
};

pub(super) const ALL: &[Statement] = &[INSERT];

/// The keys of one new request.
#[derive(Debug, Clone)]
pub struct RequestKeys {
    /// Whose they are.
    pub request: RequestId,
    /// For what is about the person.
    pub subject: DataKey,
    /// For what proves that the request was dealt with.
    pub evidence: DataKey,
}

/// A key as it is handed out and as it is stored.
struct Made {
    request: RequestId,
    place: Place,
    key: DataKey,
    wrapped: Vec<u8>,
}

impl KeyStore {
    /// Makes both keys of each request, in the order given. They are durable when this returns; the request has to be
    /// committed within the hour, because keys without a request are swept.
    pub async fn create(&self, requests: &[(RequestId, ControllerId)]) -> Result<Vec<RequestKeys>, KeyError> {
        let now = self.now();
        let places: BTreeSet<Place> = requests.iter().flat_map(|(_, owner)| places(*owner, now)).collect();
        let made = match self.attempt(requests, &places, now).await {
            // A wrapping key that is gone from the database may still have been in memory.
            Err(KeyError::Database(error)) if error.is_refusal() => {
                self.0.wrapping.forget(&places, now);
                self.attempt(requests, &places, now).await?
            }
            outcome => outcome?,
        };
        let cached = made
            .iter()
            .map(|made| ((made.request, made.place.class), made.key.clone()));
        self.0.data.put(cached, now);
        Ok(pairs(&made))
    }

    async fn attempt(
        &self,
        requests: &[(RequestId, ControllerId)],
        places: &BTreeSet<Place>,
        now: Timestamp,
    ) -> Result<Vec<Made>, KeyError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let wrapping = self.wrapping_keys(places, now).await?;
        let made: Vec<Made> = requests
            .iter()
            .flat_map(|(request, owner)| places_of(*request, *owner, now))
            .map(|(request, place)| self.make(request, place, &wrapping))
            .collect();
        self.insert(&made, now).await?;
        Ok(made)
    }

    fn make(&self, request: RequestId, place: Place, wrapping: &Unwrapped) -> Made {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        self.0.rng.fill(&mut *bytes);
        Made {
            request,
            place,
            key: DataKey::new(request, place.class, &bytes, self.0.rng.clone()),
            wrapped: wrapping[&place].wrap(&*self.0.rng, request, place.class, &bytes),
        }
    }

    async fn insert(&self, made: &[Made], now: Timestamp) -> Result<(), DbError> {
        let args = Args::new()
            .uuids(made.iter().map(|made| made.request.uuid()))
            .ints(made.iter().map(|made| number(made.place.class)))
            .uuids(made.iter().map(|made| made.place.controller.uuid()))
            .ints(made.iter().map(|made| made.place.quarter))
            .blobs(made.iter().map(|made| made.wrapped.as_slice()));
        let args = args.int(now.as_microsecond());
        self.0.db.execute(&INSERT, args).await.map(drop)
    }
}

fn places(controller: ControllerId, now: Timestamp) -> [Place; 2] {
    Class::ALL.map(|class| Place {
        controller,
        quarter: quarter(now),
        class,
    })
}

fn places_of(request: RequestId, controller: ControllerId, now: Timestamp) -> [(RequestId, Place); 2] {
    places(controller, now).map(|place| (request, place))
}

/// Each request's keys stand side by side, in the order of [`Class::ALL`].
fn pairs(made: &[Made]) -> Vec<RequestKeys> {
    let pair = |pair: &[Made; 2]| RequestKeys {
        request: pair[0].request,
        subject: pair[0].key.clone(),
        evidence: pair[1].key.clone(),
    };
    made.as_chunks().0.iter().map(pair).collect()
}
