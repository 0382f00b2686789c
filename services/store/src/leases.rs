//! Who sends for which system, and when.
//!
//! A worker renews one row, its own; an endpoint's lease is written only when it changes hands, and its fence grows
//! then, so that a former holder's writes can be told apart. Lanes say when a controller's next task, or message, for a
//! system is due; only lanes whose time has come are ever looked at, however much waits elsewhere. Tasks and messages
//! have lanes of their own, so one look finds both, and who claims tasks never asks for messages that aren't there.
//!
//! What carries correctness is the order of locks: whoever makes a task due writes the task first and then calls
//! [`wake`]; whoever claims takes the lane first, then looks at the tasks. So no wake-up is lost between the two.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::id::{ControllerId, SystemId};
use domain::task::Fence;
use jiff::Timestamp;
use platform::db::{Args, Db, DbError, Row, Statement, Tx};
use uuid::Uuid;

const RENEW: Statement = Statement::both(
    "leases_renew",
    "INSERT INTO worker (id, until) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET until = excluded.until",
);

const RELEASE: Statement = Statement::both(
    "leases_release",
    "UPDATE endpoint_lease SET worker = NULL WHERE worker = $1",
);

const RETIRE: Statement = Statement::both("leases_retire", "DELETE FROM worker WHERE id = $1");

/// Workers that ended without a word; their ids never come back.
const FORGET: Statement = Statement::both("leases_forget", "DELETE FROM worker WHERE until < $1");

/// Lanes whose time has come and whose system is ours or nobody's; those of busy systems are left out, so that a
/// dead endpoint's lanes don't stand in the way of others, and so are those of paused controllers.
const DUE: Statement = Statement {
    name: "leases_due",
    pg: "SELECT lane.system, lane.controller, lane.freight, CASE WHEN lease.worker = $2 THEN lease.fence END FROM lane \
         LEFT JOIN endpoint_lease AS lease ON lease.system = lane.system \
         LEFT JOIN worker ON worker.id = lease.worker \
         WHERE lane.next_due <= $3 AND lane.system <> ALL($1) \
         AND (lease.worker IS NULL OR lease.worker = $2 OR worker.until IS NULL OR worker.until < $3) \
         AND NOT EXISTS (SELECT 1 FROM pause WHERE pause.controller = lane.controller) \
         ORDER BY lane.next_due LIMIT $4",
    lite: "SELECT lane.system, lane.controller, lane.freight, CASE WHEN lease.worker = $2 THEN lease.fence END FROM lane \
           LEFT JOIN endpoint_lease AS lease ON lease.system = lane.system \
           LEFT JOIN worker ON worker.id = lease.worker \
           WHERE lane.next_due <= $3 AND lane.system NOT IN (SELECT unhex(value ->> 0) FROM jsonb_each($1)) \
           AND (lease.worker IS NULL OR lease.worker = $2 OR worker.until IS NULL OR worker.until < $3) \
           AND NOT EXISTS (SELECT 1 FROM pause WHERE pause.controller = lane.controller) \
           ORDER BY lane.next_due LIMIT $4",
};

const NEXT: Statement = Statement::both("leases_next", "SELECT MIN(next_due) FROM lane WHERE next_due > $1");

/// Sorted, so that two who take several endpoints meet in one order.
const TAKE: Statement = Statement {
    name: "leases_take",
    pg: "INSERT INTO endpoint_lease (system, worker, fence) \
         SELECT system, $2, 1 FROM UNNEST($1::uuid[]) AS wanted (system) ORDER BY system \
         ON CONFLICT (system) DO UPDATE SET worker = excluded.worker, fence = endpoint_lease.fence + 1 \
         WHERE endpoint_lease.worker IS NULL OR NOT EXISTS \
         (SELECT 1 FROM worker WHERE worker.id = endpoint_lease.worker AND worker.until >= $3) \
         RETURNING system, fence, open_until, opened",
    lite: "INSERT INTO endpoint_lease (system, worker, fence) \
           SELECT unhex(value ->> 0), $2, 1 FROM jsonb_each($1) WHERE true \
           ON CONFLICT (system) DO UPDATE SET worker = excluded.worker, fence = endpoint_lease.fence + 1 \
           WHERE endpoint_lease.worker IS NULL OR NOT EXISTS \
           (SELECT 1 FROM worker WHERE worker.id = endpoint_lease.worker AND worker.until >= $3) \
           RETURNING system, fence, open_until, opened",
};

