//! The wire as it is: bytes that never change by accident, and the list of fields.

use std::fmt::Write as _;

use domain::decision::Stated;
use domain::id::{BindingId, ControllerId, EntryId, InstructionId, MessageId, RequestId, SystemId, TaskId};
use domain::receipt::Signer;
use domain::registration::InstructionMode;
use domain::request::{Closing, StageName};
use domain::right::{Channel, Right};
use domain::task::ParkReason;
use jiff::Timestamp;
use uuid::Uuid;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_microsecond(1_777_885_200_000_000 + seconds * 1_000_000 + 123_456).unwrap()
}

/// Ids that can be told apart in a dump: one byte, sixteen times.
fn same(byte: u8) -> Uuid {
    Uuid::from_bytes([byte; 16])
}

fn request() -> RequestPublished {
    RequestPublished {
        message_id: MessageId::from_uuid(same(0x11)),
        occurred_at: at(0),
        request: RequestId::from_uuid(same(0x2b)),
        controller: ControllerId::from_uuid(same(0x33)),
        request_version: 7,
        right: Right::Offboarding,
        product: Some("smart-reply".into()),
        channel: Channel::Other,
        binding: Some(BindingId::from_uuid(same(0x44))),
        instruction: InstructionId::from_uuid(same(0x55)),
        mode: InstructionMode::DeclineWithNotice,
        received_at: at(-60),
        due_at: at(2_592_000),
        regime: "gdpr".into(),
    }
}

fn event(happened: Happened) -> LifecycleEvent {
    LifecycleEvent {
        message_id: MessageId::from_uuid(same(0x11)),
        occurred_at: at(0),
        request: RequestId::from_uuid(same(0x2b)),
        controller: ControllerId::from_uuid(same(0x33)),
        request_version: 300,
        happened,
    }
}

fn happenings() -> [Happened; 9] {
    let (task, system) = (TaskId::from_uuid(same(0x66)), SystemId::from_uuid(same(0x77)));
    let reason = ParkReason::Withdrawn;
    [
        Happened::StageChanged(StageName::Planned),
        Happened::TaskParked { task, system, reason },
        Happened::TaskUnreachable { task, system },
        Happened::TaskUnanswered { task, system },
        Happened::DueSoon(at(60)),
        Happened::Overdue(at(60)),
        Happened::Closed(Closing::Undeliverable),
        Happened::Reopened,
        Happened::TaskStated {
            task,
            system,
            statement: Stated::NoReceipt,
            approved: true,
        },
    ]
}

fn entry() -> LedgerEntry {
    LedgerEntry {
        message_id: MessageId::from_uuid(same(0x11)),
        occurred_at: at(0),
        entry: EntryId::from_uuid(same(0x88)),
        entry_type: 15,
        controller: ControllerId::from_uuid(same(0x33)),
        request: Some(RequestId::from_uuid(same(0x2b))),
        content: br#"{"v":1}"#.to_vec(),
    }
}

fn logged() -> LoggedEntries {
    let logged = |byte, controller_seq, index| Logged {
        entry: EntryId::from_uuid(same(byte)),
        controller_seq,
        index,
    };
    LoggedEntries {
        message_id: MessageId::from_uuid(same(0x11)),
        occurred_at: at(0),
        tree_size: 1_000_001,
        entries: vec![logged(0x88, 1, 0), logged(0x99, 2, 1_000_000)],
    }
}

fn dead_letter() -> DeadLetter {
    DeadLetter {
        message_id: MessageId::from_uuid(same(0x11)),
        occurred_at: at(0),
        failed: Some(MessageId::from_uuid(same(0xaa))),
        topic: "dsr.ledger.v1".into(),
        partition: 11,
        offset: 123_456_789,
        error_class: ErrorClass::Failed,
    }
}

fn receipt() -> ReceiptPublished {
    ReceiptPublished {
        message_id: MessageId::from_uuid(same(0x11)),
        occurred_at: at(0),
        request: RequestId::from_uuid(same(0x2b)),
        controller: ControllerId::from_uuid(same(0x33)),
        task: TaskId::from_uuid(same(0x66)),
        system: SystemId::from_uuid(same(0x77)),
        signer: Signer::Owner,
        jws: b"aGVhZGVy.Y2xhaW1z.c2lnbmF0dXJl".to_vec(),
    }
}

/// Hexadecimal, with runs of equal bytes written as `byte*count`, so that the ids above can be seen.
fn dump(bytes: &[u8]) -> String {
    bytes
        .chunk_by(|one, next| one == next)
        .fold(String::new(), |mut text, run| {
            match run.len() {
                1..=3 => run.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap()),
                count => write!(text, " {:02x}*{count} ", run[0]).unwrap(),
            }
            text
        })
}

