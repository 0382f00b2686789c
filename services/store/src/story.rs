//! What became of a request: its tasks, attempts and receipts, for whoever may see the request.
//!
//! Nothing here is locked or changed, and nothing is unsealed: these are ids, words and instants. The scope was asked
//! when the request itself was read ([`requests::show`](crate::requests::show)).

use domain::id::{ReceiptId, RequestId, SystemId, TaskId};
use domain::receipt::{EvidenceLevel, Signer};
use domain::request::Answer;
use domain::task::{ParkReason, TaskStageName};
use jiff::Timestamp;
use platform::db::{Args, Db, DbError, Row, Statement};

const TASKS: Statement = Statement::both(
    "story_tasks",
    "SELECT id, request, system, stage, demand, answer, park, due_at, created_at, dispatched_at FROM task \
     WHERE request = $1 ORDER BY id",
);

const PARKED: Statement = Statement::both(
    "story_parked",
    "SELECT id, request, system, stage, demand, answer, park, due_at, created_at, dispatched_at FROM task \
     WHERE stage = 'parked' ORDER BY created_at, id LIMIT $1",
);

const ATTEMPTS: Statement = Statement::both(
    "story_attempts",
    "SELECT attempt.task, attempt.started_at, attempt.ended_at, attempt.status, attempt.result FROM attempt \
     JOIN task ON task.id = attempt.task WHERE task.request = $1 ORDER BY attempt.id",
);

const RECEIPTS: Statement = Statement::both(
    "story_receipts",
    "SELECT id, task, system, signer, level, outcome, standing, received_at, log_index, log_size FROM receipt \
     WHERE request = $1 ORDER BY id",
);

pub(crate) const ALL: &[&[Statement]] = &[&[TASKS, PARKED, ATTEMPTS, RECEIPTS]];

/// One task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldTask {
    /// Its id.
    pub id: TaskId,
    /// Whose it is.
    pub request: RequestId,
    /// Where it goes.
    pub system: SystemId,
    /// Where it is.
    pub stage: TaskStageName,
    /// The evidence that closes it.
    pub demand: EvidenceLevel,
    /// The last word, once there is one.
    pub answer: Option<Answer>,
    /// Why it is parked, if it is.
    pub park: Option<ParkReason>,
    /// The next attempt, if one is due.
    pub due_at: Option<Timestamp>,
    /// When it was planned.
    pub created_at: Timestamp,
    /// When its first 2xx came.
    pub dispatched_at: Option<Timestamp>,
}

/// One try to hand a task over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldAttempt {
    /// The task.
    pub task: TaskId,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// The HTTP status, where there was an answer.
    pub status: Option<i64>,
    /// Delivered, or the class of failure.
    pub result: String,
}

/// One receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldReceipt {
    /// Its id.
    pub id: ReceiptId,
    /// The task that it is about.
    pub task: TaskId,
    /// The system that answers.
    pub system: SystemId,
    /// Whose signature it carries.
    pub signer: Signer,
    /// What it shows.
    pub level: EvidenceLevel,
    /// What it says.
    pub outcome: String,
    /// Whether it counts: `counted`, `kept`, `superseded`.
    pub standing: String,
    /// When it came.
    pub received_at: Timestamp,
    /// Its place in the log, and the tree's size then, once it is logged.
    pub logged: Option<(i64, i64)>,
}

/// A request's tasks, in the order of their ids.
pub async fn tasks(db: &Db, request: RequestId) -> Result<Vec<ToldTask>, DbError> {
    let rows = db.fetch(&TASKS, Args::new().uuid(request.uuid())).await?;
    rows.iter().map(task).collect()
}

/// Tasks that wait for a person, the oldest first.
pub async fn parked(db: &Db, limit: i64) -> Result<Vec<ToldTask>, DbError> {
    db.fetch(&PARKED, Args::new().int(limit))
        .await?
        .iter()
        .map(task)
        .collect()
}

/// The attempts at a request's tasks, in the order in which they began.
pub async fn attempts(db: &Db, request: RequestId) -> Result<Vec<ToldAttempt>, DbError> {
    let rows = db.fetch(&ATTEMPTS, Args::new().uuid(request.uuid())).await?;
    let attempt = |row: &Row| {
        Ok(ToldAttempt {
            task: TaskId::from_uuid(row.get(0)?),
            started_at: instant(row.get(1)?)?,
            ended_at: instant(row.get(2)?)?,
            status: row.get(3)?,
            result: row.get(4)?,
        })
    };
    rows.iter().map(attempt).collect()
}

/// The receipts about a request, in the order in which they came.
pub async fn receipts(db: &Db, request: RequestId) -> Result<Vec<ToldReceipt>, DbError> {
    let rows = db.fetch(&RECEIPTS, Args::new().uuid(request.uuid())).await?;
    let receipt = |row: &Row| {
        let (index, size): (Option<i64>, Option<i64>) = (row.get(8)?, row.get(9)?);
        Ok(ToldReceipt {
            id: ReceiptId::from_uuid(row.get(0)?),
            task: TaskId::from_uuid(row.get(1)?),
            system: SystemId::from_uuid(row.get(2)?),
            signer: row.parse(3, "a receipt has an unknown signer")?,
            level: row.parse(4, "a receipt has an unknown level")?,
            outcome: row.get(5)?,
            standing: row.get(6)?,
            received_at: instant(row.get(7)?)?,
            logged: index.zip(size),
        })
    };
    rows.iter().map(receipt).collect()
}

fn task(row: &Row) -> Result<ToldTask, DbError> {
    Ok(ToldTask {
        id: TaskId::from_uuid(row.get(0)?),
        request: RequestId::from_uuid(row.get(1)?),
        system: SystemId::from_uuid(row.get(2)?),
        stage: row.parse(3, "a task has an unknown stage")?,
        demand: row.parse(4, "a task has an unknown demand")?,
        answer: word(row.get(5)?, "a task has an unknown answer")?,
        park: word(row.get(6)?, "a task is parked for an unknown reason")?,
        due_at: row.get::<Option<i64>>(7)?.map(instant).transpose()?,
        created_at: instant(row.get(8)?)?,
        dispatched_at: row.get::<Option<i64>>(9)?.map(instant).transpose()?,
    })
}

fn word<T: std::str::FromStr>(text: Option<String>, what: &'static str) -> Result<Option<T>, DbError> {
    text.map(|text| text.parse().map_err(|_| DbError::Inconsistent(what)))
        .transpose()
}

fn instant(micros: i64) -> Result<Timestamp, DbError> {
    Timestamp::from_microsecond(micros).map_err(|_| DbError::Inconsistent("an instant out of range"))
}
