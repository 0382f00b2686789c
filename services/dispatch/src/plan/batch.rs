//! One transaction for all requests of a batch.
//!
//! What is computed here depends on locked rows, logged registrations and drawn chance alone, so that a collision may
//! run it again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use domain::id::{ControllerId, EntryId, InstructionId, RequestId, SystemId, TaskId};
use domain::new_request::Details;
use domain::plan::{Beginning, Instruct, Planned, Reach, plan};
use domain::registration::{ConnectorKind, Instruction, InstructionMode, System};
use domain::request::{Event, Owed, Planning, Stage, StageName, Tally};
use domain::task::TaskStage;
use evidence::digest::{ContentDigest, sha256};
use evidence::entry::Entry;
use evidence::entry::body;
use jiff::Timestamp;
use keys::DataKey;
use platform::chance;
use platform::db::{DbError, Tx};
use proto::Happened;
use store::cases::{self, RequestChange};
use store::entries::{self, EntryRow};
use store::outbox::{self, OutboxRow};
use store::plans::{self, NewPlan};
use store::receipts::{self, AnomalyKind, AnomalyRow};
use store::registry::{Directory, Snapshot};
use store::requests::{self, Shown};
use store::tasks::{self, NewTask};
use store::{leases, sealed};

use super::Planner;
use super::body::{Occasion, render};
use crate::messages::{Occurrence, entry_row};
use crate::oddities;

/// A batch with what its transaction needs.
pub(super) struct Order {
    planner: Planner,
    requests: Vec<RequestId>,
    keys: HashMap<RequestId, DataKey>,
    directory: Arc<Directory>,
    now: Timestamp,
}

/// What became of a batch.
#[derive(Debug)]
pub(super) struct Done {
    planned: u64,
    settled: u64,
    obstructed: u64,
    /// Those that the database doesn't have.
    pub(super) unknown: Vec<RequestId>,
}

/// Why a ready request can't be planned for now.
#[derive(Debug, Clone, Copy)]
enum Obstacle {
    NoSystems,
    NotInForce,
    Unopenable,
    TooLong,
}

/// What a plan is made from.
struct Ground {
    snapshot: Snapshot,
    systems: Arc<[System]>,
    instruction: InstructionId,
    mode: InstructionMode,
}

/// What is to be written.
#[derive(Default)]
struct Sheet {
    plans: Vec<NewPlan>,
    tasks: Vec<NewTask>,
    lanes: Vec<(SystemId, ControllerId, Timestamp)>,
    changes: Vec<RequestChange>,
    entries: Vec<EntryRow>,
    messages: Vec<OutboxRow>,
    anomalies: Vec<AnomalyRow>,
}

impl Done {
    /// What became of them, for the figures.
    pub(super) fn counts(&self) -> [(&'static str, u64); 4] {
        [
            ("planned", self.planned),
            ("settled", self.settled),
            ("obstructed", self.obstructed),
            ("unknown", self.unknown.len() as u64),
        ]
    }
}

impl From<Obstacle> for AnomalyKind {
    fn from(obstacle: Obstacle) -> Self {
        match obstacle {
            Obstacle::NoSystems => Self::NoSystems,
            Obstacle::NotInForce => Self::NotInForce,
            Obstacle::Unopenable => Self::Unopenable,
            Obstacle::TooLong => Self::TooLong,
        }
    }
}

impl Order {
    pub(super) fn new(planner: &Planner, requests: &[RequestId], keys: HashMap<RequestId, DataKey>) -> Self {
        Self {
            planner: planner.clone(),
            requests: requests.to_vec(),
            keys,
            directory: planner.directory.current(),
            now: planner.clock.now(),
        }
    }

    pub(super) async fn carry_out(&self, tx: &mut Tx) -> Result<Done, DbError> {
        let locked = requests::lock(tx, &self.requests).await?;
        let ready = locked.iter().filter(|(request, _)| request.stage == StageName::Ready);
        let ready: Vec<_> = ready.collect();
        self.learn(tx, ready.iter().map(|(request, _)| request)).await?;
        let mut sheet = Sheet::default();
        for (request, sealed) in &ready {
            if let Err(obstacle) = self.draft(&mut sheet, request, sealed.as_deref()) {
                sheet.anomalies.push(oddities::of_request(obstacle.into(), request.id));
            }
        }
        self.write(tx, &sheet).await?;
        let known: HashSet<RequestId> = locked.iter().map(|(request, _)| request.id).collect();
        Ok(Done {
            planned: sheet.plans.len() as u64,
            settled: (locked.len() - ready.len()) as u64,
            obstructed: sheet.anomalies.len() as u64,
            unknown: self.requests.iter().filter(|id| !known.contains(id)).copied().collect(),
        })
    }

    async fn learn(&self, tx: &mut Tx, ready: impl Iterator<Item = &Shown>) -> Result<(), DbError> {
        let (mut snapshots, mut instructions) = (HashSet::new(), HashSet::new());
        for request in ready {
            snapshots.extend(self.directory.snapshot(request.controller).map(|snapshot| snapshot.id));
            instructions.extend(request.instruction);
        }
        let snapshots: Vec<_> = snapshots.into_iter().collect();
        let instructions: Vec<_> = instructions.into_iter().collect();
        self.planner.grounds.learn(tx, &snapshots, &instructions).await
    }

