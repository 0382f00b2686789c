use platform::db::Db;
use uuid::Uuid;

use super::*;
use crate::fixture::on_each_engine;

const START: i64 = 1_777_885_200;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(START + seconds).unwrap()
}

fn entry(number: u128, request: Option<u128>) -> EntryRow {
    EntryRow {
        id: EntryId::from_uuid(Uuid::from_u128(number)),
        controller: ControllerId::from_uuid(Uuid::from_u128(1)),
        request: request.map(|request| RequestId::from_uuid(Uuid::from_u128(request))),
        kind: 1,
        message: format!("entry {number}").into(),
    }
}

async fn commit(db: &Db, rows: &[EntryRow]) {
    let mut tx = db.begin().await.unwrap();
    put(&mut tx, rows, at(0)).await.unwrap();
    tx.commit().await.unwrap();
}

async fn log(db: &Db, entries: &[(u128, i64)], size: i64) -> Activated {
    let entries: Vec<_> = entries
        .iter()
        .map(|(id, index)| (EntryId::from_uuid(Uuid::from_u128(*id)), *index))
        .collect();
    let mut tx = db.begin().await.unwrap();
    let activated = logged(&mut tx, &entries, size).await.unwrap().activated;
    tx.commit().await.unwrap();
    activated
}

async fn resent(db: &Db, seconds: i64, limit: i64) -> Vec<u128> {
    let mut tx = db.begin().await.unwrap();
    let mut resent = resend(&mut tx, at(seconds), limit).await.unwrap();
    tx.commit().await.unwrap();
    resent.sort();
    resent.iter().map(|entry| entry.uuid().as_u128()).collect()
}

/// One number for each row of a query.
async fn numbers(db: &Db, text: &'static str) -> Vec<i64> {
    let rows = db.fetch(&Statement::both("test", text), Args::new()).await.unwrap();
    rows.iter().map(|row| row.get(0).unwrap()).collect()
}

async fn texts(db: &Db, text: &'static str) -> Vec<String> {
    let rows = db.fetch(&Statement::both("test", text), Args::new()).await.unwrap();
    rows.iter().map(|row| row.get(0).unwrap()).collect()
}

async fn clear_outbox(db: &Db) -> u64 {
    let clear = Statement::both("test", "DELETE FROM outbox");
    db.execute(&clear, Args::new()).await.unwrap()
}

#[tokio::test]
async fn an_entry_goes_out_with_its_change_and_stays_until_it_is_logged() {
    on_each_engine(async |store| {
        let db = store.db();
        commit(db, &[entry(1, Some(7)), entry(2, None)]).await;
        let select = Statement::both("test", "SELECT id, key, value FROM outbox ORDER BY id");
        let rows = db.fetch(&select, Args::new()).await.unwrap();
        let key = |row: &Row| String::from_utf8(row.get::<Vec<u8>>(1).unwrap()).unwrap();
        assert_eq!(key(&rows[0]), RequestId::from_uuid(Uuid::from_u128(7)).to_string());
        assert_eq!(key(&rows[1]), EntryId::from_uuid(Uuid::from_u128(2)).to_string());
        assert_eq!(rows[1].get::<Uuid>(0).unwrap(), Uuid::from_u128(2));
        assert_eq!(rows[1].get::<Vec<u8>>(2).unwrap(), b"entry 2");

        assert_eq!(log(db, &[(2, 0), (9, 1)], 2).await, Activated::Nothing);
        assert_eq!(numbers(db, "SELECT COUNT(*) FROM entry").await, [1]);
        assert_eq!(log(db, &[], 2).await, Activated::Nothing);
    })
    .await;
}

#[tokio::test]
async fn what_stays_unlogged_is_sent_again_ever_more_seldom() {
    on_each_engine(async |store| {
        let db = store.db();
        commit(db, &[entry(1, Some(7)), entry(2, None), entry(3, None)]).await;
        assert!(resent(db, 59, 10).await.is_empty());
        // While its message lies in the outbox, it lies there once.
        assert_eq!(resent(db, 60, 10).await, [1, 2, 3]);
        assert_eq!(clear_outbox(db).await, 3);
        log(db, &[(3, 0)], 1).await;

        // After one minute comes a pause of two, four, … minutes, and of an hour at the most.
        let mut now = 60;
        for pause in [120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600] {
            assert!(resent(db, now + pause - 1, 10).await.is_empty(), "{pause}");
            now += pause;
            assert_eq!(resent(db, now, 10).await, [1, 2], "{pause}");
            let sent = texts(db, "SELECT topic FROM outbox ORDER BY id").await;
            assert_eq!(sent, ["dsr.ledger.v1", "dsr.ledger.v1"]);
            assert_eq!(clear_outbox(db).await, 2);
        }
        assert_eq!(numbers(db, "SELECT resent FROM entry").await, [9, 9]);
    })
    .await;
}

#[tokio::test]
async fn so_many_are_sent_again_as_were_asked_for() {
    on_each_engine(async |store| {
        commit(
            store.db(),
            &(1..=5).map(|number| entry(number, None)).collect::<Vec<_>>(),
        )
        .await;
        let mut all = Vec::new();
        for expected in [2, 2, 1, 0] {
            let some = resent(store.db(), 60, 2).await;
            assert_eq!(some.len(), expected);
            all.extend(some);
        }
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3, 4, 5]);
    })
    .await;
}

