use domain::assurance::AssuranceLevel;
use domain::id::ControllerId;
use platform::db::{Db, DbOptions, connect};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::scope::{Among, Scope};

const NOW: i64 = 1_777_885_200_000_000;

/// A migrated database in a folder that goes with it.
async fn database() -> (TempDir, Db) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("router.db").display());
    let options = DbOptions {
        max_connections: 1,
        application: "test",
    };
    let db = connect(&url, &options).await.unwrap();
    db.migrate(&crate::MIGRATIONS).await.unwrap();
    (folder, db)
}

fn now() -> Timestamp {
    Timestamp::from_microsecond(NOW).unwrap()
}

fn request(number: u128) -> RequestId {
    RequestId::from_uuid(Uuid::from_u128(number))
}

fn controller(number: u128) -> ControllerId {
    ControllerId::from_uuid(Uuid::from_u128(number))
}

fn row(number: u8, key: u8, whose: u128, right: Right) -> NewRow {
    NewRow {
        id: request(number.into()),
        digest: [key; 32],
        body_digest: [1; 32],
        controller: controller(whose),
        stage: StageName::Ready,
        version: 2,
        right,
        channel: Channel::Whatsapp,
        product: Some("smart-reply".to_owned()),
        binding: None,
        door: Door::Rest,
        assurance: Assurance {
            level: AssuranceLevel::None,
            at: now(),
            evidence: Some([number; 32]),
        },
        jurisdiction: None,
        locale: Some("ar".to_owned()),
        regime: "gdpr".to_owned(),
        regime_version: "2026.1".to_owned(),
        zone: "UTC".to_owned(),
        received_at: now(),
        due_at: now(),
        instruction: None,
        status_digest: [number; 32],
        answer: vec![number],
        sealed: vec![7],
    }
}

async fn store(db: &Db, rows: &[NewRow]) -> Vec<Placed> {
    let rows = rows.to_vec();
    let work = db.transaction("test", move |tx| {
        let rows = rows.clone();
        Box::pin(async move { accept(tx, &rows, now()).await })
    });
    work.await.unwrap()
}

fn before(number: u8) -> Placed {
    Placed::Before(First {
        request: request(number.into()),
        body_digest: [1; 32],
        answer: vec![number],
    })
}

fn new(intake_seq: i64) -> Placed {
    Placed::New { intake_seq }
}

#[tokio::test]
async fn new_ones_are_numbered_and_repeats_get_the_first() {
    let (_folder, db) = database().await;
    let rights = Right::Deletion;
    let batch = [
        row(1, 9, 7, rights),
        row(2, 8, 7, rights),
        row(3, 9, 7, rights),
        row(4, 4, 5, rights),
    ];
    assert_eq!(store(&db, &batch).await, [new(1), new(2), before(1), new(1)]);
    assert_eq!(
        store(&db, &[row(5, 5, 7, rights), row(6, 8, 7, rights)]).await,
        [new(3), before(2)]
    );
    assert_eq!(
        store(&db, &[row(2, 8, 7, rights)]).await,
        [before(2)],
        "the same row again"
    );
    let found = firsts(&db, &[[8; 32], [77; 32]]).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[&[8; 32]].request, request(2));
}

#[tokio::test]
async fn a_scope_hides_what_it_does_not_cover() {
    let (_folder, db) = database().await;
    let rows = [
        row(1, 1, 7, Right::Deletion),
        row(2, 2, 8, Right::Deletion),
        row(3, 3, 7, Right::OptOut),
        row(4, 4, 7, Right::Deletion),
    ];
    store(&db, &rows).await;
    let scope = Scope {
        controllers: Among::Only(vec![controller(7)]),
        rights: Among::Only(vec![Right::Deletion, Right::Access]),
    };
    let ids = async |scope: &Scope, filter: Filter, before: Option<RequestId>, limit| {
        let page = page(&db, scope, &filter, before, limit).await.unwrap();
        page.iter().map(|shown| shown.id.uuid().as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&Scope::EVERYTHING, Filter::default(), None, 99).await, [4, 3, 2, 1]);
    assert_eq!(
        ids(&Scope::EVERYTHING, Filter::default(), Some(request(4)), 2).await,
        [3, 2]
    );
    assert_eq!(ids(&scope, Filter::default(), None, 99).await, [4, 1]);
    let opt_outs = Filter {
        right: Some(Right::OptOut),
        ..Filter::default()
    };
    assert_eq!(ids(&Scope::EVERYTHING, opt_outs.clone(), None, 99).await, [3]);
    assert_eq!(ids(&scope, opt_outs, None, 99).await, [0; 0]);
    let foreign = Filter {
        controller: Some(controller(8)),
        ..Filter::default()
    };
    assert_eq!(ids(&scope, foreign.clone(), None, 99).await, [0; 0]);
    assert_eq!(ids(&Scope::EVERYTHING, foreign, None, 99).await, [2]);

    let shown = show(&db, &scope, request(1)).await.unwrap().unwrap();
    assert_eq!(
        (shown.assurance, shown.jurisdiction, shown.locale),
        (rows[0].assurance.clone(), None, rows[0].locale.clone())
    );
    assert_eq!(show(&db, &scope, request(2)).await.unwrap(), None);
    assert_eq!(show(&db, &scope, request(99)).await.unwrap(), None);
    assert_eq!(by_status(&db, [3; 32]).await.unwrap().unwrap().id, request(3));
    assert_eq!(existing(&db, &[request(9), request(4)]).await.unwrap(), [request(4)]);
}

#[tokio::test]
async fn a_locked_request_comes_with_its_details() {
    let (_folder, db) = database().await;
    store(&db, &[row(1, 1, 7, Right::Deletion), row(2, 2, 7, Right::Access)]).await;
    let work = db.transaction("test", |tx| {
        Box::pin(async move { lock(tx, &[request(2), request(9), request(1)]).await })
    });
    let locked = work.await.unwrap();
    let found: Vec<_> = locked
        .iter()
        .map(|(shown, sealed)| (shown.id, shown.right, sealed.clone()))
        .collect();
    let details = Some(vec![7]);
    assert_eq!(
        found,
        [
            (request(1), Right::Deletion, details.clone()),
            (request(2), Right::Access, details)
        ]
    );
}
