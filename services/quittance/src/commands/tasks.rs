//! `quittance tasks`: what is not handed over, and having it handed over, held back or tried again.
//!
//! What is ordered here is a job that dispatch works off ([`orders`](super::orders)): it survives a kill, and a dry run
//! says first how many tasks it is about. A pause is a row that whoever claims looks at.

use clap::{Args, Subcommand};
use domain::id::TaskId;
use domain::task::ParkReason;
use serde_json::json;
use store::Store;
use store::jobs::{self, Among, NAMED_MAX, Order, State, Which};
use store::pauses::{self, Changed, Pause};
use store::registry::Directory;
use store::scope::Scope;
use store::story::{self, ToldTask};

use super::orders::Ordering;
use super::requests::{open, system};
use super::token;
use crate::deployment::Deployment;
use crate::failure::Failure;
use crate::output::{Output, Tone};
use crate::settings::Settings;

/// Look at tasks, and have them tried again or held back.
#[derive(Debug, Subcommand)]
#[command(after_long_help = "\
Examples:
  quittance tasks list                                             what is parked, and whose deliveries are paused
  quittance tasks replay --system nablus-sweets/crm                how many it would be
  quittance tasks replay --system nablus-sweets/crm --by dpo --yes
  quittance tasks pause nablus-sweets --by dpo --yes")]
pub enum Tasks {
    /// List the tasks that are parked: retrying them is no use until somebody has looked.
    List(Parked),
    /// Have parked tasks tried again, under the same ids and with the same bytes.
    Replay(Move),
    /// Park tasks that are due or being sent: they stay open, and their deadlines run on.
    Park(Move),
    /// Hold back everything that is due for a client business; nothing is lost, and deadlines run on.
    Pause(Whose),
    /// End a pause.
    Resume(Whose),
    /// List what was ordered, the newest first.
    Jobs(Parked),
}

/// How many lines.
#[derive(Debug, Args)]
pub struct Parked {
    /// How many, at most.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    pub limit: i64,
}

/// Which tasks are meant.
#[derive(Debug, Args)]
pub struct Move {
    /// These tasks, `task_…`.
    #[arg(conflicts_with_all = ["system", "controller", "reason", "all"])]
    pub tasks: Vec<TaskId>,
    /// Those for this system: CONTROLLER/SYSTEM or its id.
    #[arg(long, value_name = "SYSTEM")]
    pub system: Option<String>,
    /// Those about this client business's people: its slug or id.
    #[arg(long, value_name = "SLUG")]
    pub controller: Option<String>,
    /// Those that are parked for this reason; for `replay` only.
    #[arg(long)]
    pub reason: Option<ParkReason>,
    /// All of them.
    #[arg(long, conflicts_with_all = ["system", "controller", "reason"])]
    pub all: bool,
    /// Who orders, and whether it is meant.
    #[command(flatten)]
    pub ordering: Ordering,
}

/// Whose deliveries.
#[derive(Debug, Args)]
pub struct Whose {
    /// The client business: its slug or id.
    pub controller: String,
    /// Who orders, and whether it is meant.
    #[command(flatten)]
    pub ordering: Ordering,
}

type Parts<'p> = (&'p Deployment, &'p Store, &'p Directory);

/// Does it.
pub async fn run(command: &Tasks, settings: Settings, output: Output) -> Result<(), Failure> {
    let (deployment, store, directory) = open(settings).await?;
    let parts: Parts<'_> = (&deployment, &store, &directory);
    match command {
        Tasks::List(list) => parked(list.limit, parts, output).await,
        Tasks::Replay(moved) => order(moved, Among::Parked, parts, output).await,
        Tasks::Park(moved) => order(moved, Among::Scheduled, parts, output).await,
        Tasks::Pause(whose) => pause(whose, parts, output).await,
        Tasks::Resume(whose) => resume(whose, parts, output).await,
        Tasks::Jobs(list) => ordered(list.limit, &store, output).await,
    }
}

