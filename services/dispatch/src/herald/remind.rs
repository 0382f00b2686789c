//! Silent owners (delivery.md §2): reminders at 25, 50 and 75 % of the time that was left at the first 2xx, then the
//! controller is told.
//!
//! A reminder that is due after the last word is never stored: its task is moved on only while it awaits its receipt.
//! One that was stored before is taken off the schedule by the claim that would have sent it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use domain::id::{ControllerId, EventId, RequestId, SystemId, TaskId};
use domain::message::MessageType;
use evidence::digest::ContentDigest;
use jiff::{SignedDuration, Timestamp};
use platform::chance;
use platform::db::{DbError, Tx};
use platform::metrics::Counter;
use proto::Happened;
use serde::Serialize;
use store::happenings::{self, Happening, Told};
use store::messages;
use store::outbox::{self, OutboxRow};
use store::registry::Directory;
use store::tasks::record;
use store::tasks::remind::{self, Silent};

use super::body::render;
use super::draft::{Draft, Keys};
use super::{BATCH, Found, Herald, HeraldError};
use crate::messages::Occurrence;
use crate::plan::{Receipt, receipt};

/// Reminders, in per cent of the time left; the first is written with the 2xx itself.
const REMINDERS: [i32; 3] = [25, 50, 75];

/// A tenth of the time is left for what only the controller can do about it.
const ESCALATION: i32 = 90;

static ESCALATED: Counter = Counter::new(
    "quittance_tasks_unanswered_total",
    "Tasks whose owners were reminded in vain, so that their controllers were told.",
);

/// `dsr.task.reminder`.
#[derive(Serialize)]
struct Prompt<'a> {
    task: TaskId,
    request: RequestId,
    controller: ControllerId,
    system: SystemId,
    task_digest: ContentDigest,
    dispatched_at: Timestamp,
    due_at: Timestamp,
    reminder: usize,
    of: usize,
    receipt: Receipt<'a>,
}

/// What a silent owner's time brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The owner is reminded, for the so-manieth time.
    Remind(usize),
    /// The controller is told.
    Escalate,
}

/// A batch with what its transaction needs.
struct Order {
    herald: Herald,
    silent: Vec<Silent>,
    directory: Arc<Directory>,
    keys: Keys,
    now: Timestamp,
}

impl Herald {
    /// Reminds whoever is to be reminded by now.
    pub(super) async fn remind(&self) -> Result<Found, HeraldError> {
        let now = self.clock.now();
        let silent = remind::due(self.store.db(), now, BATCH).await?;
        if silent.is_empty() {
            return Ok(Found::All);
        }
        let found = Found::of(silent.len(), BATCH);
        let keys = self.evidence_keys(silent.iter().map(|one| one.request)).await?;
        let order = Arc::new(Order {
            herald: self.clone(),
            silent,
            directory: self.directory.current(),
            keys,
            now,
        });
        let reminding = self.store.db().transaction("remind", move |tx| {
            let order = Arc::clone(&order);
            Box::pin(async move { order.carry_out(tx).await })
        });
        ESCALATED.add(reminding.await?, &[]);
        self.stored();
        Ok(found)
    }
}

/// The step whose time came last, and when the next one comes: what was missed meanwhile is not made up for.
fn step(silent: &Silent, now: Timestamp) -> (Step, Option<Timestamp>) {
    let left = silent
        .deadline
        .duration_since(silent.dispatched_at)
        .max(SignedDuration::ZERO);
    let at = |percent: i32| silent.dispatched_at + left / 100 * percent;
    if now >= at(ESCALATION) {
        return (Step::Escalate, None);
    }
    let past = REMINDERS.iter().filter(|percent| now >= at(**percent)).count().max(1);
    let next = REMINDERS.get(past).copied().unwrap_or(ESCALATION);
    (Step::Remind(past), Some(at(next)))
}

