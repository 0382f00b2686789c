//! From happenings to messages: a withdrawal in a message of its own, notices gathered by system and type.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use domain::id::{ControllerId, EntryId, EventId, ReceiptId, RequestId, SystemId, TaskId};
use domain::message::MessageType;
use domain::registration::ConnectorKind;
use domain::request::Closing;
use jiff::Timestamp;
use platform::db::{DbError, Tx};
use serde::Serialize;
use store::happenings::{self, Happening, SystemAnswer, Told};
use store::messages;
use store::registry::Directory;

use super::body::{Notice, render};
use super::draft::{Draft, Keys, gathered, untold};
use super::{BATCH, Found, Herald, HeraldError};

/// Answers in one notice: 15 kB. A controller with more systems for one request reads the rest from the ledger.
const ANSWERS_MAX: usize = 100;

/// `dsr.task.withdrawn`.
#[derive(Serialize)]
struct Withdrawal {
    task: TaskId,
    request: RequestId,
    controller: ControllerId,
    system: SystemId,
    withdrawn_at: Timestamp,
}

/// One of `dsr.task.unanswered`.
#[derive(Serialize)]
struct Unanswered {
    task: TaskId,
    request: RequestId,
    system: SystemId,
    dispatched_at: Timestamp,
    due_at: Timestamp,
}

/// One of `dsr.receipt.logged`: what the controller needs to fetch the proof and to check it.
///
/// The proof itself doesn't travel. Made now, it would lead to a checkpoint that no witness has seen yet, and it would
/// hold the salt that opens the leaf, which is to be readable no longer than the ledger keeps it. So the notice says
/// where the leaf lies and since which size of the tree, against which the public tiles can be read, and where a proof
/// to the newest witnessed checkpoint is to be had whenever somebody wants it. Dispatch needs no credentials of the
/// ledger for it, and goes on telling while the ledger is away.
#[derive(Serialize)]
struct ReceiptPlace {
    receipt: ReceiptId,
    request: RequestId,
    task: TaskId,
    system: SystemId,
    entry: EntryId,
    index: i64,
    tree_size: i64,
    logged_at: Timestamp,
    proof: String,
}

/// One of `dsr.request.assembled`.
#[derive(Serialize)]
struct Assembly<'a> {
    request: RequestId,
    assembled_at: Timestamp,
    answers: &'a [SystemAnswer],
    /// Whether there are more than are told.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    answers_cut: bool,
}

/// One of `dsr.request.closed`.
#[derive(Serialize)]
struct Closure {
    request: RequestId,
    outcome: Closing,
    closed_at: Timestamp,
}

/// A batch with what its transaction needs.
struct Order {
    herald: Herald,
    happened: Vec<Happening>,
    directory: Arc<Directory>,
    keys: Keys,
    now: Timestamp,
}

impl Herald {
    /// Tells what was put down.
    pub(super) async fn tell(&self) -> Result<Found, HeraldError> {
        let happened = happenings::look(self.store.db(), BATCH).await?;
        if happened.is_empty() {
            return Ok(Found::All);
        }
        let found = Found::of(happened.len(), BATCH);
        let keys = self
            .evidence_keys(happened.iter().map(|one| one.told.request()))
            .await?;
        let order = Arc::new(Order {
            herald: self.clone(),
            happened,
            directory: self.directory.current(),
            keys,
            now: self.clock.now(),
        });
        let telling = self.store.db().transaction("tell", move |tx| {
            let order = Arc::clone(&order);
            Box::pin(async move { order.carry_out(tx).await })
        });
        telling.await?;
        self.stored();
        Ok(found)
    }
}

impl Order {
    async fn carry_out(&self, tx: &mut Tx) -> Result<(), DbError> {
        let ids: Vec<EventId> = self.happened.iter().map(|one| one.id).collect();
        let mine: HashSet<EventId> = happenings::take(tx, &ids).await?.into_iter().collect();
        let mine = self.happened.iter().filter(|one| mine.contains(&one.id));
        let drafts = self.drafts(mine);
        let sealed = self.herald.seal(drafts, &self.keys, self.now);
        messages::insert(tx, &sealed, self.now).await
    }

