//! Watching requests on their way, as an operator's tool would: stages are told by `dsr.events.v1`, which anybody may
//! read in a group of their own; tasks and receipts are what is new in the router's database since the last look.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::id::{ReceiptId, RequestId, TaskId};
use domain::request::StageName;
use platform::bus::{SharedBus, Subscription};
use platform::db::{Db, DbError};
use proto::{Happened, LifecycleEvent, Topic};
use serde_json::json;
use store::registry::Directory;
use store::requests::{self, Filter, PAGE_MAX, Shown};
use store::scope::Scope;
use store::story::{self, ToldReceipt, ToldTask};

use crate::commands::requests::system;
use crate::failure::Failure;
use crate::output::{Output, Progress, Tone};

/// Often enough that a person sees each step, seldom enough to leave the database alone.
const LOOK: Duration = Duration::from_millis(20);

/// Events that are taken at once, at most.
const EVENTS_MAX: usize = 200;

/// The group that reads the events; nothing depends on it.
const GROUP: &str = "demo.watch";

/// A request with its parts, as it was last seen.
#[derive(Debug, Clone)]
pub(super) struct Followed {
    /// Its number in the demonstration.
    pub number: usize,
    /// The request.
    pub shown: Shown,
    /// Its tasks.
    pub tasks: Vec<ToldTask>,
    /// Its receipts.
    pub receipts: Vec<ToldReceipt>,
}

/// Who watches.
pub(super) struct Follower {
    events: Box<dyn Subscription>,
    db: Db,
    directory: Arc<Directory>,
    output: Output,
    began: Instant,
    /// Requests of an earlier run in the same folder.
    before: HashSet<RequestId>,
    followed: BTreeMap<RequestId, Followed>,
    progress: Progress,
}

impl Follower {
    /// Begins; what is there already is not looked at.
    pub(super) async fn begin(
        bus: &SharedBus,
        db: Db,
        directory: Arc<Directory>,
        wanted: u64,
        output: Output,
    ) -> Result<Self, Failure> {
        let events = bus.subscribe(GROUP, &[Topic::Events.to_string()]).await?;
        let before = newest(&db).await?.into_iter().map(|shown| shown.id).collect();
        Ok(Self {
            events,
            db,
            directory,
            output,
            began: Instant::now(),
            before,
            followed: BTreeMap::new(),
            progress: output.progress(wanted, "requests closed, every receipt logged"),
        })
    }

    /// Watches until as many requests as wanted are closed and all of their receipts are logged.
    pub(super) async fn until_done(&mut self, wanted: usize, at_most: Duration) -> Result<(), Failure> {
        let outcome = self.watch(wanted, at_most).await;
        self.progress.end();
        outcome
    }

    async fn watch(&mut self, wanted: usize, at_most: Duration) -> Result<(), Failure> {
        while !self.done(wanted) {
            if self.began.elapsed() > at_most {
                let closed = self.closed();
                return Err(Failure::no(format!(
                    "after {at_most:?}, {closed} of {wanted} requests are closed and logged"
                )));
            }
            let events = self.events().await?;
            self.look(&events).await?;
            self.progress.reach(self.closed() as u64);
        }
        Ok(())
    }

    /// What the bus tells, or nothing for a moment.
    async fn events(&mut self) -> Result<Vec<LifecycleEvent>, Failure> {
        let received = tokio::select! {
            received = self.events.next(EVENTS_MAX) => received?,
            () = tokio::time::sleep(LOOK) => return Ok(vec![]),
        };
        self.events.commit().await?;
        let events = received.iter().map(|one| LifecycleEvent::decode(&one.message.value));
        events.collect::<Result<_, _>>().map_err(Failure::no)
    }

    /// The requests as they were last seen, in the order in which they came.
    #[must_use]
    pub(super) fn followed(&self) -> Vec<&Followed> {
        self.followed.values().collect()
    }

    /// The registry's picture, for names.
    #[must_use]
    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    fn done(&self, wanted: usize) -> bool {
        self.followed.len() >= wanted && self.followed.values().all(is_closed)
    }

    fn closed(&self) -> usize {
        self.followed.values().filter(|one| is_closed(one)).count()
    }

    /// New requests, then the stages that the bus told of, then tasks and receipts, and closings last.
    async fn look(&mut self, events: &[LifecycleEvent]) -> Result<(), DbError> {
        let mut found = newest(&self.db).await?;
        found.retain(|shown| !self.before.contains(&shown.id));
        found.reverse();
        for shown in &found {
            self.meet(shown);
        }
        let (closings, stages): (Vec<_>, Vec<_>) = events
            .iter()
            .partition(|event| matches!(event.happened, Happened::Closed(_)));
        for event in stages {
            self.tell_event(event);
        }
        for shown in found {
            if self.followed.get(&shown.id).is_none_or(|known| !is_closed(known)) {
                self.look_at(shown).await?;
            }
        }
        for event in closings {
            self.tell_event(event);
        }
        Ok(())
    }

