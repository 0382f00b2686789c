//! One request, followed from outside: what the router's tables say, and what the ledger proves.

use std::collections::BTreeSet;

use domain::id::{ReceiptId, RequestId, SystemId, TaskId};
use domain::request::{Closing, StageName};
use evidence::entry::Entry;
use evidence::entry::body::{Body, Statement};
use evidence::history::{KeyHistory, LoggedReceipt, verify_logged, verify_stated};
use evidence::proof::{Verified, verify_proof};
use platform::db::{self, Args, Row};
use serde_json::Value;
use store::requests::{self, Shown};
use store::scope::Scope;

use super::patience::eventually;
use super::router::Router;

const RECEIPTS: db::Statement = db::Statement::both(
    "test_receipts",
    "SELECT id FROM receipt WHERE request = $1 ORDER BY received_at, id",
);

const TASKS: db::Statement = db::Statement::both(
    "test_tasks",
    "SELECT id, system, stage, digest, (SELECT COUNT(*) FROM attempt WHERE attempt.task = task.id) \
     FROM task WHERE request = $1 ORDER BY id",
);

const ANOMALIES: db::Statement = db::Statement::both(
    "test_anomalies",
    "SELECT kind FROM anomaly WHERE request = $1 ORDER BY kind",
);

/// A request.
#[derive(Clone, Copy)]
pub struct Case<'r> {
    /// Where it is.
    pub router: &'r Router,
    /// Its id.
    pub id: RequestId,
}

/// A task as the router has it.
#[derive(Debug, Clone)]
pub struct TaskRow {
    /// Its id.
    pub id: TaskId,
    /// Its system.
    pub system: SystemId,
    /// Its stage's word.
    pub stage: String,
    /// SHA-256 of the body that was sent.
    pub digest: [u8; 32],
    /// Attempts that were recorded.
    pub attempts: i64,
}

/// What an auditor who trusts only the log's key found.
#[derive(Debug)]
pub struct Proved {
    /// Each receipt, with its place in the log.
    pub receipts: Vec<(Verified, LoggedReceipt)>,
    /// The words of all entries about the request, in the log's order.
    pub timeline: Vec<String>,
}

