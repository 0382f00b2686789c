//! `quittance requests`: looking, in ids, words and instants; never a person.

use clap::{Args, Subcommand};
use domain::id::{RequestId, SystemId};
use domain::request::StageName;
use domain::right::{Channel, Right};
use platform::db::Db;
use serde_json::{Value, json};
use std::sync::Arc;
use store::Store;
use store::registry::{Directory, DirectoryCache};
use store::requests::{self, Filter, Shown};
use store::scope::Scope;
use store::story::{self, ToldAttempt, ToldReceipt, ToldTask};

use super::decide::{self, Decide};
use super::token::controller;
use crate::deployment::{Database, Deployment};
use crate::failure::Failure;
use crate::output::{Output, Tone};
use crate::settings::Settings;

/// Look at requests, and decide about them.
#[derive(Debug, Subcommand)]
pub enum Requests {
    /// List requests, the newest first.
    #[command(after_long_help = "\
Examples:
  quittance requests list --stage planned --controller nablus-sweets
  quittance requests list --limit 500 --json | jq -r .request")]
    List(List),
    /// Show what became of one request: its tasks, each attempt, each receipt with its place in the log.
    Show(Show),
    /// Decide about a request: approve what we state at its deadline, or say what its controller instructed.
    Decide(Decide),
}

/// `quittance requests list`.
#[derive(Debug, Args)]
pub struct List {
    /// Of this controller: its slug or id.
    #[arg(long, value_name = "SLUG")]
    pub controller: Option<String>,
    /// In this stage.
    #[arg(long)]
    pub stage: Option<StageName>,
    /// Of this right.
    #[arg(long)]
    pub right: Option<Right>,
    /// Through this channel.
    #[arg(long)]
    pub channel: Option<Channel>,
    /// Older than this request: the next page begins after the last line of the one before.
    #[arg(long, value_name = "REQUEST")]
    pub before: Option<RequestId>,
    /// How many, at most.
    #[arg(long, default_value_t = 50)]
    pub limit: i64,
}

/// `quittance requests show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The request's id, `req_…`.
    pub id: RequestId,
}

/// Lists or shows requests.
pub async fn run(command: &Requests, settings: Settings, output: Output) -> Result<(), Failure> {
    let (deployment, store, directory) = open(settings).await?;
    let db = store.db();
    match command {
        Requests::List(list) => page(list, db, &directory, output).await,
        Requests::Show(show) => one(show.id, db, &directory, output).await,
        Requests::Decide(decide) => decide::run(decide, (&deployment, &store, &directory), output).await,
    }
}

/// The router's database and the registry's picture, and nothing else of a deployment.
pub(super) async fn open(settings: Settings) -> Result<(Deployment, Store, Arc<Directory>), Failure> {
    let deployment = Deployment::new(settings);
    let store = Store::new(deployment.database(Database::Router).await?);
    let cache = DirectoryCache::new(store.clone());
    cache.refresh().await?;
    Ok((deployment, store, cache.current()))
}

async fn page(list: &List, db: &Db, directory: &Directory, output: Output) -> Result<(), Failure> {
    let named = list.controller.as_deref().map(|named| controller(named, directory));
    let filter = Filter {
        controller: named.transpose()?,
        stage: list.stage,
        right: list.right,
        channel: list.channel,
    };
    let found = requests::page(db, &Scope::EVERYTHING, &filter, list.before, list.limit).await?;
    let rows: Vec<Vec<String>> = found.iter().map(|shown| row(shown, directory)).collect();
    output.table(
        &["request", "controller", "right", "channel", "stage", "accepted", "due"],
        &rows,
    );
    Ok(())
}

fn row(shown: &Shown, directory: &Directory) -> Vec<String> {
    vec![
        shown.id.to_string(),
        owner(directory, shown),
        shown.right.to_string(),
        shown.channel.to_string(),
        stage(shown),
        shown.accepted_at.to_string(),
        shown.due_at.to_string(),
    ]
}

