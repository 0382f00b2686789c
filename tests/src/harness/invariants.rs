//! What must hold after any faults, however they fell.
//!
//! The outside is compared with the inside: what callers were told and what client businesses were sent, both kept by
//! the test itself, against the router's tables and the log. Each rule carries the number that the design gives it;
//! what breaks one is collected and not thrown, because a run that broke three tells more than its first.

use std::collections::{BTreeMap, HashMap};

use domain::id::{ControllerId, ReceiptId, RequestId, TaskId};
use evidence::entry::EntryType;
use evidence::merkle::Hash;
use evidence::merkle::verify::verify_consistency;
use evidence::note::{Checkpoint, SignedCheckpoint};
use futures_util::{StreamExt as _, stream};
use sandbox::Delivery;
use uuid::Uuid;

use super::callers::Told;
use super::client::Client;
use super::inside::{Inside, Task};
use super::router::Router;

/// Proofs that are fetched at once: each question is written down by the ledger, and they share its commits.
const AT_ONCE: usize = 32;

/// What is known outside of the router.
#[derive(Debug)]
pub struct Outside<'a> {
    /// Everybody who was told yes.
    pub told: &'a [Told],
    /// Heads of the log that were read meanwhile.
    pub heads: Vec<String>,
    /// The ids of receipts that were never sent whole.
    pub torn: Vec<Uuid>,
    /// How often a process was killed that delivers.
    pub killed: u32,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// What broke a rule.
    pub broken: Vec<String>,
    /// Figures worth telling, in the order in which they are told.
    pub figures: Vec<(String, u64)>,
}

impl Found {
    fn hold(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(what());
        }
    }

    fn tell(&mut self, what: &str, figure: usize) {
        self.figures.push((what.to_owned(), figure as u64));
    }
}

