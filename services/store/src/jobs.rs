//! Jobs: what a person ordered for many tasks at once, or decided about a request.
//!
//! A job's row holds the order, how far it is worked off, and what came of it. Whoever works on it holds its row's lock
//! and moves its cursor in the transaction that changes the tasks: so it goes on where it was after any crash, and a
//! task is taken once. The order holds ids and words only.

mod pick;

use domain::decision::Verdict;
use domain::id::{ControllerId, JobId, RequestId, SystemId, TaskId, UserId};
use domain::task::ParkReason;
use jiff::Timestamp;
use platform::db::{Args, Db, DbError, Row, Statement, Tx};
use serde::{Deserialize, Serialize};

pub use pick::{Among, Picked, count, pick};

/// The columns of [`Job`], in the order in which [`read`] reads them.
macro_rules! columns {
    () => {
        "id, ordered, who, state, reason, cursor_at, cursor_task, total, done, passed, made_at, ended_at"
    };
}

const PUT: Statement = Statement::both(
    "jobs_put",
    "INSERT INTO job (id, kind, ordered, who, state, total, done, passed, made_at) \
     VALUES ($1, $2, $3, $4, 'open', $5, 0, 0, $6)",
);

const OPEN: Statement = Statement::both(
    "jobs_open",
    "SELECT id FROM job WHERE state = 'open' ORDER BY id LIMIT $1",
);

/// One that another process works on is left to it.
const LOCK: Statement = Statement {
    name: "jobs_lock",
    pg: concat!(
        "SELECT ",
        columns!(),
        " FROM job WHERE id = $1 AND state = 'open' FOR UPDATE SKIP LOCKED"
    ),
    lite: concat!("SELECT ", columns!(), " FROM job WHERE id = $1 AND state = 'open'"),
};

const SAVE: Statement = Statement::both(
    "jobs_save",
    "UPDATE job SET state = $2, reason = $3, cursor_at = $4, cursor_task = $5, done = $6, passed = $7, ended_at = $8 \
     WHERE id = $1",
);

const SHOW: Statement = Statement::both("jobs_show", concat!("SELECT ", columns!(), " FROM job WHERE id = $1"));

const LIST: Statement = Statement::both(
    "jobs_list",
    concat!("SELECT ", columns!(), " FROM job ORDER BY id DESC LIMIT $1"),
);

pub(crate) const ALL: &[&[Statement]] = &[&[PUT, OPEN, LOCK, SAVE, SHOW, LIST], pick::ALL];

/// Named tasks of one order: what fits into one command, and into one row.
pub const NAMED_MAX: usize = 1_000;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Order {
    /// Parked tasks are due again, with a fresh schedule.
    Replay(Which),
    /// Open tasks are parked.
    Park(Which),
    /// A person's decision about a request.
    Decide {
        /// The request.
        request: RequestId,
        /// What was decided.
        verdict: Verdict,
    },
}

/// To which tasks; what is not said narrows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Which {
    /// These, and no others.
    pub tasks: Vec<TaskId>,
    /// For this system.
    pub system: Option<SystemId>,
    /// About this controller's persons.
    pub controller: Option<ControllerId>,
    /// Parked for this reason.
    pub reason: Option<ParkReason>,
}

/// Where a job is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is worked off.
    Open,
    /// It is over.
    Done(Timestamp),
    /// It could not be done; why, in a word.
    Failed(Timestamp, String),
}

/// Up to which task a job is worked off: when that one was made, and its id.
pub type Cursor = (Timestamp, TaskId);

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What is to be done.
    pub order: Order,
    /// Who ordered it.
    pub who: UserId,
    /// Where it is.
    pub state: State,
    /// How far it is worked off.
    pub cursor: Option<Cursor>,
    /// How many tasks there were when it was ordered.
    pub total: i64,
    /// How many were changed.
    pub done: i64,
    /// How many were not what was ordered any more.
    pub passed: i64,
    /// When it was ordered.
    pub made_at: Timestamp,
}

impl Order {
    /// Its word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Replay(_) => "replay",
            Self::Park(_) => "park",
            Self::Decide { .. } => "decide",
        }
    }
}

impl State {
    /// Its word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done(_) => "done",
            Self::Failed(..) => "failed",
        }
    }

    const fn ended_at(&self) -> Option<Timestamp> {
        match self {
            Self::Open => None,
            Self::Done(at) | Self::Failed(at, _) => Some(*at),
        }
    }
}