impl Case<'_> {
    /// The request as it is now.
    ///
    /// # Panics
    /// When the router doesn't know it.
    pub async fn shown(&self) -> Shown {
        let found = requests::show(self.router.store().db(), &Scope::EVERYTHING, self.id).await;
        found
            .expect("the router's database answers")
            .expect("the request is there")
    }

    /// Waits until it is in this stage.
    pub async fn await_stage(&self, stage: StageName) -> Shown {
        eventually(&format!("{} comes to {stage}", self.id), || async {
            let shown = self.shown().await;
            if shown.stage == stage {
                Ok(shown)
            } else {
                Err(format!("it is {}, {:?}", shown.stage, self.tasks().await))
            }
        })
        .await
    }

    /// Waits until it closed, and checks how.
    ///
    /// # Panics
    /// When it closed otherwise, or not.
    pub async fn await_closed(&self, outcome: Closing) -> Shown {
        let shown = self.await_stage(StageName::Closed).await;
        assert_eq!(shown.outcome, Some(outcome), "{shown:?}");
        shown
    }

    /// Its tasks.
    pub async fn tasks(&self) -> Vec<TaskRow> {
        let read = |row: &Row| TaskRow {
            id: TaskId::from_uuid(row.get(0).unwrap()),
            system: SystemId::from_uuid(row.get(1).unwrap()),
            stage: row.get(2).unwrap(),
            digest: row.bytes(3, "a digest").unwrap(),
            attempts: row.get(4).unwrap(),
        };
        self.rows(&TASKS).await.iter().map(read).collect()
    }

    /// Its receipts.
    pub async fn receipts(&self) -> Vec<ReceiptId> {
        let rows = self.rows(&RECEIPTS).await;
        rows.iter()
            .map(|row| ReceiptId::from_uuid(row.get(0).unwrap()))
            .collect()
    }

    /// What was odd about it.
    pub async fn anomalies(&self) -> Vec<String> {
        let rows = self.rows(&ANOMALIES).await;
        rows.iter().map(|row| row.get(0).unwrap()).collect()
    }

    async fn rows(&self, statement: &db::Statement) -> Vec<Row> {
        let args = Args::new().uuid(self.id.uuid());
        let rows = self.router.store().db().fetch(statement, args).await;
        rows.expect("the router's database answers")
    }

    /// Waits until its closing is in the log, and verifies everything about it with what an auditor has.
    ///
    /// # Panics
    /// When something doesn't hold.
    pub async fn proved(&self, receipts: usize) -> Proved {
        let ids = self.receipts().await;
        assert_eq!(ids.len(), receipts, "receipts of {}", self.id);
        let entries = self.logged("closure").await;
        let history = self.router.key_history().await;
        let mut proved = vec![];
        for id in ids {
            proved.push(self.proved_receipt(id, &history).await);
        }
        for entry in entries
            .iter()
            .filter(|entry| entry["type"] == "closure" || entry["type"] == "intake")
        {
            self.prove(&format!("/v1/audit/entries/{}", entry["entry"].as_str().unwrap()))
                .await;
        }
        let word = |entry: &Value| entry["type"].as_str().unwrap().to_owned();
        let timeline: Vec<String> = entries.iter().map(word).collect();
        let seen: BTreeSet<&str> = timeline.iter().map(String::as_str).collect();
        for expected in ["intake", "plan", "receipt", "closure"] {
            assert!(seen.contains(expected), "{expected} is missing in {timeline:?}");
        }
        Proved {
            receipts: proved,
            timeline,
        }
    }

    /// Everything that the ledger has about it, once an entry of this type is among it.
    pub async fn logged(&self, word: &str) -> Vec<Value> {
        let path = format!("/v1/audit/requests/{}", self.id);
        eventually(&format!("the {word} of {} is logged", self.id), || async {
            let answer = self.router.audit(&path).await;
            let timeline: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let entries = timeline["entries"].as_array().cloned().unwrap_or_default();
            let there = entries.iter().any(|entry| entry["type"] == word);
            if there { Ok(entries) } else { Err(format!("{answer:?}")) }
        })
        .await
    }

    /// What the router itself stated about it, in the log's order, verified as a stranger would.
    ///
    /// # Panics
    /// When something doesn't hold.
    pub async fn stated(&self) -> Vec<Statement> {
        let entries = self.logged("statement").await;
        let history = self.router.key_history().await;
        let mut stated = vec![];
        for entry in entries.iter().filter(|entry| entry["type"] == "statement") {
            let entry = entry["entry"].as_str().unwrap_or_default();
            let verified = self.prove(&format!("/v1/audit/entries/{entry}")).await;
            verify_stated(&verified, &history, Some(self.router.public_url())).expect("the statement holds");
            let Body::Statement(statement) = verified.entry.body else {
                panic!("{entry} is no statement");
            };
            stated.push(statement);
        }
        stated
    }

    /// A receipt's entry and proof, verified as a stranger would.
    pub(super) async fn proved_receipt(&self, id: ReceiptId, history: &KeyHistory) -> (Verified, LoggedReceipt) {
        let verified = self.prove(&format!("/v1/audit/receipts/{id}")).await;
        let receipt = verify_logged(&verified, history, Some(self.router.public_url()));
        let receipt = receipt.expect("the receipt holds under the key that counted");
        assert_eq!(receipt.receipt.request, self.id);
        (verified, receipt)
    }

    /// An entry and its proof by their address, verified under the log's key.
    async fn prove(&self, path: &str) -> Verified {
        let proof = eventually(&format!("{path} is proved"), || async {
            let answer = self.router.audit(&format!("{path}/proof")).await;
            if answer.status == 200 {
                Ok(answer.text())
            } else {
                Err(format!("{answer:?}"))
            }
        })
        .await;
        let entry = self.router.audit(path).await.body;
        let proof = proof.parse().expect("a proof file");
        let verified = verify_proof(&entry, &proof, self.router.policy()).expect("the entry is in the log");
        assert_eq!(Entry::decode(&entry).expect("an entry").request, Some(self.id));
        verified
    }
}
