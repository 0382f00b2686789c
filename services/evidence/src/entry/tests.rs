use domain::id::{AttemptId, InstructionId, KeyId, ReceiptId, SystemId, TaskId, UserId};
use domain::registration::InstructionMode;
use domain::request::{Answer, Closing, StageName};
use domain::right::{Channel, Right};
use uuid::Uuid;

use super::body::{
    AuditorQuery, Clock, ClockChange, ClosedSystem, Closure, DailySummary, Dispatch, IdentityMark, Instruction, Intake,
    KeyChange, KeyEvent, LastWord, Matched, Plan, PlannedSystem, Receipt, RegisteredSystem, RegistrySnapshot, Shred,
    Stage, Statement, StatementKind,
};
use super::*;
use crate::digest::ContentDigest;
use crate::jwk::Jwk;
use crate::merkle::EMPTY_ROOT;

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn word(text: &str) -> Word {
    text.parse().unwrap()
}

fn edition(text: &str) -> Edition {
    text.parse().unwrap()
}

fn at() -> Timestamp {
    "2026-05-04T09:00:01.25Z".parse().unwrap()
}

pub(crate) fn entry(body: impl Into<Body>) -> Entry {
    Entry {
        id: EntryId::from_uuid(id(1)),
        controller: ControllerId::from_uuid(id(2)),
        request: Some(RequestId::from_uuid(id(3))),
        at: at(),
        body: body.into(),
    }
}

pub(crate) fn receipt() -> Receipt {
    Receipt {
        receipt: ReceiptId::from_uuid(id(4)),
        task: TaskId::from_uuid(id(5)),
        system: SystemId::from_uuid(id(6)),
        signer: domain::receipt::Signer::Owner,
        level: domain::receipt::EvidenceLevel::Declared,
        received_at: at(),
        jws: "e30.e30.AA".into(),
    }
}

fn matching() -> Vec<Body> {
    let identities = vec![IdentityMark {
        kind: "phone".parse().unwrap(),
        hmac: [9; 32],
    }];
    let intake = Intake {
        intake_seq: 1,
        right: Right::Deletion,
        product: Some(word("smart-reply")),
        channel: Channel::Whatsapp,
        received_at: at(),
        identities,
        assurance: domain::assurance::AssuranceLevel::ChannelControl,
    };
    let controller = ControllerId::from_uuid(id(2));
    let matched = Matched {
        from_controller: controller,
        to_controller: controller,
        intake_seq: 7,
    };
    let stage = Stage {
        from: StageName::Accepted,
        to: StageName::Ready,
        version: 2,
        reason: Some(word("binding")),
    };
    let (zone, regime) = (word("Asia/Hebron"), word("gdpr"));
    let clock = Clock {
        event: ClockChange::Pause(domain::regime::PauseReason::Identity),
        start: at(),
        due_at: at(),
        zone,
        regime,
        regime_version: edition("2026.1"),
        calendar_version: edition("2026.2"),
        tzdb_version: Some(edition("2026a")),
    };
    vec![intake.into(), matched.into(), stage.into(), clock.into()]
}

fn planning() -> Vec<Body> {
    let (system, task) = (SystemId::from_uuid(id(6)), TaskId::from_uuid(id(5)));
    let level = domain::receipt::EvidenceLevel::Declared;
    let planned = PlannedSystem {
        system,
        task,
        task_digest: ContentDigest([1; 32]),
        level,
    };
    let (snapshot, instruction) = (EntryId::from_uuid(id(8)), InstructionId::from_uuid(id(9)));
    let plan = Plan {
        snapshot,
        instruction,
        systems: vec![planned],
    };
    let dispatch = Dispatch {
        task,
        system,
        at: at(),
        attempt: AttemptId::from_uuid(id(10)),
    };
    let (kind, approver) = (StatementKind::NoReceipt, Some(UserId::from_uuid(id(11))));
    let statement = Statement {
        task: Some(task),
        kind,
        approver,
        jws: "e30.e30.AA".into(),
    };
    let by = Some(LastWord::Receipt(ReceiptId::from_uuid(id(4))));
    let closed = ClosedSystem {
        system,
        task,
        by,
        outcome: Some(Answer::Completed),
    };
    let closure = Closure {
        outcome: Closing::Fulfilled,
        systems: vec![closed],
    };
    vec![
        plan.into(),
        dispatch.into(),
        receipt().into(),
        statement.into(),
        closure.into(),
    ]
}

fn registering() -> Vec<Body> {
    let registered = RegisteredSystem {
        system: SystemId::from_uuid(id(6)),
        controller: ControllerId::from_uuid(id(2)),
        kind: domain::registration::ConnectorKind::Webhook,
        owner: domain::registration::SystemOwner::Controller,
        products: vec![word("smart-reply")],
        rights: vec![],
        channels: vec![Channel::Whatsapp],
        demand: domain::receipt::EvidenceLevel::Declared,
    };
    let digest = ContentDigest([2; 32]);
    let jwk = Jwk::Ed25519 { x: [3; 32] };
    let (iss, kid) = ("https://nablus-sweets.example".into(), jwk.thumbprint());
    let (rights, mode) = (vec![Right::Deletion], InstructionMode::ForwardOnly);
    let instruction = InstructionId::from_uuid(id(9));
    vec![
        RegistrySnapshot {
            digest,
            systems: vec![registered],
        }
        .into(),
        KeyEvent {
            key: KeyId::from_uuid(id(12)),
            iss,
            kid,
            event: KeyChange::Added,
            jwk,
        }
        .into(),
        Instruction {
            instruction,
            version: 1,
            mode,
            rights,
            approver: digest,
        }
        .into(),
        AuditorQuery {
            token: digest,
            query: word("receipt"),
            about: None,
            rows: 1,
        }
        .into(),
        Shred {
            rule: word("retention-24m"),
            seqs: vec![1, 2],
        }
        .into(),
        DailySummary {
            day: "2026-05-04".parse().unwrap(),
            from_seq: 1,
            to_seq: 15,
            entries: [(EntryType::Intake, 1)].into(),
            closures: [(Closing::Fulfilled, 1)].into(),
            root: EMPTY_ROOT,
        }
        .into(),
    ]
}

