//! What holds: one claim a line, each with its reason.
//!
//! The order is the order of trust. Under the policy, entries are proved; the proved key events are the history of
//! keys; under the key that counted at its place, each logged receipt is verified; then what the entries say about
//! each other is compared: a receipt with the plan that foresaw it, a closure with the plan and the receipts that it
//! rests on, a receipt's file with the bytes that were logged. Last come the log itself (`heads`) and what is missing
//! from it (`sequences`). What was not given is not claimed.

use std::collections::{BTreeMap, BTreeSet};

use domain::id::{EntryId, ReceiptId, RequestId, TaskId};
use evidence::digest::ContentDigest;
use evidence::entry::body::{Body, ClosedSystem, Closure, LastWord, Plan, Receipt, Statement};
use evidence::history::{KeyHistory, LoggedReceipt, LoggedStatement, verify_logged, verify_stated};
use evidence::note::Checkpoint;
use evidence::policy::{Policy, PolicyError};
use evidence::proof::{Proof, Verified, verify_proof};
use platform::problem::chain;
use serde::{Deserialize, Serialize};

use self::heads::Heads;
use super::files::{Files, FilesError, Logged};

mod heads;
mod sequences;

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Whether it holds.
    pub holds: bool,
    /// What it is about: an id, or a file's name.
    pub about: String,
    /// What holds, or why it doesn't.
    pub says: String,
}

/// Why nothing can be checked at all.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Files are missing or can't be read.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The policy is not one.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// What must hold beside what the files themselves say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Demands<'d> {
    /// The public URL of the router that the receipts must be for; if it is not said, each receipt's own is named in
    /// its claim.
    pub audience: Option<&'d str>,
    /// Whether a number that is missing from a controller's sequence is a fault, because all of it was asked for.
    pub complete: bool,
}

/// Checks everything that was given.
pub fn check(files: &Files, demands: Demands<'_>) -> Result<Vec<Claim>, Unusable> {
    let policy = Policy::parse(files.policy.as_deref().ok_or(FilesError::NoPolicy)?)?;
    let mut checker = Checker {
        policy,
        demands,
        claims: vec![],
        heads: Heads::default(),
        proved: BTreeMap::new(),
        history: KeyHistory::default(),
        receipts: BTreeMap::new(),
        good: BTreeMap::new(),
        statements: BTreeMap::new(),
    };
    checker.checkpoints(files);
    checker.keys(files);
    checker.entries(files);
    checker.receipts();
    checker.statements();
    checker.plans();
    checker.closures();
    checker.tokens(files);
    checker.one_tree();
    checker.growth(files);
    checker.places();
    checker.sequences();
    checker.requests();
    Ok(checker.claims)
}

struct Checker<'c> {
    policy: Policy,
    demands: Demands<'c>,
    claims: Vec<Claim>,
    heads: Heads,
    /// By the entry's file name.
    proved: BTreeMap<String, Verified>,
    history: KeyHistory,
    /// Proved receipt entries, and the place of each in `proved`.
    receipts: BTreeMap<ReceiptId, (String, Receipt)>,
    /// Receipts that hold.
    good: BTreeMap<ReceiptId, LoggedReceipt>,
    /// Proved statements of ours, and whether each holds.
    statements: BTreeMap<EntryId, (Statement, bool)>,
}

