use std::collections::HashSet;

use domain::assurance::{Assurance, AssuranceLevel};
use domain::new_request::{Details, Door, Facts, NewRequest, Requester, Target};
use domain::person::{Identity, Personal, Proof, Relation, Subject};
use domain::regime::Regime;
use domain::right::{Channel, Right};
use evidence::entry::body::ClockChange;
use futures_util::future::join_all;
use platform::clock::Clock as _;
use platform::db::{Args, Statement};
use proto::{Happened, LedgerEntry, LifecycleEvent, RequestPublished};

use super::*;
use crate::assess::assess;
use crate::fixture::{BOOKS, House, OPERATOR, SWEETS, controller, on_each_engine};

fn request(house: &House, right: Right, target: Target, product: &str) -> NewRequest {
    let phone = Identity::parse("phone".parse().unwrap(), "+970591234567", Proof::Verified).unwrap();
    NewRequest {
        facts: Facts {
            right,
            target,
            product: Some(product.to_owned()),
            channel: Channel::Whatsapp,
            binding: None,
            door: Door::Whatsapp,
            assurance: Assurance {
                level: AssuranceLevel::ChannelControl,
                at: house.clock.now(),
                evidence: None,
            },
            jurisdiction: None,
            locale: None,
            received_at: house.clock.now(),
        },
        details: Details {
            subject: Subject {
                name: Some(Personal::new("Layla")),
                kind: None,
                identities: vec![phone],
            },
            requester: Requester {
                relation: Relation::Myself,
                authority: None,
            },
            business: None,
            interaction: None,
            description: None,
        },
    }
}

fn candidate(house: &House, key: u16, request: &NewRequest) -> Candidate {
    let doors = &house.doors;
    let mut digest = [0; 32];
    digest[..2].copy_from_slice(&key.to_be_bytes());
    let origin = Origin {
        digest,
        body_digest: [1; 32],
    };
    let assessed = assess(&doors.registry.current(), request).unwrap();
    Candidate::new(
        request,
        assessed,
        origin,
        "https://router.example",
        doors.now(),
        &*doors.rng,
    )
}

fn deletion(house: &House, key: u16, product: &str) -> Candidate {
    candidate(
        house,
        key,
        &request(house, Right::Deletion, Target::Certain(controller(SWEETS)), product),
    )
}

async fn bring(accepting: &Accepting, candidates: Vec<Candidate>) -> Vec<Outcome> {
    join_all(candidates.into_iter().map(|candidate| accepting.accept(candidate))).await
}

/// A database that takes everything but requests of one product.
async fn poison(house: &House) {
    if house.is_postgres() {
        let refuse = "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN \
                      RAISE EXCEPTION 'poison' USING ERRCODE = 'check_violation'; END $$ LANGUAGE plpgsql";
        house.sql(refuse).await;
        house
            .sql("CREATE TRIGGER poison BEFORE INSERT ON request FOR EACH ROW WHEN (NEW.product = 'poison') EXECUTE FUNCTION refuse()")
            .await;
    } else {
        house
            .sql("CREATE TRIGGER poison BEFORE INSERT ON request WHEN NEW.product = 'poison' BEGIN SELECT RAISE(ABORT, 'poison'); END")
            .await;
    }
}