async fn parked(limit: i64, (_, store, directory): Parts<'_>, output: Output) -> Result<(), Failure> {
    let row = |task: &ToldTask| {
        let why = task.park.map_or_else(String::new, |why| why.to_string());
        vec![
            task.id.to_string(),
            task.request.to_string(),
            system(directory, task.system),
            why,
            task.created_at.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = story::parked(store.db(), limit).await?.iter().map(row).collect();
    output.table(&["task", "request", "system", "why", "since"], &rows);
    for pause in pauses::list(store.db(), &Scope::EVERYTHING).await? {
        let whose = slug(directory, pause.controller);
        let words = format!(
            "everything for {whose} is paused since {} by {}",
            pause.since, pause.who
        );
        let facts = json!({"paused": whose, "since": pause.since, "who": pause.who});
        output.tell(output.paint(Tone::Bad, words), &facts);
    }
    Ok(())
}

async fn order(moved: &Move, among: Among, parts: Parts<'_>, output: Output) -> Result<(), Failure> {
    let (_, store, directory) = parts;
    let which = which(moved, among, directory)?;
    let total = jobs::count(store.db(), &which, among).await?;
    let words = match among {
        Among::Parked => format!("{total} parked tasks would be tried again"),
        Among::Scheduled => format!("{total} tasks would be parked"),
    };
    output.tell(words, &json!({"total": total}));
    if !moved.ordering.yes {
        Ordering::not_meant(output);
        return Ok(());
    }
    let order = match among {
        Among::Parked => Order::Replay(which),
        Among::Scheduled => Order::Park(which),
    };
    moved.ordering.give(order, total, parts, output).await
}

/// What is not named means nothing: everything has to be asked for by its word.
fn which(moved: &Move, among: Among, directory: &Directory) -> Result<Which, Failure> {
    let narrowed = moved.system.is_some() || moved.controller.is_some() || moved.reason.is_some();
    if moved.tasks.is_empty() && !narrowed && !moved.all {
        return Err(Failure::usage(
            "say which tasks: their ids, --system, --controller, --reason, or --all",
        ));
    }
    if moved.tasks.len() > NAMED_MAX {
        return Err(Failure::usage(format!(
            "at most {NAMED_MAX} tasks can be named at once"
        )));
    }
    if among == Among::Scheduled && moved.reason.is_some() {
        return Err(Failure::usage(
            "`--reason` is of parked tasks; those that are to be parked have none",
        ));
    }
    let named = moved.system.as_deref();
    let whose = moved.controller.as_deref();
    Ok(Which {
        tasks: moved.tasks.clone(),
        system: named.map(|named| token::system(named, directory)).transpose()?,
        controller: whose.map(|named| token::controller(named, directory)).transpose()?,
        reason: moved.reason,
    })
}

async fn pause(whose: &Whose, (deployment, store, directory): Parts<'_>, output: Output) -> Result<(), Failure> {
    let controller = token::controller(&whose.controller, directory)?;
    if !whose.ordering.yes {
        output.say(format!(
            "everything for {} would be held back",
            slug(directory, controller)
        ));
        Ordering::not_meant(output);
        return Ok(());
    }
    let pause = Pause {
        controller,
        who: whose.ordering.person(directory)?,
        since: deployment.clock.now(),
    };
    let changed = pauses::begin(store.db(), &pause).await?;
    told(changed, "paused", &slug(directory, controller), output);
    Ok(())
}

async fn resume(whose: &Whose, (_, store, directory): Parts<'_>, output: Output) -> Result<(), Failure> {
    let controller = token::controller(&whose.controller, directory)?;
    if !whose.ordering.yes {
        output.say(format!("deliveries for {} would go on", slug(directory, controller)));
        Ordering::not_meant(output);
        return Ok(());
    }
    whose.ordering.person(directory)?;
    let changed = pauses::end(store.db(), controller).await?;
    told(changed, "resumed", &slug(directory, controller), output);
    Ok(())
}

async fn ordered(limit: i64, store: &Store, output: Output) -> Result<(), Failure> {
    let row = |job: &jobs::Job| {
        let state = match &job.state {
            State::Failed(_, reason) => format!("failed: {reason}"),
            state => state.as_str().to_owned(),
        };
        vec![
            job.id.to_string(),
            job.order.as_str().to_owned(),
            state,
            format!("{} of {}", job.done, job.total),
            job.made_at.to_string(),
            job.who.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = jobs::list(store.db(), limit).await?.iter().map(row).collect();
    output.table(&["job", "order", "state", "changed", "ordered", "by"], &rows);
    Ok(())
}

fn told(changed: Changed, word: &str, whose: &str, output: Output) {
    let words = match changed {
        Changed::Now => format!("{whose} is {word}"),
        Changed::Before => format!("{whose} was {word} before; nothing changed"),
    };
    output.tell(words, &json!({"controller": whose, word: changed == Changed::Now}));
}

fn slug(directory: &Directory, controller: domain::id::ControllerId) -> String {
    let known = directory.controller(controller);
    known.map_or_else(|| controller.to_string(), |known| known.slug.clone())
}
