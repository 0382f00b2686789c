use platform::bus::Received;
use platform::lifecycle::{Ended, Lifecycle};
use proto::{DeadLetter, ErrorClass, Logged, LoggedEntries};

use super::*;

/// Every message of a topic, once there are so many.
async fn read(bus: &SharedBus, topic: &str, count: usize) -> Vec<Received> {
    let mut subscription = bus.subscribe("test", &[topic.to_owned()]).await.unwrap();
    let mut received = Vec::new();
    let all = async {
        while received.len() < count {
            received.extend(subscription.next(100).await.unwrap());
        }
        subscription.commit().await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(20), all)
        .await
        .expect("the messages come");
    received
}

fn announced(received: &[Received]) -> Vec<Logged> {
    let each = received
        .iter()
        .map(|message| LoggedEntries::decode(&message.message.value).unwrap());
    each.flat_map(|announcement| announcement.entries).collect()
}

#[tokio::test]
async fn entries_come_over_the_bus_and_are_announced() {
    on_each_engine(async |bench| {
        bench.requests([1]).await;
        let ledger = build(bench.config(), bench.deps()).await.unwrap();
        let lifecycle = Lifecycle::new();
        ledger.run(&lifecycle);

        let mut poison = on_the_bus(&receipt(3, 1, 1));
        poison.value = b"no entry".to_vec();
        let mut lie = LedgerEntry::decode(&on_the_bus(&receipt(4, 1, 1)).value).unwrap();
        lie.controller = controller(2);
        let messages = vec![
            poison,
            on_the_bus(&receipt(1, 1, 1)),
            message(lie.envelope()),
            on_the_bus(&key_event(2, 1)),
        ];
        assert!(bench.bus.publish(messages).await.iter().all(Result::is_ok));

        let mut received = Vec::new();
        while announced(&received).len() < 2 {
            received.extend(read(&bench.bus, "dsr.logged.v1", 1).await);
        }
        let mut logged = announced(&received);
        logged.sort_by_key(|logged| logged.index);
        let places = logged
            .iter()
            .map(|logged| (logged.entry, logged.controller_seq, logged.index));
        assert_eq!(places.collect::<Vec<_>>(), [(entry_id(1), 1, 0), (entry_id(2), 2, 1)]);
        assert_eq!(bench.prove(entry_id(1)).await.controller_seq, 1);

        let dead = read(&bench.bus, "dsr.deadletters.v1", 2).await;
        let dead: Vec<DeadLetter> = dead
            .iter()
            .map(|letter| DeadLetter::decode(&letter.message.value).unwrap())
            .collect();
        assert_eq!(dead[0].error_class, ErrorClass::Malformed);
        assert_eq!(dead[0].failed, Some(MessageId::from_uuid(Uuid::from_u128(3))));
        assert_eq!(dead[1].error_class, ErrorClass::Conflict);

        // Its sender missed the announcement.
        bench.bus.publish(vec![on_the_bus(&receipt(1, 1, 1))]).await;
        assert_eq!(announced(&read(&bench.bus, "dsr.logged.v1", 1).await), logged[..1]);
        assert_eq!(lifecycle.shut_down().await, Ended::Asked);
    })
    .await;
}

/// The process died after the head was published and before the bus had it.
#[tokio::test]
async fn what_was_not_announced_is_announced_after_a_restart() {
    on_each_engine(async |bench| {
        bench.put(&[key_event(1, 1), key_event(2, 2)]).await;
        bench.sequencer().turn().await.unwrap();

        bench.announcer().announce(2).await.unwrap();
        assert_eq!(announced(&read(&bench.bus, "dsr.logged.v1", 1).await).len(), 2);

        bench.put(&[key_event(3, 1), key_event(1, 1)]).await;
        bench.sequencer().turn().await.unwrap();
        bench.announcer().announce(3).await.unwrap();
        let places: Vec<_> = announced(&read(&bench.bus, "dsr.logged.v1", 2).await)
            .iter()
            .map(|logged| (logged.entry, logged.controller_seq, logged.index))
            .collect();
        assert_eq!(places, [(entry_id(3), 2, 2), (entry_id(1), 1, 0)]);
        bench.announcer().announce(3).await.unwrap();
        bench
            .bus
            .publish(vec![Message {
                topic: "dsr.logged.v1".into(),
                key: vec![],
                headers: vec![],
                value: vec![],
            }])
            .await;
        assert!(
            read(&bench.bus, "dsr.logged.v1", 1).await[0].message.value.is_empty(),
            "nothing was announced twice"
        );
    })
    .await;
}