/// Made once and looked through by hand, field by field.
#[test]
fn the_bytes_never_change_by_accident() {
    let expected = "0a10 11*16 10c08cb8bea29f94031a10 2b*16 2210 33*16 280730093a0b736d6172742d7265706c7940084a10 44*16 5210 55*16 580360c0fee9a1a29f940368c08cadb8daea9403720467647072";
    assert_eq!(dump(&request().encode()), expected);
    let head = "0a10 11*16 10c08cb8bea29f94031a10 2b*16 2210 33*16 28ac02";
    let happened = [
        "32020806",
        "3a260a10 66*16 1210 77*16 1807",
        "42240a10 66*16 1210 77*16 ",
        "6a240a10 66*16 1210 77*16 ",
        "4a0908c09a86dba29f9403",
        "520908c09a86dba29f9403",
        "5a020806",
        "6200",
        "72280a10 66*16 1210 77*16 18022001",
    ];
    for (one, expected) in happenings().into_iter().zip(happened) {
        assert_eq!(dump(&event(one).encode()), format!("{head}{expected}"), "{one:?}");
    }
    let expected = "0a10 11*16 10c08cb8bea29f94031a10 88*16 200f2a10 33*16 3210 2b*16 3a077b2276223a317d";
    assert_eq!(dump(&entry().encode()), expected);
    let expected = "0a10 11*16 10c08cb8bea29f940318c1843d22140a10 88*16 100122180a10 99*16 100218c0843d";
    assert_eq!(dump(&logged().encode()), expected);
    let expected = "0a10 11*16 10c08cb8bea29f94031a10 aa*16 220d6473722e6c65646765722e7631280b30959aef3a3804";
    assert_eq!(dump(&dead_letter().encode()), expected);
}

#[test]
fn what_was_written_is_read_back() {
    for right in Right::ALL {
        for channel in Channel::ALL {
            let message = RequestPublished {
                right: *right,
                channel: *channel,
                ..request()
            };
            assert_eq!(RequestPublished::decode(&message.encode()), Ok(message));
        }
    }
    let bare = RequestPublished {
        product: None,
        binding: None,
        ..request()
    };
    assert_eq!(RequestPublished::decode(&bare.encode()), Ok(bare));
    for happened in happenings() {
        assert_eq!(LifecycleEvent::decode(&event(happened).encode()), Ok(event(happened)));
    }
    let of_no_request = LedgerEntry {
        request: None,
        ..entry()
    };
    assert_eq!(LedgerEntry::decode(&entry().encode()), Ok(entry()));
    assert_eq!(LedgerEntry::decode(&of_no_request.encode()), Ok(of_no_request));
    assert_eq!(LoggedEntries::decode(&logged().encode()), Ok(logged()));
    assert_eq!(DeadLetter::decode(&dead_letter().encode()), Ok(dead_letter()));
    let envelope = receipt().envelope();
    assert_eq!(
        ReceiptPublished::read(&envelope.headers, &envelope.value),
        Ok(receipt())
    );
}

#[test]
fn envelopes_are_keyed_as_the_contract_says() {
    let request_key = receipt().request.to_string();
    let cases = [
        (
            request().envelope(),
            "dsr.requests.offboarding.v1",
            request_key.as_str(),
        ),
        (event(Happened::Reopened).envelope(), "dsr.events.v1", &request_key),
        (receipt().envelope(), "dsr.receipts.v1", &request_key),
        (entry().envelope(), "dsr.ledger.v1", &request_key),
        (
            LedgerEntry {
                request: None,
                ..entry()
            }
            .envelope(),
            "dsr.ledger.v1",
            &entry().entry.to_string(),
        ),
        (logged().envelope(), "dsr.logged.v1", ""),
        (dead_letter().envelope(), "dsr.deadletters.v1", ""),
    ];
    for (envelope, topic, key) in cases {
        assert_eq!(envelope.topic.to_string(), topic);
        assert_eq!(std::str::from_utf8(&envelope.key), Ok(key), "{topic}");
        assert_eq!(message_id(&envelope.headers), Some(request().message_id), "{topic}");
    }
}

#[test]
fn a_receipt_travels_as_its_bytes_and_its_headers() {
    let headers = receipt().envelope().headers;
    let text: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
        .collect();
    let expected = [
        "message-id: msg_0h248h248h248h248h248h248h",
        "occurred-at: 2026-05-04T09:00:00.123456Z",
        "request: req_1b5cnjpasb5cnjpasb5cnjpasb",
        "controller: ctl_1k6csk6csk6csk6csk6csk6csk",
        "task: task_36csk6csk6csk6csk6csk6csk6",
        "system: sys_3qexvqexvqexvqexvqexvqexvq",
        "signer: owner",
    ];
    assert_eq!(text, expected);
    for missing in 0..headers.len() {
        let mut fewer = headers.clone();
        let (name, _) = fewer.remove(missing);
        assert!(ReceiptPublished::read(&fewer, b"").is_err(), "{name}");
    }
}

