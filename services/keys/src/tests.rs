use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use platform::clock::Clock as _;
use platform::db::{Args, Row};
use platform::keyring::{KeyClass, Part};

use super::*;
use crate::fixture::{Fixture, on_each_engine, on_postgres, on_sqlite, owner, request};
use crate::log_head::{Kept, LogHead};

const EVIDENCE: &[Part] = &[Part::Root(KeyClass::Evidence)];

/// What another process finds for a request, opened.
async fn read(keys: &KeyStore, class: Class, number: u128, sealed: &[u8]) -> Option<Vec<u8>> {
    let found = keys.load(class, &[request(number)]).await.unwrap();
    found
        .get(&request(number))
        .map(|key| key.open("field", sealed).unwrap())
}

#[tokio::test]
async fn what_one_process_seals_another_opens() {
    on_each_engine(async |fixture| {
        let batch: Vec<_> = (0..50).map(|number| (request(number), owner(number % 7))).collect();
        let made = fixture.keys.create(&batch).await.unwrap();
        assert!(
            made.iter()
                .map(|keys| keys.request)
                .eq(batch.iter().map(|(request, _)| *request))
        );
        let more = fixture.create(50, 3).await;

        let other = fixture.another(Part::ALL).await;
        for (number, keys) in made.iter().chain([&more]).enumerate() {
            let number = number as u128;
            let subject = keys.subject.seal("field", b"words");
            let evidence = keys.evidence.seal("field", b"receipt");
            assert_eq!(read(&other, Class::Subject, number, &subject).await.unwrap(), b"words");
            assert_eq!(
                read(&other, Class::Evidence, number, &evidence).await.unwrap(),
                b"receipt"
            );
            assert!(keys.subject.open("field", &evidence).is_err());
        }
        assert!(other.load(Class::Subject, &[request(51)]).await.unwrap().is_empty());
        assert!(fixture.keys.create(&[]).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_make_one_file_at_once_agree() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..10 {
        let url = format!("sqlite:{}", folder.path().join(format!("{round}.db")).display());
        let makers = (0..4).map(|_| {
            let url = url.clone();
            tokio::spawn(async move {
                let options = platform::db::DbOptions {
                    max_connections: 1,
                    application: "test",
                };
                let db = platform::db::connect(&url, &options).await.unwrap();
                db.migrate(&MIGRATIONS).await
            })
        });
        for maker in makers.collect::<Vec<_>>() {
            maker.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_request_has_one_pair_of_keys_for_ever() {
    on_each_engine(async |fixture| {
        let keys = fixture.create(1, 1).await;
        let again = fixture
            .keys
            .create(&[(request(2), owner(1)), (request(1), owner(1))])
            .await;
        assert!(matches!(again, Err(KeyError::Database(error)) if error.is_refusal()));
        let sealed = keys.subject.seal("field", b"words");
        let other = fixture.another(Part::ALL).await;
        assert_eq!(read(&other, Class::Subject, 1, &sealed).await.unwrap(), b"words");
        assert!(
            other.load(Class::Subject, &[request(2)]).await.unwrap().is_empty(),
            "all of a batch or none"
        );
    })
    .await;
}

#[tokio::test]
async fn two_processes_that_begin_a_quarter_use_the_same_keys() {
    on_each_engine(async |fixture| {
        let other = fixture.another(Part::ALL).await;
        let batch = |from: u128| (from..from + 40).map(|n| (request(n), owner(n % 10)));
        let (batch, backwards): (Vec<_>, Vec<_>) = (batch(0).collect(), batch(100).rev().collect());
        let (ours, theirs) = tokio::join!(fixture.keys.create(&batch), other.create(&backwards));
        let third = fixture.another(Part::ALL).await;
        for keys in ours.unwrap().iter().chain(&theirs.unwrap()) {
            let sealed = keys.subject.seal("field", b"words");
            let number = keys.request.uuid().as_u128();
            assert_eq!(read(&third, Class::Subject, number, &sealed).await.unwrap(), b"words");
        }
        assert_eq!(fixture.count("SELECT COUNT(*) FROM wrapping_key").await, 20);
    })
    .await;
}

#[tokio::test]
async fn a_quarter_ends_and_old_keys_still_open() {
    on_each_engine(async |fixture| {
        let keys = fixture.create(1, 1).await;
        let sealed = keys.evidence.seal("field", b"receipt");
        fixture.clock.advance(Duration::from_hours(24 * 92));
        fixture.create(2, 1).await;
        assert_eq!(
            read(&fixture.keys, Class::Evidence, 1, &sealed).await.unwrap(),
            b"receipt"
        );
        assert_eq!(
            fixture.count("SELECT COUNT(DISTINCT quarter) FROM wrapping_key").await,
            2
        );
    })
    .await;
}

#[tokio::test]
async fn without_the_subject_root_persons_stay_unread() {
    on_each_engine(async |fixture| {
        let keys = fixture.create(1, 1).await;
        let ledger = fixture.another(EVIDENCE).await;
        let sealed = keys.evidence.seal("field", b"salt");
        assert_eq!(read(&ledger, Class::Evidence, 1, &sealed).await.unwrap(), b"salt");
        let no_root = |error| matches!(error, KeyError::Keyring(KeyringError::NoKey("subject")));
        assert!(no_root(ledger.load(Class::Subject, &[request(1)]).await.unwrap_err()));
        assert!(no_root(ledger.create(&[(request(2), owner(2))]).await.unwrap_err()));
        assert!(no_root(
            ledger.rewrap(request(1), owner(1), owner(2)).await.unwrap_err()
        ));
        assert_eq!(fixture.count("SELECT COUNT(*) FROM data_key").await, 2);
    })
    .await;
}

#[tokio::test]
async fn a_moved_or_damaged_row_does_not_open() {
    const MOVE: &str = "UPDATE data_key SET wrapped = \
        (SELECT wrapped FROM data_key ORDER BY request, class LIMIT 1) WHERE class = 2 OR request IN \
        (SELECT request FROM data_key ORDER BY request DESC LIMIT 1)";
    const SHORT: Statement = Statement {
        name: "test",
        pg: "UPDATE data_key SET wrapped = decode('01', 'hex')",
        lite: "UPDATE data_key SET wrapped = unhex('01')",
    };
    on_each_engine(async |fixture| {
        fixture.create(1, 1).await;
        fixture.create(2, 1).await;
        for damage in [Statement::both("test", MOVE), SHORT] {
            fixture.keys.db().execute(&damage, Args::new()).await.unwrap();
            let other = fixture.another(Part::ALL).await;
            for (class, number) in [(Class::Evidence, 1), (Class::Subject, 2)] {
                let moved = other.load(class, &[request(number)]).await;
                assert!(matches!(moved, Err(KeyError::Damaged)), "{moved:?}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn shredding_is_final_here_at_once_and_elsewhere_within_a_minute() {
    on_each_engine(async |fixture| {
        let keys = fixture.create(1, 1).await;
        let (words, receipt) = (
            keys.subject.seal("field", b"words"),
            keys.evidence.seal("field", b"receipt"),
        );
        let other = fixture.another(Part::ALL).await;
        assert!(read(&other, Class::Subject, 1, &words).await.is_some());

        assert_eq!(
            fixture
                .keys
                .shred(Class::Subject, &[request(1), request(9)])
                .await
                .unwrap(),
            1
        );
        assert_eq!(read(&fixture.keys, Class::Subject, 1, &words).await, None);
        fixture.clock.advance(Duration::from_mins(1));
        assert_eq!(read(&other, Class::Subject, 1, &words).await, None);
        assert_eq!(read(&other, Class::Evidence, 1, &receipt).await.unwrap(), b"receipt");
        assert_eq!(fixture.keys.shred(Class::Subject, &[request(1)]).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_shredded_key_does_not_lie_in_the_file() {
    on_sqlite(async |fixture| {
        fixture
            .keys
            .create(&(0..50).map(|number| (request(number), owner(1))).collect::<Vec<_>>())
            .await
            .unwrap();
        let select = Statement::both("test", "SELECT wrapped FROM data_key WHERE class = 1");
        let rows = fixture.keys.db().fetch(&select, Args::new()).await.unwrap();
        let wrapped: Vec<Vec<u8>> = rows.iter().map(|row| row.get(0).unwrap()).collect();
        let lying = async || {
            fixture.sql("PRAGMA wal_checkpoint(TRUNCATE)").await;
            let file = std::fs::read(fixture.file()).unwrap();
            wrapped
                .iter()
                .filter(|key| file.windows(key.len()).any(|bytes| bytes == key.as_slice()))
                .count()
        };
        assert_eq!(lying().await, 50);
        let requests: Vec<_> = (0..40).map(request).collect();
        assert_eq!(fixture.keys.shred(Class::Subject, &requests).await.unwrap(), 40);
        assert_eq!(lying().await, 10);
    })
    .await;
}

#[tokio::test]
async fn a_matched_request_lives_under_its_controllers_keys() {
    on_each_engine(async |fixture| {
        let keys = fixture.create(1, 1).await;
        let sealed = keys.subject.seal("field", b"words");
        // A matching in the next quarter stays in the quarter of the keys' making.
        fixture.clock.advance(Duration::from_hours(24 * 92));
        for _ in 0..2 {
            fixture.keys.rewrap(request(1), owner(1), owner(2)).await.unwrap();
        }
        let other = fixture.another(Part::ALL).await;
        assert_eq!(read(&other, Class::Subject, 1, &sealed).await.unwrap(), b"words");
        assert_eq!(
            fixture.count("SELECT COUNT(DISTINCT quarter) FROM wrapping_key").await,
            1
        );

        fixture.sql(
            "DELETE FROM wrapping_key WHERE controller = (SELECT controller FROM wrapping_key ORDER BY controller LIMIT 1)",
        )
        .await;
        let wrong = fixture.keys.rewrap(request(1), owner(1), owner(3)).await;
        assert!(matches!(wrong, Err(KeyError::OtherController)));
        fixture.keys.rewrap(request(7), owner(1), owner(2)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_wrapping_key_that_is_gone_wraps_nothing_more() {
    on_each_engine(async |fixture| {
        fixture.create(1, 1).await;
        for class in Class::ALL {
            fixture.keys.shred(class, &[request(1)]).await.unwrap();
        }
        fixture.sql("DELETE FROM wrapping_key").await;
        let keys = fixture.create(2, 1).await;
        let sealed = keys.subject.seal("field", b"words");
        let other = fixture.another(Part::ALL).await;
        assert_eq!(read(&other, Class::Subject, 2, &sealed).await.unwrap(), b"words");
    })
    .await;
}

#[tokio::test]
async fn only_orphans_are_swept_and_only_old_ones() {
    on_each_engine(async |fixture| {
        let batch: Vec<_> = (1..=5).map(|number| (request(number), owner(1))).collect();
        fixture.keys.create(&batch).await.unwrap();
        assert!(fixture.keys.suspects(10).await.unwrap().is_none());
        fixture.clock.advance(Duration::from_hours(1));
        fixture.create(6, 1).await;

        let existing: HashSet<_> = [2, 4, 6].map(request).into();
        let mut swept = 0;
        while let Some(suspects) = fixture.keys.suspects(2).await.unwrap() {
            assert!(!suspects.requests().contains(&request(6)));
            swept += fixture.keys.sweep_orphans(suspects, &existing).await.unwrap();
        }
        assert_eq!(swept, 3);
        let all: Vec<_> = (1..=6).map(request).collect();
        for class in Class::ALL {
            let left: HashSet<_> = fixture.keys.load(class, &all).await.unwrap().into_keys().collect();
            assert_eq!(left, existing);
        }
    })
    .await;
}

#[tokio::test]
async fn a_head_only_grows() {
    on_each_engine(async |fixture| {
        let head = |size, note: &str| LogHead {
            size,
            note: note.into(),
        };
        let db = fixture.keys.db();
        let now = fixture.clock.now();
        assert_eq!(log_head::read(db, "log.example").await.unwrap(), None);
        for (size, note, kept) in [
            (5, "five", Kept::Yes),
            (5, "five", Kept::Yes),
            (5, "another five", Kept::Contradicted),
            (4, "four", Kept::Contradicted),
            (9, "nine", Kept::Yes),
        ] {
            assert_eq!(
                log_head::write(db, "log.example", &head(size, note), now)
                    .await
                    .unwrap(),
                kept,
                "{note}"
            );
        }
        assert_eq!(
            log_head::write(db, "other.example", &head(1, "one"), now)
                .await
                .unwrap(),
            Kept::Yes
        );
        assert_eq!(log_head::read(db, "log.example").await.unwrap(), Some(head(9, "nine")));
    })
    .await;
}

#[tokio::test]
async fn every_statement_prepares() {
    on_each_engine(async |fixture| {
        for statement in statements() {
            let prepared = fixture.keys.db().prepare(statement).await;
            assert!(prepared.is_ok(), "{}: {:?}", statement.name, prepared.err());
        }
    })
    .await;
}

const COLUMNS: Statement = Statement {
    name: "columns",
    pg: "SELECT table_name || '.' || column_name || ' ' || CASE data_type WHEN 'uuid' THEN 'BLOB' \
         WHEN 'bytea' THEN 'BLOB' WHEN 'bigint' THEN 'INTEGER' ELSE upper(data_type) END || ' ' || is_nullable \
         FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations'",
    lite: "SELECT kept.name || '.' || col.name || ' ' || col.type || ' ' || iif(col.\"notnull\" OR col.pk, 'NO', 'YES') \
           FROM sqlite_schema AS kept JOIN pragma_table_info(kept.name) AS col \
           WHERE kept.type = 'table' AND kept.name <> '_sqlx_migrations'",
};

async fn columns(fixture: Fixture) -> BTreeSet<String> {
    let rows = fixture.keys.db().fetch(&COLUMNS, Args::new()).await.unwrap();
    rows.iter().map(|row: &Row| row.get(0).unwrap()).collect()
}

#[tokio::test]
async fn both_engines_have_the_same_columns() {
    let lite = on_sqlite(columns).await;
    assert!(lite.contains("data_key.wrapped BLOB NO"), "{lite:?}");
    if let Some(pg) = on_postgres(columns).await {
        assert_eq!(lite, pg);
    }
}