/// Checks everything, of a router that has come to rest.
///
/// # Panics
/// When the router can't be looked into.
pub async fn check(router: &Router, clients: &[Client<'_>], outside: &Outside<'_>) -> Found {
    let inside = Inside::read(router).await;
    let mut found = Found::default();
    let sent = Sent::of(clients);
    nothing_is_lost(&inside, &sent, outside, &mut found);
    counts_agree(&inside, outside, &mut found);
    tasks_are_done_once(&inside, &sent, outside, &mut found);
    receipts_count(&inside, outside, &mut found);
    closed_is_closed(&inside, &mut found);
    the_log_is_dense(&inside, &mut found);
    receipts_are_proved(router, &inside, &mut found).await;
    the_log_only_grew(router, outside, &mut found).await;
    for (kind, count) in &inside.anomalies {
        found.figures.push((format!("anomalies: {kind}"), *count));
    }
    found
}

/// What client businesses were sent.
struct Sent {
    /// What each made of its tasks.
    tasks: HashMap<TaskId, Delivery>,
    /// By a person's number: the requests whose webhooks named it.
    requests: HashMap<String, Vec<RequestId>>,
    /// How often each task came over the wire.
    times: HashMap<TaskId, u64>,
    /// Deliveries whose bytes were not those of the first.
    altered: u32,
}

impl Sent {
    fn of(clients: &[Client<'_>]) -> Self {
        let mut sent = Self {
            tasks: HashMap::new(),
            requests: HashMap::new(),
            times: HashMap::new(),
            altered: 0,
        };
        for system in clients.iter().flat_map(|client| &client.systems) {
            sent.tasks.extend(system.record.deliveries());
            sent.altered += system.record.altered();
            for heard in system.tap.heard() {
                sent.note(&heard.json()["data"]);
            }
        }
        sent
    }

    fn note(&mut self, data: &serde_json::Value) {
        let word = |member: &str| data[member].as_str().unwrap_or_default().to_owned();
        if let Ok(task) = word("task").parse() {
            *self.times.entry(task).or_default() += 1;
        }
        let Ok(request) = word("request").parse::<RequestId>() else {
            return;
        };
        for identity in data["subject"]["identities"].as_array().into_iter().flatten() {
            let value = identity["value"].as_str().unwrap_or_default();
            let known = self
                .requests
                .entry(value.trim_start_matches('+').to_owned())
                .or_default();
            if !known.contains(&request) {
                known.push(request);
            }
        }
    }
}

/// I1: what a caller was told is there, exactly once, under the id that was told, and closed (I10).
fn nothing_is_lost(inside: &Inside, sent: &Sent, outside: &Outside<'_>, found: &mut Found) {
    for told in outside.told {
        let phone = &told.message.phone;
        let known = sent.requests.get(phone).map_or(&[][..], Vec::as_slice);
        let [request] = known else {
            found
                .broken
                .push(format!("I1: one message became {} requests: {known:?}", known.len()));
            continue;
        };
        if let Some(answered) = told.request() {
            found.hold(answered == *request, || {
                format!("I1: told {answered}, delivered {request}")
            });
        }
        let Some(row) = inside.requests.get(request) else {
            found.broken.push(format!("I1: {request} is not there"));
            continue;
        };
        found.hold(row.controller == told.message.controller, || {
            format!("I1: {request} went to another business")
        });
        found.hold(row.stage == "closed", || format!("I10: {request} is {}", row.stage));
    }
    let (requests, told) = (inside.requests.len(), outside.told.len());
    found.hold(requests == told, || {
        format!("I1: {told} were told yes, {requests} requests are there")
    });
    found.tell("callers told yes", told);
    let again = outside.told.iter().filter(|told| told.tries > 1).count();
    found.tell("callers that had to send again", again);
}

/// I2: per business, numbers are dense and everything accepted is open or closed.
fn counts_agree(inside: &Inside, outside: &Outside<'_>, found: &mut Found) {
    let mut told: BTreeMap<ControllerId, i64> = BTreeMap::new();
    for one in outside.told {
        *told.entry(one.message.controller).or_default() += 1;
    }
    for (controller, told) in told {
        let row = inside.intake.get(&controller).copied().unwrap_or_default();
        found.hold(row.is_dense_to(told), || {
            format!("I2: {told} told, intake of {controller} is {row:?}")
        });
        let there = inside
            .requests
            .values()
            .filter(|request| request.controller == controller)
            .count();
        found.hold(i64::try_from(there) == Ok(told), || {
            format!("I2: {told} told, {there} are there of {controller}")
        });
    }
}

/// I3, I4: a task has one id and one body, its effect happened once, and each time it came is explained.
fn tasks_are_done_once(inside: &Inside, sent: &Sent, outside: &Outside<'_>, found: &mut Found) {
    let mut systems = HashMap::new();
    for (id, task) in &inside.tasks {
        let twin = systems.insert((task.request, task.system), id);
        found.hold(twin.is_none(), || {
            format!("I3: {} has two tasks for one system", task.request)
        });
        match sent.tasks.get(id) {
            None => found.broken.push(format!("I3: {id} ({}) never arrived", task.stage)),
            Some(delivery) => task_is_done_once(*id, task, delivery, found),
        }
        let (times, attempts) = (sent.times.get(id).copied().unwrap_or_default(), task.attempts);
        // A kill cuts off an attempt before it is written down, at most one of a task each time.
        found.hold(times <= attempts + u64::from(outside.killed), || {
            format!("I4: {id} came {times} times, {attempts} attempts are known")
        });
    }
    for id in sent.tasks.keys().filter(|id| !inside.tasks.contains_key(id)) {
        found.broken.push(format!("I3: {id} was done and is not known"));
    }
    found.hold(sent.altered == 0, || {
        format!("I3: {} deliveries had other bytes", sent.altered)
    });
    let times: u64 = sent.times.values().sum();
    let attempts: u64 = inside.tasks.values().map(|task| task.attempts).sum();
    found.tell("tasks", inside.tasks.len());
    found.figures.push(("deliveries".to_owned(), times));
    found.figures.push((
        "deliveries that no attempt was written down for".to_owned(),
        times.saturating_sub(attempts),
    ));
}

fn task_is_done_once(id: TaskId, task: &Task, delivery: &Delivery, found: &mut Found) {
    found.hold(delivery.digest == task.digest, || {
        format!("I3: {id} was sent with another body than was planned")
    });
    found.hold(delivery.request == task.request, || {
        format!("I3: {id} was sent for another request")
    });
    found.hold(delivery.effects == 1, || {
        format!("I4: {id} was done {} times", delivery.effects)
    });
}

/// I5: each task of a closed request has one receipt that counts; what never came whole counts nowhere.
fn receipts_count(inside: &Inside, outside: &Outside<'_>, found: &mut Found) {
    for (id, task) in &inside.tasks {
        found.hold(task.counted == 1, || {
            format!("I5: {} receipts count for {id} ({})", task.counted, task.stage)
        });
    }
    for (id, receipt) in &inside.receipts {
        let task = inside.tasks.get(&receipt.task);
        found.hold(task.is_some_and(|task| task.request == receipt.request), || {
            format!("I5: {id} is of no task")
        });
        found.hold(!outside.torn.contains(&receipt.jti), || {
            format!("I5: {id} was never sent whole")
        });
        let logged = inside.logged.get(id).copied();
        found.hold(receipt.log_index.is_some() && receipt.log_index == logged, || {
            format!(
                "I6: {id} is number {:?} in the router and {logged:?} in the log",
                receipt.log_index
            )
        });
    }
    found.tell("receipts", inside.receipts.len());
}

/// I11, I2: each request has one intake, one clock, one plan and one closure in the log, and the log knows no other request.
fn closed_is_closed(inside: &Inside, found: &mut Found) {
    for request in inside.requests.keys() {
        for kind in [EntryType::Intake, EntryType::Clock, EntryType::Plan, EntryType::Closure] {
            let count = inside.about.get(&(*request, kind.byte())).copied().unwrap_or_default();
            found.hold(count == 1, || {
                format!("I11: {request} has {count} entries of {}", kind.as_str())
            });
        }
        let tasks = inside.tasks.values().filter(|task| task.request == *request).count();
        found.hold(tasks > 0, || format!("I11: {request} was closed without a task"));
    }
    for (request, _) in inside.about.keys() {
        found.hold(inside.requests.contains_key(request), || {
            format!("I1: the log knows of {request}, we don't")
        });
    }
}

/// I6: neither the log nor a business's sequence in it has a gap.
fn the_log_is_dense(inside: &Inside, found: &mut Found) {
    let log = &inside.log;
    found.hold(log.entries == log.size && log.last + 1 == log.size, || {
        format!("I6: the log is {log:?}")
    });
    for (controller, sequence) in &inside.sequences {
        found.hold(sequence.is_dense(), || {
            format!("I6: the sequence of {controller} is {sequence:?}")
        });
    }
    found
        .figures
        .push(("entries in the log".to_owned(), log.size.unsigned_abs()));
}

/// I6: a stranger who trusts the log's key alone can verify each receipt.
async fn receipts_are_proved(router: &Router, inside: &Inside, found: &mut Found) {
    let history = router.key_history().await;
    let proving = inside.receipts.iter().map(|(id, receipt)| {
        let (case, history) = (router.case(receipt.request), &history);
        async move {
            let (verified, logged) = case.proved_receipt(*id, history).await;
            (*id, receipt, verified.index, logged.receipt.report.task())
        }
    });
    let proved: Vec<(ReceiptId, _, u64, TaskId)> = stream::iter(proving).buffer_unordered(AT_ONCE).collect().await;
    for (id, receipt, index, task) in proved {
        found.hold(i64::try_from(index).ok() == receipt.log_index, || {
            format!("I6: {id} is proved at {index}")
        });
        found.hold(task == receipt.task, || format!("I5: {id} speaks of another task"));
    }
}

/// I6: every head that was ever shown is a beginning of the last one.
async fn the_log_only_grew(router: &Router, outside: &Outside<'_>, found: &mut Found) {
    let last = router.audit("/log/checkpoint").await.text();
    let Some(last) = believed(router, &last, found) else {
        return;
    };
    let mut heads: BTreeMap<u64, Checkpoint> = BTreeMap::new();
    for head in &outside.heads {
        let Some(head) = believed(router, head, found) else {
            continue;
        };
        let twin = heads.insert(head.size, head.clone());
        found.hold(twin.is_none_or(|twin| twin.root == head.root), || {
            format!("I6: two trees of {}", head.size)
        });
    }
    for head in heads.values().filter(|head| head.size > 0) {
        let path = format!("/v1/audit/consistency?from={}&to={}", head.size, last.size);
        let answer = router.audit(&path).await;
        let hashes: Result<Vec<Hash>, _> = answer.text().lines().map(str::parse).collect();
        let holds =
            hashes.is_ok_and(|hashes| verify_consistency(head.size, head.root, last.size, last.root, &hashes).is_ok());
        found.hold(holds, || {
            format!("I6: the tree of {} is no beginning of that of {}", head.size, last.size)
        });
    }
    found.tell("heads of the log, each a beginning of the last", heads.len());
}

fn believed(router: &Router, note: &str, found: &mut Found) -> Option<Checkpoint> {
    let signed = SignedCheckpoint::parse(note.as_bytes()).ok();
    let accepted = signed.and_then(|signed| router.policy().accepts(&signed).ok());
    found.hold(accepted.is_some(), || {
        format!("I6: a head that is not the log's: {note:?}")
    });
    accepted.map(|accepted| accepted.checkpoint)
}
