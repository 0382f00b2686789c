//! A person's decision about one request: one transaction, whatever it decides.
//!
//! Of a planned request, [`Case::decided`] says task by task what becomes of it; each task that gets its last word gets a
//! statement of ours that names who approved it, and the request is stepped with it, so that it closes with the last
//! one. A request that waits for its controller's word becomes ready, or closes as declined. What the controller
//! instructed is an entry of its own, before everything that follows from it.

use std::sync::Arc;

use domain::decision::{Decision, Stated, Verdict};
use domain::id::{EntryId, InstructionId, JobId, MessageId, RequestId, SystemId, TaskId, UserId};
use domain::registration::{ConnectorKind, Instruction, InstructionMode};
use domain::request::{Closing, Effect, Event, Gate, Stage, StageName};
use evidence::digest::ContentDigest;
use evidence::entry::Entry;
use evidence::entry::body::{self, Body};
use evidence::token::Said;
use jiff::{SignedDuration, Timestamp};
use keys::{Class, DataKey};
use platform::chance;
use platform::db::{DbError, Tx};
use proto::{Happened, RequestPublished};
use store::cases::{self, Case, RequestChange, TaskChange};
use store::jobs::{self, Job, State};
use store::registry::Directory;
use store::statements::{self, JWS, NewStatement};
use store::{entries, happenings, leases, outbox, plans, requests};
use uuid::Builder;

use super::{OrderError, Orders, Rest};
use crate::closing::closure;
use crate::collect::notices;
use crate::deadlines;
use crate::messages::{Occurrence, entry_row, outbox_row};

/// Ids count milliseconds; a statement follows the instruction behind it, and the closure the statements.
const STEP: SignedDuration = SignedDuration::from_millis(1);

impl Orders {
    /// Carries a decision out, once.
    pub(super) async fn decide(&self, job: &Job, request: RequestId, verdict: Verdict) -> Result<Rest, OrderError> {
        let key = self.keys.load(Class::Evidence, &[request]).await?.remove(&request);
        let ruling = Arc::new(Ruling {
            orders: self.clone(),
            directory: self.directory.current(),
            job: job.id,
            who: job.who,
            request,
            verdict,
            key,
            now: self.clock.now(),
        });
        let deciding = self.store.db().transaction("decide", move |tx| {
            let ruling = Arc::clone(&ruling);
            Box::pin(async move { ruling.carry_out(tx).await })
        });
        for stated in deciding.await? {
            deadlines::count(stated, true, 1);
        }
        Ok(Rest::Nothing)
    }
}

/// Why a decision changes nothing, in the word that the job keeps.
#[derive(Debug, Clone, Copy)]
enum Moot {
    UnknownRequest,
    NothingToDecide,
    Shredded,
}

impl Moot {
    const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownRequest => "unknown_request",
            Self::NothingToDecide => "nothing_to_decide",
            Self::Shredded => "shredded",
        }
    }
}

/// A decision with what its transaction needs.
struct Ruling {
    orders: Orders,
    directory: Arc<Directory>,
    job: JobId,
    who: UserId,
    request: RequestId,
    verdict: Verdict,
    key: Option<DataKey>,
    now: Timestamp,
}

/// What comes of it, to be written.
#[derive(Default)]
struct Sheet {
    tasks: Vec<TaskChange>,
    requests: Vec<RequestChange>,
    statements: Vec<NewStatement>,
    entries: Vec<Entry>,
    happened: Vec<(i64, Happened)>,
    lanes: Vec<(SystemId, domain::id::ControllerId, Timestamp)>,
    publish: Option<RequestPublished>,
    stated: Vec<Stated>,
}

impl Ruling {
    async fn carry_out(&self, tx: &mut Tx) -> Result<Vec<Stated>, DbError> {
        let Some(mut job) = jobs::lock(tx, self.job).await? else {
            return Ok(vec![]);
        };
        let mut locked = cases::lock(tx, &[self.request]).await?;
        let drafted = match locked.get_mut(&self.request) {
            None => Err(Moot::UnknownRequest),
            Some(case) => self.draft(tx, case).await?,
        };
        job.state = State::Done(self.now);
        let stated = match drafted {
            Ok(sheet) => {
                job.done = i64::try_from(sheet.tasks.len()).unwrap_or(i64::MAX);
                let stated = sheet.stated.clone();
                self.write(tx, sheet, &locked).await?;
                stated
            }
            Err(moot) => {
                job.state = State::Failed(self.now, moot.as_str().to_owned());
                vec![]
            }
        };
        jobs::save(tx, &job).await?;
        Ok(stated)
    }

