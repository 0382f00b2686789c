//! One attempt to send a message: as a task's, but for what opens it and for its end.
//!
//! Its bytes name no person and are sealed under a request's evidence key. A receipt in the answer to a reminder counts
//! like any other. A task that can't be delivered is parked and
//! stays; a message is given up, counted, and said aloud, and its row is kept for some days only.

use connectors::Attempted;
use connectors::webhook::{Handover, attempt};
use domain::registration::{ConnectorKind, System};
use domain::task::ParkReason;
use platform::chance;
use platform::egress::Ours;
use platform::metrics::Counter;
use platform::propagation;
use store::messages::BODY;
use store::messages::claim::ClaimedMessage;
use store::messages::record::{MessageNext, MessageStep};
use store::tasks::record::Next;
use tracing::Instrument as _;

use super::attempt::{Freed, Tools};
use super::parcel::{Key, Load, Unready};
use super::policy::{Decision, Schedule, Tried};
use super::record::Report;
use crate::collect::NotTaken;

static SENT: Counter = Counter::new(
    "quittance_messages_total",
    "Attempts to send a message, by its type and what came of them.",
);

static GIVEN_UP: Counter = Counter::new(
    "quittance_messages_given_up_total",
    "Messages that are not tried again though nobody took them, by type and reason.",
);

impl Tools {
    /// Makes an attempt and hands its outcome on to be written down.
    pub(super) async fn send_message(&self, claimed: ClaimedMessage, key: Key) -> Freed {
        let span = tracing::info_span!("message", message = %claimed.id, system = %claimed.system);
        let decision = self.decide_message(&claimed, key).instrument(span).await;
        let step = step(&claimed, &decision, self.clock.now());
        if let MessageNext::GivenUp(reason, _) = step.next {
            let (kind, reason) = (claimed.kind.as_str(), reason.as_str());
            GIVEN_UP.add(1, &[("type", kind), ("reason", reason)]);
            tracing::error!(message = %claimed.id, system = %claimed.system, kind, reason, "a message is given up");
        }
        drop(self.outcomes.send(Report::Message(step)).await);
        Freed {
            load: Load::Message(claimed.id),
            system: claimed.system,
            pause: decision.pause,
            health: decision.health,
        }
    }

    async fn decide_message(&self, claimed: &ClaimedMessage, key: Key) -> Decision {
        let attempted = match self.attempt_message(claimed, &key).await {
            Ok(attempted) => attempted,
            Err(unready) => return self.unready(claimed, unready),
        };
        SENT.add(1, &[("type", claimed.kind.as_str()), ("result", attempted.as_str())]);
        self.schedule.decide(&attempted, self.tried_message(claimed))
    }

    async fn attempt_message(&self, claimed: &ClaimedMessage, key: &Key) -> Result<Attempted, Unready> {
        let body = key.open(BODY, Some(&claimed.sealed), claimed.digest)?;
        let directory = self.directory.current();
        let system = directory.system(claimed.system).ok_or(Unready::Misregistered)?;
        let url = address(system).ok_or(Unready::Misregistered)?;
        let keys = self.secrets.of(&directory, system, self.clock.now());
        let keys = keys.map_err(|_| Unready::Ours)?;
        let handover = Handover {
            url,
            id: &claimed.id.to_string(),
            body: &body,
            keys: &keys,
            at: self.clock.now(),
            trace: &propagation::current(),
        };
        let attempted = attempt(&self.egress, handover, self.limits).await;
        Ok(self.collect_prompted(attempted).await)
    }

    /// Takes the receipt out of an answer, if there is one: if it can't be stored now, the message is sent again.
    async fn collect_prompted(&self, attempted: Attempted) -> Attempted {
        let Attempted::Delivered {
            status,
            receipt: Some(token),
        } = attempted
        else {
            return attempted;
        };
        match self.collector.submit(token).await {
            Ok(()) => {}
            Err(NotTaken::Refused(refusal)) => {
                tracing::warn!(%refusal, "the answer to a message held a receipt that doesn't count");
            }
            Err(NotTaken::Again) => return Attempted::Ours(Ours::Network),
        }
        Attempted::Delivered { status, receipt: None }
    }

    fn unready(&self, claimed: &ClaimedMessage, unready: Unready) -> Decision {
        let given_up = |reason| Decision::keeping(Next::Parked(reason), claimed.steps, claimed.rejections);
        match unready {
            Unready::Ours => Schedule::ours(self.tried_message(claimed)),
            Unready::Misregistered => given_up(ParkReason::Misregistered),
            Unready::Corrupt => given_up(ParkReason::Corrupt),
        }
    }

    fn tried_message(&self, claimed: &ClaimedMessage) -> Tried {
        Tried {
            steps: claimed.steps,
            rejections: claimed.rejections,
            deadline: claimed.deadline,
            now: self.clock.now(),
            chance: chance::unit(&*self.rng),
        }
    }
}

/// The address of a system that is sent to, with tasks or notices.
fn address(system: &System) -> Option<&str> {
    match system.kind {
        ConnectorKind::Webhook | ConnectorKind::Notices => system.url.as_deref(),
        ConnectorKind::Pull => None,
    }
}

fn step(claimed: &ClaimedMessage, decision: &Decision, now: jiff::Timestamp) -> MessageStep {
    MessageStep {
        message: claimed.id,
        fence: claimed.fence,
        next: match decision.next {
            Next::Delivered(at) => MessageNext::Delivered(at),
            Next::Due(at) => MessageNext::Due(at),
            Next::Parked(reason) => MessageNext::GivenUp(reason, now),
        },
        steps: decision.steps,
        rejections: decision.rejections,
    }
}