impl Checker<'_> {
    fn claim(&mut self, about: &dyn std::fmt::Display, outcome: Result<String, String>) {
        let (holds, says) = match outcome {
            Ok(says) => (true, says),
            Err(says) => (false, says),
        };
        let about = about.to_string();
        self.claims.push(Claim { holds, about, says });
    }

    fn keys(&mut self, files: &Files) {
        let Some(text) = &files.keys else { return };
        match KeyHistory::parse(text, &self.policy) {
            Ok(history) => {
                self.history = history;
                let events = text.lines().count();
                self.claim(&"keys", Ok(format!("all {events} changes of keys are in the log")));
            }
            Err(error) => self.claim(&"keys", Err(chain(&error))),
        }
    }

    fn entries(&mut self, files: &Files) {
        for (name, logged) in &files.entries {
            match prove(logged, &self.policy) {
                Ok((verified, head)) => {
                    self.heads.add(&head, name);
                    self.take(name, verified);
                }
                Err(why) => self.claim(&name, Err(why)),
            }
        }
    }

    fn take(&mut self, name: &str, verified: Verified) {
        match &verified.entry.body {
            Body::Receipt(body) => {
                let found = (name.to_owned(), body.clone());
                self.receipts.insert(body.receipt, found);
            }
            Body::KeyEvent(_) => {
                if let Err(error) = self.history.add(&verified) {
                    self.claim(&name, Err(chain(&error)));
                }
            }
            _ => {
                let (kind, index, size) = (verified.entry.entry_type(), verified.index, verified.size);
                let says = format!(
                    "this {kind} entry is number {index} of the {size} in {}",
                    verified.origin
                );
                self.claim(&verified.entry.id, Ok(says));
            }
        }
        self.proved.insert(name.to_owned(), verified);
    }

    fn receipts(&mut self) {
        for (id, (name, body)) in self.receipts.clone() {
            let verified = &self.proved[&name];
            let logged = format!(
                "is number {} of the {} entries in {}",
                verified.index, verified.size, verified.origin
            );
            let outcome = verify_logged(verified, &self.history, self.demands.audience);
            self.claim(&id, Ok(logged));
            match outcome {
                Ok(logged) => {
                    self.claim(&id, Ok(spoken(&logged)));
                    if let Some(revoked) = logged.revoked_at {
                        let says = format!("its key was revoked later, at entry {revoked}: ask its owner about it");
                        self.claim(&id, Err(says));
                    }
                    self.good.insert(id, logged);
                }
                Err(error) => self.claim(&id, Err(format!("{} ({})", chain(&error), body.task))),
            }
        }
    }

    /// What the router said itself, under its own key and through the same history.
    fn statements(&mut self) {
        let proved = self.proved.values().filter_map(|verified| match &verified.entry.body {
            Body::Statement(body) => {
                let outcome = verify_stated(verified, &self.history, self.demands.audience);
                Some((verified.entry.id, body.clone(), outcome))
            }
            _ => None,
        });
        let proved: Vec<_> = proved.collect();
        for (id, body, outcome) in proved {
            let says = match &outcome {
                Ok(logged) if logged.revoked_at.is_some() => Err("its key was revoked later".to_owned()),
                Ok(logged) => Ok(stated(&body, logged)),
                Err(error) => Err(chain(error)),
            };
            self.statements.insert(id, (body, says.is_ok()));
            self.claim(&id, says);
        }
    }

    /// A receipt's task was planned before it, for that system, with the digest that the receipt names.
    fn plans(&mut self) {
        let planned = planned(self.proved.values());
        for (id, (name, body)) in self.receipts.clone() {
            let Some((plan_index, planned)) = planned.get(&body.task) else {
                continue;
            };
            let before = *plan_index < self.proved[&name].index;
            let digest = ContentDigest(*match self.good.get(&id) {
                Some(logged) => logged.receipt.report.task_digest(),
                None => continue,
            });
            let outcome = if before && planned.system == body.system && planned.task_digest == digest {
                Ok(format!(
                    "its task was fixed by the plan at entry {plan_index}, before any answer was known"
                ))
            } else {
                Err(format!("does not fit the plan at entry {plan_index}"))
            };
            self.claim(&id, outcome);
        }
    }

    /// A closure names every system of its plan, and each receipt that it rests on holds.
    fn closures(&mut self) {
        let plans: BTreeMap<RequestId, &Plan> = self
            .proved
            .values()
            .filter_map(|verified| match &verified.entry.body {
                Body::Plan(plan) => Some((verified.entry.request?, plan)),
                _ => None,
            })
            .collect();
        let closures = self.proved.values().filter_map(|verified| match &verified.entry.body {
            Body::Closure(closure) => Some((verified.entry.request?, closure)),
            _ => None,
        });
        let checked: Vec<_> = closures
            .map(|(request, closure)| (request, self.closure(closure, plans.get(&request).copied())))
            .collect();
        for (request, outcome) in checked {
            self.claim(&request, outcome);
        }
    }

    fn closure(&self, closure: &Closure, plan: Option<&Plan>) -> Result<String, String> {
        if let Some(plan) = plan {
            let planned: BTreeSet<TaskId> = plan.systems.iter().map(|system| system.task).collect();
            let closed: BTreeSet<TaskId> = closure.systems.iter().map(|system| system.task).collect();
            if planned != closed {
                return Err("was closed with other tasks than were planned".to_owned());
            }
        }
        let receipts = closure.systems.iter().filter_map(|system| match system.by {
            Some(LastWord::Receipt(receipt)) => Some((receipt, system.task)),
            _ => None,
        });
        for (receipt, task) in receipts {
            let given = self.receipts.get(&receipt);
            if given.is_some_and(|(_, body)| body.task != task || !self.good.contains_key(&receipt)) {
                return Err(format!("rests on {receipt}, which does not hold for {task}"));
            }
        }
        for system in &closure.systems {
            self.approved(system)?;
        }
        let systems = closure.systems.len();
        Ok(format!(
            "was closed as {} by the word of all {systems} systems of its plan",
            closure.outcome
        ))
    }

    /// A statement in place of an owner's word holds, says what the closure says, and was approved by a person.
    fn approved(&self, system: &ClosedSystem) -> Result<(), String> {
        let Some(LastWord::Statement(entry)) = system.by else {
            return Ok(());
        };
        let Some((statement, holds)) = self.statements.get(&entry) else {
            return Ok(());
        };
        let about = statement.task == Some(system.task) && statement.kind.answer() == system.outcome;
        match (holds, about, statement.approver) {
            (true, true, Some(_)) => Ok(()),
            (true, true, None) => Err(format!("rests on {entry}, which nobody has approved")),
            _ => Err(format!("rests on {entry}, which does not hold for {}", system.task)),
        }
    }

    /// A receipt's own file holds the bytes that were logged.
    fn tokens(&mut self, files: &Files) {
        for (name, bytes) in &files.tokens {
            let logged = self.receipts.iter().find(|(_, (_, body))| body.jws.as_bytes() == bytes);
            let outcome = match logged.map(|(id, _)| *id) {
                Some(id) if self.good.contains_key(&id) => Ok(format!("is {id}, byte for byte as it was logged")),
                Some(id) => Err(format!("is {id}, which does not hold")),
                None => Err("is in none of the entries that were given: add its entry and proof".to_owned()),
            };
            self.claim(&name, outcome);
        }
    }
}