#[tokio::test]
async fn a_receipt_learns_its_place_once() {
    const RECEIPT: &str = "INSERT INTO receipt (id, request, task, controller, system, issuer, kid, jti, \
        statement_digest, signer, level, outcome, standing, received_at, entry) \
        VALUES ($1, $1, $1, $1, $1, 'iss', 'kid', $1, $3, 'owner', 'declared', 'completed', 'counted', 0, $2)";
    on_each_engine(async |store| {
        let db = store.db();
        for number in [1, 2] {
            let args = Args::new()
                .uuid(Uuid::from_u128(number))
                .uuid(Uuid::from_u128(number + 10))
                .blob(&[0; 32]);
            db.execute(&Statement::both("test", RECEIPT), args).await.unwrap();
        }
        log(db, &[(11, 40)], 50).await;
        log(db, &[(11, 40), (99, 41)], 60).await;
        assert_eq!(
            numbers(db, "SELECT COALESCE(log_index, -1) FROM receipt ORDER BY id").await,
            [40, -1]
        );
        assert_eq!(
            numbers(db, "SELECT COALESCE(log_size, -1) FROM receipt ORDER BY id").await,
            [50, -1]
        );
    })
    .await;
}

const KEY: Statement = Statement::both(
    "test",
    "INSERT INTO signing_key (id, controller, issuer, kid, jwk, state, entry, changed_at) \
     VALUES ($1, $2, 'iss', 'kid', '{}', 'pending', $3, 0)",
);
const INSTRUCTION: Statement = Statement::both(
    "test",
    "INSERT INTO instruction (id, controller, version, body, state, entry, changed_at) \
     SELECT $1, $2, COALESCE(MAX(version), 0) + 1, '{}', 'pending', $3, 0 FROM instruction",
);
const SNAPSHOT: Statement = Statement {
    name: "test",
    pg: "INSERT INTO registry_snapshot (id, controller, digest, body, state, entry, changed_at) \
         VALUES ($1, $2, '', '{}', 'pending', $3, 0)",
    lite: "INSERT INTO registry_snapshot (id, controller, digest, body, state, entry, changed_at) \
           VALUES ($1, $2, x'', '{}', 'pending', $3, 0)",
};

/// Something of controller `of` that waits for entry `entry`, under the same number.
async fn pend(db: &Db, insert: Statement, entry: u128, of: u128) {
    let ids = [entry, of, entry].map(Uuid::from_u128);
    let args = ids.into_iter().fold(Args::new(), Args::uuid);
    db.execute(&insert, args).await.unwrap();
}

#[tokio::test]
async fn what_waited_for_its_entry_takes_effect_and_ends_what_it_replaces() {
    const INSTRUCTIONS: &str = "SELECT state FROM instruction ORDER BY version";
    const SNAPSHOTS: &str = "SELECT state FROM registry_snapshot ORDER BY id";
    on_each_engine(async |store| {
        let db = store.db();
        pend(db, KEY, 1, 1).await;
        for (entry, of) in [(11, 1), (12, 1), (13, 2), (14, 1)] {
            pend(db, INSTRUCTION, entry, of).await;
        }
        for (entry, of) in [(21, 1), (22, 2), (23, 1)] {
            pend(db, SNAPSHOT, entry, of).await;
        }
        let version = "SELECT version FROM registry_version";
        assert_eq!(log(db, &[(99, 0)], 1).await, Activated::Nothing);
        assert_eq!(numbers(db, version).await, [1]);

        assert_eq!(
            log(db, &[(1, 0), (11, 1), (13, 2), (21, 3), (22, 4)], 5).await,
            Activated::Something
        );
        assert_eq!(texts(db, "SELECT state FROM signing_key").await, ["active"]);
        assert_eq!(
            texts(db, INSTRUCTIONS).await,
            ["active", "pending", "active", "pending"]
        );
        assert_eq!(texts(db, SNAPSHOTS).await, ["active", "active", "pending"]);

        // The third edition is logged before the second, which then comes too late.
        assert_eq!(log(db, &[(14, 5), (23, 6)], 7).await, Activated::Something);
        assert_eq!(
            texts(db, INSTRUCTIONS).await,
            ["replaced", "pending", "active", "active"]
        );
        assert_eq!(texts(db, SNAPSHOTS).await, ["replaced", "active", "active"]);
        assert_eq!(log(db, &[(12, 7)], 8).await, Activated::Something);
        assert_eq!(
            texts(db, INSTRUCTIONS).await,
            ["replaced", "replaced", "active", "active"]
        );
        assert_eq!(numbers(db, version).await, [4]);

        assert_eq!(log(db, &[(1, 0), (12, 7), (23, 6)], 8).await, Activated::Nothing);
        assert_eq!(
            texts(db, INSTRUCTIONS).await,
            ["replaced", "replaced", "active", "active"]
        );
    })
    .await;
}

#[tokio::test]
async fn a_key_that_was_retired_meanwhile_stays_so() {
    on_each_engine(async |store| {
        let db = store.db();
        pend(db, KEY, 1, 1).await;
        let retire = Statement::both("test", "UPDATE signing_key SET state = 'retired', entry = $1");
        db.execute(&retire, Args::new().uuid(Uuid::from_u128(2))).await.unwrap();
        assert_eq!(log(db, &[(1, 0), (2, 1)], 2).await, Activated::Nothing);
        assert_eq!(texts(db, "SELECT state FROM signing_key").await, ["retired"]);
    })
    .await;
}
