//! The bus of one process: a SQLite file.
//!
//! A single task writes. Whatever has gathered in its inbox while the last transaction was being flushed goes
//! into the next one, so that many publishers share one `fsync`, and so that the order of `seq` is the order
//! of commits: a reader that has seen 7 can't be surprised by a 6. Readers learn through a watch channel which
//! topics have news, hence an idle bus asks the database nothing.
//!
//! A group's cursor holds, for each topic, the last `seq` that took effect. What lies behind every cursor is
//! deleted; a topic that nobody reads keeps a week, or a number of rows if that is less.
//! As with a topic of one partition, one member of a group reads and the others wait for it to leave.
//!
//! Only one process opens the file: the wake-ups don't reach another.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, FromRow, SqlitePool};
use tokio::sync::{OwnedMutexGuard, mpsc, oneshot, watch};

use self::writer::{Heads, Job, Seen, Writer};
use super::{
    Bus, BusError, Message, PublishError, Received, SharedBus, Subscription, TopicMode, TopicSpec, TopicState,
};
use crate::clock::SharedClock;

mod writer;

/// Readers beside the writer: as many as there are groups in one process.
const READERS: u32 = 4;

/// How long a statement waits for a backup tool that holds the file.
const BUSY: Duration = Duration::from_secs(5);

/// Rows that SQLite's thread hands over before it waits for their reader, which costs two thread hops.
const ROWS: usize = 1_024;

/// Calls that may wait for the writer; more than one transaction takes, so that it never waits for callers.
const INBOX: usize = 1024;

/// One topic's messages behind a position, oldest first.
const READ: &str = "SELECT seq, key, headers, value FROM message WHERE topic = $1 AND seq > $2 ORDER BY seq LIMIT $3";

/// The bus in a file.
pub(super) struct EmbeddedBus {
    inbox: mpsc::Sender<Job>,
    heads: watch::Receiver<Heads>,
    readers: SqlitePool,
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// Opens the file, or makes it.
pub(super) async fn open(path: &Path, clock: SharedClock) -> Result<SharedBus, BusError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .row_buffer_size(ROWS)
        .busy_timeout(BUSY);
    let (inbox, jobs) = mpsc::channel(INBOX);
    let (writer, heads) = Writer::open(options.connect().await?, jobs, clock).await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .connect_with(options)
        .await?;
    tokio::spawn(writer.run());
    Ok(Arc::new(EmbeddedBus {
        inbox,
        heads,
        readers,
        turns: Mutex::default(),
    }))
}

#[async_trait]
impl Bus for EmbeddedBus {
    async fn publish(&self, messages: Vec<Message>) -> Vec<Result<(), PublishError>> {
        let fits: Vec<_> = messages.iter().map(Message::check_size).collect();
        let fitting = messages
            .into_iter()
            .filter(|message| message.check_size().is_ok())
            .collect();
        let written = self.write(fitting).await;
        fits.into_iter()
            .map(|fits| fits.and_then(|()| written.clone()))
            .collect()
    }

    async fn subscribe(&self, group: &str, topics: &[String]) -> Result<Box<dyn Subscription>, BusError> {
        let subscription = EmbeddedSubscription {
            inbox: self.inbox.clone(),
            heads: self.heads.clone(),
            readers: self.readers.clone(),
            group: group.to_owned(),
            topics: topics.to_vec(),
            turn: self.turn(group),
            place: None,
            returned: BTreeMap::new(),
        };
        // From now on nothing is deleted that this group has not read, even if another member is reading.
        subscription.join().await?;
        Ok(Box::new(subscription))
    }

    async fn topics(&self, wanted: &[TopicSpec], _: TopicMode) -> Result<Vec<TopicState>, BusError> {
        // A topic is a word in a row here; there is nothing to make.
        Ok(vec![TopicState::Present; wanted.len()])
    }

    async fn check(&self) -> Result<(), BusError> {
        if self.inbox.is_closed() {
            return Err(BusError::Closed);
        }
        sqlx::query("SELECT 1").execute(&self.readers).await?;
        Ok(())
    }

    async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.inbox.send(Job::Close { done }).await.is_ok() {
            // An error means that the writer is gone already, which is what was wanted.
            drop(closed.await);
        }
        self.readers.close().await;
    }
}

