//! A request together with its tasks: what has to be seen as a whole before anything about it is decided.
//!
//! [`lock`] takes the requests' rows in the order of their ids, so that two transactions that need several of them
//! can't wait for each other in a circle; whoever changes a planned request holds its lock first. That is what makes
//! two last receipts at once close a request exactly once.

use std::collections::{BTreeMap, HashMap};

use domain::decision::{Decision, Facts, Stated, Verdict, decide};
use domain::id::{ControllerId, RequestId, SystemId, TaskId};
use domain::plan::Instruct;
use domain::receipt::EvidenceLevel;
use domain::request::{Answer, Closing, Owed, Stage, StageName, Tally};
use domain::right::Right;
use domain::task::{TaskStage, TaskStageName};
use jiff::Timestamp;
use platform::db::{Args, DbError, Row, Statement, Tx};
use uuid::Uuid;

/// SQLite has one writer, so its transaction holds every lock already.
const LOCK: Statement = Statement {
    name: "cases_lock",
    pg: "SELECT id, controller, stage, outcome, version, exercised FROM request WHERE id = ANY($1) ORDER BY id FOR UPDATE",
    lite: "SELECT id, controller, stage, outcome, version, exercised FROM request \
           WHERE id IN (SELECT unhex(value ->> 0) FROM jsonb_each($1)) ORDER BY id",
};

const TASKS: Statement = Statement {
    name: "cases_tasks",
    pg: "SELECT task.request, plan.instruct, task.id, task.system, task.stage, task.demand, task.answer, task.park, \
         task.due_at, task.fence, task.digest, task.created_at, task.last_word, \
         task.proposed, task.dispatched_at \
         FROM task JOIN plan ON plan.request = task.request WHERE task.request = ANY($1)",
    lite: "SELECT task.request, plan.instruct, task.id, task.system, task.stage, task.demand, task.answer, task.park, \
           task.due_at, task.fence, task.digest, task.created_at, task.last_word, \
         task.proposed, task.dispatched_at \
           FROM task JOIN plan ON plan.request = task.request \
           WHERE task.request IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))",
};

/// A task that has a last word or was parked leaves the schedule: nothing is due and no claim holds.
const SAVE_TASKS: Statement = Statement {
    name: "cases_save_tasks",
    pg: "UPDATE task SET stage = new.stage, answer = new.answer, park = new.park, due_at = new.due_at, \
         last_word = COALESCE(new.last_word, task.last_word), fence = NULL, started_at = NULL \
         FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::uuid[]) \
         AS new (id, stage, answer, park, due_at, last_word) WHERE task.id = new.id",
    lite: "UPDATE task SET stage = new.value ->> 1, answer = new.value ->> 2, park = new.value ->> 3, \
           due_at = new.value ->> 4, last_word = COALESCE(unhex(new.value ->> 5), task.last_word), \
           fence = NULL, started_at = NULL FROM jsonb_each($1) AS new WHERE task.id = unhex(new.value ->> 0)",
};

/// The version guards against a caller that didn't hold the lock.
const SAVE_REQUESTS: Statement = Statement {
    name: "cases_save_requests",
    pg: "UPDATE request SET stage = new.stage, outcome = new.outcome, version = new.version, closed_at = new.closed_at \
         FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::int8[], $5::int8[]) \
         AS new (id, stage, outcome, version, closed_at) \
         WHERE request.id = new.id AND request.version < new.version",
    lite: "UPDATE request SET stage = new.value ->> 1, outcome = new.value ->> 2, version = new.value ->> 3, \
           closed_at = new.value ->> 4 FROM jsonb_each($1) AS new \
           WHERE request.id = unhex(new.value ->> 0) AND request.version < (new.value ->> 3)",
};

pub(crate) const ALL: &[&[Statement]] = &[&[LOCK, TASKS, SAVE_TASKS, SAVE_REQUESTS]];

/// A request with its tasks, as they are under its lock.
#[derive(Debug, Clone)]
pub struct Case {
    /// The request.
    pub request: RequestId,
    /// Whose data it is about.
    pub controller: ControllerId,
    /// What it asks for.
    pub right: Right,
    /// Its stage's name.
    pub stage: StageName,
    /// What it came to, if it is closed.
    pub outcome: Option<Closing>,
    /// Grows with every change.
    pub version: i64,
    /// What the plan's instruction says; `None` before planning.
    pub instruct: Option<Instruct>,
    /// The plan's tasks; empty before planning.
    pub tasks: BTreeMap<TaskId, CaseTask>,
}