    fn meet(&mut self, shown: &Shown) {
        if self.followed.contains_key(&shown.id) {
            return;
        }
        let new = Followed {
            number: self.followed.len() + 1,
            shown: shown.clone(),
            tasks: vec![],
            receipts: vec![],
        };
        let owner = self
            .directory
            .controller(shown.controller)
            .map_or("", |owner| owner.slug.as_str());
        let words = format!("{} of {owner} through {} is accepted", shown.right, shown.channel);
        let facts = json!({"right": shown.right, "controller": owner, "channel": shown.channel});
        self.step(&new, &words, facts);
        self.followed.insert(shown.id, new);
    }

    async fn look_at(&mut self, shown: Shown) -> Result<(), DbError> {
        let (tasks, receipts) = (
            story::tasks(&self.db, shown.id).await?,
            story::receipts(&self.db, shown.id).await?,
        );
        let Some(known) = self.followed.get(&shown.id) else {
            return Ok(());
        };
        let new = Followed {
            number: known.number,
            shown,
            tasks,
            receipts,
        };
        self.tell_tasks(known, &new);
        self.tell_receipts(known, &new);
        self.followed.insert(new.shown.id, new);
        Ok(())
    }

    fn tell_event(&self, event: &LifecycleEvent) {
        let Some(of) = self.followed.get(&event.request) else {
            return;
        };
        let words = match event.happened {
            Happened::StageChanged(stage) => stage.to_string(),
            Happened::Closed(outcome) => self.output.paint(Tone::Good, format_args!("closed: {outcome}")),
            ref other => format!("{other:?}"),
        };
        let facts = json!({"event": words, "version": event.request_version, "occurred_at": event.occurred_at});
        self.step(of, &words, facts);
    }

    fn tell_tasks(&self, known: &Followed, new: &Followed) {
        let was = |id: TaskId| {
            known
                .tasks
                .iter()
                .find(|task| task.id == id)
                .map(|task| (task.stage, task.answer))
        };
        for task in new
            .tasks
            .iter()
            .filter(|task| was(task.id) != Some((task.stage, task.answer)))
        {
            let system = system(&self.directory, task.system);
            let answer = task.answer.map_or_else(String::new, |answer| format!(": {answer}"));
            let words = format!("task at {system} {}{answer}", task.stage);
            let facts = json!({"task": task.id, "system": system, "stage": task.stage, "answer": task.answer});
            self.step(new, &words, facts);
        }
    }

    fn tell_receipts(&self, known: &Followed, new: &Followed) {
        let was = |id: ReceiptId| {
            known
                .receipts
                .iter()
                .find(|receipt| receipt.id == id)
                .map(|one| one.logged)
        };
        for receipt in new
            .receipts
            .iter()
            .filter(|receipt| was(receipt.id) != Some(receipt.logged))
        {
            let system = system(&self.directory, receipt.system);
            let words = match receipt.logged {
                None => format!(
                    "receipt of {system}: {}, signed by its {}",
                    receipt.outcome, receipt.signer
                ),
                Some((index, _)) => format!("receipt of {system} is entry {index} of the log"),
            };
            let index = receipt.logged.map(|(index, _)| index);
            let facts =
                json!({"receipt": receipt.id, "system": system, "outcome": receipt.outcome, "log_index": index});
            self.step(new, &words, facts);
        }
    }

    fn step(&self, of: &Followed, words: &str, mut facts: serde_json::Value) {
        let elapsed = self.began.elapsed();
        facts["step"] = json!("request");
        facts["request"] = json!(of.shown.id);
        facts["after_ms"] = json!(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        let since = self
            .output
            .paint(Tone::Quiet, format_args!("{:>7.3} s", elapsed.as_secs_f64()));
        let words = format!("{since}  #{}  {words}", of.number);
        self.progress.aside(|| self.output.tell(words, &facts));
    }
}

/// Closed, and every receipt logged.
fn is_closed(one: &Followed) -> bool {
    let logged = one.receipts.iter().all(|receipt| receipt.logged.is_some());
    one.shown.stage == StageName::Closed && !one.receipts.is_empty() && logged
}

async fn newest(db: &Db) -> Result<Vec<Shown>, DbError> {
    requests::page(db, &Scope::EVERYTHING, &Filter::default(), None, PAGE_MAX).await
}