    /// Adds a request's plan to the sheet, or nothing.
    fn draft(&self, sheet: &mut Sheet, request: &Shown, sealed: Option<&[u8]>) -> Result<(), Obstacle> {
        let ground = self.ground(request).ok_or(Obstacle::NotInForce)?;
        let (key, details) = self.open(request, sealed).ok_or(Obstacle::Unopenable)?;
        let reach = Reach {
            right: request.right,
            product: request.product.clone(),
            channel: request.channel,
        };
        let planned = plan(&reach, &ground.systems, ground.mode).map_err(|_| Obstacle::NoSystems)?;
        let task = |planned: &Planned<'_>| self.task(request, &details, key, &ground, planned);
        let tasks = planned.iter().map(task).collect::<Result<Vec<_>, _>>()?;
        self.add(sheet, request, &ground, &planned, tasks);
        Ok(())
    }

    fn ground(&self, request: &Shown) -> Option<Ground> {
        let snapshot = *self.directory.snapshot(request.controller)?;
        let instruction = request.instruction?;
        let default = Instruction::default_of(request.controller);
        let mode = if instruction == default.id {
            default.mode
        } else {
            self.planner.grounds.mode(instruction)?
        };
        Some(Ground {
            systems: self.planner.grounds.systems(snapshot.id)?,
            snapshot,
            instruction,
            mode,
        })
    }

    fn open(&self, request: &Shown, sealed: Option<&[u8]>) -> Option<(&DataKey, Details)> {
        let key = self.keys.get(&request.id)?;
        let bytes = key.open(sealed::DETAILS, sealed?).ok()?;
        Some((key, sealed::from_bytes(&bytes).ok()?))
    }

    fn task(
        &self,
        request: &Shown,
        details: &Details,
        key: &DataKey,
        ground: &Ground,
        planned: &Planned<'_>,
    ) -> Result<NewTask, Obstacle> {
        let id = TaskId::new(self.now, chance::bytes(&*self.planner.rng));
        let body = render(&Occasion {
            task: id,
            request,
            details,
            instruction: ground.instruction,
            system: planned.system,
            public_url: &self.planner.public_url,
            now: self.now,
            nonce: chance::bytes(&*self.planner.rng),
        });
        let body = body.map_err(|_| Obstacle::TooLong)?;
        Ok(NewTask {
            id,
            request: request.id,
            controller: request.controller,
            system: planned.system.id,
            stage: match planned.beginning {
                Beginning::Due => TaskStage::Due(self.now),
                Beginning::Held => TaskStage::Held,
            },
            demand: planned.demand,
            deadline: request.due_at,
            digest: sha256(&body),
            sealed: key.seal(tasks::BODY, &body),
        })
    }

    fn add(&self, sheet: &mut Sheet, request: &Shown, ground: &Ground, planned: &[Planned<'_>], tasks: Vec<NewTask>) {
        let instruct = Instruct::from(ground.mode);
        let (stage, _) = Stage::Ready
            .step(planned_event(instruct, &tasks))
            .expect("a ready request takes a plan, and a plan is never empty");
        let version = request.version + 1;
        sheet.plans.push(NewPlan {
            request: request.id,
            controller: request.controller,
            snapshot: ground.snapshot.id,
            instruction: ground.instruction,
            instruct,
        });
        sheet.changes.push(RequestChange {
            request: request.id,
            stage: stage.name(),
            outcome: None,
            version,
            closed_at: None,
        });
        sheet.entries.push(entry_row(&self.entry(request, ground, &tasks)));
        sheet.messages.push(self.event(request, version, stage.name()));
        let sent = planned.iter().zip(&tasks).filter(|(planned, task)| {
            planned.system.kind == ConnectorKind::Webhook && matches!(task.stage, TaskStage::Due(_))
        });
        sheet
            .lanes
            .extend(sent.map(|(_, task)| (task.system, task.controller, self.now)));
        sheet.tasks.extend(tasks);
    }

    fn entry(&self, request: &Shown, ground: &Ground, tasks: &[NewTask]) -> Entry {
        let system = |task: &NewTask| body::PlannedSystem {
            system: task.system,
            task: task.id,
            task_digest: ContentDigest(task.digest),
            level: task.demand,
        };
        Entry {
            id: EntryId::new(self.now, chance::bytes(&*self.planner.rng)),
            controller: request.controller,
            request: Some(request.id),
            at: self.now,
            body: body::Plan {
                snapshot: ground.snapshot.entry,
                instruction: ground.instruction,
                systems: tasks.iter().map(system).collect(),
            }
            .into(),
        }
    }

    fn event(&self, request: &Shown, version: i64, stage: StageName) -> OutboxRow {
        let event = Occurrence {
            request: request.id,
            controller: request.controller,
            version,
            happened: Happened::StageChanged(stage),
        };
        event.row(self.now, &*self.planner.rng)
    }

    /// Requests are locked; then tasks, then their lanes, as everybody takes them.
    async fn write(&self, tx: &mut Tx, sheet: &Sheet) -> Result<(), DbError> {
        plans::insert(tx, &sheet.plans, self.now).await?;
        tasks::insert(tx, &sheet.tasks, self.now).await?;
        cases::save_requests(tx, &sheet.changes).await?;
        entries::put(tx, &sheet.entries, self.now).await?;
        outbox::put(tx, &sheet.messages).await?;
        receipts::insert_anomalies(tx, &sheet.anomalies, self.now).await?;
        leases::wake(tx, sheet.lanes.iter().copied()).await
    }
}

fn planned_event(instruct: Instruct, tasks: &[NewTask]) -> Event {
    let owed = |task: &NewTask| {
        let owed = Owed {
            demand: task.demand,
            answer: None,
        };
        (task.id, owed)
    };
    let planning = |task: &NewTask| match task.stage {
        TaskStage::Held => Planning::Hold(task.id),
        _ => Planning::Send(task.id),
    };
    let tally = Tally {
        instruct,
        tasks: tasks.iter().map(owed).collect(),
    };
    Event::Planned(tally, tasks.iter().map(planning).collect())
}
