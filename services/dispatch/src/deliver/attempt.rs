//! One attempt: open the bytes, see that they are the planned ones, sign, send, judge.
//!
//! A receipt in the answer is made durable before the attempt is written down: were it the other way round, a crash
//! between the two would lose what its owner thinks we have. If it can't be stored now, the task is sent again, and its
//! owner answers the same.

use std::sync::Arc;

use connectors::Attempted;
use connectors::webhook::{Handover, attempt};
use domain::id::{AttemptId, SystemId};
use domain::registration::System;
use domain::task::ParkReason;
use jiff::Timestamp;
use platform::chance::{self, SharedRng};
use platform::clock::SharedClock;
use platform::egress::{Egress, Limits};
use platform::metrics::{Counter, Histogram};
use platform::propagation;
use platform::webhook::SigningKey;
use store::attempts::Attempt;
use store::receipts::{AnomalyKind, AnomalyRow};
use store::registry::DirectoryCache;
use store::tasks::record::{Next, Step};
use store::tasks::{self, claim::Claimed};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use super::parcel::{Key, Load, Parcel, Unready};
use super::policy::{Decision, Health, Schedule, Tried};
use super::record::{Outcome, Report};
use super::secrets::Secrets;
use crate::collect::{Collector, NotTaken};
use crate::oddities;

static ATTEMPTS: Counter = Counter::new(
    "quittance_attempts_total",
    "Attempts to hand a task over, by what came of them.",
);

static ATTEMPT: Histogram = Histogram::new("quittance_attempt_duration_seconds", "How long an attempt took.");

/// What attempts are made with.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) egress: Egress,
    pub(super) directory: DirectoryCache,
    pub(super) secrets: Secrets,
    pub(super) collector: Collector,
    pub(super) schedule: Schedule,
    pub(super) limits: Limits,
    pub(super) clock: SharedClock,
    pub(super) rng: SharedRng,
    pub(super) outcomes: mpsc::Sender<Report>,
}

/// What an attempt leaves behind for the endpoint's owner.
#[derive(Debug, Clone, Copy)]
pub(super) struct Freed {
    pub(super) load: Load,
    pub(super) system: SystemId,
    /// Until when the endpoint wants to be left alone.
    pub(super) pause: Option<Timestamp>,
    /// What the attempt showed of it.
    pub(super) health: Health,
}

/// What is needed to send, or why it can't be sent.
struct Ready {
    url: String,
    keys: Arc<[SigningKey]>,
    body: Vec<u8>,
}

impl Tools {
    /// Makes an attempt and hands its outcome on to be written down.
    pub(super) async fn attempt(&self, parcel: Parcel) -> Freed {
        match parcel {
            Parcel::Task(claimed, key) => self.hand_over(claimed, key).await,
            Parcel::Message(claimed, key) => self.send_message(claimed, key).await,
        }
    }

    async fn hand_over(&self, claimed: Claimed, key: Key) -> Freed {
        let span = tracing::info_span!("attempt", task = %claimed.id, system = %claimed.system);
        let (outcome, decision) = self.outcome(&claimed, key).instrument(span).await;
        // The one who writes is gone only after the hard stop; then the task is found by its fence.
        drop(self.outcomes.send(Report::Task(outcome)).await);
        Freed {
            load: Load::Task(claimed.id),
            system: claimed.system,
            pause: decision.pause,
            health: decision.health,
        }
    }

    async fn outcome(&self, claimed: &Claimed, key: Key) -> (Outcome, Decision) {
        match self.ready(claimed, &key) {
            Ok(ready) => self.send(claimed, ready).await,
            Err(unready) => self.unsent(claimed, unready),
        }
    }

    fn ready(&self, claimed: &Claimed, key: &Key) -> Result<Ready, Unready> {
        let body = key.open(tasks::BODY, claimed.sealed.as_deref(), claimed.digest)?;
        let directory = self.directory.current();
        let system = directory.system(claimed.system).ok_or(Unready::Misregistered)?;
        let url = webhook(system).ok_or(Unready::Misregistered)?.to_owned();
        let keys = self.secrets.of(&directory, system, self.clock.now());
        let keys = keys.map_err(|_| Unready::Ours)?;
        Ok(Ready { url, keys, body })
    }

