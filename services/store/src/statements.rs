//! Statements: what we signed ourselves about a request or task, kept as receipts are.

use domain::id::{EntryId, RequestId, TaskId, UserId};
use jiff::Timestamp;
use platform::db::{Args, DbError, Statement, Tx};

/// What a statement's bytes are sealed as, under its request's evidence key.
pub const JWS: &str = "statement.jws";

const INSERT: Statement = Statement {
    name: "statements_insert",
    pg: "INSERT INTO statement (id, request, task, kind, approver, sealed, made_at) \
         SELECT *, $7 FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bytea[])",
    lite: "INSERT INTO statement (id, request, task, kind, approver, sealed, made_at) \
           SELECT unhex(value ->> 0), unhex(value ->> 1), unhex(value ->> 2), value ->> 3, value ->> 4, \
           unhex(value ->> 5), $2 FROM jsonb_each($1)",
};

pub(crate) const ALL: &[&[Statement]] = &[&[INSERT]];

/// A signed statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewStatement {
    /// The entry that logs it, and its own id.
    pub entry: EntryId,
    /// The request.
    pub request: RequestId,
    /// The task, if it is about one.
    pub task: Option<TaskId>,
    /// What it says, in the word of the entry.
    pub kind: String,
    /// Who approved it, where somebody had to.
    pub approver: Option<UserId>,
    /// Its bytes, sealed as [`JWS`].
    pub sealed: Vec<u8>,
}

/// Stores statements.
pub async fn insert(tx: &mut Tx, statements: &[NewStatement], now: Timestamp) -> Result<(), DbError> {
    let approvers: Vec<Option<String>> = statements
        .iter()
        .map(|statement| statement.approver.map(|approver| approver.to_string()))
        .collect();
    let args = Args::new()
        .uuids(statements.iter().map(|statement| statement.entry.uuid()))
        .uuids(statements.iter().map(|statement| statement.request.uuid()))
        .maybe_uuids(statements.iter().map(|statement| statement.task.map(TaskId::uuid)))
        .texts(statements.iter().map(|statement| statement.kind.as_str()))
        .maybe_texts(approvers.iter().map(Option::as_deref))
        .blobs(statements.iter().map(|statement| statement.sealed.as_slice()));
    tx.execute(&INSERT, args.int(now.as_microsecond())).await.map(drop)
}
