//! Deadlines: which open requests are near theirs or past it, and what was told of that.
//!
//! Requests are read page by page in the order of their due dates, from an index that holds open ones only; what was
//! told is a column of theirs, raised by an UPDATE that takes nobody's word for it: so each level is told once, however
//! many processes look. The same goes for the mark of a task about which we have signed a statement.

use domain::decision::Stated;
use domain::id::{ControllerId, RequestId, SystemId, TaskId};
use jiff::Timestamp;
use platform::db::{Args, Db, DbError, Row, Statement, Tx};
use uuid::Uuid;

const PAGE: Statement = Statement::both(
    "deadlines_page",
    "SELECT id, due_at, alarm FROM request WHERE stage <> 'closed' AND due_at <= $1 AND (due_at, id) > ($2, $3) \
     ORDER BY due_at, id LIMIT $4",
);

const ALARM: Statement = Statement {
    name: "deadlines_alarm",
    pg: "WITH raised AS (SELECT * FROM UNNEST($1::uuid[], $2::int8[]) AS r (id, alarm)), \
         held AS (SELECT request.id FROM request JOIN raised ON raised.id = request.id \
         ORDER BY request.id FOR UPDATE OF request) \
         UPDATE request SET alarm = raised.alarm FROM raised JOIN held USING (id) \
         WHERE request.id = raised.id AND request.alarm < raised.alarm AND request.stage <> 'closed' \
         RETURNING request.id, request.controller, request.version, request.due_at, request.alarm",
    lite: "UPDATE request SET alarm = raised.value ->> 1 FROM jsonb_each($1) AS raised \
           WHERE request.id = unhex(raised.value ->> 0) AND request.alarm < (raised.value ->> 1) \
           AND request.stage <> 'closed' \
           RETURNING request.id, request.controller, request.version, request.due_at, request.alarm",
};

/// What came late gets its time too: `$2` is the instant before which a task must have been made, and handed over.
macro_rules! unstated {
    ($among:literal, $before:literal) => {
        concat!(
            "SELECT id, request, controller, system, dispatched_at FROM task WHERE ",
            $among,
            " AND stage IN ('due', 'sending', 'awaiting_receipt', 'parked') AND (park IS NULL OR park <> 'withdrawn') \
             AND proposed IS NULL AND created_at <= ",
            $before,
            " AND (dispatched_at IS NULL OR dispatched_at <= ",
            $before,
            ") ORDER BY id"
        )
    };
}

const UNSTATED: Statement = Statement {
    name: "deadlines_unstated",
    pg: unstated!("request = ANY($1)", "$2"),
    lite: unstated!("request IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))", "$2"),
};

/// The request may have been closed meanwhile; its tasks then are not open any more, or were withdrawn.
const PROPOSE: Statement = Statement {
    name: "deadlines_propose",
    pg: "WITH new AS (SELECT * FROM UNNEST($1::uuid[], $2::text[]) AS n (id, proposed)), \
         held AS (SELECT task.id FROM task JOIN new ON new.id = task.id ORDER BY task.id FOR UPDATE OF task) \
         UPDATE task SET proposed = new.proposed FROM new JOIN held USING (id) WHERE task.id = new.id \
         AND task.proposed IS NULL AND task.stage IN ('due', 'sending', 'awaiting_receipt', 'parked') \
         AND (task.park IS NULL OR task.park <> 'withdrawn') RETURNING task.id",
    lite: "UPDATE task SET proposed = new.value ->> 1 FROM jsonb_each($1) AS new \
           WHERE task.id = unhex(new.value ->> 0) AND task.proposed IS NULL \
           AND task.stage IN ('due', 'sending', 'awaiting_receipt', 'parked') \
           AND (task.park IS NULL OR task.park <> 'withdrawn') RETURNING task.id",
};

pub(crate) const ALL: &[&[Statement]] = &[&[PAGE, ALARM, UNSTATED, PROPOSE]];

/// What was told of a request's deadline. A later level is a higher number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// Nothing.
    None,
    /// That it is near.
    DueSoon,
    /// That it has passed.
    Overdue,
}

impl Alarm {
    const fn number(self) -> i64 {
        match self {
            Self::None => 0,
            Self::DueSoon => 1,
            Self::Overdue => 2,
        }
    }

