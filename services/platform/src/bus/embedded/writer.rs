//! The task that alone writes to the file of the embedded bus.
//!
//! It takes everything that waits in its inbox, writes it in one transaction, then tells the callers and wakes the
//! readers. Answering only after COMMIT is what makes `Ok` mean durable; a failed transaction is told to each of
//! its members, who send again. Between transactions it deletes, in small steps, what nobody needs any more.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::bus::{Message, PublishError, report_lag};
use crate::clock::SharedClock;
use crate::db::hex;

/// Calls that share a transaction. Past a few hundred the fsync is no longer what a message costs.
const JOBS_MAX: usize = 512;

/// What has been read goes soon, so that the file stays as small as the backlog.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Rows that one step deletes: some 20 ms, so that a publisher hardly notices.
const SWEEP_ROWS: i64 = 10_000;

/// How often the groups' lag is counted; between two looks of whatever gathers figures.
const LAG_EVERY: Duration = Duration::from_secs(10);

/// What nobody reads is looked at less often: its limits are a week and many rows.
const UNREAD_SWEEP_EVERY: Duration = Duration::from_mins(1);

/// As long as Kafka keeps a topic's records here; pseudonymous ids may not stay longer.
const UNREAD_AGE_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// Rows that a topic without readers keeps, some 50 MB: enough to look at, not enough to fill a disk.
const UNREAD_ROWS_MAX: i64 = 100_000;