fn all() -> Vec<Body> {
    [matching(), planning(), registering()].concat()
}

#[test]
fn every_kind_reads_back_and_has_its_number() {
    let kinds: Vec<EntryType> = all().iter().map(Body::entry_type).collect();
    assert_eq!(kinds, EntryType::ALL);
    for (body, number) in all().into_iter().zip(1..) {
        let entry = entry(body);
        assert_eq!(entry.entry_type().byte(), number);
        assert_eq!(EntryType::from_byte(number), Some(entry.entry_type()));
        assert_eq!(Entry::decode(&entry.encode()).unwrap(), entry);
    }
    assert_eq!((EntryType::from_byte(0), EntryType::from_byte(16)), (None, None));
}

/// Frozen: these bytes are hashed into leaves, so a release that writes them otherwise breaks every proof.
#[test]
fn an_entry_is_written_as_it_always_was() {
    let written = String::from_utf8(entry(receipt()).encode()).unwrap();
    let expected = concat!(
        r#"{"v":1,"entry":"ent_00000000000000000000000001","type":"receipt","#,
        r#""controller":"ctl_00000000000000000000000002","request":"req_00000000000000000000000003","#,
        r#""at":"2026-05-04T09:00:01.25Z","body":{"receipt":"rcpt_00000000000000000000000004","#,
        r#""task":"task_00000000000000000000000005","system":"sys_00000000000000000000000006","signer":"owner","#,
        r#""level":"declared","received_at":"2026-05-04T09:00:01.25Z","jws":"e30.e30.AA"}}"#
    );
    assert_eq!(written, expected);
    let text: String = all()
        .into_iter()
        .map(|body| String::from_utf8(entry(body).encode()).unwrap() + "\n")
        .collect();
    let digest = crate::digest::ContentDigest::of(text.as_bytes());
    assert_eq!(
        digest.to_string(),
        "sha-256=:4gZY+QJQXYq8NS1wdalqDsBWPmBLKhIJBdd5a1Lwi+4=:",
        "{text}"
    );
}

#[test]
fn refuses_every_other_spelling() {
    let good = String::from_utf8(entry(receipt()).encode()).unwrap();
    let refused = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        Entry::decode(good.replacen(from, to, 1).as_bytes()).unwrap_err()
    };
    assert!(matches!(refused(r#""v":1"#, r#""v":2"#), EntryError::Version(2)));
    assert!(matches!(
        refused(r#""body""#, r#""note":"x","body""#),
        EntryError::Shape(_)
    ));
    assert!(matches!(
        refused(r#""jws""#, r#""note":"x","jws""#),
        EntryError::Shape(_)
    ));
    assert!(matches!(
        refused(r#""jws""#, r#""jws":"a","jws""#),
        EntryError::Shape(_)
    ));
    assert!(matches!(
        refused(r#""type":"receipt""#, r#""type":"closure""#),
        EntryError::Shape(_)
    ));
    assert!(matches!(
        refused(r#""request":"req_00000000000000000000000003","#, ""),
        EntryError::Spelling
    ));
    assert!(matches!(refused(":", ": "), EntryError::Spelling));
    assert!(matches!(refused("09:00:01.25Z", "09:00:01.250Z"), EntryError::Spelling));
    let long = vec![b' '; ENTRY_BYTES_MAX + 1];
    assert!(matches!(Entry::decode(&long), Err(EntryError::TooLong)));
}

#[test]
fn words_have_no_room_for_a_person() {
    for person in [
        "Layla Qasim",
        "+970591234567",
        "970591234567",
        "layla@example.com",
        "ليلى",
        "",
        &"a".repeat(65),
    ] {
        assert_eq!(person.parse::<Word>(), Err(NotAWord), "{person}");
    }
    for machine in [
        "smart-reply",
        "America/Argentina/ComodRivadavia",
        "Etc/GMT+5",
        "rcpt_00000000000000000000000004",
    ] {
        assert_eq!(machine.parse::<Word>().unwrap().as_str(), machine);
    }
}

#[test]
fn an_edition_has_no_room_for_a_number() {
    for edition in ["2026", "2026.1", "2026b", "2026-05-04"] {
        assert_eq!(String::from(edition.parse::<Edition>().unwrap()), edition);
    }
    for other in [
        "",
        "1",
        "970591234567",
        "2059123456",
        "2026.1234567890123",
        "v2026",
        "20é6",
        "2026 1",
    ] {
        assert_eq!(other.parse::<Edition>(), Err(NotAnEdition), "{other}");
    }
}
