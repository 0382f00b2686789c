//! The body of `dsr.task.created`, rendered once (contracts.md §4).
//!
//! A system gets only what it registered for: the kinds of identity that it can look up, and the person's own words if
//! it wants them. What would make the body longer than a webhook may be is taken from those words, visibly; nothing
//! else is ever left out.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::id::{ControllerId, InstructionId, RequestId, SystemId, TaskId};
use domain::new_request::{Details, Interaction, json_length};
use domain::person::{Identity, IdentityKind, KnownKind, Personal, Proof, Relation};
use domain::registration::System;
use domain::right::{Channel, Right};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use store::requests::Shown;

/// What Standard Webhooks recommends at most, and contracts.md promises.
const BODY_MAX: usize = 20_000;

/// The algorithms that an owner may sign with.
const ALGORITHMS: [&str; 2] = ["EdDSA", "ES256"];

/// What a body is made of.
pub(super) struct Occasion<'a> {
    pub(super) task: TaskId,
    pub(super) request: &'a Shown,
    pub(super) details: &'a Details,
    pub(super) instruction: InstructionId,
    pub(super) system: &'a System,
    /// This deployment, as the world reaches it.
    pub(super) public_url: &'a str,
    pub(super) now: Timestamp,
    pub(super) nonce: [u8; 16],
}

/// Without the person's words it is still longer than a webhook may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body of a task has more than {BODY_MAX} bytes")]
pub(super) struct TooLong;

#[derive(Serialize)]
struct Message<'a> {
    r#type: &'static str,
    timestamp: Timestamp,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    task: TaskId,
    request: RequestId,
    right: Right,
    instruction: InstructionId,
    controller: ControllerId,
    system: SystemId,
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<&'a str>,
    channel: Channel,
    received_at: Timestamp,
    due_at: Timestamp,
    regime: &'a str,
    subject: Subject<'a>,
    requester: Requester<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interaction: Option<Dealt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    /// Whether the description goes on beyond what is told.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    description_cut: bool,
    assurance: Assurance<'a>,
    receipt: Receipt<'a>,
    nonce: String,
}

#[derive(Serialize)]
struct Subject<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    identities: Vec<Known<'a>>,
}

#[derive(Serialize)]
struct Known<'a> {
    kind: String,
    value: &'a str,
    verified: bool,
}

#[derive(Serialize)]
struct Requester<'a> {
    relation: Relation,
    #[serde(skip_serializing_if = "Option::is_none")]
    authority: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Dealt {
    Roughly { approximately: String },
    Between { from: Date, to: Date },
}

#[derive(Serialize)]
struct Assurance<'a> {
    level: &'a str,
    at: Timestamp,
}

/// How a receipt is to be made, and where it goes.
#[derive(Serialize)]
pub(crate) struct Receipt<'a> {
    deliver_to: String,
    audience: &'a str,
    event: String,
    algorithms: [&'static str; 2],
}

/// Renders the body; the same occasion gives the same bytes.
pub(super) fn render(occasion: &Occasion<'_>) -> Result<Vec<u8>, TooLong> {
    let mut message = message(occasion);
    let body = bytes(&message);
    if body.len() <= BODY_MAX {
        return Ok(body);
    }
    let words = message.data.description.take().ok_or(TooLong)?;
    message.data.description_cut = true;
    message.data.description = Some("");
    let room = BODY_MAX.checked_sub(bytes(&message).len()).ok_or(TooLong)?;
    message.data.description = Some(cut(words, room));
    Ok(bytes(&message))
}

fn bytes(message: &Message<'_>) -> Vec<u8> {
    serde_json::to_vec(message).expect("ids, instants, words and texts are JSON")
}

fn message<'a>(occasion: &Occasion<'a>) -> Message<'a> {
    let Occasion { request, details, .. } = *occasion;
    let words = |text: &'a Option<Personal>| {
        let wanted = text.as_ref().filter(|_| occasion.system.wants_description);
        wanted.map(Personal::expose)
    };
    Message {
        r#type: "dsr.task.created",
        timestamp: occasion.now,
        data: Data {
            task: occasion.task,
            request: request.id,
            right: request.right,
            instruction: occasion.instruction,
            controller: request.controller,
            system: occasion.system.id,
            product: request.product.as_deref(),
            channel: request.channel,
            received_at: request.received_at,
            due_at: request.due_at,
            regime: &request.regime,
            subject: subject(occasion),
            requester: Requester {
                relation: details.requester.relation,
                authority: words(&details.requester.authority),
            },
            interaction: details.interaction.map(dealt),
            description: words(&details.description),
            description_cut: false,
            assurance: Assurance {
                level: request.assurance.level.as_str(),
                at: request.assurance.at,
            },
            receipt: receipt(occasion.public_url),
            nonce: URL_SAFE_NO_PAD.encode(occasion.nonce),
        },
    }
}