    async fn send(&self, claimed: &Claimed, ready: Ready) -> (Outcome, Decision) {
        let started_at = self.clock.now();
        let handover = Handover {
            url: &ready.url,
            id: &claimed.id.to_string(),
            body: &ready.body,
            keys: &ready.keys,
            at: started_at,
            trace: &propagation::current(),
        };
        let attempted = attempt(&self.egress, handover, self.limits).await;
        let (attempted, anomaly) = self.collect(claimed, attempted).await;
        let ended_at = self.clock.now();
        note(&attempted, started_at, ended_at);
        let decision = self.schedule.decide(&attempted, self.tried(claimed, ended_at));
        let attempt = Attempt {
            id: AttemptId::new(started_at, chance::bytes(&*self.rng)),
            task: claimed.id,
            fence: claimed.fence,
            started_at,
            ended_at,
            status: attempted.status(),
            result: attempted.as_str(),
        };
        let outcome = Outcome {
            attempt: Some(attempt),
            step: step(claimed, &decision),
            anomaly,
        };
        (outcome, decision)
    }

    /// Takes the receipt out of an answer, if there is one.
    async fn collect(&self, claimed: &Claimed, attempted: Attempted) -> (Attempted, Option<AnomalyRow>) {
        let Attempted::Delivered {
            status,
            receipt: Some(token),
        } = attempted
        else {
            return (attempted, None);
        };
        let delivered = Attempted::Delivered { status, receipt: None };
        match self.collector.submit(token).await {
            Ok(()) => (delivered, None),
            Err(NotTaken::Refused(refusal)) => {
                tracing::warn!(%refusal, "the answer to a webhook held a receipt that doesn't count");
                let kind = AnomalyKind::RefusedAnswer;
                let row = oddities::of_task(kind, claimed.request, claimed.id, claimed.system);
                (delivered, Some(row))
            }
            Err(NotTaken::Again) => (Attempted::Ours(platform::egress::Ours::Network), None),
        }
    }

    fn unsent(&self, claimed: &Claimed, unready: Unready) -> (Outcome, Decision) {
        let now = self.clock.now();
        let parked = |reason| Decision::keeping(Next::Parked(reason), claimed.steps, claimed.rejections);
        let (decision, anomaly) = match unready {
            Unready::Ours => (Schedule::ours(self.tried(claimed, now)), None),
            Unready::Misregistered => (parked(ParkReason::Misregistered), None),
            Unready::Corrupt => {
                tracing::error!("a task's stored bytes are not the planned ones");
                let kind = AnomalyKind::Corrupt;
                let row = oddities::of_task(kind, claimed.request, claimed.id, claimed.system);
                (parked(ParkReason::Corrupt), Some(row))
            }
        };
        let outcome = Outcome {
            attempt: None,
            step: step(claimed, &decision),
            anomaly,
        };
        (outcome, decision)
    }

    fn tried(&self, claimed: &Claimed, now: Timestamp) -> Tried {
        Tried {
            steps: claimed.steps,
            rejections: claimed.rejections,
            deadline: claimed.deadline,
            now,
            chance: chance::unit(&*self.rng),
        }
    }
}

/// The address of a system that is reached by a webhook.
fn webhook(system: &System) -> Option<&str> {
    use domain::registration::ConnectorKind;
    match system.kind {
        ConnectorKind::Webhook => system.url.as_deref(),
        ConnectorKind::Notices | ConnectorKind::Pull => None,
    }
}

fn step(claimed: &Claimed, decision: &Decision) -> Step {
    Step {
        task: claimed.id,
        fence: claimed.fence,
        next: decision.next,
        steps: decision.steps,
        rejections: decision.rejections,
    }
}

fn note(attempted: &Attempted, started_at: Timestamp, ended_at: Timestamp) {
    let result = attempted.as_str();
    ATTEMPTS.add(1, &[("result", result)]);
    let took = ended_at.duration_since(started_at).as_secs_f64();
    ATTEMPT.record(took.max(0.0), &[("result", result)]);
    if !matches!(attempted, Attempted::Delivered { .. }) {
        tracing::info!(result, status = attempted.status(), "not handed over");
    }
}
