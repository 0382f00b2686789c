//! A message before it is sealed.

use std::collections::{HashMap, HashSet};

use domain::id::{ControllerId, MessageId, RequestId, SystemId, TaskId};
use domain::message::MessageType;
use evidence::digest::sha256;
use jiff::Timestamp;
use keys::{Class, DataKey, KeyError};
use platform::chance;
use platform::metrics::Counter;
use store::messages::{BODY, NewMessage};

use super::Herald;
use super::body::{Notice, gather};

static UNTOLD: Counter = Counter::new(
    "quittance_messages_untold_total",
    "What could not be told, because its system is gone or takes no webhooks, or its request's keys are gone.",
);

/// The evidence keys of requests.
pub(super) type Keys = HashMap<RequestId, DataKey>;

/// A message before it is sealed.
pub(super) struct Draft {
    pub(super) system: SystemId,
    pub(super) controller: ControllerId,
    pub(super) kind: MessageType,
    pub(super) request: RequestId,
    pub(super) task: Option<TaskId>,
    pub(super) due: Timestamp,
    pub(super) deadline: Timestamp,
    pub(super) body: Vec<u8>,
}

/// Notices of one kind to one system, as few messages as hold them, due at once.
pub(super) fn gathered(
    kind: MessageType,
    (controller, system): (ControllerId, SystemId),
    notices: Vec<Notice>,
    now: Timestamp,
) -> impl Iterator<Item = Draft> {
    let bodies = gather(kind, now, (controller, system), notices);
    bodies.into_iter().map(move |(request, body)| Draft {
        system,
        controller,
        kind,
        request,
        task: None,
        due: now,
        deadline: now,
        body,
    })
}

/// Something can't be told: counted and said, never silent.
pub(super) fn untold(kind: MessageType, request: RequestId, why: &'static str) {
    UNTOLD.add(1, &[("type", kind.as_str()), ("why", why)]);
    tracing::warn!(%request, kind = kind.as_str(), why, "something can't be told");
}

impl Herald {
    /// From another database than the one that is written, so before its transaction.
    pub(super) async fn evidence_keys(&self, requests: impl Iterator<Item = RequestId>) -> Result<Keys, KeyError> {
        let requests: HashSet<RequestId> = requests.collect();
        if requests.is_empty() {
            return Ok(Keys::new());
        }
        let requests: Vec<RequestId> = requests.into_iter().collect();
        self.keys.load(Class::Evidence, &requests).await
    }

    pub(super) fn seal(&self, drafts: Vec<Draft>, keys: &Keys, now: Timestamp) -> Vec<NewMessage> {
        let seal = |draft: Draft| {
            let Some(key) = keys.get(&draft.request) else {
                untold(draft.kind, draft.request, "shredded");
                return None;
            };
            Some(NewMessage {
                id: MessageId::new(now, chance::bytes(&*self.rng)),
                system: draft.system,
                controller: draft.controller,
                kind: draft.kind,
                request: draft.request,
                task: draft.task,
                due: draft.due,
                deadline: draft.deadline,
                digest: sha256(&draft.body),
                sealed: key.seal(BODY, &draft.body),
            })
        };
        drafts.into_iter().filter_map(seal).collect()
    }
}