fn subject<'a>(occasion: &Occasion<'a>) -> Subject<'a> {
    let subject = &occasion.details.subject;
    let known = |identity: &'a Identity| Known {
        kind: identity.kind.to_string(),
        value: identity.value.expose(),
        verified: identity.proof == Proof::Verified,
    };
    let used = subject.identities.iter().filter(|one| occasion.system.uses(&one.kind));
    let name = subject.name.as_ref();
    let name = name.filter(|_| occasion.system.uses(&IdentityKind::Known(KnownKind::Name)));
    Subject {
        name: name.map(Personal::expose),
        kind: subject.kind.as_deref(),
        identities: used.map(known).collect(),
    }
}

fn dealt(interaction: Interaction) -> Dealt {
    match interaction {
        Interaction::Day(day) => Dealt::Roughly {
            approximately: day.to_string(),
        },
        Interaction::Month(first) => Dealt::Roughly {
            approximately: first.strftime("%Y-%m").to_string(),
        },
        Interaction::Between(from, to) => Dealt::Between { from, to },
    }
}

/// What is wanted of every owner.
pub(crate) fn receipt(public_url: &str) -> Receipt<'_> {
    Receipt {
        deliver_to: format!("{public_url}/v1/receipts"),
        audience: public_url,
        event: format!("{public_url}/schemas/events/task-completed"),
        algorithms: ALGORITHMS,
    }
}

