use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use domain::id::RequestId;
use jiff::Timestamp;
use platform::bus::{
    Bus, BusError, Message, PublishError, SharedBus, Subscription, TopicMode, TopicSpec, TopicState, embedded,
};
use platform::chance::SeededRng;
use platform::clock::ManualClock;
use platform::lifecycle::Stop;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::*;
use crate::Store;
use crate::fixture::on_each_engine;

/// What a bus of a test does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Works,
    Fails,
    /// Writes, and says that it didn't.
    WritesAndFails,
    /// Refuses values that begin with `!`.
    Picky,
    Hangs,
}

/// Remembers what it was given.
#[derive(Debug)]
struct TestBus {
    mode: Mutex<Mode>,
    written: Mutex<Vec<Message>>,
}

impl TestBus {
    fn new(mode: Mode) -> Arc<Self> {
        let mode = Mutex::new(mode);
        Arc::new(Self {
            mode,
            written: Mutex::default(),
        })
    }

    fn switch(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    fn ids(&self) -> Vec<String> {
        self.written.lock().unwrap().iter().map(id).collect()
    }
}

#[async_trait]
impl Bus for TestBus {
    async fn publish(&self, messages: Vec<Message>) -> Vec<Result<(), PublishError>> {
        let mode = *self.mode.lock().unwrap();
        let answer = |message: &Message| match mode {
            Mode::Picky if message.value.starts_with(b"!") => Err(PublishError::Refused("it begins with !".into())),
            Mode::Works | Mode::Picky => Ok(()),
            _ => Err(PublishError::Unconfirmed("for the test".into())),
        };
        if mode == Mode::Hangs {
            std::future::pending::<()>().await;
        }
        let answers: Vec<_> = messages.iter().map(answer).collect();
        let pairs = messages.into_iter().zip(&answers);
        let written = pairs.filter(|(_, answer)| answer.is_ok() || mode == Mode::WritesAndFails);
        self.written.lock().unwrap().extend(written.map(|(message, _)| message));
        answers
    }

    async fn subscribe(&self, _: &str, _: &[String]) -> Result<Box<dyn Subscription>, BusError> {
        Err(BusError::Closed)
    }

    async fn topics(&self, _: &[TopicSpec], _: TopicMode) -> Result<Vec<TopicState>, BusError> {
        Ok(Vec::new())
    }

    async fn check(&self) -> Result<(), BusError> {
        Ok(())
    }

