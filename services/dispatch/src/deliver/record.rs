//! Writing down what attempts came to: many outcomes, one transaction.
//!
//! Outcomes are gathered for two to twenty milliseconds, longer under load, and written in a few set-based statements.
//! An attempt that is there already comes from a transaction whose COMMIT was cut: its outcome is not written twice.
//! While the database is away outcomes wait here, and who brings more waits with them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use domain::id::{AttemptId, EntryId, TaskId};
use domain::task::{ParkReason, TaskStageName};
use evidence::entry::Entry;
use evidence::entry::body;
use jiff::Timestamp;
use platform::chance::{self, SharedRng};
use platform::clock::SharedClock;
use platform::db::{DbError, Tx};
use platform::lifecycle::Stop;
use proto::Happened;
use store::attempts::{self, Attempt};
use store::entries::{self, EntryRow};
use store::messages::record::{self as message_record, MessageNext, MessageStep};
use store::outbox::{self, OutboxRow};
use store::receipts::{self, AnomalyRow};
use store::tasks::record::{self, Next, Step, Stepped};
use store::{Store, leases};
use tokio::sync::mpsc;

use super::parcel::Load;
use crate::bell::Bell;
use crate::messages::{Occurrence, entry_row};

/// The least and the longest that outcomes wait for company.
const LINGER_MS: std::ops::RangeInclusive<u64> = 2..=20;

/// A batch of this size is worth the longest wait.
const FULL: usize = 200;

/// Outcomes in one transaction: some milliseconds of locks.
const BATCH_MAX: usize = 1_000;

/// Outcomes that wait to be written; attempts end no faster than this drains.
pub(super) const WAITING_MAX: usize = 4_096;

/// Between two tries while the database is away.
const PAUSE: Duration = Duration::from_millis(200);

/// What became of what was claimed.
#[derive(Debug, Clone)]
pub(super) enum Report {
    /// Of a task.
    Task(Outcome),
    /// Of a message.
    Message(MessageStep),
}

impl Report {
    fn load(&self) -> Load {
        match self {
            Self::Task(outcome) => Load::Task(outcome.step.task),
            Self::Message(step) => Load::Message(step.message),
        }
    }

    fn is_due(&self) -> bool {
        match self {
            Self::Task(outcome) => matches!(outcome.step.next, Next::Due(_)),
            Self::Message(step) => matches!(step.next, MessageNext::Due(_)),
        }
    }
}

/// What became of a claimed task.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// The attempt, if one was made.
    pub(crate) attempt: Option<Attempt>,
    /// Where the task goes.
    pub(crate) step: Step,
    /// What was odd about it.
    pub(crate) anomaly: Option<AnomalyRow>,
}

/// Writes outcomes down.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) store: Store,
    pub(super) bell: Bell,
    pub(super) clock: SharedClock,
    pub(super) rng: SharedRng,
    pub(super) outcomes: mpsc::Receiver<Report>,
}

impl Recorder {
    /// Writes until everybody who brings outcomes is gone, or the hard stop comes and the database is away.
    pub(super) async fn run(mut self, stop: Stop) {
        let mut waiting: Vec<Report> = Vec::new();
        let mut linger = *LINGER_MS.start();
        loop {
            if waiting.is_empty() && self.outcomes.recv_many(&mut waiting, BATCH_MAX).await == 0 {
                return;
            }
            if waiting.len() < BATCH_MAX && !self.outcomes.is_closed() {
                tokio::time::sleep(Duration::from_millis(linger)).await;
                self.take_present(&mut waiting);
            }
            linger = lingering(waiting.len());
            let rest = split_repeats(&mut waiting);
            if !self.insist(std::mem::replace(&mut waiting, rest), &stop).await {
                return;
            }
        }
    }

    fn take_present(&mut self, waiting: &mut Vec<Report>) {
        while waiting.len() < BATCH_MAX {
            let Ok(outcome) = self.outcomes.try_recv() else { return };
            waiting.push(outcome);
        }
    }