/// The longest beginning of a text that has at most so many bytes in JSON.
fn cut(text: &str, room: usize) -> &str {
    let mut used = 0;
    for (at, letter) in text.char_indices() {
        used += json_length(letter.encode_utf8(&mut [0; 4]));
        if used > room {
            return &text[..at];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use domain::assurance::AssuranceLevel;
    use domain::new_request::{Door, IDENTITIES_MAX, Requester as Asking, WHOLE_BYTES_MAX};
    use domain::person::Subject as Person;
    use domain::request::StageName;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::service::PUBLIC_URL_LENGTH_MAX;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_777_885_200 + second).unwrap()
    }

    fn request() -> Shown {
        Shown {
            id: RequestId::from_uuid(Uuid::from_u128(1)),
            controller: ControllerId::from_uuid(Uuid::from_u128(2)),
            stage: StageName::Ready,
            version: 1,
            outcome: None,
            right: Right::Deletion,
            channel: Channel::Whatsapp,
            product: Some("smart-reply".to_owned()),
            binding: None,
            door: Door::Whatsapp,
            assurance: domain::assurance::Assurance {
                level: AssuranceLevel::ChannelControl,
                at: at(0),
                evidence: None,
            },
            jurisdiction: None,
            locale: None,
            regime: "gdpr".to_owned(),
            regime_version: "2026.1".to_owned(),
            zone: "Asia/Hebron".to_owned(),
            received_at: at(0),
            accepted_at: at(1),
            due_at: at(2_592_000),
            instruction: None,
            closed_at: None,
        }
    }

    fn details(description: &str) -> Details {
        let identity = |kind: &str, raw, proof| Identity::parse(kind.parse().unwrap(), raw, proof).unwrap();
        Details {
            subject: Person {
                name: Some(Personal::new("ليلى")),
                kind: Some("customer".to_owned()),
                identities: vec![
                    identity("phone", "+970591234567", Proof::Verified),
                    identity("email", "layla@example.org", Proof::Stated),
                ],
            },
            requester: Asking {
                relation: Relation::Myself,
                authority: None,
            },
            business: None,
            interaction: Some(Interaction::Month(jiff::civil::date(2026, 5, 1))),
            description: Some(Personal::new(description)),
        }
    }

    fn system() -> System {
        let id = SystemId::from_uuid(Uuid::from_u128(3));
        System::webhook(id, ControllerId::from_uuid(Uuid::from_u128(2)), "crm")
    }

    fn occasion<'a>(request: &'a Shown, details: &'a Details, system: &'a System) -> Occasion<'a> {
        Occasion {
            task: TaskId::from_uuid(Uuid::from_u128(4)),
            request,
            details,
            instruction: InstructionId::from_uuid(Uuid::from_u128(5)),
            system,
            public_url: "https://router.example",
            now: at(2),
            nonce: [0xff; 16],
        }
    }

    fn rendered(details: &Details, system: &System) -> Result<Vec<u8>, TooLong> {
        render(&occasion(&request(), details, system))
    }

    fn data(details: &Details, system: &System) -> Value {
        let body: Value = serde_json::from_slice(&rendered(details, system).unwrap()).unwrap();
        body["data"].clone()
    }

    #[test]
    fn the_body_is_the_one_that_the_contract_shows() {
        let wanting = System {
            wants_description: true,
            ..system()
        };
        let body: Value = serde_json::from_slice(&rendered(&details("please"), &wanting).unwrap()).unwrap();
        let expected = json!({
            "type": "dsr.task.created", "timestamp": "2026-05-04T09:00:02Z",
            "data": {
                "task": "task_00000000000000000000000004", "request": "req_00000000000000000000000001",
                "right": "deletion", "instruction": "ins_00000000000000000000000005",
                "controller": "ctl_00000000000000000000000002", "system": "sys_00000000000000000000000003",
                "product": "smart-reply", "channel": "whatsapp",
                "received_at": "2026-05-04T09:00:00Z", "due_at": "2026-06-03T09:00:00Z", "regime": "gdpr",
                "subject": {"name": "ليلى", "kind": "customer", "identities": [
                    {"kind": "phone", "value": "+970591234567", "verified": true},
                    {"kind": "email", "value": "layla@example.org", "verified": false}]},
                "requester": {"relation": "self"}, "interaction": {"approximately": "2026-05"},
                "description": "please", "assurance": {"level": "channel_control", "at": "2026-05-04T09:00:00Z"},
                "receipt": {"deliver_to": "https://router.example/v1/receipts", "audience": "https://router.example",
                    "event": "https://router.example/schemas/events/task-completed",
                    "algorithms": ["EdDSA", "ES256"]},
                "nonce": "_____________________w",
            }
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn a_system_gets_only_what_it_registered_for() {
        let narrow = System {
            identity_kinds: vec!["email".to_owned()],
            ..system()
        };
        let data = data(&details("please"), &narrow);
        let identities = json!([{"kind": "email", "value": "layla@example.org", "verified": false}]);
        assert_eq!(data["subject"], json!({"kind": "customer", "identities": identities}));
        assert_eq!(data.get("description"), None);
    }

    #[test]
    fn only_the_persons_own_words_are_ever_cut() {
        let wanting = System {
            wants_description: true,
            ..system()
        };
        let long = "\u{1}é\"".repeat(10_000);
        let body = rendered(&details(&long), &wanting).unwrap();
        assert!((BODY_MAX - 6..=BODY_MAX).contains(&body.len()), "{}", body.len());
        let data = data(&details(&long), &wanting);
        assert_eq!(data["description_cut"], json!(true));
        assert!(long.starts_with(data["description"].as_str().unwrap()));
    }

    #[test]
    fn whatever_a_door_takes_fits() {
        let wanting = System {
            wants_description: true,
            ..system()
        };
        let mut many = details("please");
        many.requester = Asking {
            relation: Relation::ThirdParty,
            authority: Some(Personal::new("\"\u{1f600}".repeat(500))),
        };
        let namespace = "n".repeat(40);
        let one = Identity::parse(format!("external:{namespace}").parse().unwrap(), "x", Proof::Verified).unwrap();
        many.subject.identities = vec![one; IDENTITIES_MAX];
        let last = Identity::parse("external:x".parse().unwrap(), &"\\".repeat(256), Proof::Stated).unwrap();
        while many.whole_length() < WHOLE_BYTES_MAX {
            many.subject.identities.push(last.clone());
        }
        let words = "please".repeat(1_000);
        many.description = Some(Personal::new(words));
        let mut largest = request();
        largest.product = Some("p".repeat(64));
        largest.received_at = Timestamp::from_microsecond(1_777_885_200_123_456).unwrap();
        let body = render(&Occasion {
            public_url: &format!("https://{}", "u".repeat(PUBLIC_URL_LENGTH_MAX - 8)),
            ..occasion(&largest, &many, &wanting)
        });
        // Beyond the limit by less than one identity, and there is still room.
        assert!(body.is_ok_and(|body| body.len() <= BODY_MAX));

        let one = Identity::parse("external:x".parse().unwrap(), &"ي".repeat(256), Proof::Stated).unwrap();
        many.subject.identities = vec![one; 50];
        assert_eq!(rendered(&many, &wanting), Err(TooLong));
    }
}