    async fn close(&self) {}
}

fn id(message: &Message) -> String {
    let (_, id) = message.headers.iter().find(|(name, _)| name == MESSAGE_ID).unwrap();
    String::from_utf8(id.clone()).unwrap()
}

struct Running {
    stop: Stop,
    task: JoinHandle<()>,
}

impl Running {
    async fn stop(self) {
        self.stop.ask();
        self.task.await.unwrap();
    }
}

fn clock() -> Arc<ManualClock> {
    ManualClock::at(Timestamp::from_second(1_777_885_200).unwrap())
}

fn start(store: &Store, bus: SharedBus, worker: u128, clock: &Arc<ManualClock>) -> Running {
    let stop = Stop::default();
    let relay = Relay {
        store: store.clone(),
        bus,
        worker: Uuid::from_u128(worker),
        clock: clock.clone(),
        rng: Arc::new(SeededRng::new(1)),
    };
    let run = relay.run(stop.clone());
    let task = tokio::spawn(async move {
        let Ok(()) = run.await;
    });
    Running { stop, task }
}

fn message_of(number: u128) -> MessageId {
    MessageId::from_uuid(Uuid::from_u128(number))
}

fn row(number: u128, key: &str, value: &str) -> OutboxRow {
    OutboxRow::new(
        message_of(number),
        "dsr.events.v1",
        key.into(),
        Vec::new(),
        value.into(),
    )
}

async fn commit(store: &Store, rows: &[OutboxRow]) {
    let mut tx = store.db().begin().await.unwrap();
    put(&mut tx, rows).await.unwrap();
    tx.commit().await.unwrap();
    store.waker().wake();
}

async fn waiting(store: &Store) -> i64 {
    let count = Statement::both("count", "SELECT COUNT(*) FROM outbox WHERE shard >= 0");
    let row = store.db().fetch_optional(&count, Args::new()).await.unwrap();
    row.unwrap().get(0).unwrap()
}

/// Within ten seconds, or not at all.
async fn until(holds: impl AsyncFn() -> bool) {
    for _ in 0..1_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came true");
}

#[test]
fn shards_are_stable_and_even() {
    // SHA-256 of these begins with e3, ca and c3.
    assert_eq!(["", "a", "foobar"].map(|key| shard(key.as_bytes())), [0x3, 0xa, 0x3]);
    let mut counts = BTreeMap::new();
    for number in 0..16_000_u128 {
        let key = RequestId::from_uuid(Uuid::from_u128(number)).to_string();
        *counts.entry(shard(key.as_bytes())).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 16);
    assert!(counts.values().all(|count| (800..1_200).contains(count)), "{counts:?}");
}

#[tokio::test]
async fn all_of_a_message_arrives_over_the_embedded_bus_in_the_order_of_its_key() {
    on_each_engine(async |store| {
        let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
        let bus = embedded(&folder.path().join("bus.db"), clock.clone()).await.unwrap();
        let mut reader = bus.subscribe("test", &["dsr.events.v1".into()]).await.unwrap();
        let relay = start(&store, bus.clone(), 1, &clock);
        let facts = vec![("task".to_owned(), "task_1".to_owned())];
        let full = OutboxRow::new(message_of(1), "dsr.events.v1", b"k".to_vec(), facts, vec![0, 255]);
        commit(&store, &[full]).await;
        for number in (2..400).step_by(3) {
            let rows = [0, 1, 2].map(|n| row(number + n, "k", &(number + n).to_string()));
            commit(&store, &rows).await;
        }

        let mut got = Vec::new();
        while got.len() < 400 {
            got.extend(reader.next(1_000).await.unwrap());
        }
        let first = &got[0].message;
        let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        assert_eq!(
            first.headers,
            [header("task", "task_1"), header(MESSAGE_ID, &message_of(1).to_string())]
        );
        assert_eq!((&first.key[..], &first.value[..]), (&b"k"[..], &[0, 255][..]));
        let ids: Vec<_> = got.iter().map(|received| id(&received.message)).collect();
        assert_eq!(
            ids,
            (1..=400)
                .map(|number| message_of(number).to_string())
                .collect::<Vec<_>>()
        );
        until(async || waiting(&store).await == 0).await;
        relay.stop().await;
        bus.close().await;
    })
    .await;
}

#[tokio::test]
async fn rows_outlive_a_bus_that_is_away() {
    on_each_engine(async |store| {
        let (bus, clock) = (TestBus::new(Mode::Fails), clock());
        let relay = start(&store, bus.clone(), 1, &clock);
        let rows: Vec<_> = (1..=300).map(|number| row(number, &number.to_string(), "")).collect();
        commit(&store, &rows).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!((waiting(&store).await, bus.ids().len()), (300, 0));

        bus.switch(Mode::WritesAndFails);
        until(async || bus.ids().len() >= 300).await;
        assert_eq!(waiting(&store).await, 300);
        bus.switch(Mode::Works);
        until(async || waiting(&store).await == 0).await;
        relay.stop().await;

        // Sent again under the same ids.
        let ids = bus.ids();
        assert!(ids.len() > 300);
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 300);
    })
    .await;
}

