//! Tasks: one request × one system, with the exact bytes that its system gets on every attempt.
//!
//! Claims ([`claim`]) and the results of attempts ([`record`]) are the hot paths, set-based and guarded by the fence.
//! Everybody else who changes tasks holds the lock of their request ([`cases`](crate::cases)).

pub mod alarms;
pub mod claim;
pub mod fetch;
pub mod record;
pub mod release;
pub mod remind;
pub mod restart;

use domain::id::{ControllerId, RequestId, SystemId, TaskId};
use domain::receipt::EvidenceLevel;
use domain::task::TaskStage;
use jiff::Timestamp;
use platform::db::{Args, DbError, Statement, Tx};

/// What a task's body is sealed as, under its request's subject key.
pub const BODY: &str = "task.body";

const INSERT: Statement = Statement {
    name: "tasks_insert",
    pg: "INSERT INTO task (id, request, controller, system, stage, due_at, demand, deadline_at, digest, sealed, \
         steps, rejections, created_at) \
         SELECT *, 0, 0, $11 FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::int8[], \
         $7::text[], $8::int8[], $9::bytea[], $10::bytea[])",
    lite: "INSERT INTO task (id, request, controller, system, stage, due_at, demand, deadline_at, digest, sealed, \
           steps, rejections, created_at) \
           SELECT unhex(value ->> 0), unhex(value ->> 1), unhex(value ->> 2), unhex(value ->> 3), value ->> 4, \
           value ->> 5, value ->> 6, value ->> 7, unhex(value ->> 8), unhex(value ->> 9), 0, 0, $2 \
           FROM jsonb_each($1)",
};

pub(crate) const ALL: &[&[Statement]] = &[
    &[INSERT],
    alarms::ALL,
    claim::ALL,
    fetch::ALL,
    record::ALL,
    release::ALL,
    remind::ALL,
    restart::ALL,
];

/// A planned task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// Its id, which its system sees on every attempt.
    pub id: TaskId,
    /// The request.
    pub request: RequestId,
    /// Whose data it is about.
    pub controller: ControllerId,
    /// Where it goes.
    pub system: SystemId,
    /// Held or due.
    pub stage: TaskStage,
    /// The evidence that closes it.
    pub demand: EvidenceLevel,
    /// When the request's answer is due.
    pub deadline: Timestamp,
    /// SHA-256 of the body.
    pub digest: [u8; 32],
    /// The body, sealed as [`BODY`].
    pub sealed: Vec<u8>,
}

/// Stores planned tasks. Their lanes are woken by the caller, for those whose systems are sent to.
pub async fn insert(tx: &mut Tx, tasks: &[NewTask], now: Timestamp) -> Result<(), DbError> {
    if tasks.is_empty() {
        return Ok(());
    }
    let args = Args::new()
        .uuids(tasks.iter().map(|task| task.id.uuid()))
        .uuids(tasks.iter().map(|task| task.request.uuid()))
        .uuids(tasks.iter().map(|task| task.controller.uuid()))
        .uuids(tasks.iter().map(|task| task.system.uuid()))
        .texts(tasks.iter().map(|task| task.stage.name().as_str()))
        .maybe_ints(tasks.iter().map(|task| due_at(task.stage)))
        .texts(tasks.iter().map(|task| task.demand.as_str()))
        .ints(tasks.iter().map(|task| task.deadline.as_microsecond()))
        .blobs(tasks.iter().map(|task| &task.digest[..]))
        .blobs(tasks.iter().map(|task| task.sealed.as_slice()));
    tx.execute(&INSERT, args.int(now.as_microsecond())).await.map(drop)
}

fn due_at(stage: TaskStage) -> Option<i64> {
    match stage {
        TaskStage::Due(at) => Some(at.as_microsecond()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