async fn one(id: RequestId, db: &Db, directory: &Directory, output: Output) -> Result<(), Failure> {
    let found = requests::show(db, &Scope::EVERYTHING, id).await?;
    let shown = found.ok_or_else(|| Failure::no(format!("there is no request {id}")))?;
    head(&shown, directory, output);
    let (attempts, receipts) = (story::attempts(db, id).await?, story::receipts(db, id).await?);
    for task in story::tasks(db, id).await? {
        tell_task(&task, directory, output);
        attempts
            .iter()
            .filter(|attempt| attempt.task == task.id)
            .for_each(|attempt| tell_attempt(attempt, output));
        receipts
            .iter()
            .filter(|receipt| receipt.task == task.id)
            .for_each(|receipt| tell_receipt(receipt, output));
    }
    Ok(())
}

fn head(shown: &Shown, directory: &Directory, output: Output) {
    let (owner, stage) = (owner(directory, shown), stage(shown));
    let facts = json!({
        "request": shown.id, "controller": owner, "right": shown.right, "channel": shown.channel, "stage": stage,
        "version": shown.version, "assurance": shown.assurance.level, "received_at": shown.received_at,
        "accepted_at": shown.accepted_at, "due_at": shown.due_at, "closed_at": shown.closed_at,
    });
    let title = output.paint(Tone::Strong, format_args!("{}  {stage}", shown.id));
    let words = format!(
        "{title}\n  {} of {owner} through {}, {} shown\n  received {}, accepted {}, due {}",
        shown.right, shown.channel, shown.assurance.level, shown.received_at, shown.accepted_at, shown.due_at
    );
    output.tell(words, &facts);
}

fn tell_task(task: &ToldTask, directory: &Directory, output: Output) {
    let system = system(directory, task.system);
    let answer = task.answer.map_or_else(String::new, |answer| format!(": {answer}"));
    let why = task.park.map_or_else(String::new, |why| format!(" ({why})"));
    let facts = json!({
        "task": task.id, "system": system, "stage": task.stage, "answer": task.answer, "park": task.park,
        "demand": task.demand, "due_at": task.due_at, "dispatched_at": task.dispatched_at,
    });
    output.tell(
        format_args!("  {}  {system}  {}{answer}{why}", task.id, task.stage),
        &facts,
    );
}

fn tell_attempt(attempt: &ToldAttempt, output: Output) {
    let status = attempt.status.map_or_else(String::new, |status| format!(" {status}"));
    let facts = json!({
        "task": attempt.task, "started_at": attempt.started_at, "ended_at": attempt.ended_at,
        "status": attempt.status, "result": attempt.result,
    });
    let words = format!("    {}  attempt {}{status}", attempt.started_at, attempt.result);
    output.tell(output.paint(Tone::Quiet, words), &facts);
}

fn tell_receipt(receipt: &ToldReceipt, output: Output) {
    let (place, facts) = match receipt.logged {
        Some((index, size)) => (
            format!("entry {index} of {size} in the log"),
            json!({"index": index, "size": size}),
        ),
        None => ("not logged yet".to_owned(), Value::Null),
    };
    let facts = json!({
        "receipt": receipt.id, "task": receipt.task, "signer": receipt.signer, "level": receipt.level,
        "outcome": receipt.outcome, "standing": receipt.standing, "received_at": receipt.received_at, "logged": facts,
    });
    let words = format!(
        "    {}  {} says {} ({}, {}), {place}",
        receipt.id, receipt.signer, receipt.outcome, receipt.level, receipt.standing
    );
    output.tell(words, &facts);
}

fn stage(shown: &Shown) -> String {
    shown.outcome.map_or_else(
        || shown.stage.to_string(),
        |outcome| format!("{}: {outcome}", shown.stage),
    )
}

fn owner(directory: &Directory, shown: &Shown) -> String {
    directory
        .controller(shown.controller)
        .map_or_else(|| shown.controller.to_string(), |controller| controller.slug.clone())
}

/// A system as people call it: CONTROLLER/SYSTEM.
pub(crate) fn system(directory: &Directory, id: SystemId) -> String {
    let named = directory.system(id).and_then(|system| {
        let owner = directory.controller(system.controller)?;
        Some(format!("{}/{}", owner.slug, system.slug))
    });
    named.unwrap_or_else(|| id.to_string())
}