impl EmbeddedBus {
    /// All of them or none: they share a transaction.
    async fn write(&self, messages: Vec<Message>) -> Result<(), PublishError> {
        if messages.is_empty() {
            return Ok(());
        }
        let closed = || PublishError::Unconfirmed("it is closed".into());
        let (done, written) = oneshot::channel();
        self.inbox
            .send(Job::Publish { messages, done })
            .await
            .map_err(|_| closed())?;
        written.await.map_err(|_| closed())?
    }

    fn turn(&self, group: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(group.to_owned()).or_default().clone()
    }
}

impl fmt::Debug for EmbeddedBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedBus").finish_non_exhaustive()
    }
}

/// One member of a group.
struct EmbeddedSubscription {
    inbox: mpsc::Sender<Job>,
    heads: watch::Receiver<Heads>,
    readers: SqlitePool,
    group: String,
    topics: Vec<String>,
    turn: Arc<tokio::sync::Mutex<()>>,
    /// `None` until it is this member's turn.
    place: Option<Place>,
    /// Returned by `next` and not yet committed.
    returned: BTreeMap<String, i64>,
}

/// How far the reading member has come.
struct Place {
    seen: Seen,
    _turn: OwnedMutexGuard<()>,
}

/// A message of a known topic, as it lies in the file.
#[derive(FromRow)]
struct Row {
    seq: i64,
    key: Vec<u8>,
    headers: String,
    value: Vec<u8>,
}

#[async_trait]
impl Subscription for EmbeddedSubscription {
    async fn next(&mut self, max: usize) -> Result<Vec<Received>, BusError> {
        self.wait_for_turn().await?;
        loop {
            // Marked as seen before reading, so that what is written meanwhile wakes us again.
            let news = self.news();
            let found = self.read(&news, max.max(1)).await?;
            if !found.is_empty() {
                self.advance(&found);
                return Ok(found);
            }
            self.heads.changed().await.map_err(|_| BusError::Closed)?;
        }
    }

    async fn commit(&mut self) -> Result<(), BusError> {
        if self.returned.is_empty() {
            return Ok(());
        }
        let room = self.inbox.reserve().await.map_err(|_| BusError::Closed)?;
        let seen = std::mem::take(&mut self.returned);
        let group = self.group.clone();
        // Not awaited: a cursor that is lost in a crash costs a redelivery, waiting would cost an fsync.
        room.send(Job::Commit { group, seen });
        Ok(())
    }
}

impl EmbeddedSubscription {
    async fn wait_for_turn(&mut self) -> Result<(), BusError> {
        if self.place.is_none() {
            let turn = self.turn.clone().lock_owned().await;
            // Asked again: the member before us has moved the cursors, and its commits are in the inbox.
            let seen = self.join().await?;
            self.place = Some(Place { seen, _turn: turn });
        }
        Ok(())
    }

    async fn join(&self) -> Result<Seen, BusError> {
        let (done, joined) = oneshot::channel();
        let (group, topics) = (self.group.clone(), self.topics.clone());
        let job = Job::Join { group, topics, done };
        self.inbox.send(job).await.map_err(|_| BusError::Closed)?;
        Ok(joined.await.map_err(|_| BusError::Closed)??)
    }

    /// The topics that hold something we have not seen, with our position. Starting with the one that was read
    /// longest ago, so that a busy topic can't starve the others.
    fn news(&mut self) -> Vec<(String, i64)> {
        let heads = self.heads.borrow_and_update();
        let position = |topic: &String| self.place.as_ref().and_then(|place| place.seen.get(topic).copied());
        self.topics
            .iter()
            .filter_map(|topic| Some((topic.clone(), position(topic)?)))
            .filter(|(topic, position)| heads.get(topic).is_some_and(|head| head > position))
            .collect()
    }

    async fn read(&self, news: &[(String, i64)], max: usize) -> Result<Vec<Received>, BusError> {
        let mut found = Vec::new();
        for (topic, position) in news {
            let room = i64::try_from(max - found.len()).unwrap_or(i64::MAX);
            if room == 0 {
                break;
            }
            let query = sqlx::query_as::<_, Row>(READ).bind(topic).bind(position).bind(room);
            for row in query.fetch_all(&self.readers).await? {
                found.push(row.received(topic)?);
            }
        }
        Ok(found)
    }

    fn advance(&mut self, found: &[Received]) {
        let Some(place) = &mut self.place else { return };
        for received in found {
            place.seen.insert(received.message.topic.clone(), received.offset);
            self.returned.insert(received.message.topic.clone(), received.offset);
        }
        self.topics.sort_by_key(|topic| place.seen.get(topic).copied());
    }
}

