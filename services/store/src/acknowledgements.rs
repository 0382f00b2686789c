//! Which requests a controller's notices system has acknowledgements of.
//!
//! A controller's requests are numbered densely by the transactions that accept them, each holding the counter until
//! its COMMIT; so numbers become visible in their order, and one number per controller says what is still to be
//! acknowledged. Accepting writes nothing for it. Two processes that acknowledge the same requests meet at that number:
//! it is moved from where it was read, or not at all.

use domain::id::{ControllerId, RequestId, SystemId};
use domain::right::Right;
use jiff::Timestamp;
use platform::db::{Args, Db, DbError, Row, Statement, Tx};

/// Who has a notices system from now on is told of what comes from then on, even of what came before we looked.
const BEGIN: Statement = Statement {
    name: "acknowledgements_begin",
    pg: "INSERT INTO notice_cursor (controller, last) SELECT wanted.controller, COALESCE((SELECT intake.seq \
         FROM intake JOIN request ON request.id = intake.request WHERE intake.controller = wanted.controller \
         AND request.accepted_at < wanted.since ORDER BY intake.seq DESC LIMIT 1), 0) \
         FROM UNNEST($1::uuid[], $2::int8[]) AS wanted (controller, since) \
         WHERE NOT EXISTS (SELECT 1 FROM notice_cursor AS known WHERE known.controller = wanted.controller) \
         ON CONFLICT DO NOTHING",
    lite: "INSERT INTO notice_cursor (controller, last) SELECT wanted.controller, COALESCE((SELECT intake.seq \
           FROM intake JOIN request ON request.id = intake.request WHERE intake.controller = wanted.controller \
           AND request.accepted_at < wanted.since ORDER BY intake.seq DESC LIMIT 1), 0) \
           FROM (SELECT unhex(value ->> 0) AS controller, value ->> 1 AS since FROM json_each($1)) AS wanted \
           WHERE NOT EXISTS (SELECT 1 FROM notice_cursor AS known WHERE known.controller = wanted.controller) \
           ON CONFLICT DO NOTHING",
};

const END: Statement = Statement {
    name: "acknowledgements_end",
    pg: "DELETE FROM notice_cursor WHERE controller <> ALL($1)",
    lite: "DELETE FROM notice_cursor WHERE controller NOT IN (SELECT unhex(value ->> 0) FROM json_each($1))",
};

const OWED: Statement = Statement::both(
    "acknowledgements_owed",
    "SELECT intake.controller, behind.last, intake.seq, intake.request, request.received_at, request.exercised \
     FROM (SELECT counter.controller, told.last FROM notice_cursor AS told \
     JOIN intake_counter AS counter ON counter.controller = told.controller WHERE counter.last > told.last \
     ORDER BY counter.controller LIMIT $1) AS behind \
     JOIN intake ON intake.controller = behind.controller \
     AND intake.seq > behind.last AND intake.seq <= behind.last + $2 \
     JOIN request ON request.id = intake.request ORDER BY intake.controller, intake.seq",
);

const ADVANCE: Statement = Statement {
    name: "acknowledgements_advance",
    pg: "UPDATE notice_cursor SET last = new.last FROM UNNEST($1::uuid[], $2::int8[], $3::int8[]) \
         AS new (controller, before, last) WHERE notice_cursor.controller = new.controller \
         AND notice_cursor.last = new.before RETURNING notice_cursor.controller",
    lite: "UPDATE notice_cursor SET last = new.value ->> 2 FROM json_each($1) AS new \
           WHERE notice_cursor.controller = unhex(new.value ->> 0) AND notice_cursor.last = (new.value ->> 1) \
           RETURNING notice_cursor.controller",
};

pub(crate) const ALL: &[&[Statement]] = &[&[BEGIN, END, OWED, ADVANCE]];

/// A request that is to be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owed {
    /// Whose it is.
    pub controller: ControllerId,
    /// Up to which number its controller was told when this was read.
    pub before: i64,
    /// Its number among its controller's.
    pub seq: i64,
    /// The request.
    pub request: RequestId,
    /// When the person asked.
    pub received_at: Timestamp,
    /// What for.
    pub right: Right,
}

/// Begins with controllers that have a notices system by now, each from when that came to be, and forgets those that
/// have none any more.
pub async fn keep(tx: &mut Tx, notices: &[(ControllerId, SystemId)]) -> Result<(), DbError> {
    let controllers = || Args::new().uuids(notices.iter().map(|(controller, _)| controller.uuid()));
    tx.execute(&END, controllers()).await?;
    let args = controllers().ints(notices.iter().map(|(_, system)| since(*system)));
    tx.execute(&BEGIN, args).await.map(drop)
}

/// When a system was registered: its id says so.
fn since(system: SystemId) -> i64 {
    let time = system.uuid().get_timestamp();
    time.map_or(0, |time| {
        let (seconds, nanoseconds) = time.to_unix();
        i64::try_from(seconds * 1_000_000 + u64::from(nanoseconds) / 1_000).unwrap_or(0)
    })
}

/// What is owed, in the order of its numbers: of some controllers, at most `each` of each.
pub async fn owed(db: &Db, controllers: i64, each: i64) -> Result<Vec<Owed>, DbError> {
    let rows = db.fetch(&OWED, Args::new().int(controllers).int(each)).await?;
    let read = |row: &Row| {
        Ok(Owed {
            controller: ControllerId::from_uuid(row.get(0)?),
            before: row.get(1)?,
            seq: row.get(2)?,
            request: RequestId::from_uuid(row.get(3)?),
            received_at: crate::instant(row.get(4)?)?,
            right: row.parse(5, "a request's right is unknown")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Moves controllers' numbers, each from where it was read to where it is now; returns those that were there still.
pub async fn advance(tx: &mut Tx, moves: &[(ControllerId, i64, i64)]) -> Result<Vec<ControllerId>, DbError> {
    let args = Args::new()
        .uuids(moves.iter().map(|(controller, ..)| controller.uuid()))
        .ints(moves.iter().map(|(_, before, _)| *before))
        .ints(moves.iter().map(|(.., last)| *last));
    let rows = tx.fetch(&ADVANCE, args).await?;
    rows.iter()
        .map(|row| Ok(ControllerId::from_uuid(row.get(0)?)))
        .collect()
}
