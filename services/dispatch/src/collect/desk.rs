//! Deciding about receipts, one after the other, over what is known of their requests. No I/O.
//!
//! The desk holds the cases as they were read under their locks and moves them forward as it decides, so that the
//! second of two receipts in one batch meets what the first has done. What is to be written it only lists.

use std::collections::HashMap;

use domain::id::{EntryId, EventId, ReceiptId, RequestId, SystemId, TaskId};
use domain::receipt::{EvidenceLevel, Report, Signer, Vocabulary};
use domain::request::{Answer, Closing, Effect, Event, Stage, StageName};
use domain::task::{TaskEvent, TaskStage};
use evidence::entry::body::{self, Body};
use evidence::token::Refusal;
use evidence::token::bind::{BindingError, TaskFacts, bind};
use jiff::Timestamp;
use platform::db::DbError;
use proto::Happened;
use store::cases::{Case, CaseTask, RequestChange, TaskChange};
use store::receipts::{AnomalyKind, Known, Standing};
use store::registry::Directory;
use uuid::Uuid;

use super::{Incoming, Taken};
use crate::closing::closure;

/// Ids for what comes into being, drawn beforehand so that deciding stays pure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drawn {
    pub(super) receipt: ReceiptId,
    pub(super) entry: EntryId,
    pub(super) anomaly: EventId,
}

/// What is known, and what was decided so far.
pub(super) struct Desk<'d> {
    pub(super) cases: HashMap<RequestId, Case>,
    pub(super) known: HashMap<(String, Uuid), Known>,
    pub(super) directory: &'d Directory,
    pub(super) now: Timestamp,
    pub(super) decided: Decided,
}

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// Receipts by their place in the batch.
    pub(super) receipts: Vec<Kept>,
    pub(super) superseded: Vec<ReceiptId>,
    pub(super) tasks: HashMap<TaskId, TaskChange>,
    pub(super) requests: HashMap<RequestId, RequestChange>,
    pub(super) happened: Vec<(RequestId, i64, Happened)>,
    /// Entries beside those of the receipts.
    pub(super) entries: Vec<(RequestId, Body)>,
    pub(super) anomalies: Vec<Odd>,
}

/// A receipt to be stored.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) place: usize,
    pub(super) drawn: Drawn,
    pub(super) system: SystemId,
    pub(super) standing: Standing,
}

/// An anomaly to be recorded.
#[derive(Debug)]
pub(super) struct Odd {
    pub(super) id: EventId,
    pub(super) kind: AnomalyKind,
    pub(super) request: RequestId,
    pub(super) task: TaskId,
    pub(super) place: usize,
}

