//! What attempts came to, written for many tasks at once.
//!
//! A result is believed only under the fence that its task was last claimed under: a former holder's write changes
//! nothing. With the first 2xx begins the time after which an owner who stays silent is reminded: a quarter of what is
//! left. If a receipt came first, the task has moved on under no fence at all, and the result leaves it where it is;
//! only the first handing-over is still noted.

use std::collections::HashMap;

use domain::id::{ControllerId, RequestId, SystemId, TaskId};
use domain::task::{Fence, ParkReason, TaskStageName};
use jiff::Timestamp;
use platform::db::{Args, DbError, Row, Statement, Tx};

const RECORD: Statement = Statement {
    name: "tasks_record",
    pg: "WITH result AS (SELECT * FROM UNNEST($1::uuid[], $2::int8[], $3::text[], $4::text[], $5::int8[], $6::int8[], \
         $7::int8[], $8::int8[]) AS r (id, fence, stage, park, due_at, steps, rejections, delivered_at)), \
         held AS (SELECT task.id FROM task JOIN result ON result.id = task.id \
         ORDER BY task.id FOR UPDATE OF task) \
         UPDATE task SET dispatched_at = COALESCE(task.dispatched_at, result.delivered_at), \
         remind_at = CASE WHEN task.dispatched_at IS NULL AND result.delivered_at < task.deadline_at \
         THEN result.delivered_at + (task.deadline_at - result.delivered_at) / 4 ELSE task.remind_at END, \
         stage = CASE task.stage WHEN 'sending' THEN result.stage ELSE task.stage END, \
         park = CASE task.stage WHEN 'sending' THEN result.park ELSE task.park END, \
         due_at = CASE task.stage WHEN 'sending' THEN result.due_at ELSE task.due_at END, \
         steps = CASE task.stage WHEN 'sending' THEN result.steps ELSE task.steps END, \
         rejections = CASE task.stage WHEN 'sending' THEN result.rejections ELSE task.rejections END \
         FROM result JOIN held USING (id) \
         WHERE task.id = result.id AND (task.fence = result.fence OR task.fence IS NULL) \
         RETURNING task.id, task.request, task.controller, task.system, task.stage, task.dispatched_at",
    lite: "UPDATE task SET dispatched_at = COALESCE(task.dispatched_at, result.value ->> 7), \
           remind_at = CASE WHEN task.dispatched_at IS NULL AND (result.value ->> 7) < task.deadline_at \
           THEN (result.value ->> 7) + (task.deadline_at - (result.value ->> 7)) / 4 ELSE task.remind_at END, \
           stage = CASE task.stage WHEN 'sending' THEN result.value ->> 2 ELSE task.stage END, \
           park = CASE task.stage WHEN 'sending' THEN result.value ->> 3 ELSE task.park END, \
           due_at = CASE task.stage WHEN 'sending' THEN result.value ->> 4 ELSE task.due_at END, \
           steps = CASE task.stage WHEN 'sending' THEN result.value ->> 5 ELSE task.steps END, \
           rejections = CASE task.stage WHEN 'sending' THEN result.value ->> 6 ELSE task.rejections END \
           FROM jsonb_each($1) AS result \
           WHERE task.id = unhex(result.value ->> 0) \
           AND (task.fence = result.value ->> 1 OR task.fence IS NULL) \
           RETURNING task.id, task.request, task.controller, task.system, task.stage, task.dispatched_at",
};

const VERSIONS: Statement = Statement {
    name: "tasks_record_versions",
    pg: "SELECT id, version FROM request WHERE id = ANY($1)",
    lite: "SELECT id, version FROM request WHERE id IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))",
};

pub(super) const ALL: &[Statement] = &[RECORD, VERSIONS];

/// What a task's attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The task.
    pub task: TaskId,
    /// The fence that it was claimed under.
    pub fence: Fence,
    /// Where it goes from here.
    pub next: Next,
    /// Steps of the retry schedule that are used up now.
    pub steps: i64,
    /// Answers 401, 403 or 404 in a row by now.
    pub rejections: i64,
}

/// Where a task goes after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It was handed over then.
    Delivered(Timestamp),
    /// It is tried again then.
    Due(Timestamp),
    /// It is not handed over for now.
    Parked(ParkReason),
}

/// A task that a result was written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stepped {
    /// The task.
    pub task: TaskId,
    /// The request.
    pub request: RequestId,
    /// Whose data it is about.
    pub controller: ControllerId,
    /// Where it went.
    pub system: SystemId,
    /// Where it stands now: where the result put it, unless a receipt or somebody's decision came first.
    pub stage: TaskStageName,
    /// When its first 2xx came.
    pub dispatched_at: Option<Timestamp>,
}

impl Next {
    const fn stage(self) -> &'static str {
        match self {
            Self::Delivered(_) => "awaiting_receipt",
            Self::Due(_) => "due",
            Self::Parked(_) => "parked",
        }
    }

    const fn park(self) -> Option<ParkReason> {
        match self {
            Self::Parked(reason) => Some(reason),
            Self::Delivered(_) | Self::Due(_) => None,
        }
    }

    const fn due_at(self) -> Option<Timestamp> {
        match self {
            Self::Due(at) => Some(at),
            Self::Delivered(_) | Self::Parked(_) => None,
        }
    }

    const fn delivered_at(self) -> Option<Timestamp> {
        match self {
            Self::Delivered(at) => Some(at),
            Self::Due(_) | Self::Parked(_) => None,
        }
    }
}

/// Writes results; tasks that were claimed anew since are left out of what comes back. Lanes of those that are due
/// again are woken by the caller.
pub async fn record(tx: &mut Tx, steps: &[Step]) -> Result<Vec<Stepped>, DbError> {
    if steps.is_empty() {
        return Ok(vec![]);
    }
    let args = Args::new()
        .uuids(steps.iter().map(|step| step.task.uuid()))
        .ints(steps.iter().map(|step| step.fence))
        .texts(steps.iter().map(|step| step.next.stage()))
        .maybe_texts(steps.iter().map(|step| step.next.park().map(ParkReason::as_str)))
        .maybe_ints(
            steps
                .iter()
                .map(|step| step.next.due_at().map(Timestamp::as_microsecond)),
        )
        .ints(steps.iter().map(|step| step.steps))
        .ints(steps.iter().map(|step| step.rejections))
        .maybe_ints(
            steps
                .iter()
                .map(|step| step.next.delivered_at().map(Timestamp::as_microsecond)),
        );
    let rows = tx.fetch(&RECORD, args).await?;
    rows.iter().map(stepped).collect()
}

fn stepped(row: &Row) -> Result<Stepped, DbError> {
    let dispatched_at: Option<i64> = row.get(5)?;
    Ok(Stepped {
        task: TaskId::from_uuid(row.get(0)?),
        request: RequestId::from_uuid(row.get(1)?),
        controller: ControllerId::from_uuid(row.get(2)?),
        system: SystemId::from_uuid(row.get(3)?),
        stage: row.parse(4, "a task has an unknown stage")?,
        dispatched_at: dispatched_at.map(crate::instant).transpose()?,
    })
}

/// The versions of requests whose tasks were parked, for the events that tell of it.
pub async fn versions(tx: &mut Tx, requests: &[RequestId]) -> Result<HashMap<RequestId, i64>, DbError> {
    let args = Args::new().uuids(requests.iter().map(|request| request.uuid()));
    let read = |row: &Row| Ok((RequestId::from_uuid(row.get(0)?), row.get(1)?));
    tx.fetch(&VERSIONS, args).await?.iter().map(read).collect()
}