/// One task of a case.
#[derive(Debug, Clone)]
pub struct CaseTask {
    /// Where it goes.
    pub system: SystemId,
    /// Where it is.
    pub stage: TaskStage,
    /// The evidence that its system demands.
    pub demand: EvidenceLevel,
    /// SHA-256 of its body.
    pub digest: [u8; 32],
    /// When it was planned.
    pub created_at: Timestamp,
    /// The receipt or statement behind its last word.
    pub last_word: Option<Uuid>,
    /// What a statement of ours says that waits for approval.
    pub proposed: Option<Stated>,
    /// When it was first handed over.
    pub dispatched_at: Option<Timestamp>,
}

impl Case {
    /// What a person's verdict would make of its tasks: those that it changes, in the order of their ids.
    #[must_use]
    pub fn decided(&self, verdict: Verdict, now: Timestamp) -> Vec<(TaskId, Decision)> {
        let decided = |(id, task): (&TaskId, &CaseTask)| {
            let facts = Facts {
                proposed: task.proposed.is_some(),
                dispatched: task.dispatched_at.is_some(),
            };
            Some((*id, decide(verdict, task.stage, facts, now)?))
        };
        self.tasks.iter().filter_map(decided).collect()
    }

    /// The stage with everything that it holds.
    pub fn full_stage(&self) -> Result<Stage, DbError> {
        match self.stage {
            StageName::Accepted => Ok(Stage::Accepted),
            StageName::Unmatched => Ok(Stage::Unmatched),
            StageName::Unverified => Ok(Stage::Unverified),
            StageName::AwaitingController => Ok(Stage::AwaitingController),
            StageName::Ready => Ok(Stage::Ready),
            StageName::Planned => Ok(Stage::Planned(self.tally())),
            StageName::Closed => {
                let closing = self
                    .outcome
                    .ok_or(DbError::Inconsistent("a closed request has no outcome"))?;
                Ok(Stage::Closed(closing, self.tally()))
            }
        }
    }

    fn tally(&self) -> Tally {
        let owed = |(id, task): (&TaskId, &CaseTask)| {
            let answer = match task.stage {
                TaskStage::Done(answer) | TaskStage::Stated(answer) => Some(answer),
                _ => None,
            };
            (
                *id,
                Owed {
                    demand: task.demand,
                    answer,
                },
            )
        };
        // A request that was withdrawn before planning has no plan, and no tasks to be instructed about.
        let instruct = self.instruct.unwrap_or(Instruct::Act);
        Tally {
            instruct,
            tasks: self.tasks.iter().map(owed).collect(),
        }
    }
}

/// Locks requests in the order of their ids and reads them with their tasks; unknown ids are left out.
pub async fn lock(tx: &mut Tx, requests: &[RequestId]) -> Result<HashMap<RequestId, Case>, DbError> {
    let ids = || Args::new().uuids(requests.iter().map(|request| request.uuid()));
    let locked = tx.fetch(&LOCK, ids()).await?;
    let mut cases = locked.iter().map(case).collect::<Result<HashMap<_, _>, _>>()?;
    for row in tx.fetch(&TASKS, ids()).await? {
        let request = RequestId::from_uuid(row.get(0)?);
        let case = cases
            .get_mut(&request)
            .ok_or(DbError::Inconsistent("a task without its request"))?;
        case.instruct = Some(row.parse(1, "a plan's instruction is unknown")?);
        case.tasks.insert(TaskId::from_uuid(row.get(2)?), task(&row)?);
    }
    Ok(cases)
}

/// Where a task goes on to.
#[derive(Debug, Clone, Copy)]
pub struct TaskChange {
    /// The task.
    pub task: TaskId,
    /// Its new stage; one that an attempt sets (`sending`) is not saved here.
    pub stage: TaskStage,
    /// The receipt or statement behind it.
    pub last_word: Option<Uuid>,
}

/// Saves tasks whose requests are locked; in the order of their ids, in which results of attempts are written too.
pub async fn save_tasks(tx: &mut Tx, changes: &[TaskChange]) -> Result<(), DbError> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut changes = changes.to_vec();
    changes.sort_unstable_by_key(|change| change.task);
    let args = Args::new()
        .uuids(changes.iter().map(|change| change.task.uuid()))
        .texts(changes.iter().map(|change| change.stage.name().as_str()))
        .maybe_texts(changes.iter().map(|change| answer(change.stage).map(Answer::as_str)))
        .maybe_texts(changes.iter().map(|change| match change.stage {
            TaskStage::Parked(reason) => Some(reason.as_str()),
            _ => None,
        }))
        .maybe_ints(changes.iter().map(|change| match change.stage {
            TaskStage::Due(at) => Some(at.as_microsecond()),
            _ => None,
        }))
        .maybe_uuids(changes.iter().map(|change| change.last_word));
    tx.execute(&SAVE_TASKS, args).await.map(drop)
}

