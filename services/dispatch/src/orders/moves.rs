//! One batch of a replay or a parking.
//!
//! A replayed task keeps its id and its bytes, and begins its schedule anew. Tasks whose request is over, or that are
//! not what was ordered any more, are passed over and counted.

use std::collections::HashSet;

use domain::id::{JobId, RequestId};
use domain::registration::ConnectorKind;
use domain::request::StageName;
use domain::task::{ParkReason, TaskEvent, TaskStage};
use jiff::Timestamp;
use platform::db::{DbError, Tx};
use proto::Happened;
use store::cases::{self, Case, TaskChange};
use store::jobs::{self, Among, Job, Order, Picked, State, Which};
use store::registry::Directory;
use store::tasks::restart;
use store::{leases, outbox};

use super::{Orders, Rest};
use crate::messages::Occurrence;

/// Tasks of one transaction: some milliseconds of locks.
const BATCH: i64 = 200;

/// Takes the next batch of a job; returns how many tasks were changed.
pub(super) async fn step(orders: &Orders, tx: &mut Tx, id: JobId) -> Result<(u64, Rest), DbError> {
    let Some(mut job) = jobs::lock(tx, id).await? else {
        return Ok((0, Rest::Nothing));
    };
    let (which, among) = match &job.order {
        Order::Replay(which) => (which, Among::Parked),
        Order::Park(which) => (which, Among::Scheduled),
        Order::Decide { .. } => return Ok((0, Rest::Nothing)),
    };
    let picked = jobs::pick(tx, which, among, job.cursor, BATCH).await?;
    let cases = lock(tx, &picked).await?;
    let now = orders.clock.now();
    let changes: Vec<Change<'_>> = picked
        .iter()
        .filter_map(|one| change(cases.get(&one.request)?, one, which, among, now))
        .collect();
    match among {
        Among::Parked => replay(tx, &changes, &orders.directory.current(), now).await?,
        Among::Scheduled => park(orders, tx, &changes, now).await?,
    }
    let moved = changes.len();
    advance(&mut job, &picked, moved, now);
    jobs::save(tx, &job).await?;
    let rest = if job.state == State::Open {
        Rest::More
    } else {
        Rest::Nothing
    };
    Ok((moved as u64, rest))
}

async fn lock(tx: &mut Tx, picked: &[Picked]) -> Result<std::collections::HashMap<RequestId, Case>, DbError> {
    let requests: HashSet<RequestId> = picked.iter().map(|one| one.request).collect();
    cases::lock(tx, &requests.into_iter().collect::<Vec<_>>()).await
}

/// A task that is what was ordered, with where it goes.
struct Change<'c> {
    picked: Picked,
    case: &'c Case,
    after: TaskStage,
}

fn change<'c>(case: &'c Case, picked: &Picked, which: &Which, among: Among, now: Timestamp) -> Option<Change<'c>> {
    let before = case.tasks.get(&picked.task)?.stage;
    let event = match among {
        Among::Parked => TaskEvent::Resume(now),
        Among::Scheduled => TaskEvent::Park(ParkReason::Operator),
    };
    let wanted = match before {
        TaskStage::Parked(reason) => which.reason.is_none_or(|wanted| wanted == reason),
        _ => true,
    };
    let open = case.stage != StageName::Closed && wanted;
    let after = before.step(event).ok().filter(|_| open)?;
    Some(Change {
        picked: *picked,
        case,
        after,
    })
}

async fn replay(tx: &mut Tx, changes: &[Change<'_>], directory: &Directory, now: Timestamp) -> Result<(), DbError> {
    let tasks: Vec<_> = changes.iter().map(|change| change.picked.task).collect();
    restart::restart(tx, &tasks, now).await?;
    let lanes = changes.iter().filter_map(|change| {
        let system = directory.system(change.case.tasks.get(&change.picked.task)?.system)?;
        (system.kind == ConnectorKind::Webhook).then_some((system.id, change.case.controller, now))
    });
    leases::wake(tx, lanes).await
}

async fn park(orders: &Orders, tx: &mut Tx, changes: &[Change<'_>], now: Timestamp) -> Result<(), DbError> {
    let parked: Vec<TaskChange> = changes
        .iter()
        .map(|change| TaskChange {
            task: change.picked.task,
            stage: change.after,
            last_word: None,
        })
        .collect();
    cases::save_tasks(tx, &parked).await?;
    let event = |change: &Change<'_>| {
        let event = Occurrence {
            request: change.case.request,
            controller: change.case.controller,
            version: change.case.version,
            happened: Happened::TaskParked {
                task: change.picked.task,
                system: change.case.tasks.get(&change.picked.task)?.system,
                reason: ParkReason::Operator,
            },
        };
        Some(event.row(now, &*orders.rng))
    };
    outbox::put(tx, &changes.iter().filter_map(event).collect::<Vec<_>>()).await
}

/// A batch that was not full was the last one.
fn advance(job: &mut Job, picked: &[Picked], moved: usize, now: Timestamp) {
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    job.done += number(moved);
    job.passed += number(picked.len() - moved);
    job.cursor = picked.last().map(|last| last.cursor()).or(job.cursor);
    if number(picked.len()) < BATCH {
        job.state = State::Done(now);
    }
}
