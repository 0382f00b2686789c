//! The bodies of messages (contracts.md §4; schemas/webhook). Ids, facts and signatures of ours; nothing names a person.

use domain::id::{ControllerId, RequestId, SystemId};
use domain::message::MessageType;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

/// What Standard Webhooks recommends at most, and contracts.md promises.
const BODY_MAX: usize = 20_000;

#[derive(Serialize)]
struct Message<'a, T> {
    r#type: MessageType,
    timestamp: Timestamp,
    data: &'a T,
}

#[derive(Serialize)]
struct Gathered<'a> {
    controller: ControllerId,
    system: SystemId,
    notices: &'a [Box<RawValue>],
}

/// One notice, and the request that it is about.
#[derive(Debug)]
pub(super) struct Notice {
    pub(super) request: RequestId,
    pub(super) content: Box<RawValue>,
}

impl Notice {
    pub(super) fn new(request: RequestId, content: &impl Serialize) -> Self {
        let content = to_raw_value(content).expect("ids, instants, words and tokens are JSON");
        Self { request, content }
    }
}

/// A body of one thing.
pub(crate) fn render(kind: MessageType, timestamp: Timestamp, data: &impl Serialize) -> Vec<u8> {
    let message = Message {
        r#type: kind,
        timestamp,
        data,
    };
    serde_json::to_vec(&message).expect("ids, instants, words and tokens are JSON")
}

/// Notices of one type to one system in as few bodies as hold them, each with the request of its first notice.
pub(super) fn gather(
    kind: MessageType,
    timestamp: Timestamp,
    (controller, system): (ControllerId, SystemId),
    notices: Vec<Notice>,
) -> Vec<(RequestId, Vec<u8>)> {
    let body = |notices: &[Box<RawValue>]| {
        let data = Gathered {
            controller,
            system,
            notices,
        };
        render(kind, timestamp, &data)
    };
    let room = BODY_MAX - body(&[]).len();
    let (mut bodies, mut together, mut first, mut used) = (Vec::new(), Vec::new(), None, 0);
    for notice in notices {
        // And a comma.
        let more = notice.content.get().len() + 1;
        if used + more > room
            && let Some(first) = first.take()
        {
            bodies.push((first, body(&std::mem::take(&mut together))));
            used = 0;
        }
        first = first.or(Some(notice.request));
        used += more;
        together.push(notice.content);
    }
    bodies.extend(first.map(|first| (first, body(&together))));
    bodies
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn notices_fill_bodies_up_to_what_a_webhook_may_hold() {
        let notice = |number: u128| {
            let request = RequestId::from_uuid(Uuid::from_u128(number));
            Notice::new(request, &json!({"request": request, "filling": "x".repeat(900)}))
        };
        let whom = (
            ControllerId::from_uuid(Uuid::from_u128(1)),
            SystemId::from_uuid(Uuid::from_u128(2)),
        );
        let notices = (1..=50).map(notice).collect();
        let bodies = gather(MessageType::RequestClosed, Timestamp::UNIX_EPOCH, whom, notices);
        let mut told = 0;
        for (first, body) in &bodies {
            assert!(body.len() <= BODY_MAX, "{}", body.len());
            let body: Value = serde_json::from_slice(body).unwrap();
            let notices = body["data"]["notices"].as_array().unwrap();
            assert_eq!(notices[0]["request"], json!(first));
            told += notices.len();
        }
        assert_eq!((bodies.len(), told), (3, 50));
        let none = gather(MessageType::RequestClosed, Timestamp::UNIX_EPOCH, whom, vec![]);
        assert_eq!(none, []);
    }
}
