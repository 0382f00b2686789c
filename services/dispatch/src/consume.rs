//! Reading a group's topics: a batch takes effect in the database, then the offset is committed.
//!
//! A batch that can't take effect now is tried again until it can; what is wrong with a single message is the taker's
//! to see. No correctness rests on the offset: whatever comes twice is recognised by its ids.

use std::time::Duration;

use platform::bus::{Received, SharedBus, Subscription};
use platform::lifecycle::{Stop, Woken};
use platform::problem::chain;
use proto::Group;

/// Messages in one batch: a transaction of a few milliseconds.
const BATCH_MAX: usize = 500;

/// A database or broker that is away is asked again after this.
const REST: Duration = Duration::from_millis(500);

/// Lets messages take effect; after an error the same batch comes again.
pub(crate) trait Taker {
    /// Why it can't take effect now.
    type Error: std::error::Error;

    /// Takes a batch in.
    fn take_in(&self, received: &[Received]) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Reads until the stop.
pub(crate) async fn run(
    bus: SharedBus,
    group: Group,
    taker: impl Taker,
    stop: Stop,
) -> Result<(), std::convert::Infallible> {
    let Some(mut subscription) = subscribe(&bus, group, &stop).await else {
        return Ok(());
    };
    loop {
        let received = tokio::select! {
            () = stop.soft() => return Ok(()),
            received = subscription.next(BATCH_MAX) => received,
        };
        match received {
            Ok(received) => {
                if take_in(&taker, &received, &stop).await == Woken::Stopping {
                    return Ok(());
                }
                commit(&mut *subscription, group).await;
            }
            Err(error) => {
                tracing::warn!(group = group.name(), error = %chain(&error), "the bus gives no messages");
                stop.sleep(REST).await;
            }
        }
    }
}

async fn subscribe(bus: &SharedBus, group: Group, stop: &Stop) -> Option<Box<dyn Subscription>> {
    loop {
        match bus.subscribe(group.name(), &group.topics()).await {
            Ok(subscription) => return Some(subscription),
            Err(error) => tracing::warn!(group = group.name(), error = %chain(&error), "the bus can't be joined"),
        }
        if stop.sleep(REST).await == Woken::Stopping {
            return None;
        }
    }
}

async fn take_in(taker: &impl Taker, received: &[Received], stop: &Stop) -> Woken {
    while let Err(error) = taker.take_in(received).await {
        tracing::warn!(error = %chain(&error), messages = received.len(), "messages wait to take effect");
        if stop.sleep(REST).await == Woken::Stopping {
            return Woken::Stopping;
        }
    }
    Woken::Rested
}

/// An offset that isn't committed only means that the batch may come again.
async fn commit(subscription: &mut dyn Subscription, group: Group) {
    if let Err(error) = subscription.commit().await {
        tracing::warn!(group = group.name(), error = %chain(&error), "the bus did not take note of an offset");
    }
}
