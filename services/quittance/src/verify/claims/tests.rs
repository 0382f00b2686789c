use std::collections::BTreeMap;

use domain::id::{ControllerId, EntryId, InstructionId, KeyId, RequestId, SystemId, TaskId, UserId};
use domain::receipt::{CategoryOutcome, CategoryResult, Completion, EvidenceLevel, Outcome, Report, Signer};
use domain::request::{Answer, Closing};
use evidence::entry::Entry;
use evidence::entry::body::{ClosedSystem, KeyChange, KeyEvent, PlannedSystem, StatementKind};
use evidence::jwk::{Algorithm, TokenKey};
use evidence::leaf::{Leaf, Opening};
use evidence::merkle::{Hash, node_hash};
use evidence::note::{Checkpoint, KeyType, NoteSigner};
use evidence::token::Said;
use evidence::token::sign::{Claims, sign_report, sign_statement};
use jiff::Timestamp;
use uuid::Uuid;

use super::*;
use crate::verify::files::Growth;

const ISSUER: &str = "https://nablus-sweets.example";
const ROUTER: &str = "https://router.example";
const DIGEST: [u8; 32] = [9; 32];

fn at() -> Timestamp {
    Timestamp::from_second(1_777_885_300).unwrap()
}

fn entry(number: u128, request: Option<u128>, body: impl Into<Body>) -> Entry {
    Entry {
        id: EntryId::from_uuid(Uuid::from_u128(number)),
        controller: ControllerId::from_uuid(Uuid::from_u128(1)),
        request: request.map(|request| RequestId::from_uuid(Uuid::from_u128(request))),
        at: at(),
        body: body.into(),
    }
}

fn key() -> TokenKey {
    TokenKey::new(Algorithm::EdDsa, &[7; 32]).unwrap()
}

fn key_event() -> Entry {
    key_event_of(ISSUER)
}

fn key_event_of(issuer: &str) -> Entry {
    let jwk = key().jwk();
    let event = KeyEvent {
        key: KeyId::from_uuid(Uuid::from_u128(12)),
        iss: issuer.to_owned(),
        kid: jwk.thumbprint(),
        event: KeyChange::Added,
        jwk,
    };
    entry(101, None, event)
}

fn task() -> TaskId {
    TaskId::from_uuid(Uuid::from_u128(5))
}

fn plan(digest: [u8; 32]) -> Entry {
    let system = PlannedSystem {
        system: SystemId::from_uuid(Uuid::from_u128(6)),
        task: task(),
        task_digest: ContentDigest(digest),
        level: EvidenceLevel::Declared,
    };
    let plan = Plan {
        snapshot: EntryId::from_uuid(Uuid::from_u128(7)),
        instruction: InstructionId::from_uuid(Uuid::from_u128(8)),
        systems: vec![system],
    };
    entry(102, Some(4), plan)
}

fn receipt(signer: &TokenKey) -> Entry {
    let erased = CategoryResult {
        category: "conversations".to_owned(),
        outcome: CategoryOutcome::Erased,
        count: Some(42),
        basis: None,
        citation: None,
        erase_after: None,
    };
    let completion = Completion {
        task: task(),
        task_digest: DIGEST,
        outcome: Outcome::Completed,
        results: vec![erased],
        artifact: None,
        attachments: vec![],
    };
    let claims = Claims {
        issuer: ISSUER,
        audience: ROUTER,
        issued_at: at(),
        occurred_at: None,
        jti: Uuid::from_u128(3),
        request: RequestId::from_uuid(Uuid::from_u128(4)),
    };
    let body = Receipt {
        receipt: ReceiptId::from_uuid(Uuid::from_u128(11)),
        task: task(),
        system: SystemId::from_uuid(Uuid::from_u128(6)),
        signer: Signer::Owner,
        level: EvidenceLevel::Declared,
        received_at: at(),
        jws: sign_report(&claims, &Report::Completed(completion), signer),
    };
    entry(103, Some(4), body)
}

fn statement(signer: &TokenKey, approver: Option<UserId>) -> Entry {
    let said = Said::Stated {
        task: Some(task()),
        kind: StatementKind::NoReceipt,
        approver,
    };
    let claims = Claims {
        issuer: ROUTER,
        audience: ISSUER,
        issued_at: at(),
        occurred_at: None,
        jti: Uuid::from_u128(3),
        request: RequestId::from_uuid(Uuid::from_u128(4)),
    };
    let body = Statement {
        task: Some(task()),
        kind: StatementKind::NoReceipt,
        approver,
        jws: sign_statement(&claims, &said, signer),
    };
    entry(103, Some(4), body)
}

/// A closure that rests on a statement.
fn closure(on: &Entry, outcome: Answer) -> Entry {
    let system = ClosedSystem {
        system: SystemId::from_uuid(Uuid::from_u128(6)),
        task: task(),
        by: Some(LastWord::Statement(on.id)),
        outcome: Some(outcome),
    };
    let closure = Closure {
        outcome: Closing::Undeliverable,
        systems: vec![system],
    };
    entry(104, Some(4), closure)
}

