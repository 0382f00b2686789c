//! Planning: which systems a ready request must reach, fixed before any answer is known.
//!
//! Requests come over the bus, in batches, or are found by the reconciler; either way a batch is one transaction
//! ([`batch`]): the requests' rows are locked in the order of their ids, each that is still ready gets its plan from
//! the *logged* snapshot of the registry, one task for each system with the very bytes that will be sent ([`body`]),
//! and its entries and messages. The offset on the bus is committed afterwards and decides nothing: a redelivered
//! message finds a request that is not ready any more.
//!
//! A request that can't be planned (no system is registered for it, its instruction or snapshot is not in force) stays
//! ready and is looked at again by the reconciler; an anomaly tells of it. No HTTP happens here.

mod batch;
mod body;
mod grounds;

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::id::RequestId;
use keys::{Class, KeyError, KeyStore};
use platform::bus::Received;
use platform::chance::SharedRng;
use platform::clock::SharedClock;
use platform::db::DbError;
use platform::metrics::Counter;
use proto::{ErrorClass, RequestPublished};
use store::Store;
use store::registry::DirectoryCache;

use crate::bell::Bell;
use crate::consume::Taker;
use crate::dead_letters::DeadLetters;

use batch::Order;
pub(crate) use body::{Receipt, receipt};
pub(crate) use grounds::Grounds;

static PLANNED: Counter = Counter::new(
    "quittance_requests_planned_total",
    "Requests that came to be planned, by what became of them.",
);

/// Plans requests; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Planner {
    pub(crate) store: Store,
    pub(crate) keys: KeyStore,
    pub(crate) directory: DirectoryCache,
    pub(crate) bell: Bell,
    pub(crate) clock: SharedClock,
    pub(crate) rng: SharedRng,
    pub(crate) public_url: Arc<str>,
    pub(crate) grounds: Grounds,
}

/// Why a batch was not planned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    /// The router's database.
    #[error("plans were not stored")]
    Database(#[from] DbError),
    /// The key store.
    #[error("the requests' keys can't be had")]
    Keys(#[from] KeyError),
}

impl Taker for Planner {
    type Error = PlanError;

    async fn take_in(&self, received: &[Received]) -> Result<(), PlanError> {
        let mut letters = DeadLetters::new(self.clock.now());
        let mut requests = BTreeSet::new();
        for message in received {
            match RequestPublished::decode(&message.message.value) {
                Ok(published) => drop(requests.insert(published.request)),
                Err(_) => letters.add(message, ErrorClass::Malformed, None),
            }
        }
        let requests: Vec<RequestId> = requests.into_iter().collect();
        for (request, error) in self.plan_apart(&requests).await? {
            let about = received.iter().filter(|one| names(one, request));
            about.for_each(|message| letters.add(message, error, Some(request)));
        }
        Ok(letters.store(&self.store).await?)
    }
}

impl Planner {
    /// Plans requests that are ready; others are left as they are.
    pub(crate) async fn plan(&self, requests: &[RequestId]) -> Result<Vec<RequestId>, PlanError> {
        let keys = self.keys.load(Class::Subject, requests).await?;
        let order = Arc::new(Order::new(self, requests, keys));
        let done = self
            .store
            .db()
            .transaction("plan", move |tx| {
                let order = Arc::clone(&order);
                Box::pin(async move { order.carry_out(tx).await })
            })
            .await?;
        for (result, count) in done.counts() {
            PLANNED.add(count, &[("result", result)]);
        }
        self.store.waker().wake();
        self.bell.ring();
        Ok(done.unknown)
    }

    /// If the database refuses the batch because of what is in it, each request is planned alone; returns those that
    /// can't be, and why.
    pub(crate) async fn plan_apart(&self, requests: &[RequestId]) -> Result<Vec<(RequestId, ErrorClass)>, PlanError> {
        if requests.is_empty() {
            return Ok(vec![]);
        }
        let unknown = |requests: Vec<RequestId>| requests.into_iter().map(|one| (one, ErrorClass::Unknown)).collect();
        match self.plan(requests).await {
            Ok(missing) => return Ok(unknown(missing)),
            Err(error) if !is_of_content(&error) => return Err(error),
            Err(_) => {}
        }
        let mut failed = Vec::new();
        for request in requests {
            match self.plan(&[*request]).await {
                Ok(missing) => failed.append(&mut unknown(missing)),
                Err(error) if !is_of_content(&error) => return Err(error),
                Err(error) => {
                    tracing::error!(%request, error = &error as &dyn std::error::Error, "a request can't be planned");
                    failed.push((*request, ErrorClass::Failed));
                }
            }
        }
        Ok(failed)
    }
}

/// Whether a batch failed because of one of its members, and not because something was away.
fn is_of_content(error: &PlanError) -> bool {
    match error {
        PlanError::Database(error) => error.is_of_content(),
        PlanError::Keys(KeyError::Damaged | KeyError::OtherController) => true,
        PlanError::Keys(_) => false,
    }
}

fn names(received: &Received, request: RequestId) -> bool {
    RequestPublished::decode(&received.message.value).is_ok_and(|published| published.request == request)
}