    fn drafts<'o>(&'o self, happened: impl Iterator<Item = &'o Happening>) -> Vec<Draft> {
        let mut drafts = Vec::new();
        let mut notices: BTreeMap<(SystemId, ControllerId, MessageType), Vec<Notice>> = BTreeMap::new();
        for one in happened {
            let kind = one.told.kind();
            if !self.is_sent_to(one.system) || !self.keys.contains_key(&one.told.request()) {
                untold(kind, one.told.request(), "unreachable");
                continue;
            }
            match &one.told {
                Told::Withdrawn {
                    request,
                    task,
                    on_its_way,
                } => drafts.push(self.withdrawn(one, *request, *task, *on_its_way)),
                told => {
                    let lane = notices.entry((one.system, one.controller, kind)).or_default();
                    lane.extend(self.notice(told, one.at));
                }
            }
        }
        for ((system, controller, kind), notices) in notices {
            drafts.extend(gathered(kind, (controller, system), notices, self.now));
        }
        drafts
    }

    fn is_sent_to(&self, system: SystemId) -> bool {
        let system = self.directory.system(system);
        system.is_some_and(|one| matches!(one.kind, ConnectorKind::Webhook | ConnectorKind::Notices))
    }

    /// A task that may be on its way just now is left to arrive first.
    fn withdrawn(&self, one: &Happening, request: RequestId, task: TaskId, on_its_way: bool) -> Draft {
        let data = Withdrawal {
            task,
            request,
            controller: one.controller,
            system: one.system,
            withdrawn_at: one.at,
        };
        let wait = if on_its_way {
            self.herald.over
        } else {
            std::time::Duration::ZERO
        };
        Draft {
            system: one.system,
            controller: one.controller,
            kind: MessageType::TaskWithdrawn,
            request,
            task: Some(task),
            due: one.at + wait,
            deadline: self.now,
            body: render(MessageType::TaskWithdrawn, self.now, &data),
        }
    }

    fn notice(&self, told: &Told, at: Timestamp) -> Option<Notice> {
        Some(match told {
            Told::Withdrawn { .. } => return None,
            Told::Unanswered {
                request,
                task,
                system,
                dispatched_at,
                due_at,
            } => Notice::new(
                *request,
                &Unanswered {
                    task: *task,
                    request: *request,
                    system: *system,
                    dispatched_at: *dispatched_at,
                    due_at: *due_at,
                },
            ),
            Told::Logged { request, .. } => Notice::new(*request, &self.logged(told, at)?),
            Told::Assembled { request, answers } => Notice::new(*request, &assembled(*request, answers, at)),
            Told::Closed { request, outcome } => Notice::new(
                *request,
                &Closure {
                    request: *request,
                    outcome: *outcome,
                    closed_at: at,
                },
            ),
        })
    }

    fn logged(&self, told: &Told, at: Timestamp) -> Option<ReceiptPlace> {
        let Told::Logged {
            request,
            task,
            system,
            receipt,
            entry,
            index,
            size,
        } = told
        else {
            return None;
        };
        let ledger = &self.herald.config.ledger_url;
        let ledger = if ledger.is_empty() {
            &*self.herald.public_url
        } else {
            ledger
        };
        Some(ReceiptPlace {
            receipt: *receipt,
            request: *request,
            task: *task,
            system: *system,
            entry: *entry,
            index: *index,
            tree_size: *size,
            logged_at: at,
            proof: format!("{ledger}/v1/audit/receipts/{receipt}/proof"),
        })
    }
}

fn assembled(request: RequestId, answers: &[SystemAnswer], at: Timestamp) -> Assembly<'_> {
    Assembly {
        request,
        assembled_at: at,
        answers: &answers[..answers.len().min(ANSWERS_MAX)],
        answers_cut: answers.len() > ANSWERS_MAX,
    }
}
