//! Our statements about tasks that nobody has answered by their deadline.
//!
//! What is signed is what is true at that moment: a task that was never handed over is `undeliverable`, one that was
//! handed over has `no_receipt`. It is signed before the transaction that marks its task; a task that got its last word
//! in between is not marked, and then nothing of it is stored.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use domain::id::{EntryId, RequestId, TaskId};
use evidence::entry::Entry;
use evidence::entry::body::{Statement, StatementKind};
use evidence::token::Said;
use jiff::{SignedDuration, Timestamp};
use keys::{Class, DataKey};
use platform::chance;
use platform::db::{DbError, Tx};
use platform::metrics::Counter;
use proto::Happened;
use store::deadlines::{self, Pressing, Unstated};
use store::entries::{self, EntryRow};
use store::outbox::{self, OutboxRow};
use store::registry::Directory;
use store::statements::{self, JWS, NewStatement};
use store::tasks::record;
use uuid::Builder;

use super::{Deadlines, LookError};
use crate::messages::{Occurrence, entry_row};

static STATED: Counter = Counter::new(
    "quittance_statements_total",
    "Statements that we signed about tasks, by what they say and whether a person has approved them.",
);

/// Counts statements.
pub(crate) fn count(statement: domain::decision::Stated, approved: bool, number: u64) {
    let approved = if approved { "yes" } else { "no" };
    STATED.add(number, &[("statement", statement.as_str()), ("approved", approved)]);
}

/// A statement with the task that it is about.
struct Draft {
    about: Unstated,
    entry: EntryId,
    jws: String,
    sealed: Vec<u8>,
}

/// A batch with what its transaction needs.
struct Order {
    by: Deadlines,
    drafts: Vec<Draft>,
    now: Timestamp,
}

impl Deadlines {
    /// Signs what is to be said about the overdue requests of a page.
    pub(super) async fn state(&self, page: &[Pressing], now: Timestamp) -> Result<(), LookError> {
        let overdue = page.iter().filter(|one| one.due_at <= now).map(|one| one.request);
        let overdue: Vec<RequestId> = overdue.collect();
        let before = now - SignedDuration::from_secs(self.config.grace_seconds.into());
        let unstated = deadlines::unstated(self.store.db(), &overdue, before).await?;
        if unstated.is_empty() {
            return Ok(());
        }
        let requests: HashSet<RequestId> = unstated.iter().map(|one| one.request).collect();
        let requests: Vec<RequestId> = requests.into_iter().collect();
        let keys = self.keys.load(Class::Evidence, &requests).await?;
        let directory = self.directory.current();
        let drafts = unstated
            .iter()
            .filter_map(|one| self.draft(*one, &keys, &directory, now));
        let order = Arc::new(Order {
            by: self.clone(),
            drafts: drafts.collect(),
            now,
        });
        let stating = self.store.db().transaction("state", move |tx| {
            let order = Arc::clone(&order);
            Box::pin(async move { order.carry_out(tx).await })
        });
        for stated in stating.await? {
            tracing::warn!(task = %stated.task, request = %stated.request, statement = %stated.stated,
                "a deadline has passed without an answer");
            count(stated.stated, false, 1);
        }
        self.store.waker().wake();
        Ok(())
    }

    /// An open request has its key and its controller.
    fn draft(
        &self,
        about: Unstated,
        keys: &HashMap<RequestId, DataKey>,
        directory: &Directory,
        now: Timestamp,
    ) -> Option<Draft> {
        let audience = &directory.controller(about.controller)?.issuer;
        let said = Said::Stated {
            task: Some(about.task),
            kind: about.stated.into(),
            approver: None,
        };
        let jti = Builder::from_random_bytes(chance::bytes(&*self.rng)).into_uuid();
        let jws = self.signer.sign(&said, about.request, audience, jti, now);
        Some(Draft {
            entry: EntryId::new(now, chance::bytes(&*self.rng)),
            sealed: keys.get(&about.request)?.seal(JWS, jws.as_bytes()),
            about,
            jws,
        })
    }
}

impl Order {
    async fn carry_out(&self, tx: &mut Tx) -> Result<Vec<Unstated>, DbError> {
        let about: Vec<Unstated> = self.drafts.iter().map(|draft| draft.about).collect();
        let mine: HashSet<TaskId> = deadlines::propose(tx, &about).await?.into_iter().collect();
        let mine: Vec<&Draft> = self
            .drafts
            .iter()
            .filter(|draft| mine.contains(&draft.about.task))
            .collect();
        if mine.is_empty() {
            return Ok(vec![]);
        }
        let rows: Vec<NewStatement> = mine.iter().map(|draft| draft.row()).collect();
        statements::insert(tx, &rows, self.now).await?;
        let logged: Vec<EntryRow> = mine.iter().map(|draft| entry_row(&draft.entry(self.now))).collect();
        entries::put(tx, &logged, self.now).await?;
        let requests: Vec<RequestId> = mine.iter().map(|draft| draft.about.request).collect();
        let versions = record::versions(tx, &requests).await?;
        let events = mine.iter().filter_map(|draft| self.event(&draft.about, &versions));
        outbox::put(tx, &events.collect::<Vec<_>>()).await?;
        Ok(mine.iter().map(|draft| draft.about).collect())
    }

    fn event(&self, about: &Unstated, versions: &HashMap<RequestId, i64>) -> Option<OutboxRow> {
        let event = Occurrence {
            request: about.request,
            controller: about.controller,
            version: *versions.get(&about.request)?,
            happened: Happened::TaskStated {
                task: about.task,
                system: about.system,
                statement: about.stated,
                approved: false,
            },
        };
        Some(event.row(self.now, &*self.by.rng))
    }
}

impl Draft {
    fn row(&self) -> NewStatement {
        NewStatement {
            entry: self.entry,
            request: self.about.request,
            task: Some(self.about.task),
            kind: self.about.stated.to_string(),
            approver: None,
            sealed: self.sealed.clone(),
        }
    }

    fn entry(&self, now: Timestamp) -> Entry {
        let body = Statement {
            task: Some(self.about.task),
            kind: StatementKind::from(self.about.stated),
            approver: None,
            jws: self.jws.clone(),
        };
        Entry {
            id: self.entry,
            controller: self.about.controller,
            request: Some(self.about.request),
            at: now,
            body: body.into(),
        }
    }
}