#[tokio::test]
async fn what_the_bus_will_never_take_holds_up_nothing() {
    on_each_engine(async |store| {
        let (bus, clock) = (TestBus::new(Mode::Picky), clock());
        let refused: Vec<_> = (1..=200).map(|number| row(number, "k", "!")).collect();
        commit(&store, &refused).await;
        commit(&store, &[row(201, "k", "fine")]).await;
        let relay = start(&store, bus.clone(), 1, &clock);
        until(async || waiting(&store).await == 0).await;
        assert_eq!(bus.ids(), [message_of(201).to_string()]);
        relay.stop().await;
        let kept = Statement::both("kept", "SELECT COUNT(*) FROM outbox WHERE shard = -1");
        let row = store.db().fetch_optional(&kept, Args::new()).await.unwrap().unwrap();
        assert_eq!(row.get::<i64>(0).unwrap(), 200);
    })
    .await;
}

#[tokio::test]
async fn an_id_that_is_committed_late_is_not_skipped() {
    on_each_engine(async |store| {
        let (bus, clock) = (TestBus::new(Mode::Works), clock());
        let relay = start(&store, bus.clone(), 1, &clock);
        for number in [50, 10, 40, 1] {
            commit(&store, &[row(number, "k", "")]).await;
            until(async || waiting(&store).await == 0).await;
        }
        assert_eq!(bus.ids(), [50, 10, 40, 1].map(|number| message_of(number).to_string()));
        relay.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_message_that_still_lies_there_is_not_put_twice() {
    on_each_engine(async |store| {
        commit(&store, &[row(1, "k", ""), row(2, "k", "")]).await;
        commit(&store, &[row(1, "k", ""), row(3, "k", "")]).await;
        assert_eq!(waiting(&store).await, 3);
    })
    .await;
}

#[tokio::test]
async fn no_shard_has_two_relays_until_one_stops_or_dies() {
    on_each_engine(async |store| {
        let clock = clock();
        let buses = [
            TestBus::new(Mode::Works),
            TestBus::new(Mode::Works),
            TestBus::new(Mode::Works),
        ];
        let mut next = 0_u128;
        let mut send = async |count: u128| {
            let rows: Vec<_> = (next..next + count)
                .map(|number| row(number, &number.to_string(), ""))
                .collect();
            next += count;
            commit(&store, &rows).await;
        };
        let first = start(&store, buses[0].clone(), 1, &clock);
        let second = start(&store, buses[1].clone(), 2, &clock);
        for _ in 0..20 {
            send(50).await;
        }
        until(async || waiting(&store).await == 0).await;
        let once: BTreeSet<_> = buses.iter().flat_map(|bus| bus.ids()).collect();
        assert_eq!(
            (once.len(), buses.iter().map(|bus| bus.ids().len()).sum::<usize>()),
            (1_000, 1_000)
        );

        // The first stops in order; the second has everything at its next look.
        first.stop().await;
        send(100).await;
        until(async || waiting(&store).await == 0).await;
        let before = buses[1].ids().len();

        // The second dies; the third has everything when the leases are over, and not before.
        second.task.abort();
        let third = start(&store, buses[2].clone(), 3, &clock);
        send(100).await;
        tokio::time::sleep(Duration::from_millis(2_300)).await;
        assert_eq!((waiting(&store).await, buses[2].ids().len()), (100, 0));
        clock.advance(Duration::from_secs(6));
        until(async || waiting(&store).await == 0).await;
        assert_eq!((buses[1].ids().len(), buses[2].ids().len()), (before, 100));
        third.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_hanging_bus_does_not_hold_up_the_stop() {
    on_each_engine(async |store| {
        let clock = clock();
        let relay = start(&store, TestBus::new(Mode::Hangs), 1, &clock);
        commit(&store, &[row(1, "k", "")]).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        relay.stop.ask();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!relay.task.is_finished(), "the round in hand may end by itself");
        relay.stop.cut();
        tokio::time::timeout(Duration::from_secs(2), relay.task)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(waiting(&store).await, 1);

        // Its shards are free.
        let bus = TestBus::new(Mode::Works);
        let other = start(&store, bus.clone(), 2, &clock);
        until(async || waiting(&store).await == 0).await;
        other.stop().await;
    })
    .await;
}
