//! `quittance requests decide`: a named person approves our statements, or says what the controller instructed.

use clap::Args;
use domain::decision::{Decision, Verdict};
use domain::id::{RequestId, TaskId};
use domain::request::StageName;
use serde_json::json;
use store::Store;
use store::cases::{self, Case};
use store::jobs::Order;
use store::registry::Directory;

use super::orders::Ordering;
use super::requests::system;
use crate::deployment::Deployment;
use crate::failure::Failure;
use crate::output::Output;

/// `quittance requests decide`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Verdicts:
  approve  our statements about tasks that nobody answered by the deadline stand; the request closes with them
  act      the controller instructs us to act: held tasks are due, a request that waits for its word is planned
  decline  the controller instructs us not to act: held tasks are stated as not instructed

Examples:
  quittance requests decide req_01m88wwxnzf68rt766qs3fth54 approve                  show what would happen
  quittance requests decide req_01m88wwxnzf68rt766qs3fth54 approve --by dpo --yes    do it, as the operator's contact `dpo`")]
pub struct Decide {
    /// The request's id, `req_…`.
    pub id: RequestId,
    /// What is decided: approve, act or decline.
    pub verdict: Verdict,
    /// Who decides, and whether it is meant.
    #[command(flatten)]
    pub ordering: Ordering,
}

/// Shows what a decision would do, and has it done if it is meant.
pub async fn run(asked: &Decide, parts: (&Deployment, &Store, &Directory), output: Output) -> Result<(), Failure> {
    let (deployment, store, directory) = parts;
    let case = look(store, asked.id).await?;
    let decided = case.decided(asked.verdict, deployment.clock.now());
    let waits = case.stage == StageName::AwaitingController && asked.verdict != Verdict::Approve;
    let planned = case.stage == StageName::Planned;
    if !(waits || planned && !decided.is_empty()) {
        let words = format!(
            "{} is {}, and nothing of it waits for that decision",
            asked.id, case.stage
        );
        return Err(Failure::no(words));
    }
    show(&case, &decided, directory, output);
    if !asked.ordering.yes {
        Ordering::not_meant(output);
        return Ok(());
    }
    let order = Order::Decide {
        request: asked.id,
        verdict: asked.verdict,
    };
    let total = i64::try_from(decided.len()).unwrap_or(i64::MAX);
    asked.ordering.give(order, total, parts, output).await
}

/// The case as it is now; nothing is kept locked.
async fn look(store: &Store, id: RequestId) -> Result<Case, Failure> {
    let mut tx = store.db().begin().await?;
    let found = cases::lock(&mut tx, &[id]).await?.remove(&id);
    drop(tx);
    found.ok_or_else(|| Failure::no(format!("there is no request {id}")))
}

fn show(case: &Case, decided: &[(TaskId, Decision)], directory: &Directory, output: Output) {
    for (id, task) in &case.tasks {
        let becomes = decided.iter().find(|(decided, _)| decided == id);
        let becomes = becomes.map(|(_, decision)| match decision {
            Decision::Send(_) => "due".to_owned(),
            Decision::State(stated) => format!("stated: {stated}"),
        });
        let (named, stage) = (system(directory, task.system), task.stage.name());
        let words = becomes.as_ref().map_or_else(
            || format!("  {id}  {named}  stays {stage}"),
            |after| format!("  {id}  {named}  {stage} → {after}"),
        );
        let facts = json!({"task": id, "system": named, "stage": stage, "becomes": becomes});
        output.tell(words, &facts);
    }
    if case.stage == StageName::AwaitingController {
        output.say("  it waits for its controller's word, and has no tasks yet");
    }
}