/// Where a request goes on to.
#[derive(Debug, Clone, Copy)]
pub struct RequestChange {
    /// The request.
    pub request: RequestId,
    /// Its new stage.
    pub stage: StageName,
    /// What it came to, if it is closed now.
    pub outcome: Option<Closing>,
    /// Its new version.
    pub version: i64,
    /// When it was closed, if it is.
    pub closed_at: Option<Timestamp>,
}

/// Saves requests that are locked.
pub async fn save_requests(tx: &mut Tx, changes: &[RequestChange]) -> Result<(), DbError> {
    if changes.is_empty() {
        return Ok(());
    }
    let args = Args::new()
        .uuids(changes.iter().map(|change| change.request.uuid()))
        .texts(changes.iter().map(|change| change.stage.as_str()))
        .maybe_texts(changes.iter().map(|change| change.outcome.map(Closing::as_str)))
        .ints(changes.iter().map(|change| change.version))
        .maybe_ints(
            changes
                .iter()
                .map(|change| change.closed_at.map(Timestamp::as_microsecond)),
        );
    let saved = tx.execute(&SAVE_REQUESTS, args).await?;
    if usize::try_from(saved) == Ok(changes.len()) {
        Ok(())
    } else {
        Err(DbError::Inconsistent("a request changed without its lock"))
    }
}

fn answer(stage: TaskStage) -> Option<Answer> {
    match stage {
        TaskStage::Done(answer) | TaskStage::Stated(answer) => Some(answer),
        _ => None,
    }
}

fn case(row: &Row) -> Result<(RequestId, Case), DbError> {
    let request = RequestId::from_uuid(row.get(0)?);
    let outcome: Option<String> = row.get(3)?;
    let case = Case {
        request,
        controller: ControllerId::from_uuid(row.get(1)?),
        stage: row.parse(2, "a request's stage is unknown")?,
        outcome: outcome
            .map(|word| word.parse().map_err(|_| UNKNOWN_OUTCOME))
            .transpose()?,
        version: row.get(4)?,
        right: row.parse(5, "a request's right is unknown")?,
        instruct: None,
        tasks: BTreeMap::new(),
    };
    Ok((request, case))
}

const UNKNOWN_OUTCOME: DbError = DbError::Inconsistent("a request's outcome is unknown");

const UNKNOWN_STATEMENT: DbError = DbError::Inconsistent("a task's statement is unknown");

fn task(row: &Row) -> Result<CaseTask, DbError> {
    Ok(CaseTask {
        system: SystemId::from_uuid(row.get(3)?),
        stage: task_stage(row)?,
        demand: row.parse(5, "a task's demand is unknown")?,
        digest: row.bytes(10, "a task's digest is not 32 bytes")?,
        created_at: instant(row.get(11)?)?,
        last_word: row.get(12)?,
        proposed: row
            .get::<Option<String>>(13)?
            .map(|word| word.parse().map_err(|_| UNKNOWN_STATEMENT))
            .transpose()?,
        dispatched_at: row.get::<Option<i64>>(14)?.map(instant).transpose()?,
    })
}

fn task_stage(row: &Row) -> Result<TaskStage, DbError> {
    let lacking = || DbError::Inconsistent("a task lacks what its stage holds");
    Ok(match row.parse(4, "a task's stage is unknown")? {
        TaskStageName::Held => TaskStage::Held,
        TaskStageName::Due => TaskStage::Due(instant(row.get::<Option<i64>>(8)?.ok_or_else(lacking)?)?),
        TaskStageName::Sending => TaskStage::Sending(row.get::<Option<i64>>(9)?.ok_or_else(lacking)?),
        TaskStageName::AwaitingReceipt => TaskStage::AwaitingReceipt,
        TaskStageName::Parked => TaskStage::Parked(row.parse(7, "a task's park reason is unknown")?),
        TaskStageName::Done => TaskStage::Done(row.parse(6, "a task's answer is unknown")?),
        TaskStageName::Stated => TaskStage::Stated(row.parse(6, "a task's answer is unknown")?),
    })
}

fn instant(micros: i64) -> Result<Timestamp, DbError> {
    Timestamp::from_microsecond(micros).map_err(|_| DbError::Inconsistent("an instant is out of range"))
}