    /// Tries until it is written; `false` if the hard stop came first.
    async fn insist(&self, reports: Vec<Report>, stop: &Stop) -> bool {
        let batch = Arc::new(Batch {
            reports,
            now: self.clock.now(),
            rng: Arc::clone(&self.rng),
        });
        loop {
            match self.write(Arc::clone(&batch)).await {
                Ok(()) => return true,
                Err(error) if error.is_refusal() && batch.reports.len() > 1 => return self.write_apart(&batch).await,
                Err(error) if error.is_refusal() => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "an outcome can't be written down"
                    );
                    return true;
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "outcomes not written, trying again"
                    );
                }
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = stop.hard() => return self.write(batch).await.is_ok(),
            }
        }
    }

    /// One bad outcome must not keep the others; its task is found by its age.
    async fn write_apart(&self, batch: &Batch) -> bool {
        for report in &batch.reports {
            let alone = Batch {
                reports: vec![report.clone()],
                now: batch.now,
                rng: Arc::clone(&batch.rng),
            };
            if let Err(error) = self.write(Arc::new(alone)).await {
                tracing::error!(load = %report.load(), error = &error as &dyn std::error::Error,
                    "an outcome can't be written down");
            }
        }
        true
    }

    async fn write(&self, batch: Arc<Batch>) -> Result<(), DbError> {
        let again = batch.reports.iter().any(Report::is_due);
        self.store
            .db()
            .transaction("record", move |tx| {
                let batch = Arc::clone(&batch);
                Box::pin(async move { batch.write(tx).await })
            })
            .await?;
        self.store.waker().wake();
        if again {
            self.bell.ring();
        }
        Ok(())
    }
}

fn lingering(batch: usize) -> u64 {
    let (least, longest) = (*LINGER_MS.start(), *LINGER_MS.end());
    let share = longest * batch as u64 / FULL as u64;
    share.clamp(least, longest)
}

/// A statement takes a task once: what comes to the same task again waits for the next batch.
fn split_repeats(waiting: &mut Vec<Report>) -> Vec<Report> {
    let mut seen = HashSet::new();
    let (first, again) = std::mem::take(waiting)
        .into_iter()
        .partition(|report: &Report| seen.insert(report.load()));
    *waiting = first;
    again
}

/// Writes down what became of tasks that were not sent by the engine.
pub(crate) async fn write_tasks(
    tx: &mut Tx,
    outcomes: &[Outcome],
    now: Timestamp,
    rng: SharedRng,
) -> Result<(), DbError> {
    let batch = Batch {
        reports: vec![],
        now,
        rng,
    };
    batch.write_tasks(tx, &outcomes.iter().collect::<Vec<_>>()).await
}

/// What became of distinct tasks and messages.
struct Batch {
    reports: Vec<Report>,
    now: Timestamp,
    rng: SharedRng,
}

impl Batch {
    async fn write(&self, tx: &mut Tx) -> Result<(), DbError> {
        let (mut outcomes, mut messages) = (Vec::new(), Vec::new());
        for report in &self.reports {
            match report {
                Report::Task(outcome) => outcomes.push(outcome),
                Report::Message(step) => messages.push(*step),
            }
        }
        if !outcomes.is_empty() {
            self.write_tasks(tx, &outcomes).await?;
        }
        message_record::record(tx, &messages).await.map(drop)
    }

