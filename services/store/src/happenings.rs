//! What systems are to be told: put down where it happens, taken away by what tells it.
//!
//! A happening is written by the transaction that makes it true, and its row goes in the transaction that renders it
//! into a message: so it is told once, whoever crashes in between. Nothing here names a person.

use domain::id::{ControllerId, EntryId, EventId, ReceiptId, RequestId, SystemId, TaskId};
use domain::message::MessageType;
use domain::request::{Answer, Closing};
use jiff::Timestamp;
use platform::db::{Args, Db, DbError, Row, Statement, Tx};
use serde::{Deserialize, Serialize};

const PUT: Statement = Statement {
    name: "happenings_put",
    pg: "INSERT INTO happening (id, system, controller, happened_at, told) \
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::int8[], $5::text[])",
    lite: "INSERT INTO happening (id, system, controller, happened_at, told) \
           SELECT unhex(value ->> 0), unhex(value ->> 1), unhex(value ->> 2), value ->> 3, value ->> 4 \
           FROM jsonb_each($1)",
};

const LOOK: Statement = Statement::both(
    "happenings_look",
    "SELECT id, system, controller, happened_at, told FROM happening ORDER BY id LIMIT $1",
);

/// What another process is just telling is left to it.
const TAKE: Statement = Statement {
    name: "happenings_take",
    pg: "DELETE FROM happening WHERE id IN \
         (SELECT id FROM happening WHERE id = ANY($1) ORDER BY id FOR UPDATE SKIP LOCKED) RETURNING id",
    lite: "DELETE FROM happening WHERE id IN (SELECT unhex(value ->> 0) FROM jsonb_each($1)) RETURNING id",
};

/// A task that was claimed once may have come, whatever is known of the attempt.
const HANDED: Statement = Statement::both(
    "happenings_handed",
    "SELECT id, stage FROM task WHERE request = $1 \
     AND (dispatched_at IS NOT NULL OR fence IS NOT NULL OR steps > 0) ORDER BY id",
);

pub(crate) const ALL: &[&[Statement]] = &[&[PUT, LOOK, TAKE, HANDED]];

/// Something that a system is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// Its id.
    pub id: EventId,
    /// Who is to be told.
    pub system: SystemId,
    /// Whose request it is about.
    pub controller: ControllerId,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub told: Told,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum Told {
    /// A request was withdrawn whose task was handed over, or may have been.
    Withdrawn {
        /// The request.
        request: RequestId,
        /// The task.
        task: TaskId,
        /// Whether it may be on its way at this moment.
        on_its_way: bool,
    },
    /// Reminders about a task came to nothing.
    Unanswered {
        /// The request.
        request: RequestId,
        /// The task.
        task: TaskId,
        /// Whose it is.
        system: SystemId,
        /// When it was handed over.
        dispatched_at: Timestamp,
        /// When the request's answer is due.
        due_at: Timestamp,
    },
    /// A receipt is in the log.
    Logged {
        /// The request.
        request: RequestId,
        /// The task.
        task: TaskId,
        /// Whose it is.
        system: SystemId,
        /// The receipt.
        receipt: ReceiptId,
        /// The entry that holds it.
        entry: EntryId,
        /// Its leaf's index.
        index: i64,
        /// The size of the tree whose checkpoint first covered it.
        size: i64,
    },
    /// Every system has answered a request for a person's data.
    Assembled {
        /// The request.
        request: RequestId,
        /// Who answered what.
        answers: Vec<SystemAnswer>,
    },
    /// A request is closed.
    Closed {
        /// The request.
        request: RequestId,
        /// What it came to.
        outcome: Closing,
    },
}

/// One system's last word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemAnswer {
    /// The system.
    pub system: SystemId,
    /// Its task.
    pub task: TaskId,
    /// Its receipt.
    pub receipt: ReceiptId,
    /// What it says.
    pub outcome: Answer,
}

impl Told {
    /// The type of the message that tells it.
    #[must_use]
    pub const fn kind(&self) -> MessageType {
        match self {
            Self::Withdrawn { .. } => MessageType::TaskWithdrawn,
            Self::Unanswered { .. } => MessageType::TaskUnanswered,
            Self::Logged { .. } => MessageType::ReceiptLogged,
            Self::Assembled { .. } => MessageType::RequestAssembled,
            Self::Closed { .. } => MessageType::RequestClosed,
        }
    }

