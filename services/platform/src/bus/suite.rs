//! What every bus promises, as tests that each implementation runs.

use std::time::Duration;

use super::{Bus, MESSAGE_BYTES_MAX, Message, PublishError, Received, Subscription};

/// Joining a Kafka group takes seconds; a bus that answers nothing for this long is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// Long enough for a message to arrive that must not.
const SILENCE: Duration = Duration::from_millis(500);

pub(super) fn message(topic: &str, key: &str, value: impl AsRef<[u8]>) -> Message {
    Message {
        topic: topic.to_owned(),
        key: key.into(),
        headers: vec![],
        value: value.as_ref().to_vec(),
    }
}

/// Publishes, and insists that all became durable.
pub(super) async fn publish(bus: &dyn Bus, messages: Vec<Message>) {
    for outcome in bus.publish(messages).await {
        assert_eq!(outcome, Ok(()));
    }
}

pub(super) async fn join(bus: &dyn Bus, group: &str, topics: &[&str]) -> Box<dyn Subscription> {
    let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
    bus.subscribe(group, &topics).await.unwrap()
}

/// Reads until there are `count`, without committing.
pub(super) async fn take(subscription: &mut dyn Subscription, count: usize) -> Vec<Received> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let next = tokio::time::timeout(PATIENCE, subscription.next(count - taken.len()));
        taken.extend(next.await.expect("the bus has more messages").unwrap());
    }
    taken
}

pub(super) async fn assert_silent(subscription: &mut dyn Subscription) {
    let next = tokio::time::timeout(SILENCE, subscription.next(1)).await;
    assert!(next.is_err(), "nothing was expected, and {next:?} came");
}

pub(super) fn values(received: &[Received]) -> Vec<&[u8]> {
    received.iter().map(|received| &received.message.value[..]).collect()
}

/// Everything of a message arrives, and a message without key or headers stays one.
pub(super) async fn carries_all_of_a_message(bus: &dyn Bus, topic: &str) {
    let headers = vec![
        ("traceparent".to_owned(), b"00-1".to_vec()),
        ("raw".to_owned(), vec![0, 255]),
    ];
    let full = Message {
        headers,
        ..message(topic, "key", [0, 1, 255])
    };
    let bare = message(topic, "", "");
    publish(bus, vec![full.clone(), bare.clone()]).await;

    let received = take(&mut *join(bus, "carries", &[topic]).await, 2).await;
    for sent in [full, bare] {
        assert!(received.iter().any(|received| received.message == sent), "{sent:?}");
    }
}

/// Messages of one key come in the order in which they were published, whatever else is published meanwhile.
pub(super) async fn keeps_the_order_of_a_key(bus: &dyn Bus, topic: &str, each: u32) {
    let publisher = |key: &'static str| async move {
        let messages: Vec<_> = (0..each)
            .map(|number| message(topic, key, number.to_be_bytes()))
            .collect();
        for part in messages.chunks(100) {
            publish(bus, part.to_vec()).await;
        }
    };
    tokio::join!(publisher("a"), publisher("b"), publisher("c"), publisher("d"));

    let received = take(&mut *join(bus, "order", &[topic]).await, 4 * each as usize).await;
    let expected: Vec<_> = (0..each).map(u32::to_be_bytes).collect();
    for key in ["a", "b", "c", "d"] {
        let of_key = received
            .iter()
            .filter(|received| received.message.key == key.as_bytes());
        let values: Vec<_> = of_key.map(|received| received.message.value.clone()).collect();
        assert_eq!(values, expected, "{key}");
    }
}

/// What was not committed comes again to the next member, what was committed doesn't, and another group has its
/// own view.
pub(super) async fn redelivers_what_was_not_committed(bus: &dyn Bus, topic: &str) {
    publish(
        bus,
        vec![
            message(topic, "k", "1"),
            message(topic, "k", "2"),
            message(topic, "k", "3"),
        ],
    )
    .await;

    let mut member = join(bus, "redelivers", &[topic]).await;
    assert_eq!(values(&take(&mut *member, 1).await), [b"1"]);
    member.commit().await.unwrap();
    assert_eq!(values(&take(&mut *member, 2).await), [b"2", b"3"]);
    drop(member);

    let mut member = join(bus, "redelivers", &[topic]).await;
    assert_eq!(values(&take(&mut *member, 2).await), [b"2", b"3"]);
    member.commit().await.unwrap();
    drop(member);

    let mut member = join(bus, "redelivers", &[topic]).await;
    publish(bus, vec![message(topic, "k", "4")]).await;
    assert_eq!(values(&take(&mut *member, 1).await), [b"4"]);
    let mut other = join(bus, "another", &[topic]).await;
    assert_eq!(values(&take(&mut *other, 4).await), [b"1", b"2", b"3", b"4"]);
}

/// A caller that stops waiting, at whatever moment, gets the messages with its next call.
pub(super) async fn loses_nothing_when_not_awaited(bus: &dyn Bus, topic: &str) {
    let mut member = join(bus, "cancels", &[topic]).await;
    let numbers: Vec<_> = (0..100_u32).map(u32::to_be_bytes).collect();
    publish(bus, numbers.iter().map(|number| message(topic, "k", number)).collect()).await;

    let mut received = Vec::new();
    for micros in (0..).step_by(50) {
        if let Ok(batch) = tokio::time::timeout(Duration::from_micros(micros), member.next(7)).await {
            received.extend(batch.unwrap());
        }
        if received.len() >= numbers.len() {
            break;
        }
    }
    assert_eq!(values(&received), numbers);
}

/// A message of the largest size passes, and one that is larger harms only itself.
pub(super) async fn refuses_only_what_is_too_large(bus: &dyn Bus, topic: &str) {
    // Bytes that no compression makes smaller.
    let noise = crate::chance::SeededRng::new(7);
    let mut large = vec![0; MESSAGE_BYTES_MAX];
    crate::chance::Rng::fill(&noise, &mut large);
    let [mut largest, too_large] = [message(topic, "", &large), message(topic, "k", &large)];
    largest.value.truncate(MESSAGE_BYTES_MAX - 10);
    largest.headers.push(("name".into(), b"value!".to_vec()));

    let outcomes = bus
        .publish(vec![message(topic, "k", "1"), too_large, largest.clone()])
        .await;
    assert!(
        matches!(outcomes[..], [Ok(()), Err(PublishError::Refused(_)), Ok(())]),
        "{outcomes:?}"
    );
    let received = take(&mut *join(bus, "large", &[topic]).await, 2).await;
    assert!(received.iter().any(|received| received.message == largest));
}
