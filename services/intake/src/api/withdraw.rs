//! `POST /v1/requests/{id}/withdraw`: the person takes a request back.
//!
//! Under the request's lock, in one transaction: its next stage, its tasks off the schedule, the closure for the ledger
//! and the event for whoever follows, and what is to be told to the systems that have its tasks, or may have them, and
//! to its controller's notices system. A second withdrawal changes nothing and is answered like the first.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use domain::id::{EntryId, EventId, MessageId, ReceiptId, RequestId, TaskId};
use domain::request::{Answer, Closing, Effect, Event, StageName};
use domain::task::{ParkReason, TaskEvent, TaskStage};
use evidence::entry::Entry;
use evidence::entry::body::{ClosedSystem, Closure, LastWord};
use jiff::Timestamp;
use platform::chance::{self, SharedRng};
use platform::db::{DbError, Tx};
use proto::{Happened, LifecycleEvent};
use store::cases::{self, Case, CaseTask, RequestChange, TaskChange};
use store::entries;
use store::happenings::{self, Happening, Told};
use store::outbox;
use store::registry::Directory;

use super::caller::Caller;
use super::show::{View, find};
use crate::doors::Doors;
use crate::messages::{entry_row, outbox_row};
use crate::refusal::Refusal;

/// What came of a wish to withdraw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Withdrawn {
    /// It is withdrawn, by this call or an earlier one.
    Done,
    /// It had come to something else before.
    TooLate,
}

/// When it happened, and the names of what tells of it: drawn once, because a transaction may be tried again.
#[derive(Clone)]
struct Telling {
    now: Timestamp,
    entry: EntryId,
    event: MessageId,
    directory: Arc<Directory>,
    rng: SharedRng,
}

/// Withdraws a request: 200 with what it is now, 409 if it is closed otherwise.
pub(crate) async fn withdraw(id: Path<String>, caller: Caller, doors: Data<Doors>) -> Result<HttpResponse, Refusal> {
    let request = find(&id, &caller, &doors).await?.id;
    let now = doors.now();
    let telling = Telling {
        now,
        entry: EntryId::new(now, chance::bytes(&*doors.rng)),
        event: MessageId::new(now, chance::bytes(&*doors.rng)),
        directory: doors.directory()?,
        rng: Arc::clone(&doors.rng),
    };
    let work = doors.store.db().transaction("withdraw_request", move |tx| {
        let telling = telling.clone();
        Box::pin(async move { transact(tx, request, &telling).await })
    });
    match work.await? {
        Withdrawn::TooLate => Err(Refusal::Closed),
        Withdrawn::Done => {
            doors.store.waker().wake();
            let shown = find(&id, &caller, &doors).await?;
            Ok(HttpResponse::Ok().json(View::from(shown)))
        }
    }
}

async fn transact(tx: &mut Tx, request: RequestId, telling: &Telling) -> Result<Withdrawn, DbError> {
    let locked = cases::lock(tx, &[request]).await?.remove(&request);
    let case = locked.ok_or(DbError::Inconsistent("a request is gone"))?;
    let Ok((stage, effects)) = case.full_stage()?.step(Event::Withdrawn) else {
        let before = case.outcome == Some(Closing::Withdrawn);
        return Ok(if before { Withdrawn::Done } else { Withdrawn::TooLate });
    };
    let change = RequestChange {
        request,
        stage: stage.name(),
        outcome: Some(Closing::Withdrawn),
        version: case.version + 1,
        closed_at: Some(telling.now),
    };
    debug_assert_eq!(change.stage, StageName::Closed);
    cases::save_requests(tx, &[change]).await?;
    let told = told(&case, &happenings::handed(tx, request).await?, telling);
    for effect in effects {
        match effect {
            Effect::Cancel => cases::save_tasks(tx, &parked(&case)).await?,
            Effect::LogClosure(closing) => log(tx, &case, closing, telling).await?,
            _ => {}
        }
    }
    happenings::put(tx, &told).await?;
    Ok(Withdrawn::Done)
}

/// What the systems that have its tasks, or may have them, and the notices system are to be told.
fn told(case: &Case, handed: &[(TaskId, bool)], telling: &Telling) -> Vec<Happening> {
    let happening = |system, told| Happening {
        id: EventId::new(telling.now, chance::bytes(&*telling.rng)),
        system,
        controller: case.controller,
        at: telling.now,
        told,
    };
    let withdrawn = handed.iter().filter_map(|(task, on_its_way)| {
        let told = Told::Withdrawn {
            request: case.request,
            task: *task,
            on_its_way: *on_its_way,
        };
        Some(happening(case.tasks.get(task)?.system, told))
    });
    let closed = telling.directory.notices_of(case.controller).map(|notices| {
        let told = Told::Closed {
            request: case.request,
            outcome: Closing::Withdrawn,
        };
        happening(notices, told)
    });
    withdrawn.chain(closed).collect()
}

/// Its open tasks, off the schedule. One that is parked already stays so.
fn parked(case: &Case) -> Vec<TaskChange> {
    let park = |(task, open): (&TaskId, &CaseTask)| {
        let stage = open.stage.step(TaskEvent::Park(ParkReason::Withdrawn)).ok()?;
        Some(TaskChange {
            task: *task,
            stage,
            last_word: None,
        })
    };
    case.tasks.iter().filter_map(park).collect()
}

async fn log(tx: &mut Tx, case: &Case, outcome: Closing, telling: &Telling) -> Result<(), DbError> {
    let systems = case.tasks.iter().map(|(task, one)| closed(*task, one)).collect();
    let entry = Entry {
        id: telling.entry,
        controller: case.controller,
        request: Some(case.request),
        at: telling.now,
        body: Closure { outcome, systems }.into(),
    };
    entries::put(tx, &[entry_row(&entry)], telling.now).await?;
    let event = LifecycleEvent {
        message_id: telling.event,
        occurred_at: telling.now,
        request: case.request,
        controller: case.controller,
        request_version: case.version + 1,
        happened: Happened::Closed(outcome),
    };
    outbox::put(tx, &[outbox_row(event.message_id, event.envelope())]).await
}

/// What had a last word keeps it; what had none has none.
fn closed(task: TaskId, one: &CaseTask) -> ClosedSystem {
    let (by, outcome): (Option<LastWord>, Option<Answer>) = match (one.stage, one.last_word) {
        (TaskStage::Done(answer), Some(id)) => (Some(LastWord::Receipt(ReceiptId::from_uuid(id))), Some(answer)),
        (TaskStage::Stated(answer), Some(id)) => (Some(LastWord::Statement(EntryId::from_uuid(id))), Some(answer)),
        _ => (None, None),
    };
    ClosedSystem {
        system: one.system,
        task,
        by,
        outcome,
    }
}