    /// The request that it is about.
    #[must_use]
    pub const fn request(&self) -> RequestId {
        match self {
            Self::Withdrawn { request, .. }
            | Self::Unanswered { request, .. }
            | Self::Logged { request, .. }
            | Self::Assembled { request, .. }
            | Self::Closed { request, .. } => *request,
        }
    }
}

/// Puts happenings down; to be called in the transaction that makes them true.
///
/// # Panics
/// Never: ids, instants, numbers and words are JSON.
pub async fn put(tx: &mut Tx, happenings: &[Happening]) -> Result<(), DbError> {
    if happenings.is_empty() {
        return Ok(());
    }
    let told = |happening: &Happening| serde_json::to_string(&happening.told).expect("ids and words are JSON");
    let told: Vec<String> = happenings.iter().map(told).collect();
    let args = Args::new()
        .uuids(happenings.iter().map(|happening| happening.id.uuid()))
        .uuids(happenings.iter().map(|happening| happening.system.uuid()))
        .uuids(happenings.iter().map(|happening| happening.controller.uuid()))
        .ints(happenings.iter().map(|happening| happening.at.as_microsecond()))
        .texts(told.iter().map(String::as_str));
    tx.execute(&PUT, args).await.map(drop)
}

/// The first that are to be told, in the order in which they happened. What a newer release put down is left to it.
pub async fn look(db: &Db, limit: i64) -> Result<Vec<Happening>, DbError> {
    let rows = db.fetch(&LOOK, Args::new().int(limit)).await?;
    let read = |row: &Row| {
        let told: String = row.get(4)?;
        let Ok(told) = serde_json::from_str(&told) else {
            tracing::warn!("a happening is of a kind that this release can't tell");
            return Ok(None);
        };
        Ok(Some(Happening {
            id: EventId::from_uuid(row.get(0)?),
            system: SystemId::from_uuid(row.get(1)?),
            controller: ControllerId::from_uuid(row.get(2)?),
            at: crate::instant(row.get(3)?)?,
            told,
        }))
    };
    rows.iter().filter_map(|row| read(row).transpose()).collect()
}

/// Takes happenings away, since they are told in this transaction; returns those that nobody else was telling.
pub async fn take(tx: &mut Tx, happenings: &[EventId]) -> Result<Vec<EventId>, DbError> {
    let args = Args::new().uuids(happenings.iter().map(|id| id.uuid()));
    let rows = tx.fetch(&TAKE, args).await?;
    rows.iter().map(|row| Ok(EventId::from_uuid(row.get(0)?))).collect()
}

/// The tasks of a request that their systems have or may have, each with whether it may be on its way now; to be asked
/// before its tasks are taken off the schedule.
pub async fn handed(tx: &mut Tx, request: RequestId) -> Result<Vec<(TaskId, bool)>, DbError> {
    let rows = tx.fetch(&HANDED, Args::new().uuid(request.uuid())).await?;
    let read = |row: &Row| {
        let stage: String = row.get(1)?;
        Ok((TaskId::from_uuid(row.get(0)?), stage == "sending"))
    };
    rows.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use platform::chance::{SeededRng, bytes};
    use uuid::Uuid;

    use super::*;
    use crate::fixture::on_each_engine;

    #[tokio::test]
    async fn what_happened_is_told_once() {
        on_each_engine(async |store| {
            let rng = SeededRng::new(1);
            let at = Timestamp::from_second(1_777_885_200).unwrap();
            let happening = |number: u128| Happening {
                id: EventId::new(at, bytes(&rng)),
                system: SystemId::from_uuid(Uuid::from_u128(1)),
                controller: ControllerId::from_uuid(Uuid::from_u128(2)),
                at,
                told: Told::Closed {
                    request: RequestId::from_uuid(Uuid::from_u128(number)),
                    outcome: Closing::Partly,
                },
            };
            let mut happened = vec![happening(3), happening(4)];
            happened.sort_unstable_by_key(|one| one.id);
            let mut tx = store.db().begin().await.unwrap();
            put(&mut tx, &happened).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(look(store.db(), 9).await.unwrap(), happened);
            let ids: Vec<EventId> = happened.iter().map(|one| one.id).collect();
            let mut tx = store.db().begin().await.unwrap();
            assert_eq!(take(&mut tx, &ids[..1]).await.unwrap(), ids[..1]);
            assert_eq!(take(&mut tx, &ids[..1]).await.unwrap(), []);
            tx.commit().await.unwrap();
            assert_eq!(look(store.db(), 9).await.unwrap(), happened[1..]);
        })
        .await;
    }
}