    /// Tasks are locked in the order of their ids, then their lanes, as everybody takes them.
    async fn write_tasks(&self, tx: &mut Tx, outcomes: &[&Outcome]) -> Result<(), DbError> {
        let made: Vec<Attempt> = outcomes.iter().filter_map(|one| one.attempt.clone()).collect();
        let new: HashSet<AttemptId> = attempts::insert(tx, &made).await?.into_iter().collect();
        let is_new = |outcome: &&Outcome| outcome.attempt.as_ref().is_none_or(|one| new.contains(&one.id));
        let written: HashMap<TaskId, &Outcome> = outcomes
            .iter()
            .copied()
            .filter(is_new)
            .map(|outcome| (outcome.step.task, outcome))
            .collect();
        let steps: Vec<Step> = written.values().map(|outcome| outcome.step).collect();
        let stepped = record::record(tx, &steps).await?;
        entries::put(tx, &self.dispatched(&stepped, &written), self.now).await?;
        self.tell_parked(tx, &stepped, &written).await?;
        let anomalies: Vec<AnomalyRow> = written.values().filter_map(|one| one.anomaly.clone()).collect();
        receipts::insert_anomalies(tx, &anomalies, self.now).await?;
        leases::wake(tx, again(&stepped, &written)).await
    }

    /// The entries of tasks that were handed over for the first time.
    fn dispatched(&self, stepped: &[Stepped], written: &HashMap<TaskId, &Outcome>) -> Vec<EntryRow> {
        let first = |stepped: &Stepped| {
            let outcome = written.get(&stepped.task)?;
            let (Next::Delivered(at), Some(attempt)) = (outcome.step.next, &outcome.attempt) else {
                return None;
            };
            let first = stepped.dispatched_at.map(Timestamp::as_microsecond) == Some(at.as_microsecond());
            first.then(|| entry_row(&self.dispatch(stepped, at, attempt.id)))
        };
        stepped.iter().filter_map(first).collect()
    }

    fn dispatch(&self, stepped: &Stepped, at: Timestamp, attempt: AttemptId) -> Entry {
        Entry {
            id: EntryId::new(self.now, chance::bytes(&*self.rng)),
            controller: stepped.controller,
            request: Some(stepped.request),
            at: self.now,
            body: body::Dispatch {
                task: stepped.task,
                system: stepped.system,
                at,
                attempt,
            }
            .into(),
        }
    }

    async fn tell_parked(
        &self,
        tx: &mut Tx,
        stepped: &[Stepped],
        written: &HashMap<TaskId, &Outcome>,
    ) -> Result<(), DbError> {
        let reason = |stepped: &Stepped| match written.get(&stepped.task)?.step.next {
            Next::Parked(reason) if stepped.stage == TaskStageName::Parked => Some(reason),
            _ => None,
        };
        let parked: Vec<(&Stepped, ParkReason)> = stepped.iter().filter_map(|one| Some((one, reason(one)?))).collect();
        if parked.is_empty() {
            return Ok(());
        }
        let requests: Vec<_> = parked.iter().map(|(stepped, _)| stepped.request).collect();
        let versions = record::versions(tx, &requests).await?;
        let told = parked.iter().filter_map(|(stepped, reason)| {
            let version = versions.get(&stepped.request)?;
            Some(self.parked(stepped, *reason, *version))
        });
        outbox::put(tx, &told.collect::<Vec<_>>()).await
    }

    fn parked(&self, stepped: &Stepped, reason: ParkReason, request_version: i64) -> OutboxRow {
        let event = Occurrence {
            request: stepped.request,
            controller: stepped.controller,
            version: request_version,
            happened: Happened::TaskParked {
                task: stepped.task,
                system: stepped.system,
                reason,
            },
        };
        event.row(self.now, &*self.rng)
    }
}

/// The lanes of tasks that are to be tried again.
fn again<'s>(
    stepped: &'s [Stepped],
    written: &'s HashMap<TaskId, &Outcome>,
) -> impl Iterator<Item = (domain::id::SystemId, domain::id::ControllerId, Timestamp)> + 's {
    stepped
        .iter()
        .filter_map(|stepped| match written.get(&stepped.task)?.step.next {
            Next::Due(at) => Some((stepped.system, stepped.controller, at)),
            Next::Delivered(_) | Next::Parked(_) => None,
        })
}