    fn of(number: i64) -> Result<Self, DbError> {
        match number {
            0 => Ok(Self::None),
            1 => Ok(Self::DueSoon),
            2 => Ok(Self::Overdue),
            _ => Err(DbError::Inconsistent("a request's alarm is unknown")),
        }
    }
}

/// Where a page ended.
pub type After = (Timestamp, RequestId);

/// An open request whose deadline is near or past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pressing {
    /// The request.
    pub request: RequestId,
    /// When its answer is due.
    pub due_at: Timestamp,
    /// What was told of that.
    pub alarm: Alarm,
}

/// Open requests that are due until then, in the order of their due dates, after that place; at most `limit`.
pub async fn page(db: &Db, until: Timestamp, after: Option<After>, limit: i64) -> Result<Vec<Pressing>, DbError> {
    let (due_at, id) = after.map_or((i64::MIN, Uuid::nil()), |(due_at, id)| {
        (due_at.as_microsecond(), id.uuid())
    });
    let args = Args::new().int(until.as_microsecond()).int(due_at).uuid(id).int(limit);
    let read = |row: &Row| {
        Ok(Pressing {
            request: RequestId::from_uuid(row.get(0)?),
            due_at: crate::instant(row.get(1)?)?,
            alarm: Alarm::of(row.get(2)?)?,
        })
    };
    db.fetch(&PAGE, args).await?.iter().map(read).collect()
}

/// A request of whose deadline something is to be told now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarmed {
    /// The request.
    pub request: RequestId,
    /// Whose data it is about.
    pub controller: ControllerId,
    /// Its version.
    pub version: i64,
    /// When its answer is due.
    pub due_at: Timestamp,
    /// What is to be told.
    pub alarm: Alarm,
}

/// Raises what was told of requests; returns those that had not been told that much.
pub async fn raise(tx: &mut Tx, raised: &[(RequestId, Alarm)]) -> Result<Vec<Alarmed>, DbError> {
    if raised.is_empty() {
        return Ok(vec![]);
    }
    let args = Args::new()
        .uuids(raised.iter().map(|(request, _)| request.uuid()))
        .ints(raised.iter().map(|(_, alarm)| alarm.number()));
    let read = |row: &Row| {
        Ok(Alarmed {
            request: RequestId::from_uuid(row.get(0)?),
            controller: ControllerId::from_uuid(row.get(1)?),
            version: row.get(2)?,
            due_at: crate::instant(row.get(3)?)?,
            alarm: Alarm::of(row.get(4)?)?,
        })
    };
    tx.fetch(&ALARM, args).await?.iter().map(read).collect()
}

/// A task without a last word, about which nothing was said yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unstated {
    /// The task.
    pub task: TaskId,
    /// The request.
    pub request: RequestId,
    /// Whose data it is about.
    pub controller: ControllerId,
    /// Where it goes.
    pub system: SystemId,
    /// What is true of it.
    pub stated: Stated,
}

/// The tasks of overdue requests about which a statement is due: those that were made, and handed over if they were,
/// at `before` or earlier. Held ones wait for their controller and are none of them.
pub async fn unstated(db: &Db, requests: &[RequestId], before: Timestamp) -> Result<Vec<Unstated>, DbError> {
    if requests.is_empty() {
        return Ok(vec![]);
    }
    let args = Args::new()
        .uuids(requests.iter().map(|request| request.uuid()))
        .int(before.as_microsecond());
    let read = |row: &Row| {
        Ok(Unstated {
            task: TaskId::from_uuid(row.get(0)?),
            request: RequestId::from_uuid(row.get(1)?),
            controller: ControllerId::from_uuid(row.get(2)?),
            system: SystemId::from_uuid(row.get(3)?),
            stated: Stated::of(row.get::<Option<i64>>(4)?.is_some()),
        })
    };
    db.fetch(&UNSTATED, args).await?.iter().map(read).collect()
}

/// Marks tasks as spoken about; returns those that were not yet, and still have no last word.
pub async fn propose(tx: &mut Tx, tasks: &[Unstated]) -> Result<Vec<TaskId>, DbError> {
    let args = Args::new()
        .uuids(tasks.iter().map(|one| one.task.uuid()))
        .texts(tasks.iter().map(|one| one.stated.as_str()));
    let rows = tx.fetch(&PROPOSE, args).await?;
    rows.iter().map(|row| Ok(TaskId::from_uuid(row.get(0)?))).collect()
}
