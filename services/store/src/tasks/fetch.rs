//! Tasks that their systems fetch, because nobody can reach them from outside.
//!
//! Such a task has no lane and no owner among the senders: its system asks, gets it for a while, and nobody else gets
//! it meanwhile. If nothing was said about it by then, it is due again. What the system says comes as a receipt, so
//! nobody needs to be told apart by a fence: it is one below every sender's.

use domain::id::{ControllerId, RequestId, SystemId, TaskId};
use jiff::Timestamp;
use platform::db::{Args, Db, DbError, Row, Statement, Tx};
use uuid::Uuid;

/// The earliest due tasks of a system, controller by controller, for those controllers that come after `$3` and up to
/// `$4`: the caller's place in the round, so that one controller's bulk import doesn't hold back another's request.
/// A row that somebody holds is passed over.
macro_rules! lease {
    ($skip:literal) => {
        concat!(
            "UPDATE task SET stage = 'sending', due_at = NULL, fence = 0, started_at = $2, leased_until = $6 \
             WHERE id IN (SELECT id FROM task WHERE system = $1 AND stage = 'due' AND due_at <= $2 \
             AND controller > $3 AND controller <= $4 \
             AND NOT EXISTS (SELECT 1 FROM pause WHERE pause.controller = task.controller) ORDER BY controller, due_at LIMIT $5",
            $skip,
            ") RETURNING id, request, controller, digest, sealed"
        )
    };
}

const LEASE: Statement = Statement {
    name: "tasks_fetch_lease",
    pg: lease!(" FOR UPDATE SKIP LOCKED"),
    lite: lease!(""),
};

/// Those whose time has run out.
macro_rules! over {
    ($skip:literal) => {
        concat!(
            "UPDATE task SET stage = 'due', due_at = $1, leased_until = NULL WHERE id IN (SELECT id FROM task \
             WHERE stage = 'sending' AND leased_until IS NOT NULL AND leased_until <= $1 ORDER BY leased_until LIMIT $2",
            $skip,
            ") RETURNING id"
        )
    };
}

const OVER: Statement = Statement {
    name: "tasks_fetch_over",
    pg: over!(" FOR UPDATE SKIP LOCKED"),
    lite: over!(""),
};

const SYSTEM: Statement = Statement::both("tasks_fetch_system", "SELECT system FROM task WHERE id = $1");

pub(super) const ALL: &[Statement] = &[LEASE, OVER, SYSTEM];

/// Before the first controller.
const FIRST: Uuid = Uuid::nil();

/// After the last one.
const LAST: Uuid = Uuid::max();

/// A task in its system's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its id.
    pub id: TaskId,
    /// The request.
    pub request: RequestId,
    /// Whose data it is about.
    pub controller: ControllerId,
    /// SHA-256 of the body.
    pub digest: [u8; 32],
    /// The body, sealed as [`BODY`](super::BODY); `None` once shredded.
    pub sealed: Option<Vec<u8>>,
}

/// For whom, how many, from when until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The system that asks.
    pub system: SystemId,
    /// The controller that was served last; the round goes on behind it.
    pub after: Option<ControllerId>,
    /// At most so many.
    pub most: i64,
    /// Now.
    pub now: Timestamp,
    /// When what is not answered by then is due again.
    pub until: Timestamp,
}

/// Gives a system its earliest due tasks, in the order of their controllers after the one that was served last.
pub async fn lease(tx: &mut Tx, lease: Lease) -> Result<Vec<Fetched>, DbError> {
    let after = lease.after.map_or(FIRST, ControllerId::uuid);
    let mut fetched = part(tx, lease, after, LAST).await?;
    let left = lease.most - i64::try_from(fetched.len()).unwrap_or(i64::MAX);
    if left > 0 && after != FIRST {
        let rest = Lease { most: left, ..lease };
        fetched.append(&mut part(tx, rest, FIRST, after).await?);
    }
    Ok(fetched)
}

async fn part(tx: &mut Tx, lease: Lease, after: Uuid, up_to: Uuid) -> Result<Vec<Fetched>, DbError> {
    let args = Args::new()
        .uuid(lease.system.uuid())
        .int(lease.now.as_microsecond())
        .uuid(after)
        .uuid(up_to)
        .int(lease.most)
        .int(lease.until.as_microsecond());
    let mut fetched: Vec<Fetched> = tx
        .fetch(&LEASE, args)
        .await?
        .iter()
        .map(read)
        .collect::<Result<_, _>>()?;
    fetched.sort_unstable_by_key(|one| (one.controller, one.id));
    Ok(fetched)
}

/// Makes due again what was fetched and not answered in time; at most `limit` of them. Returns how many.
pub async fn over(tx: &mut Tx, now: Timestamp, limit: i64) -> Result<u64, DbError> {
    let args = Args::new().int(now.as_microsecond()).int(limit);
    tx.execute(&OVER, args).await
}

/// Of which system a task is.
pub async fn system(db: &Db, task: TaskId) -> Result<Option<SystemId>, DbError> {
    let row = db.fetch_optional(&SYSTEM, Args::new().uuid(task.uuid())).await?;
    row.map(|row| Ok(SystemId::from_uuid(row.get(0)?))).transpose()
}

fn read(row: &Row) -> Result<Fetched, DbError> {
    Ok(Fetched {
        id: TaskId::from_uuid(row.get(0)?),
        request: RequestId::from_uuid(row.get(1)?),
        controller: ControllerId::from_uuid(row.get(2)?),
        digest: row.bytes(3, "a task's digest is not 32 bytes")?,
        sealed: row.get(4)?,
    })
}
