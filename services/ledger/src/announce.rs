//! Telling whoever sent entries that the log holds them.
//!
//! Everything below the published size is announced once, in the order of the log, and a mark in the log's row says how
//! far that has come: after a crash it goes on from there, so an announcement may come twice and never not at all.
//! Entries that came again after they were logged are announced again. Only the log's holder announces; a bus that is
//! away delays announcements and not the log.

use std::time::Duration;

use domain::id::{EntryId, MessageId};
use platform::bus::{Message, PublishError, SharedBus};
use platform::chance::{self, SharedRng};
use platform::clock::SharedClock;
use platform::db::{Args, Db, DbError, Row, Statement};
use platform::lifecycle::Stop;
use platform::problem::chain;
use proto::{Envelope, LOGGED_MAX, Logged, LoggedEntries};
use tokio::sync::watch;
use tracing::warn;

use crate::archive::signed;
use crate::fault::Fault;
use crate::hold;
use crate::sequencer::Role;

const NEXT: Statement = Statement::both(
    "announce_next",
    "SELECT id, controller_seq, leaf_index FROM entry WHERE leaf_index >= $1 AND leaf_index < $2 \
     ORDER BY leaf_index LIMIT $3",
);

const MARK: Statement = Statement::both("announce_mark", "UPDATE log SET announced = $1 WHERE announced < $1");

/// Mostly empty, and never large: each of its rows is looked up in the log, never the log gone through for them.
const AGAIN: Statement = Statement {
    name: "announce_again",
    pg: "SELECT entry.id, controller_seq, leaf_index FROM again \
         CROSS JOIN LATERAL (SELECT * FROM entry WHERE entry.id = again.id OFFSET 0) AS entry \
         WHERE leaf_index < $1 LIMIT $2",
    lite: "SELECT entry.id, controller_seq, leaf_index FROM again CROSS JOIN entry ON entry.id = again.id \
           WHERE leaf_index < $1 LIMIT $2",
};

const DONE: Statement = Statement {
    name: "announce_done",
    pg: "DELETE FROM again WHERE id = ANY($1)",
    lite: "DELETE FROM again WHERE id IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))",
};

pub(crate) const ALL: &[Statement] = &[NEXT, MARK, AGAIN, DONE];

/// After the bus or the database did not take it; also how often a holder looks without being told to.
const REST: Duration = Duration::from_secs(1);

/// Why an announcement was not made.
#[derive(Debug, thiserror::Error)]
pub enum Unannounced {
    /// The ledger's database.
    #[error("the ledger's database failed")]
    Database(#[from] DbError),
    /// The bus did not take it.
    #[error("the bus did not take the announcement")]
    Bus(#[from] PublishError),
}

/// Announces what is published.
#[derive(Debug)]
pub struct Announcer {
    /// The ledger's database.
    pub db: Db,
    /// Where announcements go.
    pub bus: SharedBus,
    /// Time.
    pub clock: SharedClock,
    /// Chance, for messages' ids.
    pub rng: SharedRng,
}

impl Announcer {
    /// Announces with each piece of news, while this process holds the log, until the stop.
    pub async fn run(self, mut news: watch::Receiver<Role>, stop: Stop) -> Result<(), Fault> {
        while !stop.is_stopping() {
            let role = *news.borrow_and_update();
            if let Role::Holder { published } = role
                && let Err(error) = self.announce(published).await
            {
                warn!(error = %chain(&error), "logged entries are not announced yet");
            }
            tokio::select! {
                () = stop.soft() => {}
                told = news.changed() => if told.is_err() { return Ok(()) },
                () = tokio::time::sleep(REST) => {}
            }
        }
        Ok(())
    }

    /// Announces everything that is due below `published`.
    pub async fn announce(&self, published: u64) -> Result<(), Unannounced> {
        let mut from = hold::read(&self.db).await?.announced;
        while from < published {
            let args = Args::new().int(signed(from)).int(signed(published)).int(max());
            let entries = self.read(&NEXT, args).await?;
            let Some(last) = entries.last() else {
                return Err(DbError::Inconsistent("published entries are missing").into());
            };
            from = last.index + 1;
            self.send(entries, published).await?;
            self.db.execute(&MARK, Args::new().int(signed(from))).await?;
        }
        self.announce_again(published).await
    }

    async fn announce_again(&self, published: u64) -> Result<(), Unannounced> {
        loop {
            let entries = self.read(&AGAIN, Args::new().int(signed(published)).int(max())).await?;
            if entries.is_empty() {
                return Ok(());
            }
            let ids: Vec<EntryId> = entries.iter().map(|logged| logged.entry).collect();
            self.send(entries, published).await?;
            let done = Args::new().uuids(ids.iter().map(|id| id.uuid()));
            self.db.execute(&DONE, done).await?;
        }
    }

    async fn read(&self, statement: &Statement, args: Args<'_>) -> Result<Vec<Logged>, DbError> {
        self.db.fetch(statement, args).await?.iter().map(logged).collect()
    }

    async fn send(&self, entries: Vec<Logged>, tree_size: u64) -> Result<(), Unannounced> {
        let now = self.clock.now();
        let announcement = LoggedEntries {
            message_id: MessageId::new(now, chance::bytes(&*self.rng)),
            occurred_at: now,
            tree_size,
            entries,
        };
        let sent = self.bus.publish(vec![message(announcement.envelope())]).await;
        Ok(sent.into_iter().collect::<Result<(), PublishError>>()?)
    }
}

/// An envelope as the bus takes it.
pub(crate) fn message(envelope: Envelope) -> Message {
    Message {
        topic: envelope.topic.to_string(),
        key: envelope.key,
        headers: envelope.headers,
        value: envelope.value,
    }
}

fn max() -> i64 {
    i64::try_from(LOGGED_MAX).expect("ten thousand")
}

fn logged(row: &Row) -> Result<Logged, DbError> {
    Ok(Logged {
        entry: EntryId::from_uuid(row.get(0)?),
        controller_seq: row.get::<i64>(1)?.unsigned_abs(),
        index: row.get::<i64>(2)?.unsigned_abs(),
    })
}