    async fn draft(&self, tx: &mut Tx, case: &mut Case) -> Result<Result<Sheet, Moot>, DbError> {
        match (case.stage, self.verdict) {
            (StageName::Planned, _) => self.rule(case),
            (StageName::AwaitingController, Verdict::Act) => self.release(tx, case).await,
            (StageName::AwaitingController, Verdict::Decline) => {
                let mut sheet = self.instructed(case);
                self.step(case, Event::Declined, &mut sheet)?;
                Ok(Ok(sheet))
            }
            _ => Ok(Err(Moot::NothingToDecide)),
        }
    }

    /// Task by task.
    fn rule(&self, case: &mut Case) -> Result<Result<Sheet, Moot>, DbError> {
        let decided = case.decided(self.verdict, self.now);
        if decided.is_empty() {
            return Ok(Err(Moot::NothingToDecide));
        }
        let mut sheet = self.instructed(case);
        for (task, decision) in decided {
            match decision {
                Decision::Send(at) => self.send(case, task, decision, at, &mut sheet)?,
                Decision::State(stated) => {
                    let Some(key) = &self.key else {
                        return Ok(Err(Moot::Shredded));
                    };
                    self.state(case, task, stated, key, &mut sheet)?;
                }
            }
        }
        Ok(Ok(sheet))
    }

    fn send(
        &self,
        case: &mut Case,
        task: TaskId,
        decision: Decision,
        at: Timestamp,
        sheet: &mut Sheet,
    ) -> Result<(), DbError> {
        let known = case.tasks.get_mut(&task).ok_or(GONE)?;
        known.stage = known.stage.step(decision.event()).map_err(|_| OUT_OF_ORDER)?;
        sheet.tasks.push(TaskChange {
            task,
            stage: known.stage,
            last_word: None,
        });
        let system = self.directory.system(known.system);
        if system.is_some_and(|system| system.kind == ConnectorKind::Webhook) {
            sheet.lanes.push((known.system, case.controller, at));
        }
        Ok(())
    }

    /// The request is asked while its task still says what it said before, as when a receipt comes.
    fn state(
        &self,
        case: &mut Case,
        task: TaskId,
        stated: Stated,
        key: &DataKey,
        sheet: &mut Sheet,
    ) -> Result<(), DbError> {
        let known = case.tasks.get(&task).ok_or(GONE)?;
        let (demand, system) = (known.demand, known.system);
        let moved = case.full_stage()?.step(Event::Answered(task, stated.into(), demand));
        let entry = self.statement(case, task, stated, key, sheet)?;
        let known = case.tasks.get_mut(&task).ok_or(GONE)?;
        known.stage = known
            .stage
            .step(Decision::State(stated).event())
            .map_err(|_| OUT_OF_ORDER)?;
        known.last_word = Some(entry.uuid());
        sheet.tasks.push(TaskChange {
            task,
            stage: known.stage,
            last_word: known.last_word,
        });
        let told = Happened::TaskStated {
            task,
            system,
            statement: stated,
            approved: true,
        };
        sheet.happened.push((case.version, told));
        sheet.stated.push(stated);
        self.moved(case, moved.map_err(|_| OUT_OF_ORDER)?, sheet);
        Ok(())
    }

    fn statement(
        &self,
        case: &Case,
        task: TaskId,
        stated: Stated,
        key: &DataKey,
        sheet: &mut Sheet,
    ) -> Result<EntryId, DbError> {
        let said = Said::Stated {
            task: Some(task),
            kind: stated.into(),
            approver: Some(self.who),
        };
        let owner = self.directory.controller(case.controller).ok_or(GONE)?;
        let jti = Builder::from_random_bytes(chance::bytes(&*self.orders.rng)).into_uuid();
        let jws = self
            .orders
            .signer
            .sign(&said, case.request, &owner.issuer, jti, self.now);
        sheet.statements.push(NewStatement {
            entry: EntryId::new(self.now + STEP, chance::bytes(&*self.orders.rng)),
            request: case.request,
            task: Some(task),
            kind: stated.to_string(),
            approver: Some(self.who),
            sealed: key.seal(JWS, jws.as_bytes()),
        });
        let entry = sheet.statements.last().map(|one| one.entry).ok_or(GONE)?;
        let told = body::Statement {
            task: Some(task),
            kind: stated.into(),
            approver: Some(self.who),
            jws,
        };
        sheet.entries.push(self.entry(case, entry, told.into()));
        Ok(entry)
    }

    /// The controller's single instruction, where the verdict is one.
    fn instructed(&self, case: &Case) -> Sheet {
        let mut sheet = Sheet::default();
        let mode = match self.verdict {
            Verdict::Approve => return sheet,
            Verdict::Act => InstructionMode::ActOnInstruction,
            Verdict::Decline => InstructionMode::DeclineWithNotice,
        };
        let told = body::Instruction {
            instruction: InstructionId::new(self.now, chance::bytes(&*self.orders.rng)),
            version: 1,
            mode,
            rights: vec![case.right],
            approver: ContentDigest::of(self.who.to_string().as_bytes()),
        };
        let id = EntryId::new(self.now, chance::bytes(&*self.orders.rng));
        sheet.entries.push(self.entry(case, id, Body::Instruction(told)));
        sheet
    }