impl Job {
    /// A new one.
    #[must_use]
    pub fn new(id: JobId, order: Order, who: UserId, total: i64, now: Timestamp) -> Self {
        Self {
            id,
            order,
            who,
            state: State::Open,
            cursor: None,
            total,
            done: 0,
            passed: 0,
            made_at: now,
        }
    }
}

/// Stores a new job, which dispatch finds within a second.
///
/// # Panics
/// Never: ids and words are JSON.
pub async fn put(db: &Db, job: &Job) -> Result<(), DbError> {
    let ordered = serde_json::to_string(&job.order).expect("ids and words are JSON");
    let args = Args::new()
        .uuid(job.id.uuid())
        .text(job.order.as_str())
        .text(&ordered)
        .uuid(job.who.uuid())
        .int(job.total)
        .int(job.made_at.as_microsecond());
    db.execute(&PUT, args).await.map(drop)
}

/// Jobs that are not over, the oldest first.
pub async fn open(db: &Db, limit: i64) -> Result<Vec<JobId>, DbError> {
    let rows = db.fetch(&OPEN, Args::new().int(limit)).await?;
    rows.iter().map(|row| Ok(JobId::from_uuid(row.get(0)?))).collect()
}

/// A job that is to be worked on; `None` if it is over, or somebody else is at it.
pub async fn lock(tx: &mut Tx, job: JobId) -> Result<Option<Job>, DbError> {
    let row = tx.fetch_optional(&LOCK, Args::new().uuid(job.uuid())).await?;
    row.as_ref().map(read).transpose()
}

/// Saves how far a job has come; to be called in the transaction that brought it there.
pub async fn save(tx: &mut Tx, job: &Job) -> Result<(), DbError> {
    let reason = match &job.state {
        State::Failed(_, reason) => Some(reason.as_str()),
        _ => None,
    };
    let args = Args::new()
        .uuid(job.id.uuid())
        .text(job.state.as_str())
        .maybe_text(reason)
        .maybe_int(job.cursor.map(|(at, _)| at.as_microsecond()))
        .maybe_uuid(job.cursor.map(|(_, task)| task.uuid()))
        .int(job.done)
        .int(job.passed)
        .maybe_int(job.state.ended_at().map(Timestamp::as_microsecond));
    tx.execute(&SAVE, args).await.map(drop)
}

/// One job, if there is one of that id.
pub async fn show(db: &Db, job: JobId) -> Result<Option<Job>, DbError> {
    let row = db.fetch_optional(&SHOW, Args::new().uuid(job.uuid())).await?;
    row.as_ref().map(read).transpose()
}

/// The newest jobs, the newest first.
pub async fn list(db: &Db, limit: i64) -> Result<Vec<Job>, DbError> {
    db.fetch(&LIST, Args::new().int(limit))
        .await?
        .iter()
        .map(read)
        .collect()
}

fn read(row: &Row) -> Result<Job, DbError> {
    let ordered: String = row.get(1)?;
    let order = serde_json::from_str(&ordered);
    let cursor_at = row.get::<Option<i64>>(5)?.map(crate::instant).transpose()?;
    Ok(Job {
        id: JobId::from_uuid(row.get(0)?),
        order: order.map_err(|_| DbError::Inconsistent("a job's order can't be read"))?,
        who: UserId::from_uuid(row.get(2)?),
        state: state(row)?,
        cursor: cursor_at.zip(row.get::<Option<uuid::Uuid>>(6)?.map(TaskId::from_uuid)),
        total: row.get(7)?,
        done: row.get(8)?,
        passed: row.get(9)?,
        made_at: crate::instant(row.get(10)?)?,
    })
}

fn state(row: &Row) -> Result<State, DbError> {
    let ended_at = row.get::<Option<i64>>(11)?.map(crate::instant).transpose()?;
    let reason: Option<String> = row.get(4)?;
    match (row.get::<String>(3)?.as_str(), ended_at) {
        ("open", _) => Ok(State::Open),
        ("done", Some(at)) => Ok(State::Done(at)),
        ("failed", Some(at)) => Ok(State::Failed(at, reason.unwrap_or_default())),
        _ => Err(DbError::Inconsistent("a job is in an unknown state")),
    }
}
