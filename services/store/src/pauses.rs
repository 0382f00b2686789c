//! Controllers whose deliveries are paused: nothing of theirs is claimed, and nothing is lost.
//!
//! Their lanes are passed over by whoever looks for due ones ([`leases::due`](crate::leases::due)); deadlines run on.

use domain::id::{ControllerId, UserId};
use jiff::Timestamp;
use platform::db::{Args, Db, DbError, Row, Statement};

use crate::scope::Scope;

const BEGIN: Statement = Statement::both(
    "pauses_begin",
    "INSERT INTO pause (controller, who, since) VALUES ($1, $2, $3) ON CONFLICT (controller) DO NOTHING",
);

const END: Statement = Statement::both("pauses_end", "DELETE FROM pause WHERE controller = $1");

const LIST: Statement = Statement::both(
    "pauses_list",
    "SELECT controller, who, since FROM pause ORDER BY since, controller",
);

pub(crate) const ALL: &[&[Statement]] = &[&[BEGIN, END, LIST]];

/// A controller's pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// Whose deliveries.
    pub controller: ControllerId,
    /// Who paused them.
    pub who: UserId,
    /// When.
    pub since: Timestamp,
}

/// Whether something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// It did.
    Now,
    /// It was so before.
    Before,
}

impl Changed {
    const fn of(rows: u64) -> Self {
        if rows == 0 { Self::Before } else { Self::Now }
    }
}

/// Pauses a controller's deliveries; an earlier pause stays as it is.
pub async fn begin(db: &Db, pause: &Pause) -> Result<Changed, DbError> {
    let args = Args::new()
        .uuid(pause.controller.uuid())
        .uuid(pause.who.uuid())
        .int(pause.since.as_microsecond());
    db.execute(&BEGIN, args).await.map(Changed::of)
}

/// Lets a controller's deliveries go on.
pub async fn end(db: &Db, controller: ControllerId) -> Result<Changed, DbError> {
    let args = Args::new().uuid(controller.uuid());
    db.execute(&END, args).await.map(Changed::of)
}

/// The pauses within a scope, the oldest first.
pub async fn list(db: &Db, scope: &Scope) -> Result<Vec<Pause>, DbError> {
    let read = |row: &Row| {
        Ok(Pause {
            controller: ControllerId::from_uuid(row.get(0)?),
            who: UserId::from_uuid(row.get(1)?),
            since: crate::instant(row.get(2)?)?,
        })
    };
    let all: Vec<Pause> = db
        .fetch(&LIST, Args::new())
        .await?
        .iter()
        .map(read)
        .collect::<Result<_, DbError>>()?;
    Ok(all
        .into_iter()
        .filter(|pause| scope.controllers.includes(&pause.controller))
        .collect())
}
