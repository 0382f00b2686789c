use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use domain::id::{ControllerId, RequestId};
use jiff::Timestamp;
use platform::chance::{SeededRng, SharedRng};
use platform::clock::{Clock as _, ManualClock};
use platform::db::{Args, Db, DbOptions, connect};
use platform::keyring::{KeyClass, Keyring, Part, generate};
use platform::secret::Secret;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::log_head::{Kept, LogHead};

const OPTIONS: DbOptions = DbOptions {
    max_connections: 4,
    application: "test",
};

/// A key store over SQLite, and what is needed to open it again.
struct Fixture {
    keys: KeyStore,
    clock: Arc<ManualClock>,
    folder: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at("2026-05-04T09:00:00Z".parse::<Timestamp>().unwrap());
        let db = database(&folder).await;
        let keys = KeyStore::new(db, ring(Part::ALL), rng(1), clock.clone());
        Self { keys, clock, folder }
    }

    /// Another process with its own connection and its own key ring.
    async fn another(&self, parts: &[Part]) -> KeyStore {
        KeyStore::new(database(&self.folder).await, ring(parts), rng(2), self.clock.clone())
    }

    async fn create(&self, number: u128, controller: u128) -> RequestKeys {
        let keys = self.keys.create(&[(request(number), owner(controller))]).await;
        keys.unwrap().remove(0)
    }
}

async fn database(folder: &TempDir) -> Db {
    let url = format!("sqlite:{}", folder.path().join("keys.db").display());
    let db = connect(&url, &OPTIONS).await.unwrap();
    db.migrate(&MIGRATIONS).await.unwrap();
    db.check_schema(&MIGRATIONS).await.unwrap();
    db
}

/// The same roots each time; of those only the wanted parts.
fn ring(parts: &[Part]) -> Arc<Keyring> {
    let whole = generate(Part::ALL, &SeededRng::new(9));
    let names = parts.iter().map(|part| match part {
        Part::Root(KeyClass::Subject) => "subject",
        Part::Root(KeyClass::Evidence) => "evidence",
        Part::Root(KeyClass::Secrets) => "secrets",
        Part::Dedupe => "dedupe",
    });
    let names: Vec<_> = names.collect();
    let wanted = |line: &&str| names.iter().any(|name| line.starts_with(name));
    let text: Vec<_> = whole.expose().lines().filter(wanted).collect();
    Arc::new(Keyring::parse(&Secret::new(text.join("\n")), "ring", rng(3)).unwrap())
}

fn rng(seed: u64) -> SharedRng {
    Arc::new(SeededRng::new(seed))
}

fn request(number: u128) -> RequestId {
    RequestId::from_uuid(Uuid::from_u128(number))
}

fn owner(number: u128) -> ControllerId {
    ControllerId::from_uuid(Uuid::from_u128(number))
}

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
    let fixture = Fixture::new().await;
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
}

#[tokio::test]
async fn a_request_has_one_pair_of_keys_for_ever() {
    let fixture = Fixture::new().await;
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
}

#[tokio::test]
async fn two_processes_that_begin_a_quarter_use_the_same_keys() {
    let fixture = Fixture::new().await;
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
    assert_eq!(count(&fixture, "SELECT COUNT(*) FROM wrapping_key").await, 20);
}

#[tokio::test]
async fn a_quarter_ends_and_old_keys_still_open() {
    let fixture = Fixture::new().await;
    let keys = fixture.create(1, 1).await;
    let sealed = keys.evidence.seal("field", b"receipt");
    fixture.clock.advance(Duration::from_hours(24 * 92));
    fixture.create(2, 1).await;
    assert_eq!(
        read(&fixture.keys, Class::Evidence, 1, &sealed).await.unwrap(),
        b"receipt"
    );
    assert_eq!(
        count(&fixture, "SELECT COUNT(DISTINCT quarter) FROM wrapping_key").await,
        2
    );
}

#[tokio::test]
async fn without_the_subject_root_persons_stay_unread() {
    let fixture = Fixture::new().await;
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
    assert_eq!(count(&fixture, "SELECT COUNT(*) FROM data_key").await, 2);
}

#[tokio::test]
async fn a_moved_row_does_not_open() {
    let fixture = Fixture::new().await;
    fixture.create(1, 1).await;
    fixture.create(2, 1).await;
    for swap in [
        "UPDATE data_key SET wrapped = (SELECT wrapped FROM data_key WHERE request = unhex(printf('%032x', 1)) AND class = 1)",
        "UPDATE data_key SET wrapped = unhex('01')",
    ] {
        sql(&fixture, swap).await;
        let other = fixture.another(Part::ALL).await;
        let moved = other.load(Class::Evidence, &[request(1)]).await;
        assert!(matches!(moved, Err(KeyError::Damaged)), "{moved:?}");
        let moved = other.load(Class::Subject, &[request(2)]).await;
        assert!(matches!(moved, Err(KeyError::Damaged)), "{moved:?}");
    }
}

#[tokio::test]
async fn shredding_is_final_here_at_once_and_elsewhere_within_a_minute() {
    let fixture = Fixture::new().await;
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
}

#[tokio::test]
async fn a_matched_request_lives_under_its_controllers_keys() {
    let fixture = Fixture::new().await;
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
        count(&fixture, "SELECT COUNT(DISTINCT quarter) FROM wrapping_key").await,
        1
    );

    sql(
        &fixture,
        "DELETE FROM wrapping_key WHERE controller = unhex(printf('%032x', 1))",
    )
    .await;
    let wrong = fixture.keys.rewrap(request(1), owner(1), owner(3)).await;
    assert!(matches!(wrong, Err(KeyError::OtherController)));
    fixture.keys.rewrap(request(7), owner(1), owner(2)).await.unwrap();
}

#[tokio::test]
async fn a_wrapping_key_that_is_gone_wraps_nothing_more() {
    let fixture = Fixture::new().await;
    fixture.create(1, 1).await;
    for class in Class::ALL {
        fixture.keys.shred(class, &[request(1)]).await.unwrap();
    }
    sql(&fixture, "DELETE FROM wrapping_key").await;
    let keys = fixture.create(2, 1).await;
    let sealed = keys.subject.seal("field", b"words");
    let other = fixture.another(Part::ALL).await;
    assert_eq!(read(&other, Class::Subject, 2, &sealed).await.unwrap(), b"words");
}

#[tokio::test]
async fn only_orphans_are_swept_and_only_old_ones() {
    let fixture = Fixture::new().await;
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
}

#[tokio::test]
async fn a_head_only_grows() {
    let fixture = Fixture::new().await;
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
}

#[tokio::test]
async fn every_statement_prepares_on_sqlite() {
    let fixture = Fixture::new().await;
    prepares(fixture.keys.db()).await;
}

async fn prepares(db: &Db) {
    for statement in statements() {
        let prepared = db.prepare(statement).await;
        assert!(prepared.is_ok(), "{}: {:?}", statement.name, prepared.err());
    }
}

async fn sql(fixture: &Fixture, text: &'static str) {
    let statement = Statement::both("test", text);
    fixture.keys.db().execute(&statement, Args::new()).await.unwrap();
}

async fn count(fixture: &Fixture, text: &'static str) -> i64 {
    let statement = Statement::both("test", text);
    let row = fixture.keys.db().fetch_optional(&statement, Args::new()).await.unwrap();
    row.unwrap().get(0).unwrap()
}