#[test]
fn what_is_malformed_is_named_by_its_field() {
    let wire = |change: fn(&mut wire::RequestPublished)| {
        let mut wire: wire::RequestPublished = convert::decode(&request().encode()).unwrap();
        change(&mut wire);
        RequestPublished::decode(&prost::Message::encode_to_vec(&wire))
    };
    assert_eq!(wire(|_| {}), Ok(request()));
    assert_eq!(wire(|wire| wire.request.truncate(15)), Err(Malformed::Id("request")));
    assert_eq!(wire(|wire| wire.controller.clear()), Err(Malformed::Id("controller")));
    assert_eq!(wire(|wire| wire.binding = Some(vec![])), Err(Malformed::Id("binding")));
    assert_eq!(wire(|wire| wire.due_at = i64::MAX), Err(Malformed::Instant("due_at")));
    assert_eq!(wire(|wire| wire.right = 0), Err(Malformed::Unknown("right")));
    assert_eq!(wire(|wire| wire.channel = 99), Err(Malformed::Unknown("channel")));

    assert_eq!(RequestPublished::decode(b"\xff"), Err(Malformed::Encoding));
    assert_eq!(LifecycleEvent::decode(&request().encode()), Err(Malformed::Encoding));
    assert_eq!(RequestPublished::decode(b""), Err(Malformed::Id("message_id")));
    let mut wire: wire::LedgerEntry = convert::decode(&entry().encode()).unwrap();
    wire.r#type = 256;
    assert_eq!(
        LedgerEntry::decode(&prost::Message::encode_to_vec(&wire)),
        Err(Malformed::Range("type"))
    );
    let mut wire: wire::LifecycleEvent = convert::decode(&event(Happened::Reopened).encode()).unwrap();
    wire.happened = None;
    assert_eq!(
        LifecycleEvent::decode(&prost::Message::encode_to_vec(&wire)),
        Err(Malformed::Missing("happened"))
    );
}

/// What `buf breaking` in category FILE holds: a name, a number or a type that was once published stays.
#[test]
fn fields_are_only_ever_added() {
    let published: Vec<&str> = include_str!("../dsr/v1/fields.txt").lines().collect();
    let current = fields();
    for line in &published {
        assert!(
            current.iter().any(|field| field == line),
            "`{line}` is published and may not change"
        );
    }
    for line in &current {
        assert!(
            published.contains(&line.as_str()),
            "`{line}` is new: add it to dsr/v1/fields.txt"
        );
    }
}

/// An announcement of the most entries, with the largest numbers, stays far below what a message may be.
#[test]
fn the_largest_announcement_fits_a_message() {
    let logged = Logged {
        entry: EntryId::from_uuid(same(0xff)),
        controller_seq: u64::MAX,
        index: u64::MAX,
    };
    let announcement = LoggedEntries {
        entries: vec![logged; LOGGED_MAX],
        ..self::logged()
    };
    assert!(announcement.encode().len() < 500_000);
}

/// One line for each field and each word: file, message or enumeration, name, number, type.
fn fields() -> Vec<String> {
    let root = env!("CARGO_MANIFEST_DIR");
    let names = ["request", "event", "ledger", "deadletter"].map(|name| format!("dsr/v1/{name}.proto"));
    let files = protox::compile(names, [root]).unwrap();
    let mut fields = Vec::new();
    for file in &files.file {
        for message in &file.message_type {
            for field in &message.field {
                let label = field.label().as_str_name().trim_start_matches("LABEL_").to_lowercase();
                let kind = field.r#type().as_str_name().trim_start_matches("TYPE_").to_lowercase();
                let oneof = field.oneof_index.map_or(String::new(), |index| {
                    format!(" of {}", message.oneof_decl[usize::try_from(index).unwrap()].name())
                });
                fields.push(format!(
                    "{} {}.{} = {} {} {}{}{oneof}",
                    file.name(),
                    message.name(),
                    field.name(),
                    field.number(),
                    label,
                    kind,
                    field.type_name(),
                ));
            }
        }
        for words in &file.enum_type {
            for word in &words.value {
                fields.push(format!(
                    "{} {}.{} = {}",
                    file.name(),
                    words.name(),
                    word.name(),
                    word.number()
                ));
            }
        }
    }
    fields
}