const SCHEMA: &str = r#"
    CREATE TABLE IF NOT EXISTS message (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice, even after every row is gone
        topic TEXT NOT NULL, key BLOB NOT NULL, headers TEXT NOT NULL, value BLOB NOT NULL, at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS message_topic ON message (topic);
    CREATE TABLE IF NOT EXISTS cursor (
        "group" TEXT NOT NULL, topic TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY ("group", topic)
    ) STRICT, WITHOUT ROWID;
"#;

const HEADS: &str = "SELECT topic, max(seq) FROM message GROUP BY topic";

const INSERT: &str = "\
    INSERT INTO message (topic, key, headers, value, at) \
    SELECT value ->> 0, unhex(value ->> 1), value -> 2, unhex(value ->> 3), $2 FROM jsonb_each($1) ORDER BY jsonb_each.key \
    RETURNING topic, seq";

const MOVE_CURSORS: &str = r#"
    INSERT INTO cursor ("group", topic, seq)
    SELECT value ->> 0, value ->> 1, value ->> 2 FROM jsonb_each($1) WHERE true
    ON CONFLICT ("group", topic) DO UPDATE SET seq = max(seq, excluded.seq)"#;

const CURSORS: &str = r#"
    SELECT topic, seq FROM cursor WHERE "group" = $1 AND topic IN (SELECT value FROM jsonb_each($2))"#;

const LAG_OF_EACH: &str = r#"
    SELECT "group", topic, (SELECT count(*) FROM message WHERE message.topic = cursor.topic AND message.seq > cursor.seq)
    FROM cursor"#;

const DELETE_READ: &str = "\
    DELETE FROM message WHERE seq IN ( \
        SELECT message.seq FROM (SELECT topic, min(seq) AS seq FROM cursor GROUP BY topic) AS behind \
        CROSS JOIN message ON message.topic = behind.topic AND message.seq <= behind.seq LIMIT $1)";

const UNREAD_TOPICS: &str = "SELECT value FROM jsonb_each($1) WHERE value NOT IN (SELECT topic FROM cursor)";

/// Up to the row before the first that is young enough, or up to the row that is one too many.
const DELETE_UNREAD: &str = "\
    DELETE FROM message WHERE seq IN ( \
        SELECT seq FROM message WHERE topic = $1 AND seq <= max( \
            ifnull((SELECT seq FROM message WHERE topic = $1 AND at >= $2 ORDER BY seq LIMIT 1) - 1, 9223372036854775807), \
            ifnull((SELECT seq FROM message WHERE topic = $1 ORDER BY seq DESC LIMIT 1 OFFSET $3), 0)) \
        ORDER BY seq LIMIT $4)";

/// The last `seq` that each topic holds.
pub(super) type Heads = HashMap<String, i64>;

/// The last `seq` of each topic that took effect in a group.
pub(super) type Seen = HashMap<String, i64>;

/// What the bus and its readers ask of the writer.
pub(super) enum Job {
    /// Write all of these, or none.
    Publish {
        messages: Vec<Message>,
        done: oneshot::Sender<Result<(), PublishError>>,
    },
    /// Move a group's cursors, never back.
    Commit { group: String, seen: BTreeMap<String, i64> },
    /// Give a group its cursors, at the oldest row if it is new.
    Join {
        group: String,
        topics: Vec<String>,
        done: oneshot::Sender<sqlx::Result<Seen>>,
    },
    /// Finish what is in the inbox, then stop.
    Close { done: oneshot::Sender<()> },
}

/// The task's state.
pub(super) struct Writer {
    connection: SqliteConnection,
    inbox: mpsc::Receiver<Job>,
    heads: watch::Sender<Heads>,
    clock: SharedClock,
    closers: Vec<oneshot::Sender<()>>,
}

/// Jobs of one transaction, sorted by what they need.
#[derive(Default)]
struct Batch {
    rows: Vec<Value>,
    cursors: Vec<Value>,
    published: Vec<oneshot::Sender<Result<(), PublishError>>>,
    joins: Vec<(String, Vec<String>, oneshot::Sender<sqlx::Result<Seen>>)>,
}

impl Writer {
    /// Makes the tables, and looks where each topic stands.
    pub(super) async fn open(
        mut connection: SqliteConnection,
        inbox: mpsc::Receiver<Job>,
        clock: SharedClock,
    ) -> sqlx::Result<(Self, watch::Receiver<Heads>)> {
        sqlx::raw_sql(SCHEMA).execute(&mut connection).await?;
        let stand: Vec<(String, i64)> = sqlx::query_as(HEADS).fetch_all(&mut connection).await?;
        let (heads, news) = watch::channel(stand.into_iter().collect());
        let closers = Vec::new();
        let writer = Self {
            connection,
            inbox,
            heads,
            clock,
            closers,
        };
        Ok((writer, news))
    }

    /// Runs until the bus is closed or nobody is left who could ask for anything.
    pub(super) async fn run(mut self) {
        let [mut read, mut unread, mut lag] = [SWEEP_EVERY, UNREAD_SWEEP_EVERY, LAG_EVERY].map(every);
        let mut jobs = Vec::with_capacity(JOBS_MAX);
        loop {
            tokio::select! {
                taken = self.inbox.recv_many(&mut jobs, JOBS_MAX) => match taken {
                    0 => break,
                    _ => self.work(jobs.drain(..)).await,
                },
                _ = read.tick() => complain(self.delete_read().await),
                _ = unread.tick() => complain(self.delete_unread().await),
                _ = lag.tick() => complain(self.count_lag().await),
            }
        }
        complain(self.connection.close().await);
        for done in self.closers {
            tell(done, ());
        }
    }

    /// One transaction, then the answers.
    async fn work(&mut self, jobs: impl Iterator<Item = Job>) {
        let mut batch = Batch::default();
        for job in jobs {
            if let Some(done) = batch.add(job) {
                self.inbox.close();
                self.closers.push(done);
            }
        }
        let outcome = self.write(&batch).await;
        for done in batch.published {
            let outcome = outcome
                .as_ref()
                .map_err(|error| PublishError::Unconfirmed(error.to_string()));
            tell(done, outcome.copied());
        }
        // After the commits that came before it, so that a member starts where the last one stopped.
        for (group, topics, done) in batch.joins {
            tell(done, self.cursors(&group, &topics).await);
        }
        complain(outcome);
    }

    async fn write(&mut self, batch: &Batch) -> sqlx::Result<()> {
        if batch.rows.is_empty() && batch.cursors.is_empty() {
            return Ok(());
        }
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        let mut written: Vec<(String, i64)> = Vec::new();
        if !batch.rows.is_empty() {
            let query = sqlx::query_as(INSERT).bind(json!(batch.rows).to_string());
            let query = query.bind(self.clock.now().as_millisecond());
            written = query.fetch_all(&mut *transaction).await?;
        }
        if !batch.cursors.is_empty() {
            let query = sqlx::query(MOVE_CURSORS).bind(json!(batch.cursors).to_string());
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        self.announce(written);
        Ok(())
    }

    fn announce(&self, written: Vec<(String, i64)>) {
        if written.is_empty() {
            return;
        }
        self.heads.send_modify(|heads| {
            for (topic, seq) in written {
                let head = heads.entry(topic).or_insert(seq);
                *head = seq.max(*head);
            }
        });
    }

    async fn cursors(&mut self, group: &str, topics: &[String]) -> sqlx::Result<Seen> {
        let query = sqlx::query_as(CURSORS).bind(group).bind(json!(topics).to_string());
        let cursors: Vec<(String, i64)> = query.fetch_all(&mut self.connection).await?;
        Ok(cursors.into_iter().collect())
    }

    async fn delete_read(&mut self) -> sqlx::Result<()> {
        sqlx::query(DELETE_READ)
            .bind(SWEEP_ROWS)
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    async fn delete_unread(&mut self) -> sqlx::Result<()> {
        let known: Vec<String> = self.heads.borrow().keys().cloned().collect();
        let query = sqlx::query_scalar(UNREAD_TOPICS).bind(json!(known).to_string());
        let unread: Vec<String> = query.fetch_all(&mut self.connection).await?;
        let too_old = self.clock.now().as_millisecond() - UNREAD_AGE_MS;
        for topic in unread {
            let query = sqlx::query(DELETE_UNREAD)
                .bind(topic)
                .bind(too_old)
                .bind(UNREAD_ROWS_MAX);
            query.bind(SWEEP_ROWS).execute(&mut self.connection).await?;
        }
        Ok(())
    }

    async fn count_lag(&mut self) -> sqlx::Result<()> {
        let lags: Vec<(String, String, i64)> = sqlx::query_as(LAG_OF_EACH).fetch_all(&mut self.connection).await?;
        for (group, topic, lag) in lags {
            report_lag(&group, &topic, lag);
        }
        Ok(())
    }
}

impl Batch {
    /// Sorts one job in; gives back who wants the bus closed.
    fn add(&mut self, job: Job) -> Option<oneshot::Sender<()>> {
        match job {
            Job::Publish { messages, done } => {
                self.rows.extend(messages.iter().map(row));
                self.published.push(done);
            }
            Job::Commit { group, seen } => {
                self.cursors
                    .extend(seen.iter().map(|(topic, seq)| json!([group, topic, seq])));
            }
            Job::Join { group, topics, done } => {
                self.cursors.extend(topics.iter().map(|topic| json!([group, topic, 0])));
                self.joins.push((group, topics, done));
            }
            Job::Close { done } => return Some(done),
        }
        None
    }
}

fn row(message: &Message) -> Value {
    let headers = message
        .headers
        .iter()
        .map(|(name, value)| (name, STANDARD.encode(value)));
    let headers: Vec<_> = headers.collect();
    json!([message.topic, hex(&message.key), headers, hex(&message.value)])
}

/// Reads what [`row`] wrote about headers.
pub(super) fn headers(text: &str) -> serde_json::Result<Vec<(String, Vec<u8>)>> {
    let headers: Vec<(String, String)> = serde_json::from_str(text)?;
    let decode = |(name, value)| {
        Ok((
            name,
            STANDARD.decode::<String>(value).map_err(serde::de::Error::custom)?,
        ))
    };
    headers.into_iter().map(decode).collect()
}

/// Late ticks are not made up for: they would only find less to do.
fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// The other side may have stopped waiting, which is its right.
fn tell<T>(done: oneshot::Sender<T>, answer: T) {
    drop(done.send(answer));
}

/// For steps that come again anyway, and for outcomes that were told to whoever asked.
fn complain(outcome: sqlx::Result<()>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, "the embedded bus could not write");
    }
}