fn signer() -> NoteSigner {
    NoteSigner::new(KeyType::Log, "log.example/dsr", &[3; 32]).unwrap()
}

fn opening(entry: &Entry, seq: u64) -> Opening {
    Opening {
        salt: [1; 32],
        entry_type: entry.entry_type(),
        controller: entry.controller,
        controller_seq: seq,
    }
}

fn leaves(entries: [&Entry; 3]) -> Vec<Hash> {
    let leaf = |entry: &Entry, seq| Leaf::commit(&opening(entry, seq), &entry.encode()).hash();
    vec![
        leaf(entries[0], 1),
        leaf(entries[1], 2),
        leaf(entries[2], 3),
        leaf(entries[0], 4),
    ]
}

fn head(size: u64, root: Hash) -> Checkpoint {
    Checkpoint {
        origin: "log.example/dsr".to_owned(),
        size,
        root,
    }
}

/// A log of four leaves, small enough to be folded by hand: the entries, and the first once more in the last place.
fn logged(entries: [&Entry; 3]) -> Files {
    let (signer, leaves) = (signer(), leaves(entries));
    let (left, right) = (node_hash(leaves[0], leaves[1]), node_hash(leaves[2], leaves[3]));
    let checkpoint = head(4, node_hash(left, right));
    let steps = [vec![leaves[1], right], vec![leaves[0], right], vec![leaves[3], left]];
    let mut files = Files {
        policy: Some(format!("log {}\nquorum none\n", signer.key())),
        ..Files::default()
    };
    for ((entry, steps), index) in entries.iter().zip(steps).zip(0..) {
        let proof = Proof {
            extra: Some(opening(entry, index + 1).bytes().to_vec()),
            index,
            steps,
            checkpoint: checkpoint.sign(&signer),
        };
        let logged = Logged {
            entry: Some(entry.encode()),
            proof: Some(proof.to_string()),
        };
        files.entries.insert(format!("e{index}"), logged);
    }
    files
}

fn demands(audience: Option<&str>) -> Demands<'_> {
    Demands {
        audience,
        complete: false,
    }
}

fn failed(files: &Files, audience: Option<&str>) -> BTreeMap<String, String> {
    let claims = check(files, demands(audience)).unwrap();
    claims
        .into_iter()
        .filter(|claim| !claim.holds)
        .map(|claim| (claim.about, claim.says))
        .collect()
}

#[test]
fn a_receipt_that_was_planned_signed_and_logged_holds() {
    let receipt = receipt(&key());
    let mut files = logged([&key_event(), &plan(DIGEST), &receipt]);
    let Body::Receipt(body) = &receipt.body else {
        unreachable!()
    };
    files.tokens.insert("r".to_owned(), body.jws.clone().into_bytes());
    let claims = check(&files, demands(Some(ROUTER))).unwrap();
    assert!(claims.iter().all(|claim| claim.holds), "{claims:?}");
    let about = |text: &str| claims.iter().filter(|claim| claim.about.starts_with(text)).count();
    // Logged, signed, planned; and its file.
    assert_eq!((about("rcpt_"), about("r")), (3, 4), "{claims:?}");
}

#[test]
fn what_does_not_hold_is_said_of_the_thing_that_it_is_about() {
    let stranger = TokenKey::new(Algorithm::EdDsa, &[8; 32]).unwrap();
    let check = |files: &Files, audience, about: &str, says: &str| {
        let failed = failed(files, audience);
        let said = failed.iter().find(|(failed, _)| failed.starts_with(about));
        assert!(
            said.is_some_and(|(_, said)| said.contains(says)),
            "{about} {says}: {failed:?}"
        );
    };
    let (event, plan_entry, good) = (key_event(), plan(DIGEST), receipt(&key()));
    check(
        &logged([&event, &plan_entry, &receipt(&stranger)]),
        None,
        "rcpt_",
        "no such key",
    );
    check(&logged([&good, &plan_entry, &event]), None, "rcpt_", "only after");
    check(
        &logged([&event, &plan([1; 32]), &good]),
        None,
        "rcpt_",
        "does not fit the plan",
    );
    check(
        &logged([&event, &plan_entry, &good]),
        Some("https://other.example"),
        "rcpt_",
        "token does not hold",
    );

    let mut files = logged([&event, &plan_entry, &good]);
    let bytes = files.entries.get_mut("e2").unwrap().entry.as_mut().unwrap();
    let text = String::from_utf8(bytes.clone())
        .unwrap()
        .replace("\"declared\"", "\"verified\"");
    *bytes = text.into_bytes();
    check(&files, None, "e2", "not in the tree");
    files.entries.get_mut("e2").unwrap().proof = None;
    check(&files, None, "e2", "NAME.tlog-proof is missing");
    files.tokens.insert("other".to_owned(), b"a.b.c".to_vec());
    check(&files, None, "other", "none of the entries");
}

