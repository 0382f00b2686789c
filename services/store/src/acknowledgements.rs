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
           FROM (SELECT unhex(value ->> 0) AS controller, value ->> 1 AS since FROM jsonb_each($1)) AS wanted \
           WHERE NOT EXISTS (SELECT 1 FROM notice_cursor AS known WHERE known.controller = wanted.controller) \
           ON CONFLICT DO NOTHING",
};

const END: Statement = Statement {
    name: "acknowledgements_end",
    pg: "DELETE FROM notice_cursor WHERE controller <> ALL($1)",
    lite: "DELETE FROM notice_cursor WHERE controller NOT IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))",
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
    lite: "UPDATE notice_cursor SET last = new.value ->> 2 FROM jsonb_each($1) AS new \
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

#[cfg(test)]
mod tests {
    use platform::chance::{SeededRng, bytes};

    use super::*;
    use crate::Store;
    use crate::fixture::on_each_engine;

    const ACCEPT: Statement = Statement::both(
        "test_accept",
        "INSERT INTO request (id, digest, body_digest, controller, stage, version, exercised, channel, door, \
         assurance, assured_at, regime, regime_version, zone, received_at, accepted_at, due_at, status_digest, answer) \
         VALUES ($1, $2, $2, $3, 'ready', 1, 'deletion', 'web', 'rest', 'none', 0, 'gdpr', '1', 'UTC', 0, $4, 0, $2, $2)",
    );
    const COUNT: Statement = Statement::both(
        "test_count",
        "INSERT INTO intake_counter (controller, last) VALUES ($1, 1) \
         ON CONFLICT (controller) DO UPDATE SET last = intake_counter.last + 1",
    );
    const NUMBER: Statement = Statement::both(
        "test_number",
        "INSERT INTO intake (controller, seq, request) SELECT $1, last, $2 FROM intake_counter WHERE controller = $1",
    );

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_777_885_200 + second).unwrap()
    }

    async fn accept(store: &Store, rng: &SeededRng, controller: ControllerId, second: i64) {
        let id = RequestId::new(at(second), bytes(rng)).uuid();
        let digest = bytes::<32>(rng);
        let args = Args::new().uuid(id).blob(&digest).uuid(controller.uuid());
        store
            .db()
            .execute(&ACCEPT, args.int(at(second).as_microsecond()))
            .await
            .unwrap();
        store
            .db()
            .execute(&COUNT, Args::new().uuid(controller.uuid()))
            .await
            .unwrap();
        store
            .db()
            .execute(&NUMBER, Args::new().uuid(controller.uuid()).uuid(id))
            .await
            .unwrap();
    }

    async fn keep_these(store: &Store, notices: &[(ControllerId, SystemId)]) {
        let mut tx = store.db().begin().await.unwrap();
        keep(&mut tx, notices).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn numbers(store: &Store, each: i64) -> Vec<i64> {
        let owed = owed(store.db(), 9, each).await.unwrap();
        owed.iter().map(|one| one.seq).collect()
    }

    #[tokio::test]
    async fn what_came_since_there_is_a_notices_system_is_owed_once() {
        on_each_engine(async |store| {
            let rng = SeededRng::new(1);
            let whose = ControllerId::new(at(0), bytes(&rng));
            accept(&store, &rng, whose, 1).await;
            let notices = [(whose, SystemId::new(at(2), bytes(&rng)))];
            for second in [3, 4, 5] {
                accept(&store, &rng, whose, second).await;
            }
            keep_these(&store, &notices).await;
            keep_these(&store, &notices).await;
            assert_eq!(numbers(&store, 9).await, [2, 3, 4], "what came before is not owed");
            assert_eq!(numbers(&store, 2).await, [2, 3]);

            let mut tx = store.db().begin().await.unwrap();
            assert_eq!(advance(&mut tx, &[(whose, 1, 3)]).await.unwrap(), [whose]);
            assert_eq!(
                advance(&mut tx, &[(whose, 1, 4)]).await.unwrap(),
                [],
                "somebody was there before"
            );
            tx.commit().await.unwrap();
            assert_eq!(numbers(&store, 9).await, [4]);

            keep_these(&store, &[]).await;
            assert!(numbers(&store, 9).await.is_empty());
        })
        .await;
    }
}
