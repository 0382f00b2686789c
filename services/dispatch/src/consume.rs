//! Reading a group's topics: a batch takes effect in the database, then the offset is committed.
//!
//! A batch that can't take effect now is tried again until it can; what is wrong with a single message is the taker's
//! to see. No correctness rests on the offset: whatever comes twice is recognised by its ids.
//!
//! A bus that is away is waited for; one that is gone for good ends the service, so that whoever watches the process
//! starts it anew.

use std::time::Duration;

use platform::bus::{BusError, Received, SharedBus, Subscription};
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

/// Reads until the stop, or until nothing can ever be read any more.
pub(crate) async fn run(bus: SharedBus, group: Group, taker: impl Taker, stop: Stop) -> Result<(), BusError> {
    let Some(mut subscription) = subscribe(&bus, group, &stop).await? else {
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
            Err(error) if error.is_final() => return Err(error),
            Err(error) => {
                tracing::warn!(group = group.name(), error = %chain(&error), "the bus gives no messages");
                stop.sleep(REST).await;
            }
        }
    }
}

async fn subscribe(bus: &SharedBus, group: Group, stop: &Stop) -> Result<Option<Box<dyn Subscription>>, BusError> {
    loop {
        match bus.subscribe(group.name(), &group.topics()).await {
            Ok(subscription) => return Ok(Some(subscription)),
            Err(error) if error.is_final() => return Err(error),
            Err(error) => tracing::warn!(group = group.name(), error = %chain(&error), "the bus can't be joined"),
        }
        if stop.sleep(REST).await == Woken::Stopping {
            return Ok(None);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use platform::bus;
    use platform::clock::SystemClock;
    use platform::lifecycle::{Ended, Lifecycle};

    use super::*;

    struct Forgetful;

    impl Taker for Forgetful {
        type Error = std::convert::Infallible;

        async fn take_in(&self, _: &[Received]) -> Result<(), Self::Error> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_bus_that_is_gone_for_good_ends_the_service() {
        let folder = tempfile::tempdir().unwrap();
        let bus = bus::embedded(&folder.path().join("bus.db"), Arc::new(SystemClock))
            .await
            .unwrap();
        let lifecycle = Lifecycle::new();
        let stop = lifecycle.stop();
        lifecycle.spawn("reader", run(Arc::clone(&bus), Group::Plan, Forgetful, stop));
        bus.close().await;
        let ended = tokio::time::timeout(Duration::from_secs(5), lifecycle.run_until_stopped()).await;
        assert_eq!(ended.unwrap().unwrap(), Ended::Failed);
    }
}