/// What the router says itself is checked like anybody's word, and closes nothing unless a person has approved it.
#[test]
fn a_statement_counts_when_a_person_has_approved_it() {
    let (event, person) = (key_event_of(ROUTER), Some(UserId::from_uuid(Uuid::from_u128(9))));
    let failed =
        |stated: &Entry, outcome, audience| failed(&logged([&event, stated, &closure(stated, outcome)]), audience);
    let good = statement(&key(), person);
    assert_eq!(failed(&good, Answer::NoReceipt, Some(ROUTER)), BTreeMap::new());
    let check = |failed: BTreeMap<String, String>, about: &str, says: &str| {
        let said = failed.iter().find(|(failed, _)| failed.starts_with(about));
        assert!(
            said.is_some_and(|(_, said)| said.contains(says)),
            "{about} {says}: {failed:?}"
        );
    };
    check(
        failed(&statement(&key(), None), Answer::NoReceipt, None),
        "req_",
        "nobody has approved",
    );
    check(failed(&good, Answer::Undeliverable, None), "req_", "does not hold");
    let stranger = TokenKey::new(Algorithm::EdDsa, &[8; 32]).unwrap();
    let forged = statement(&stranger, person);
    check(failed(&forged, Answer::NoReceipt, None), "ent_", "no such key");
    check(failed(&forged, Answer::NoReceipt, None), "req_", "does not hold");
    check(
        failed(&good, Answer::NoReceipt, Some("https://other.example")),
        "ent_",
        "another",
    );
}

#[test]
fn a_log_that_the_policy_does_not_name_is_not_believed() {
    let mut files = logged([&key_event(), &plan(DIGEST), &receipt(&key())]);
    let other = NoteSigner::new(KeyType::Log, "log.example/dsr", &[4; 32]).unwrap();
    files.policy = Some(format!("log {}\nquorum none\n", other.key()));
    assert_eq!(failed(&files, None).len(), 3);
    files.policy = None;
    assert!(check(&files, demands(None)).is_err());
}

#[test]
fn a_log_that_did_not_only_grow_is_found_out() {
    let (event, plan, receipt) = (key_event(), plan(DIGEST), receipt(&key()));
    let entries = [&event, &plan, &receipt];
    let leaves = leaves(entries);
    let (left, right) = (node_hash(leaves[0], leaves[1]), node_hash(leaves[2], leaves[3]));
    let given = |root: Hash, step: Hash| {
        let mut files = logged(entries);
        let signed = head(2, root).sign(&signer()).text().into_bytes();
        files.checkpoints.insert("checkpoint-2".to_owned(), signed);
        let hashes = format!("{step}\n");
        files
            .growth
            .insert("consistency-2-4".to_owned(), Growth { from: 2, to: 4, hashes });
        files
    };
    let good = given(left, right);
    let claims = check(&good, demands(None)).unwrap();
    assert!(claims.iter().all(|claim| claim.holds), "{claims:?}");
    assert!(
        claims.iter().any(|claim| claim.says.contains("begin with the 2")),
        "{claims:?}"
    );

    for files in [given(right, right), given(left, left)] {
        let failed = failed(&files, None);
        assert!(failed.contains_key("consistency-2-4"), "{failed:?}");
    }
    let mut alone = given(left, right);
    alone.checkpoints.clear();
    assert!(failed(&alone, None)["consistency-2-4"].contains("checkpoint-2"));

    let mut forked = good;
    let other = head(4, left).sign(&signer()).text().into_bytes();
    forked.checkpoints.insert("checkpoint".to_owned(), other);
    assert!(failed(&forked, None)["log.example/dsr"].contains("different heads of 4"));
}

#[test]
fn what_is_missing_is_told_and_is_a_fault_where_all_was_asked_for() {
    let (event, plan, receipt) = (key_event(), plan(DIGEST), receipt(&key()));
    let mut files = logged([&event, &plan, &receipt]);
    let about = |files: &Files, complete| {
        let demands = Demands {
            audience: None,
            complete,
        };
        let claims = check(files, demands).unwrap();
        claims
            .into_iter()
            .find(|claim| claim.about.starts_with("ctl_"))
            .unwrap()
    };
    let dense = about(&files, true);
    assert!(dense.holds && dense.says.contains("from number 1 to 3"), "{dense:?}");
    files.entries.remove("e1");
    let gap = about(&files, false);
    assert!(gap.holds && gap.says.ends_with("not here: 2"), "{gap:?}");
    assert!(!about(&files, true).holds);
    files.entries.remove("e0");
    assert!(
        about(&files, false).holds && !about(&files, true).holds,
        "1 and 2 are missing"
    );
}