#[tokio::test]
async fn one_bad_among_a_hundred_harms_nobody_else() {
    on_each_engine(async |house| {
        poison(&house).await;
        let product = |key| if key == 41 { "poison" } else { "smart-reply" };
        let candidates = (0..100).map(|key| deletion(&house, key, product(key))).collect();
        let outcomes = bring(&house.doors.accepting, candidates).await;
        for (key, outcome) in outcomes.iter().enumerate() {
            match (key, outcome) {
                (41, Err(NotAccepted::Unstorable)) => {}
                (_, Ok(accepted)) => assert_eq!(accepted.how, How::New),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(house.number("SELECT COUNT(*) FROM request").await, 99);
        // Numbers are dense: what was refused took none.
        assert_eq!(
            house
                .number("SELECT COUNT(DISTINCT seq) FROM intake WHERE seq BETWEEN 1 AND 99")
                .await,
            99
        );
        assert_eq!(house.number("SELECT last FROM intake_counter").await, 99);
        assert_eq!(house.number("SELECT COUNT(*) FROM entry").await, 3 * 99);
        assert_eq!(house.number("SELECT COUNT(*) FROM outbox").await, 5 * 99);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_with_the_same_keys_in_reverse_order_agree() {
    on_each_engine(async |house| {
        let shared: SharedClock = house.clock.clone();
        let second = house.second().await;
        let (other, workers) = accepting(&second, &house.keys, &shared);
        for worker in workers {
            tokio::spawn(worker.run(Stop::default()));
        }
        for round in 0_u16..10 {
            let keys = |key: u16| round * 200 + key;
            let there = (0..200).map(|key| deletion(&house, keys(key), "smart-reply")).collect();
            let back = (0..200)
                .rev()
                .map(|key| deletion(&house, keys(key), "smart-reply"))
                .collect();
            let (there, back) = tokio::join!(bring(&house.doors.accepting, there), bring(&other, back));
            let mut made = HashSet::new();
            for (one, two) in there.into_iter().zip(back.into_iter().rev()) {
                let (one, two) = (one.unwrap(), two.unwrap());
                assert_eq!((one.request, &one.answer), (two.request, &two.answer));
                assert_ne!(one.how, two.how, "one of them made it");
                made.insert(one.request);
            }
            assert_eq!(made.len(), 200);
        }
        assert_eq!(house.number("SELECT COUNT(*) FROM request").await, 2_000);
        assert_eq!(house.number("SELECT last FROM intake_counter").await, 2_000);
        assert_eq!(house.number("SELECT COUNT(*) FROM entry").await, 6_000);
        if house.is_postgres() {
            // A backend tells its statistics when it ends.
            second.db().close().await;
            house.store.db().close().await;
            let third = house.second().await;
            let rows = third.db().fetch(&DEADLOCKS, Args::new()).await.unwrap();
            assert_eq!(rows[0].get::<i64>(0).unwrap(), 0, "nobody waited in a circle");
        }
    })
    .await;
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_and_another_body_none() {
    let house = House::new().await;
    let accept = async |candidate| house.doors.accepting.accept(candidate).await;
    let first = accept(deletion(&house, 1, "smart-reply")).await.unwrap();
    let repeat = accept(deletion(&house, 1, "smart-reply")).await.unwrap();
    assert_eq!((first.request, &first.answer), (repeat.request, &repeat.answer));
    assert_eq!((first.how, repeat.how), (How::New, How::Repeat));

    let mut other = deletion(&house, 1, "smart-reply");
    other.origin.body_digest = [2; 32];
    let origin = other.origin;
    assert_eq!(accept(other).await, Err(NotAccepted::AnotherBody));
    assert_eq!(
        earlier(&house.store, &house.keys, origin).await,
        Err(NotAccepted::AnotherBody)
    );

    let twice = vec![deletion(&house, 2, "smart-reply"), deletion(&house, 2, "smart-reply")];
    let [one, two] = bring(&house.doors.accepting, twice).await.try_into().unwrap();
    assert_eq!(one.unwrap().answer, two.unwrap().answer, "within one batch");

    house.keys.shred(keys::Class::Evidence, &[first.request]).await.unwrap();
    assert_eq!(
        accept(deletion(&house, 1, "smart-reply")).await,
        Err(NotAccepted::Forgotten)
    );
    assert_eq!(house.number("SELECT COUNT(*) FROM request").await, 2);
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_sent_again_as_it_is() {
    let house = House::new().await;
    let lost = deletion(&house, 1, "smart-reply");
    let (mut again, answer) = (deletion(&house, 1, "smart-reply"), lost.answer.clone());
    (again.id, again.answer) = (lost.id, answer.clone());
    house.doors.accepting.accept(lost).await.unwrap();
    let told = house.doors.accepting.accept(again).await.unwrap();
    assert_eq!((told.how, told.answer), (How::New, answer), "it is its own");
    assert_eq!(house.number("SELECT COUNT(*) FROM entry").await, 3);
}

#[tokio::test]
async fn without_a_database_nothing_is_promised() {
    let house = House::new().await;
    house.store.db().close().await;
    let outcome = house.doors.accepting.accept(deletion(&house, 1, "smart-reply")).await;
    assert_eq!(outcome, Err(NotAccepted::Unavailable));
}

#[tokio::test]
async fn workers_end_when_everybody_is_answered() {
    let house = House::new().await;
    let shared: SharedClock = house.clock.clone();
    let (accepting, workers) = accepting(&house.store, &house.keys, &shared);
    let waiting = (0..50)
        .map(|key| deletion(&house, key, "smart-reply"))
        .map(|candidate| {
            let accepting = accepting.clone();
            tokio::spawn(async move { accepting.accept(candidate).await })
        });
    let waiting: Vec<_> = waiting.collect();
    tokio::task::yield_now().await;
    drop(accepting);
    for worker in workers {
        worker.run(Stop::default()).await.unwrap();
    }
    for caller in waiting {
        assert!(caller.await.unwrap().is_ok());
    }
}

/// How many waits in a circle PostgreSQL had to break up in this database.
const DEADLOCKS: Statement = Statement::both(
    "test",
    "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()",
);

const LAST: Statement = Statement::both("test", "SELECT stage FROM request ORDER BY id DESC LIMIT 1");

const MESSAGES: Statement = Statement::both("test", "SELECT topic, key, value FROM outbox ORDER BY id");

async fn told(house: &House) -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let rows = house.store.db().fetch(&MESSAGES, Args::new()).await.unwrap();
    rows.iter()
        .map(|row| (row.get(0).unwrap(), row.get(1).unwrap(), row.get(2).unwrap()))
        .collect()
}

#[tokio::test]
async fn a_ready_request_is_logged_and_published() {
    let house = House::new().await;
    let accepted = house
        .doors
        .accepting
        .accept(deletion(&house, 1, "smart-reply"))
        .await
        .unwrap();
    let told = told(&house).await;
    let topics: Vec<&str> = told.iter().map(|(topic, ..)| topic.as_str()).collect();
    assert_eq!(
        topics,
        [
            "dsr.ledger.v1",
            "dsr.ledger.v1",
            "dsr.ledger.v1",
            "dsr.events.v1",
            "dsr.requests.deletion.v1"
        ]
    );
    assert!(
        told.iter()
            .all(|(_, key, _)| *key == accepted.request.to_string().into_bytes())
    );

    let entry = |at: usize| {
        let message = LedgerEntry::decode(&told[at].2).unwrap();
        evidence::entry::Entry::decode(&message.content).unwrap()
    };
    let evidence::entry::Body::Intake(intake) = entry(0).body else {
        panic!("intake comes first")
    };
    assert_eq!((intake.intake_seq, intake.identities.len()), (1, 1));
    let keys = house
        .keys
        .load(keys::Class::Evidence, &[accepted.request])
        .await
        .unwrap();
    let mark = keys[&accepted.request].identity_hmac("phone", "+970591234567");
    assert_eq!(intake.identities[0].hmac, mark);
    let evidence::entry::Body::Clock(clock) = entry(1).body else {
        panic!("then the start of its clock")
    };
    assert_eq!(
        (clock.event, clock.start.as_microsecond(), clock.due_at.as_microsecond()),
        (
            ClockChange::Start,
            house.number("SELECT received_at FROM request").await,
            house.number("SELECT due_at FROM request").await
        )
    );
    let law = Regime::of_version(clock.regime.as_str(), &String::from(clock.regime_version));
    assert!(law.is_ok(), "the law and its edition are told");
    let evidence::entry::Body::Stage(stage) = entry(2).body else {
        panic!("then its stage")
    };
    assert_eq!(
        (stage.from.as_str(), stage.to.as_str(), stage.version),
        ("accepted", "ready", 2)
    );

    let event = LifecycleEvent::decode(&told[3].2).unwrap();
    assert_eq!(
        event.happened,
        Happened::StageChanged(domain::request::StageName::Ready)
    );
    let published = RequestPublished::decode(&told[4].2).unwrap();
    assert_eq!(
        (published.request, published.controller),
        (accepted.request, controller(SWEETS))
    );
    assert_eq!(published.instruction.to_string(), "ins_00000000000000000000000009");
    assert_eq!(published.mode.as_str(), "act_on_instruction");
    assert_eq!(
        published.request_version,
        house.number("SELECT version FROM request").await
    );

    let everything = told.iter().flat_map(|(.., value)| value).copied().collect::<Vec<u8>>();
    assert!(
        !String::from_utf8_lossy(&everything).contains("59123"),
        "ids and facts only"
    );
}

async fn first_stage(house: &House, key: u16, request: &NewRequest) -> String {
    house
        .doors
        .accepting
        .accept(candidate(house, key, request))
        .await
        .unwrap();
    house.store.db().fetch(&LAST, Args::new()).await.unwrap()[0]
        .get(0)
        .unwrap()
}

#[tokio::test]
async fn what_is_lacking_makes_a_request_wait() {
    let house = House::new().await;
    let books = Target::Certain(controller(BOOKS));
    let of = |right, target| request(&house, right, target, "smart-reply");
    let mut agent = of(Right::Deletion, books);
    agent.details.requester.relation = Relation::Agent;
    let cases = [
        (of(Right::Deletion, Target::ToBeMatched), "unmatched"),
        // Access discloses, so a message from the account isn't enough.
        (of(Right::Access, books), "unverified"),
        (agent, "awaiting_controller"),
        // Nobody has instructed us: forward only, and so ready.
        (of(Right::Deletion, books), "ready"),
    ];
    for (key, (request, stage)) in (1_u16..).zip(cases) {
        house.clock.advance(std::time::Duration::from_millis(1));
        assert_eq!(first_stage(&house, key, &request).await, stage);
    }
    let published: Vec<_> = told(&house)
        .await
        .into_iter()
        .filter(|(topic, ..)| topic.contains("requests"))
        .collect();
    assert_eq!(published.len(), 1, "only what lacks nothing is published");
    let published = RequestPublished::decode(&published[0].2).unwrap();
    assert_eq!(
        (published.mode.as_str(), published.instruction.uuid()),
        ("forward_only", controller(BOOKS).uuid())
    );
    let unmatched = "SELECT COUNT(*) FROM request WHERE stage = 'unmatched' AND controller = ";
    let operator = controller(OPERATOR).uuid().simple();
    assert_eq!(house.number(&format!("{unmatched} unhex('{operator}')")).await, 1);
}
