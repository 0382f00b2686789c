//! Writing what attempts came to: many in one transaction.
//!
//! Results gather for 2 ms when few come and up to 20 ms when many do; then the attempts, the tasks' steps under their
//! fences, the lanes of those that are due again, `dispatch` entries of first hand-overs and the events of parked tasks
//! are written together. A failed write is tried again with the same ids until it succeeds: the attempts happened.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use connectors::Attempted;
use domain::id::{AttemptId, EntryId, MessageId, TaskId};
use domain::task::{ParkReason, TaskStageName};
use evidence::entry::Entry;
use evidence::entry::body::{self, Body};
use jiff::Timestamp;
use platform::chance;
use platform::db::{DbError, Tx};
use platform::metrics::{Counter, Histogram};
use proto::{Happened, LifecycleEvent};
use store::attempts::{self, Attempt};
use store::receipts::{self, AnomalyKind, AnomalyRow};
use store::tasks::record::{self, Next, Step, Stepped};
use store::{entries, leases, outbox};
use tokio::sync::mpsc;

use super::Worker;
use super::attempt::{Came, Ended};
use super::policy::Tried;
use crate::messages::{entry_row, outbox_row};
use crate::oddities;

/// Results in one transaction.
const BATCH_MAX: usize = 1_000;

/// A lone result waits so long for company.
const LINGER_MIN: Duration = Duration::from_millis(2);

/// Under load: longer batches would only delay what comes after them.
const LINGER_MAX: Duration = Duration::from_millis(20);

/// A database that is away is asked again after this.
const AGAIN: Duration = Duration::from_millis(500);

static ATTEMPTS: Counter = Counter::new("quittance_attempts_total", "Attempts, by what they came to.");
static DURATION: Histogram = Histogram::new(
    "quittance_attempt_seconds",
    "From the begin of an attempt to its answer.",
);
static PARKED: Counter = Counter::new("quittance_tasks_parked_total", "Tasks that were parked, by why.");

/// Writes results until the queue is closed and empty.
pub(super) async fn run(worker: Worker, mut queue: mpsc::UnboundedReceiver<Ended>) {
    let mut linger = LINGER_MIN;
    let mut results = Vec::new();
    while queue.recv_many(&mut results, BATCH_MAX).await > 0 {
        tokio::time::sleep(linger).await;
        while results.len() < BATCH_MAX {
            match queue.try_recv() {
                Ok(ended) => results.push(ended),
                Err(_) => break,
            }
        }
        linger = (linger * if results.len() > 64 { 2 } else { 1 } / if results.len() < 8 { 2 } else { 1 })
            .clamp(LINGER_MIN, LINGER_MAX);
        worker.record(std::mem::take(&mut results)).await;
    }
}

impl Worker {
    async fn record(&self, ended: Vec<Ended>) {
        let sheet = Arc::new(Sheet::new(self, ended));
        while let Err(error) = self.write(&sheet).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "results of attempts wait to be written"
            );
            tokio::time::sleep(AGAIN).await;
        }
        self.bench.store.waker().wake();
        if sheet.lines.iter().any(|line| matches!(line.step.next, Next::Due(_))) {
            self.bench.bell.ring();
        }
    }

    async fn write(&self, sheet: &Arc<Sheet>) -> Result<(), DbError> {
        let db = self.bench.store.db();
        db.transaction("record_attempts", move |tx| {
            let sheet = Arc::clone(sheet);
            Box::pin(async move { sheet.write(tx).await })
        })
        .await
    }
}

/// Everything about one batch, decided before it is written, so that it can be written again.
struct Sheet {
    lines: Vec<Line>,
    now: Timestamp,
}

/// One task's result.
struct Line {
    step: Step,
    attempt: Option<Attempt>,
    entry: EntryId,
    message: MessageId,
    anomaly: Option<AnomalyRow>,
}

impl Sheet {
    fn new(worker: &Worker, ended: Vec<Ended>) -> Self {
        let now = worker.bench.clock.now();
        let lines = ended.into_iter().map(|ended| line(worker, ended, now)).collect();
        Self { lines, now }
    }

    async fn write(&self, tx: &mut Tx) -> Result<(), DbError> {
        let attempts: Vec<Attempt> = self.lines.iter().filter_map(|line| line.attempt.clone()).collect();
        attempts::insert(tx, &attempts).await?;
        let steps: Vec<Step> = self.lines.iter().map(|line| line.step).collect();
        let stepped = record::record(tx, &steps).await?;
        let lines: HashMap<TaskId, &Line> = self.lines.iter().map(|line| (line.step.task, line)).collect();
        leases::wake(tx, due_again(&stepped, &lines)).await?;
        let anomalies: Vec<AnomalyRow> = self.lines.iter().filter_map(|line| line.anomaly.clone()).collect();
        receipts::insert_anomalies(tx, &anomalies, self.now).await?;
        self.tell(tx, &stepped, &lines).await
    }