/// Only its holder's word counts.
const TURN: Statement = Statement::both(
    "leases_turn",
    "UPDATE endpoint_lease SET open_until = $3, opened = $4 WHERE system = $1 AND worker = $2",
);

const WAKE: Statement = Statement {
    name: "leases_wake",
    pg: "INSERT INTO lane (system, controller, next_due, freight) \
         SELECT *, $4 FROM UNNEST($1::uuid[], $2::uuid[], $3::int8[]) ON CONFLICT (system, controller, freight) \
         DO UPDATE SET next_due = LEAST(lane.next_due, excluded.next_due)",
    // SQLite's two-argument MIN is NULL if one of them is.
    lite: "INSERT INTO lane (system, controller, next_due, freight) \
           SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, $2 FROM jsonb_each($1) WHERE true \
           ON CONFLICT (system, controller, freight) \
           DO UPDATE SET next_due = MIN(COALESCE(lane.next_due, excluded.next_due), excluded.next_due)",
};

pub(crate) const ALL: &[&[Statement]] = &[&[RENEW, RELEASE, RETIRE, FORGET, DUE, NEXT, TAKE, TURN, WAKE]];

/// A worker that has been silent for so long is not coming back; its row is of no use.
const FORGET_AFTER: Duration = Duration::from_hours(1);

/// What waits in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Freight {
    /// Tasks.
    Tasks,
    /// Messages beside them.
    Messages,
}

impl Freight {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Tasks => "task",
            Self::Messages => "message",
        }
    }

    fn parse(word: &str) -> Result<Self, DbError> {
        match word {
            "task" => Ok(Self::Tasks),
            "message" => Ok(Self::Messages),
            _ => Err(DbError::Inconsistent("a lane's freight is unknown")),
        }
    }
}

/// A lane whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueLane {
    /// The system.
    pub system: SystemId,
    /// The controller.
    pub controller: ControllerId,
    /// What waits in it.
    pub freight: Freight,
    /// Our fence, if the system is ours; otherwise it is to be taken.
    pub fence: Option<Fence>,
}

/// An endpoint that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The system.
    pub system: SystemId,
    /// Our fence.
    pub fence: Fence,
    /// Its breaker, if the last holder left it open.
    pub breaker: Option<OpenBreaker>,
}

/// A breaker that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenBreaker {
    /// When the next probe may go.
    pub until: Timestamp,
    /// How often it opened in a row.
    pub times: i64,
}

/// Renews a worker until then.
pub async fn renew(db: &Db, worker: Uuid, until: Timestamp) -> Result<(), DbError> {
    let args = Args::new().uuid(worker).int(until.as_microsecond());
    db.execute(&RENEW, args).await.map(drop)
}

/// Gives everything of a worker back and forgets it, together with those that ended without a word.
pub async fn retire(db: &Db, worker: Uuid, now: Timestamp) -> Result<(), DbError> {
    let long_ago = now - FORGET_AFTER;
    db.execute(&RELEASE, Args::new().uuid(worker)).await?;
    db.execute(&RETIRE, Args::new().uuid(worker)).await?;
    db.execute(&FORGET, Args::new().int(long_ago.as_microsecond())).await?;
    Ok(())
}