fn prove(logged: &Logged, policy: &Policy) -> Result<(Verified, Checkpoint), String> {
    let entry = logged
        .entry
        .as_deref()
        .ok_or("has a proof and no entry: NAME.json is missing")?;
    let proof = logged
        .proof
        .as_deref()
        .ok_or("has no proof: NAME.tlog-proof is missing")?;
    let proof: Proof = proof.parse().map_err(|error| chain(&error))?;
    let verified = verify_proof(entry, &proof, policy).map_err(|error| chain(&error))?;
    Ok((verified, proof.checkpoint.checkpoint().clone()))
}

fn planned<'v>(
    proved: impl Iterator<Item = &'v Verified>,
) -> BTreeMap<TaskId, (u64, evidence::entry::body::PlannedSystem)> {
    let mut planned = BTreeMap::new();
    for verified in proved {
        if let Body::Plan(plan) = &verified.entry.body {
            let systems = plan
                .systems
                .iter()
                .map(|system| (system.task, (verified.index, system.clone())));
            planned.extend(systems);
        }
    }
    planned
}

fn stated(body: &Statement, logged: &LoggedStatement) -> String {
    let about = body
        .task
        .map_or_else(|| "the request".to_owned(), |task| task.to_string());
    let approved = body.approver.map_or_else(
        || "not approved by anybody".to_owned(),
        |who| format!("approved by {who}"),
    );
    let kind = body
        .kind
        .answer()
        .map_or_else(|| "a statement".to_owned(), |answer| format!("`{answer}`"));
    format!(
        "{} itself signed {kind} for {about} with its key {}, which counted then, {approved}",
        logged.issuer, logged.kid
    )
}

fn spoken(logged: &LoggedReceipt) -> String {
    let said = logged
        .receipt
        .outcome()
        .map_or_else(|| "acknowledged".to_owned(), |outcome| outcome.to_string());
    let (issuer, kid, task) = (
        &logged.receipt.issuer,
        &logged.receipt.kid,
        logged.receipt.report.task(),
    );
    format!(
        "{issuer} signed `{said}` for {task} with its key {kid}, which counted then, to {}",
        logged.audience
    )
}

#[cfg(test)]
mod tests;
