//! Which tasks an order is about: counted before it is given, picked batch by batch while it is worked off.
//!
//! Parked tasks are found through their own index, in the order in which they were made; those on the schedule, of
//! which an order to park may mean many, by one walk over the tasks' ids; named ones by their names. Either way a batch
//! begins where the one before ended, and whoever picks still looks at each task under its request's lock.

use domain::id::{ControllerId, RequestId, SystemId, TaskId};
use domain::task::{ParkReason, TaskStageName};
use jiff::Timestamp;
use platform::db::{Args, Db, DbError, Row, Statement, Tx};
use uuid::Uuid;

use super::{Cursor, Which};

/// What narrows an order: system `$1`, controller `$2`, reason `$3`.
macro_rules! parked {
    ($what:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $what,
            // SQLite finds a partial index only by its own words.
            " FROM task WHERE stage IN ('held', 'awaiting_receipt', 'parked') AND stage = 'parked' \
             AND park <> 'withdrawn' AND (system = $1 OR $1 IS NULL) AND (controller = $2 OR $2 IS NULL) \
             AND (park = $3 OR $3 IS NULL)",
            $rest
        )
    };
}

macro_rules! scheduled {
    ($what:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $what,
            " FROM task WHERE stage IN ('due', 'sending') AND (system = $1 OR $1 IS NULL) \
             AND (controller = $2 OR $2 IS NULL)",
            $rest
        )
    };
}

const PARKED: Statement = Statement::both(
    "jobs_pick_parked",
    parked!(
        "id, request, created_at",
        " AND (created_at, id) > ($4, $5) ORDER BY created_at, id LIMIT $6"
    ),
);

const SCHEDULED: Statement = Statement::both(
    "jobs_pick_scheduled",
    scheduled!("id, request, created_at", " AND id > $3 ORDER BY id LIMIT $4"),
);

const NAMED: Statement = Statement {
    name: "jobs_pick_named",
    pg: "SELECT id, request, created_at FROM task WHERE id = ANY($1) AND id > $2 ORDER BY id LIMIT $3",
    lite: "SELECT id, request, created_at FROM task \
           WHERE id IN (SELECT unhex(value ->> 0) FROM jsonb_each($1)) AND id > $2 ORDER BY id LIMIT $3",
};

const COUNT_PARKED: Statement = Statement::both("jobs_count_parked", parked!("COUNT(*)", ""));

const COUNT_SCHEDULED: Statement = Statement::both("jobs_count_scheduled", scheduled!("COUNT(*)", ""));

const STAGES: Statement = Statement {
    name: "jobs_stages",
    pg: "SELECT stage, park FROM task WHERE id = ANY($1)",
    lite: "SELECT stage, park FROM task WHERE id IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))",
};

pub(super) const ALL: &[Statement] = &[PARKED, SCHEDULED, NAMED, COUNT_PARKED, COUNT_SCHEDULED, STAGES];

/// Among which tasks an order looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Among {
    /// Those that are parked, but for withdrawn ones: their request is over.
    Parked,
    /// Those that are due or being sent; by name, every one without a last word.
    Scheduled,
}

/// A task of an order's batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picked {
    /// The task.
    pub task: TaskId,
    /// The request.
    pub request: RequestId,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Picked {
    /// Where a batch that ends with it ended.
    #[must_use]
    pub const fn cursor(self) -> Cursor {
        (self.created_at, self.task)
    }
}

/// The next tasks of an order, after that place; none if it is worked off.
pub async fn pick(
    tx: &mut Tx,
    which: &Which,
    among: Among,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<Picked>, DbError> {
    let (at, id) = after.map_or((i64::MIN, Uuid::nil()), |(at, id)| (at.as_microsecond(), id.uuid()));
    let reason = which.reason.map(ParkReason::as_str);
    let rows = match among {
        _ if !which.tasks.is_empty() => tx.fetch(&NAMED, named(which).uuid(id).int(limit)).await?,
        Among::Parked => {
            let args = narrowed(which).maybe_text(reason).int(at).uuid(id).int(limit);
            tx.fetch(&PARKED, args).await?
        }
        Among::Scheduled => tx.fetch(&SCHEDULED, narrowed(which).uuid(id).int(limit)).await?,
    };
    let read = |row: &Row| {
        Ok(Picked {
            task: TaskId::from_uuid(row.get(0)?),
            request: RequestId::from_uuid(row.get(1)?),
            created_at: crate::instant(row.get(2)?)?,
        })
    };
    rows.iter().map(read).collect()
}

/// How many tasks an order is about by now.
pub async fn count(db: &Db, which: &Which, among: Among) -> Result<i64, DbError> {
    if !which.tasks.is_empty() {
        return count_named(db, which, among).await;
    }
    let row = match among {
        Among::Parked => {
            let args = narrowed(which).maybe_text(which.reason.map(ParkReason::as_str));
            db.fetch_optional(&COUNT_PARKED, args).await?
        }
        Among::Scheduled => db.fetch_optional(&COUNT_SCHEDULED, narrowed(which)).await?,
    };
    row.map_or(Ok(0), |row| row.get(0))
}

async fn count_named(db: &Db, which: &Which, among: Among) -> Result<i64, DbError> {
    let mut count = 0;
    for row in db.fetch(&STAGES, named(which)).await? {
        let stage: TaskStageName = row.parse(0, "a task has an unknown stage")?;
        let park: Option<String> = row.get(1)?;
        let parked = stage == TaskStageName::Parked && park.as_deref() != Some(ParkReason::Withdrawn.as_str());
        let over = matches!(
            stage,
            TaskStageName::Done | TaskStageName::Stated | TaskStageName::Parked
        );
        count += i64::from(match among {
            Among::Parked => parked,
            Among::Scheduled => !over,
        });
    }
    Ok(count)
}

fn narrowed(which: &Which) -> Args<'static> {
    Args::new()
        .maybe_uuid(which.system.map(SystemId::uuid))
        .maybe_uuid(which.controller.map(ControllerId::uuid))
}

fn named(which: &Which) -> Args<'static> {
    Args::new().uuids(which.tasks.iter().map(|task| task.uuid()))
}