/// The lanes whose time has come, of systems that are this worker's or nobody's, but for `busy` ones.
pub async fn due(
    db: &Db,
    worker: Uuid,
    busy: &[SystemId],
    now: Timestamp,
    limit: i64,
) -> Result<Vec<DueLane>, DbError> {
    let args = Args::new()
        .uuids(busy.iter().map(|system| system.uuid()))
        .uuid(worker)
        .int(now.as_microsecond())
        .int(limit);
    let read = |row: &Row| {
        Ok(DueLane {
            system: SystemId::from_uuid(row.get(0)?),
            controller: ControllerId::from_uuid(row.get(1)?),
            freight: Freight::parse(&row.get::<String>(2)?)?,
            fence: row.get(3)?,
        })
    };
    db.fetch(&DUE, args).await?.iter().map(read).collect()
}

/// When the next lane's time comes, if one waits.
pub async fn next(db: &Db, now: Timestamp) -> Result<Option<Timestamp>, DbError> {
    let row = db.fetch_optional(&NEXT, Args::new().int(now.as_microsecond())).await?;
    let next: Option<i64> = row.map(|row| row.get(0)).transpose()?.flatten();
    next.map(crate::instant).transpose()
}

/// Takes endpoints that are nobody's by now; returns those that were got, each with its new fence.
pub async fn take(tx: &mut Tx, worker: Uuid, systems: &[SystemId], now: Timestamp) -> Result<Vec<Taken>, DbError> {
    let distinct: BTreeSet<Uuid> = systems.iter().map(|system| system.uuid()).collect();
    let args = Args::new().uuids(distinct).uuid(worker).int(now.as_microsecond());
    tx.fetch(&TAKE, args).await?.iter().map(taken).collect()
}

fn taken(row: &Row) -> Result<Taken, DbError> {
    let until: Option<i64> = row.get(2)?;
    let times = row.get(3)?;
    let open = |until| {
        let until = crate::instant(until)?;
        Ok::<_, DbError>(OpenBreaker { until, times })
    };
    Ok(Taken {
        system: SystemId::from_uuid(row.get(0)?),
        fence: row.get(1)?,
        breaker: until.map(open).transpose()?,
    })
}

/// Notes that the breaker of an endpoint opened, or closed; nothing if the endpoint is not this worker's any more.
pub async fn turn(db: &Db, worker: Uuid, system: SystemId, breaker: Option<OpenBreaker>) -> Result<(), DbError> {
    let args = Args::new()
        .uuid(system.uuid())
        .uuid(worker)
        .maybe_int(breaker.map(|open| open.until.as_microsecond()))
        .int(breaker.map_or(0, |open| open.times));
    db.execute(&TURN, args).await.map(drop)
}

/// Says when tasks of lanes are due; to be called after the tasks were written, in the same transaction.
pub async fn wake(
    tx: &mut Tx,
    due: impl IntoIterator<Item = (SystemId, ControllerId, Timestamp)>,
) -> Result<(), DbError> {
    wake_lanes(tx, Freight::Tasks, due).await
}

/// Says when messages of lanes are due, as [`wake`] does for tasks.
pub async fn wake_messages(
    tx: &mut Tx,
    due: impl IntoIterator<Item = (SystemId, ControllerId, Timestamp)>,
) -> Result<(), DbError> {
    wake_lanes(tx, Freight::Messages, due).await
}

async fn wake_lanes(
    tx: &mut Tx,
    freight: Freight,
    due: impl IntoIterator<Item = (SystemId, ControllerId, Timestamp)>,
) -> Result<(), DbError> {
    let mut earliest = BTreeMap::new();
    for (system, controller, at) in due {
        let known = earliest.entry((system, controller)).or_insert(at);
        *known = at.min(*known);
    }
    if earliest.is_empty() {
        return Ok(());
    }
    let args = Args::new()
        .uuids(earliest.keys().map(|(system, _)| system.uuid()))
        .uuids(earliest.keys().map(|(_, controller)| controller.uuid()))
        .ints(earliest.values().map(|at| at.as_microsecond()))
        .text(freight.as_str());
    tx.execute(&WAKE, args).await.map(drop)
}