impl Desk<'_> {
    /// Decides about the receipt at this place of the batch.
    pub(super) fn take(&mut self, place: usize, incoming: &Incoming, drawn: Drawn) -> Result<Taken, DbError> {
        let receipt = &incoming.receipt;
        if let Some(known) = self.known.get(&(receipt.issuer.clone(), receipt.jti)).copied() {
            return Ok(self.again(place, incoming, drawn, known));
        }
        let system = match self.fit(incoming) {
            Ok(system) => system,
            Err(error) => return Ok(self.misfit(place, incoming, drawn, error)),
        };
        let standing = match self.superseded(incoming) {
            Ok(superseded) => self.apply(place, incoming, drawn, superseded)?,
            Err(refusal) => return Ok(Taken::Refused(refusal)),
        };
        let digest = receipt.report_digest();
        let known = Known {
            receipt: drawn.receipt,
            task: receipt.report.task(),
            statement_digest: digest,
        };
        self.known.insert((receipt.issuer.clone(), receipt.jti), known);
        self.decided.receipts.push(Kept {
            place,
            drawn,
            system,
            standing,
        });
        Ok(Taken::Stored)
    }

    /// Clients re-sign; the first one is kept. Saying something else under the same `jti` is refused.
    fn again(&mut self, place: usize, incoming: &Incoming, drawn: Drawn, known: Known) -> Taken {
        if known.statement_digest == incoming.receipt.report_digest() {
            return Taken::Stored;
        }
        if self.fit(incoming).is_ok() {
            self.odd(place, incoming, drawn, AnomalyKind::JtiReused);
        }
        Taken::Refused(Refusal::Unbound(BindingError::NotYours))
    }

    /// The task's system, if the receipt is about this task and from its owner.
    fn fit(&self, incoming: &Incoming) -> Result<SystemId, BindingError> {
        let receipt = &incoming.receipt;
        let task_id = receipt.report.task();
        let case = self.cases.get(&receipt.request).ok_or(BindingError::NotYours)?;
        let task = case.tasks.get(&task_id).ok_or(BindingError::NotYours)?;
        let system = self.directory.system(task.system).ok_or(BindingError::NotYours)?;
        let owner = self
            .directory
            .controller(system.controller)
            .ok_or(BindingError::NotYours)?;
        if incoming.key_of != system.controller {
            return Err(BindingError::NotYours);
        }
        let facts = TaskFacts {
            task: task_id,
            request: receipt.request,
            issuer: system.issuer.as_ref().unwrap_or(&owner.issuer),
            digest: task.digest,
            created_at: task.created_at,
        };
        bind(receipt, &facts, Vocabulary::standard(), self.now)?;
        Ok(task.system)
    }

    /// What is the owner's own mistake is worth a look; a stranger's guess is not.
    fn misfit(&mut self, place: usize, incoming: &Incoming, drawn: Drawn, error: BindingError) -> Taken {
        if error != BindingError::NotYours {
            self.odd(place, incoming, drawn, AnomalyKind::Misfit);
        }
        Taken::Refused(Refusal::Unbound(error))
    }

    /// The receipt whose place an amendment takes: it must be one of the same task.
    fn superseded(&self, incoming: &Incoming) -> Result<Option<ReceiptId>, Refusal> {
        let Report::Amended { completion, supersedes } = &incoming.receipt.report else {
            return Ok(None);
        };
        let named = (incoming.receipt.issuer.clone(), *supersedes);
        let known = self.known.get(&named).filter(|known| known.task == completion.task);
        let known = known.ok_or(Refusal::Unbound(BindingError::NotYours))?;
        Ok(Some(known.receipt))
    }

    /// Moves the task and its request as far as the receipt moves them.
    fn apply(
        &mut self,
        place: usize,
        incoming: &Incoming,
        drawn: Drawn,
        superseded: Option<ReceiptId>,
    ) -> Result<Standing, DbError> {
        let receipt = &incoming.receipt;
        let (request, task) = (receipt.request, receipt.report.task());
        let answer = receipt.outcome().and_then(Answer::of);
        let level = receipt.report.level();
        let Some(stage) = self.task(request, task).map(|known| known.stage) else {
            return Err(GONE);
        };
        match (superseded, stage) {
            (Some(earlier), TaskStage::Done(_)) => {
                self.decided.superseded.push(earlier);
                let event = Some(Event::Amended(task, answer));
                self.step(request, event, (task, TaskEvent::Amended(answer)), drawn)?;
                Ok(Standing::Counted)
            }
            (_, stage) if stage.is_open() && self.is_open(request) => {
                self.answer(request, task, answer, level, drawn)?;
                Ok(Standing::Counted)
            }
            (_, TaskStage::Done(_)) if level >= EvidenceLevel::Declared => {
                self.odd(place, incoming, drawn, AnomalyKind::Conflict);
                Ok(Standing::Kept)
            }
            (_, TaskStage::Done(_)) => Ok(Standing::Kept),
            _ => {
                self.odd(place, incoming, drawn, AnomalyKind::Late);
                Ok(Standing::Kept)
            }
        }
    }

    /// An answer below what the system demands is kept as one that says nothing final.
    fn answer(
        &mut self,
        request: RequestId,
        task: TaskId,
        answer: Option<Answer>,
        level: EvidenceLevel,
        drawn: Drawn,
    ) -> Result<(), DbError> {
        let demand = self.task(request, task).map_or(level, |known| known.demand);
        let last_word = answer.filter(|_| level >= demand);
        let event = last_word.map(|answer| Event::Answered(task, answer, level));
        self.step(request, event, (task, TaskEvent::Receipt(last_word)), drawn)
    }

    /// The request is asked while its tasks still say what they said before; then the task moves; then what the
    /// request's step asks for is listed, over the task as it is now.
    fn step(
        &mut self,
        request: RequestId,
        event: Option<Event>,
        (task, task_event): (TaskId, TaskEvent),
        drawn: Drawn,
    ) -> Result<(), DbError> {
        let case = self.cases.get(&request).ok_or(GONE)?;
        let before = case.full_stage()?;
        let moved = event
            .map(|event| before.step(event))
            .transpose()
            .map_err(|_| OUT_OF_ORDER)?;
        self.step_task(request, task, task_event, drawn)?;
        if let Some((after, effects)) = moved {
            self.move_request(request, &after, &effects);
        }
        Ok(())
    }

    fn step_task(&mut self, request: RequestId, task: TaskId, event: TaskEvent, drawn: Drawn) -> Result<(), DbError> {
        let case = self.cases.get_mut(&request).ok_or(GONE)?;
        let known = case.tasks.get_mut(&task).ok_or(GONE)?;
        known.stage = known.stage.step(event).map_err(|_| OUT_OF_ORDER)?;
        if matches!(known.stage, TaskStage::Done(_)) {
            known.last_word = Some(drawn.receipt.uuid());
        }
        let change = TaskChange {
            task,
            stage: known.stage,
            last_word: known.last_word,
        };
        self.decided.tasks.insert(task, change);
        Ok(())
    }

    fn move_request(&mut self, request: RequestId, after: &Stage, effects: &[Effect]) {
        let Some(case) = self.cases.get_mut(&request) else {
            return;
        };
        let reopened = case.stage == StageName::Closed && effects.contains(&Effect::LogStage);
        if case.stage == after.name() && effects.is_empty() {
            return;
        }
        case.version += 1;
        let from = std::mem::replace(&mut case.stage, after.name());
        case.outcome = match after {
            Stage::Closed(closing, _) => Some(*closing),
            _ => None,
        };
        let (version, outcome) = (case.version, case.outcome);
        let closed_at = outcome.map(|_| self.now);
        let change = RequestChange {
            request,
            stage: after.name(),
            outcome,
            version,
            closed_at,
        };
        self.decided.requests.insert(request, change);
        if reopened {
            self.reopened(request, version, from);
        }
        for effect in effects {
            if let Effect::LogClosure(closing) = effect {
                self.closed(request, version, *closing);
            }
        }
    }

    fn reopened(&mut self, request: RequestId, version: i64, from: StageName) {
        self.decided.happened.push((request, version, Happened::Reopened));
        let version = u64::try_from(version).unwrap_or_default();
        let told = body::Stage {
            from,
            to: StageName::Planned,
            version,
            reason: None,
        };
        self.decided.entries.push((request, Body::Stage(told)));
    }

    fn closed(&mut self, request: RequestId, version: i64, closing: Closing) {
        self.decided
            .happened
            .push((request, version, Happened::Closed(closing)));
        if let Some(case) = self.cases.get(&request) {
            self.decided
                .entries
                .push((request, Body::Closure(closure(case, closing))));
        }
    }

    fn odd(&mut self, place: usize, incoming: &Incoming, drawn: Drawn, kind: AnomalyKind) {
        let (request, task) = (incoming.receipt.request, incoming.receipt.report.task());
        self.decided.anomalies.push(Odd {
            id: drawn.anomaly,
            kind,
            request,
            task,
            place,
        });
    }

    fn task(&self, request: RequestId, task: TaskId) -> Option<&CaseTask> {
        self.cases.get(&request)?.tasks.get(&task)
    }

    fn is_open(&self, request: RequestId) -> bool {
        self.cases
            .get(&request)
            .is_some_and(|case| case.stage != StageName::Closed)
    }
}

const GONE: DbError = DbError::Inconsistent("a request or task is gone that was there under its lock");

const OUT_OF_ORDER: DbError = DbError::Inconsistent("a stage has no place for what happened");

/// The signer of what owners send; what people click and connectors do is signed by us.
pub(super) const SIGNER: Signer = Signer::Owner;