impl Order {
    /// Returns how many controllers are told.
    async fn carry_out(&self, tx: &mut Tx) -> Result<u64, DbError> {
        let steps: Vec<(Silent, Step, Option<Timestamp>)> = self.steps();
        let moves: Vec<_> = steps.iter().map(|(silent, _, next)| (*silent, *next)).collect();
        let mine: HashSet<TaskId> = remind::advance(tx, &moves).await?.into_iter().collect();
        let mine = steps.iter().filter(|(silent, ..)| mine.contains(&silent.task));
        let (mut drafts, mut escalated) = (Vec::new(), Vec::new());
        for (silent, step, _) in mine {
            match step {
                Step::Remind(number) => drafts.push(self.reminder(silent, *number)),
                Step::Escalate => escalated.push(*silent),
            }
        }
        let sealed = self.herald.seal(drafts, &self.keys, self.now);
        self.escalate(tx, &escalated).await?;
        messages::insert(tx, &sealed, self.now).await?;
        Ok(escalated.len() as u64)
    }

    fn steps(&self) -> Vec<(Silent, Step, Option<Timestamp>)> {
        let step = |silent: &Silent| {
            let (step, next) = step(silent, self.now);
            (*silent, step, next)
        };
        self.silent.iter().map(step).collect()
    }

    fn reminder(&self, silent: &Silent, number: usize) -> Draft {
        let data = Prompt {
            task: silent.task,
            request: silent.request,
            controller: silent.controller,
            system: silent.system,
            task_digest: ContentDigest(silent.digest),
            dispatched_at: silent.dispatched_at,
            due_at: silent.deadline,
            reminder: number,
            of: REMINDERS.len(),
            receipt: receipt(&self.herald.public_url),
        };
        Draft {
            system: silent.system,
            controller: silent.controller,
            kind: MessageType::TaskReminder,
            request: silent.request,
            task: Some(silent.task),
            due: self.now,
            deadline: silent.deadline,
            body: render(MessageType::TaskReminder, self.now, &data),
        }
    }

    async fn escalate(&self, tx: &mut Tx, silent: &[Silent]) -> Result<(), DbError> {
        if silent.is_empty() {
            return Ok(());
        }
        let requests: Vec<RequestId> = silent.iter().map(|one| one.request).collect();
        let versions = record::versions(tx, &requests).await?;
        let events: Vec<OutboxRow> = silent.iter().filter_map(|one| self.event(one, &versions)).collect();
        outbox::put(tx, &events).await?;
        let told: Vec<Happening> = silent.iter().filter_map(|one| self.unanswered(one)).collect();
        happenings::put(tx, &told).await
    }

    fn event(&self, silent: &Silent, versions: &HashMap<RequestId, i64>) -> Option<OutboxRow> {
        let event = Occurrence {
            request: silent.request,
            controller: silent.controller,
            version: *versions.get(&silent.request)?,
            happened: Happened::TaskUnanswered {
                task: silent.task,
                system: silent.system,
            },
        };
        Some(event.row(self.now, &*self.herald.rng))
    }

    fn unanswered(&self, silent: &Silent) -> Option<Happening> {
        Some(Happening {
            id: EventId::new(self.now, chance::bytes(&*self.herald.rng)),
            system: self.directory.notices_of(silent.controller)?,
            controller: silent.controller,
            at: self.now,
            told: Told::Unanswered {
                request: silent.request,
                task: silent.task,
                system: silent.system,
                dispatched_at: silent.dispatched_at,
                due_at: silent.deadline,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn reminders_come_at_quarters_and_then_the_controller_is_told() {
        let at = |second: i64| Timestamp::from_second(1_777_885_200 + second).unwrap();
        let silent = Silent {
            task: TaskId::from_uuid(Uuid::nil()),
            request: RequestId::from_uuid(Uuid::nil()),
            controller: ControllerId::from_uuid(Uuid::nil()),
            system: SystemId::from_uuid(Uuid::nil()),
            dispatched_at: at(0),
            deadline: at(1_000),
            digest: [0; 32],
            remind_at: at(250),
        };
        assert_eq!(step(&silent, at(250)), (Step::Remind(1), Some(at(500))));
        assert_eq!(step(&silent, at(501)), (Step::Remind(2), Some(at(750))));
        assert_eq!(step(&silent, at(760)), (Step::Remind(3), Some(at(900))));
        assert_eq!(
            step(&silent, at(800)).0,
            Step::Remind(3),
            "one that was missed is not made up for"
        );
        assert_eq!(step(&silent, at(900)), (Step::Escalate, None));
        assert_eq!(step(&silent, at(5_000)), (Step::Escalate, None));
        let late = Silent {
            deadline: at(-5),
            ..silent
        };
        assert_eq!(step(&late, at(0)), (Step::Escalate, None));
    }
}
