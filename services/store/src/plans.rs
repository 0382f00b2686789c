//! Plans: which systems a request must reach, and from what that was computed.
//!
//! A request has one plan for ever; the row's key holds that, whatever is delivered twice. A plan names the snapshot
//! and the instruction that it was made from, and both are read from here as they stood then: a newer edition that
//! replaced them meanwhile must not change what an auditor computes again.

use domain::id::{ControllerId, InstructionId, RequestId};
use domain::plan::Instruct;
use domain::registration::{Instruction, System};
use jiff::Timestamp;
use platform::db::{Args, Db, DbError, Row, Statement, Tx};
use serde::de::DeserializeOwned;
use uuid::Uuid;

const INSERT: Statement = Statement {
    name: "plans_insert",
    pg: "INSERT INTO plan (request, controller, snapshot, instruction, instruct, planned_at) \
         SELECT *, $6 FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[])",
    lite: "INSERT INTO plan (request, controller, snapshot, instruction, instruct, planned_at) \
           SELECT unhex(value ->> 0), unhex(value ->> 1), unhex(value ->> 2), unhex(value ->> 3), value ->> 4, $2 \
           FROM jsonb_each($1)",
};

const UNPLANNED: Statement = Statement::both(
    "plans_unplanned",
    // SQLite finds the partial index only by its own words.
    "SELECT id FROM request WHERE stage = 'ready' AND stage <> 'closed' AND accepted_at <= $1 AND id > $2 \
     ORDER BY id LIMIT $3",
);

const SNAPSHOTS: Statement = Statement {
    name: "plans_snapshots",
    pg: "SELECT id, body FROM registry_snapshot WHERE id = ANY($1)",
    lite: "SELECT id, body FROM registry_snapshot WHERE id IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))",
};

const INSTRUCTIONS: Statement = Statement {
    name: "plans_instructions",
    pg: "SELECT id, body FROM instruction WHERE id = ANY($1)",
    lite: "SELECT id, body FROM instruction WHERE id IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))",
};

pub(crate) const ALL: &[&[Statement]] = &[&[INSERT, UNPLANNED, SNAPSHOTS, INSTRUCTIONS]];

/// A plan, without its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewPlan {
    /// The request.
    pub request: RequestId,
    /// Whose data it is about.
    pub controller: ControllerId,
    /// The registry snapshot that it was computed from.
    pub snapshot: Uuid,
    /// The instruction that was applied.
    pub instruction: InstructionId,
    /// What that means for the plan.
    pub instruct: Instruct,
}

/// Stores plans.
pub async fn insert(tx: &mut Tx, plans: &[NewPlan], now: Timestamp) -> Result<(), DbError> {
    if plans.is_empty() {
        return Ok(());
    }
    let args = Args::new()
        .uuids(plans.iter().map(|plan| plan.request.uuid()))
        .uuids(plans.iter().map(|plan| plan.controller.uuid()))
        .uuids(plans.iter().map(|plan| plan.snapshot))
        .uuids(plans.iter().map(|plan| plan.instruction.uuid()))
        .texts(plans.iter().map(|plan| plan.instruct.as_str()));
    tx.execute(&INSERT, args.int(now.as_microsecond())).await.map(drop)
}

/// Requests that were accepted at `before` or earlier, are ready and have no plan yet; in the order of their ids,
/// those after `after`.
pub async fn unplanned(
    db: &Db,
    before: Timestamp,
    after: Option<RequestId>,
    limit: i64,
) -> Result<Vec<RequestId>, DbError> {
    let args = Args::new()
        .int(before.as_microsecond())
        .uuid(after.map_or(Uuid::nil(), RequestId::uuid))
        .int(limit);
    let rows = db.fetch(&UNPLANNED, args).await?;
    rows.iter().map(|row| Ok(RequestId::from_uuid(row.get(0)?))).collect()
}

/// The systems of snapshots, in whatever state they are by now.
pub async fn snapshots(tx: &mut Tx, ids: &[Uuid]) -> Result<Vec<(Uuid, Vec<System>)>, DbError> {
    bodies(tx, &SNAPSHOTS, ids).await
}

/// Instructions, in whatever state they are by now.
pub async fn instructions(tx: &mut Tx, ids: &[InstructionId]) -> Result<Vec<(InstructionId, Instruction)>, DbError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let bodies = bodies(tx, &INSTRUCTIONS, &ids).await?;
    Ok(bodies
        .into_iter()
        .map(|(id, body)| (InstructionId::from_uuid(id), body))
        .collect())
}

async fn bodies<T: DeserializeOwned>(
    tx: &mut Tx,
    statement: &Statement,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, T)>, DbError> {
    if ids.is_empty() {
        return Ok(vec![]);
    }
    let rows = tx.fetch(statement, Args::new().uuids(ids.iter().copied())).await?;
    let read = |row: &Row| {
        let body = serde_json::from_str(&row.get::<String>(1)?);
        Ok((
            row.get(0)?,
            body.map_err(|_| DbError::Inconsistent("a registration can't be read"))?,
        ))
    };
    rows.iter().map(read).collect()
}