impl Row {
    fn received(self, topic: &str) -> Result<Received, BusError> {
        let headers = writer::headers(&self.headers).map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(Received {
            message: Message {
                topic: topic.to_owned(),
                key: self.key,
                headers,
                value: self.value,
            },
            partition: 0,
            offset: self.seq,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use jiff::Timestamp;
    use tempfile::TempDir;

    use super::super::suite::{self, assert_silent, join, message, publish, take, values};
    use super::*;
    use crate::clock::ManualClock;

    struct Fixture {
        bus: SharedBus,
        clock: Arc<ManualClock>,
        folder: TempDir,
    }

    impl Fixture {
        async fn new() -> Self {
            let clock = ManualClock::at(Timestamp::from_second(1_777_885_200).unwrap());
            let folder = tempfile::tempdir().unwrap();
            let bus = open(&folder.path().join("bus.db"), clock.clone()).await.unwrap();
            Self { bus, clock, folder }
        }

        fn file(&self) -> PathBuf {
            self.folder.path().join("bus.db")
        }

        async fn reopen(&mut self) {
            self.bus.close().await;
            self.bus = open(&self.file(), self.clock.clone()).await.unwrap();
        }

        /// What the file holds, through a connection of its own.
        async fn sql(&self, statement: &'static str) -> i64 {
            let options = SqliteConnectOptions::new().filename(self.file());
            let mut connection = options.connect().await.unwrap();
            let found: Option<i64> = sqlx::query_scalar(statement)
                .fetch_optional(&mut connection)
                .await
                .unwrap();
            found.unwrap_or_default()
        }

        /// Waits for a sweep to bring the number of rows of `topic` to `rows`.
        async fn assert_rows(&self, statement: &'static str, rows: i64) {
            for _ in 0..50 {
                if self.sql(statement).await == rows {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            panic!("{} rows, not {rows}: {statement}", self.sql(statement).await);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn keeps_the_promises_of_every_bus() {
        let fixture = Fixture::new().await;
        suite::carries_all_of_a_message(&*fixture.bus, "carries").await;
        suite::keeps_the_order_of_a_key(&*fixture.bus, "order", 2_500).await;
        suite::redelivers_what_was_not_committed(&*fixture.bus, "redelivers").await;
        suite::loses_nothing_when_not_awaited(&*fixture.bus, "cancels").await;
        suite::refuses_only_what_is_too_large(&*fixture.bus, "large").await;
        fixture.bus.check().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_order_of_seq_is_the_order_of_commits() {
        let fixture = Fixture::new().await;
        let mut member = join(&*fixture.bus, "g", &["t"]).await;
        for publisher in 0..50_u8 {
            let bus = fixture.bus.clone();
            tokio::spawn(async move {
                for _ in 0..40 {
                    publish(&*bus, vec![message("t", "k", [publisher]); 5]).await;
                }
            });
        }
        // Reading while they write: a row that appeared behind the position would never come.
        let offsets: Vec<i64> = take(&mut *member, 10_000)
            .await
            .iter()
            .map(|received| received.offset)
            .collect();
        assert!(offsets.is_sorted_by(|one, next| one < next));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_restart_goes_on_where_the_cursors_stand() {
        let mut fixture = Fixture::new().await;
        publish(&*fixture.bus, vec![message("t", "k", "1"), message("t", "k", "2")]).await;
        let mut member = join(&*fixture.bus, "g", &["t"]).await;
        take(&mut *member, 1).await;
        member.commit().await.unwrap();
        fixture.reopen().await;
        assert!(matches!(
            member.next(1).await,
            Err(BusError::Closed | BusError::Database(_))
        ));

        let mut member = join(&*fixture.bus, "g", &["t"]).await;
        assert_eq!(values(&take(&mut *member, 1).await), [b"2"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_number_is_never_given_twice() {
        let mut fixture = Fixture::new().await;
        let mut member = join(&*fixture.bus, "g", &["t"]).await;
        publish(&*fixture.bus, vec![message("t", "k", "1"); 3]).await;
        take(&mut *member, 3).await;
        member.commit().await.unwrap();
        fixture.assert_rows("SELECT count(*) FROM message", 0).await;
        fixture.reopen().await;

        publish(&*fixture.bus, vec![message("t", "k", "2")]).await;
        let mut member = join(&*fixture.bus, "g", &["t"]).await;
        let received = take(&mut *member, 1).await;
        assert_eq!((&received[0].message.value[..], received[0].offset), (&b"2"[..], 4));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_second_member_takes_over_when_the_first_leaves() {
        let fixture = Fixture::new().await;
        let mut first = join(&*fixture.bus, "g", &["t"]).await;
        publish(&*fixture.bus, vec![message("t", "k", "1"), message("t", "k", "2")]).await;
        take(&mut *first, 1).await;

        let mut second = join(&*fixture.bus, "g", &["t"]).await;
        assert_silent(&mut *second).await;
        first.commit().await.unwrap();
        drop(first);
        assert_eq!(values(&take(&mut *second, 1).await), [b"2"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn deletes_only_what_every_group_has_read() {
        let fixture = Fixture::new().await;
        let mut fast = join(&*fixture.bus, "fast", &["t"]).await;
        let mut slow = join(&*fixture.bus, "slow", &["t", "u"]).await;
        publish(&*fixture.bus, vec![message("t", "k", "1"); 10]).await;
        publish(&*fixture.bus, vec![message("u", "k", "1"); 10]).await;

        take(&mut *fast, 10).await;
        fast.commit().await.unwrap();
        take(&mut *slow, 4).await;
        slow.commit().await.unwrap();
        fixture.assert_rows("SELECT count(*) FROM message", 16).await;
        assert_eq!(take(&mut *slow, 16).await.len(), 16);
        slow.commit().await.unwrap();
        fixture.assert_rows("SELECT count(*) FROM message", 0).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_topic_that_nobody_reads_keeps_a_week_and_a_number_of_rows() {
        let mut fixture = Fixture::new().await;
        publish(&*fixture.bus, vec![message("read", "k", "old")]).await;
        publish(&*fixture.bus, vec![message("unread", "k", "old"); 3]).await;
        join(&*fixture.bus, "g", &["read"]).await;
        fixture.clock.advance(Duration::from_hours(7 * 24 + 1));
        publish(&*fixture.bus, vec![message("unread", "k", "young"); 2]).await;
        for _ in 0..101 {
            publish(&*fixture.bus, vec![message("many", "k", "young"); 1_000]).await;
        }
        // Each opening begins with a sweep.
        fixture.reopen().await;
        fixture
            .assert_rows("SELECT count(*) FROM message WHERE topic = 'unread'", 2)
            .await;
        fixture
            .assert_rows("SELECT count(*) FROM message WHERE topic = 'many'", 100_000)
            .await;
        assert_eq!(
            fixture.sql("SELECT count(*) FROM message WHERE topic = 'read'").await,
            1
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn how_far_a_group_is_behind_is_told() {
        let mut fixture = Fixture::new().await;
        let mut member = join(&*fixture.bus, "behind", &["t"]).await;
        publish(&*fixture.bus, vec![message("t", "k", "1"); 5]).await;
        take(&mut *member, 2).await;
        member.commit().await.unwrap();
        // Each opening begins with a count.
        fixture.reopen().await;
        let told = |text: String| {
            text.lines()
                .any(|line| line.starts_with("bus_lag_messages{group=\"behind\"") && line.ends_with(" 3"))
        };
        for _ in 0..50 {
            if told(crate::metrics::prometheus_text()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{}", crate::metrics::prometheus_text());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_write_that_fails_is_told_and_the_next_works() {
        let fixture = Fixture::new().await;
        fixture.sql("ALTER TABLE message RENAME TO away").await;
        let outcomes = fixture.bus.publish(vec![message("t", "k", "1"); 2]).await;
        assert!(
            outcomes
                .iter()
                .all(|outcome| matches!(outcome, Err(PublishError::Unconfirmed(_)))),
            "{outcomes:?}"
        );

        fixture.sql("ALTER TABLE away RENAME TO message").await;
        publish(&*fixture.bus, vec![message("t", "k", "2")]).await;
        assert_eq!(fixture.sql("SELECT count(*) FROM message").await, 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_closed_bus_says_so() {
        let fixture = Fixture::new().await;
        fixture.bus.close().await;
        assert!(matches!(
            fixture.bus.publish(vec![message("t", "k", "1")]).await[..],
            [Err(_)]
        ));
        assert!(matches!(fixture.bus.check().await, Err(BusError::Closed)));
        assert!(fixture.bus.subscribe("g", &["t".into()]).await.is_err());
        fixture.bus.close().await;
    }
}