    /// It becomes ready, and is published for planning like any other.
    async fn release(&self, tx: &mut Tx, case: &mut Case) -> Result<Result<Sheet, Moot>, DbError> {
        let locked = requests::lock(tx, &[case.request]).await?;
        let (shown, _) = locked.into_iter().next().ok_or(GONE)?;
        let Some(instruction) = shown.instruction else {
            return Ok(Err(Moot::NothingToDecide));
        };
        let mut sheet = self.instructed(case);
        self.step(case, Event::Assessed(Gate::Open), &mut sheet)?;
        let default = Instruction::default_of(case.controller);
        let known = plans::instructions(tx, &[instruction]).await?;
        let mode = known.first().map_or(default.mode, |(_, standing)| standing.mode);
        sheet.publish = Some(RequestPublished {
            message_id: MessageId::new(self.now, chance::bytes(&*self.orders.rng)),
            occurred_at: self.now,
            request: shown.id,
            controller: shown.controller,
            request_version: case.version,
            right: shown.right,
            product: shown.product,
            channel: shown.channel,
            binding: shown.binding,
            instruction,
            mode,
            received_at: shown.received_at,
            due_at: shown.due_at,
            regime: shown.regime,
        });
        Ok(Ok(sheet))
    }

    fn step(&self, case: &mut Case, event: Event, sheet: &mut Sheet) -> Result<(), DbError> {
        let moved = case.full_stage()?.step(event).map_err(|_| OUT_OF_ORDER)?;
        self.moved(case, moved, sheet);
        Ok(())
    }

    /// Notes where the request is now, if that is somewhere else.
    fn moved(&self, case: &mut Case, (stage, effects): (Stage, Vec<Effect>), sheet: &mut Sheet) {
        if stage.name() == case.stage {
            return;
        }
        case.version += 1;
        let from = std::mem::replace(&mut case.stage, stage.name());
        case.outcome = match &stage {
            Stage::Closed(closing, _) => Some(*closing),
            _ => None,
        };
        sheet.requests.push(RequestChange {
            request: case.request,
            stage: case.stage,
            outcome: case.outcome,
            version: case.version,
            closed_at: case.outcome.map(|_| self.now),
        });
        let last = EntryId::new(self.now + STEP * 2, chance::bytes(&*self.orders.rng));
        for effect in effects {
            match effect {
                Effect::LogClosure(closing) => self.closed(case, last, closing, sheet),
                Effect::LogStage => {
                    let told = body::Stage {
                        from,
                        to: case.stage,
                        version: case.version.unsigned_abs(),
                        reason: None,
                    };
                    sheet.entries.push(self.entry(case, last, told.into()));
                    sheet.happened.push((case.version, Happened::StageChanged(case.stage)));
                }
                _ => {}
            }
        }
    }

    fn closed(&self, case: &Case, entry: EntryId, closing: Closing, sheet: &mut Sheet) {
        let told = closure(case, closing);
        sheet.entries.push(self.entry(case, entry, told.into()));
        sheet.happened.push((case.version, Happened::Closed(closing)));
    }

    fn entry(&self, case: &Case, id: EntryId, told: Body) -> Entry {
        Entry {
            id,
            controller: case.controller,
            request: Some(case.request),
            at: self.now,
            body: told,
        }
    }

    async fn write(
        &self,
        tx: &mut Tx,
        sheet: Sheet,
        cases: &std::collections::HashMap<RequestId, Case>,
    ) -> Result<(), DbError> {
        cases::save_tasks(tx, &sheet.tasks).await?;
        cases::save_requests(tx, &sheet.requests).await?;
        statements::insert(tx, &sheet.statements, self.now).await?;
        let logged: Vec<_> = sheet.entries.iter().map(entry_row).collect();
        entries::put(tx, &logged, self.now).await?;
        let happened: Vec<_> = sheet
            .happened
            .iter()
            .map(|(version, happened)| (self.request, *version, *happened))
            .collect();
        let told = notices::told(&happened, cases, &self.directory, self.now, &*self.orders.rng);
        happenings::put(tx, &told).await?;
        let published = sheet
            .publish
            .map(|published| outbox_row(published.message_id, published.envelope()));
        let events = happened.iter().filter_map(|(_, version, happened)| {
            let controller = cases.get(&self.request)?.controller;
            let event = Occurrence {
                request: self.request,
                controller,
                version: *version,
                happened: *happened,
            };
            Some(event.row(self.now, &*self.orders.rng))
        });
        outbox::put(tx, &events.chain(published).collect::<Vec<_>>()).await?;
        leases::wake(tx, sheet.lanes).await
    }
}

const GONE: DbError = DbError::Inconsistent("what a decision is about is gone under its lock");

const OUT_OF_ORDER: DbError = DbError::Inconsistent("a stage has no place for what was decided");