    async fn tell(&self, tx: &mut Tx, stepped: &[Stepped], lines: &HashMap<TaskId, &Line>) -> Result<(), DbError> {
        let with_line = || {
            stepped
                .iter()
                .filter_map(|stepped| Some((stepped, *lines.get(&stepped.task)?)))
        };
        let handed_over = with_line().filter_map(|(stepped, line)| self.handed_over(stepped, line));
        entries::put(tx, &handed_over.collect::<Vec<_>>(), self.now).await?;
        let parked = with_line().filter_map(|(stepped, line)| self.parked(stepped, line));
        outbox::put(tx, &parked.collect::<Vec<_>>()).await
    }

    /// A first 2xx is an entry; later ones are attempts like others.
    fn handed_over(&self, stepped: &Stepped, line: &Line) -> Option<entries::EntryRow> {
        let Next::Delivered(at) = line.step.next else {
            return None;
        };
        let attempt = line.attempt.as_ref().filter(|_| stepped.dispatched_at == Some(at))?;
        let told = body::Dispatch {
            task: stepped.task,
            system: stepped.system,
            at,
            attempt: attempt.id,
        };
        let entry = Entry {
            id: line.entry,
            controller: stepped.controller,
            request: Some(stepped.request),
            at: self.now,
            body: Body::Dispatch(told),
        };
        Some(entry_row(&entry))
    }

    fn parked(&self, stepped: &Stepped, line: &Line) -> Option<outbox::OutboxRow> {
        let Next::Parked(reason) = line.step.next else {
            return None;
        };
        if stepped.stage != TaskStageName::Parked {
            return None;
        }
        let event = LifecycleEvent {
            message_id: line.message,
            occurred_at: self.now,
            request: stepped.request,
            controller: stepped.controller,
            request_version: 0,
            happened: Happened::TaskParked {
                task: stepped.task,
                system: stepped.system,
                reason,
            },
        };
        Some(outbox_row(event.message_id, event.envelope()))
    }
}

fn due_again<'s>(
    stepped: &'s [Stepped],
    lines: &'s HashMap<TaskId, &Line>,
) -> impl Iterator<Item = (domain::id::SystemId, domain::id::ControllerId, Timestamp)> + 's {
    let due = stepped.iter().filter(|stepped| stepped.stage == TaskStageName::Due);
    due.filter_map(|stepped| match lines.get(&stepped.task)?.step.next {
        Next::Due(at) => Some((stepped.system, stepped.controller, at)),
        Next::Delivered(_) | Next::Parked(_) => None,
    })
}

fn line(worker: &Worker, ended: Ended, now: Timestamp) -> Line {
    let rng = &*worker.bench.rng;
    let Ended { task, result } = ended;
    let keep = |next| Step {
        task: task.id,
        fence: task.fence,
        next,
        steps: task.steps,
        rejections: task.rejections,
    };
    let (step, attempt, odd) = match result {
        Came::NotMade => (keep(Next::Due(now)), None, None),
        Came::Corrupt => (
            keep(Next::Parked(ParkReason::Corrupt)),
            None,
            Some(AnomalyKind::Corrupt),
        ),
        Came::Tried {
            attempt,
            attempted,
            started_at,
            ended_at,
            odd,
        } => {
            let tried = Tried {
                steps: task.steps,
                rejections: task.rejections,
                deadline: task.deadline,
                now: ended_at,
                chance: chance::unit(rng),
            };
            let decision = worker.bench.config.schedule.decide(&attempted, tried);
            count(&attempted, started_at, ended_at);
            let step = Step {
                steps: decision.steps,
                rejections: decision.rejections,
                ..keep(decision.next)
            };
            (step, Some(row(attempt, &task, &attempted, started_at, ended_at)), odd)
        }
    };
    if let Next::Parked(reason) = step.next {
        PARKED.add(1, &[("reason", reason.as_str())]);
        tracing::warn!(task = %task.id, system = %task.system, reason = %reason, "task parked");
    }
    let anomaly = odd.map(|kind| oddities::of_task(kind, task.request, task.id, task.system));
    Line {
        step,
        attempt,
        entry: EntryId::new(now, chance::bytes(rng)),
        message: MessageId::new(now, chance::bytes(rng)),
        anomaly,
    }
}

fn row(
    id: AttemptId,
    task: &store::tasks::claim::Claimed,
    attempted: &Attempted,
    started_at: Timestamp,
    ended_at: Timestamp,
) -> Attempt {
    Attempt {
        id,
        task: task.id,
        fence: task.fence,
        started_at,
        ended_at,
        status: attempted.status(),
        result: attempted.as_str(),
    }
}

fn count(attempted: &Attempted, started_at: Timestamp, ended_at: Timestamp) {
    ATTEMPTS.add(1, &[("result", attempted.as_str())]);
    DURATION.record(ended_at.duration_since(started_at).as_secs_f64(), &[]);
}
