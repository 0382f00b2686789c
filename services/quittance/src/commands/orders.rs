//! What a person orders: who they are, the job that carries it, and waiting until it is worked off.
//!
//! A command stores a job and dispatch works it off; so a command needs the router's database and nothing else, and
//! what was ordered happens also when its terminal is gone.

use std::time::Duration;

use clap::Args;
use domain::id::{JobId, UserId};
use platform::chance;
use registry::staff;
use serde_json::json;
use store::Store;
use store::jobs::{self, Job, Order, State};
use store::registry::Directory;

use crate::deployment::Deployment;
use crate::failure::Failure;
use crate::output::{Output, Tone};

/// How often a job is looked at while somebody waits.
const LOOK: Duration = Duration::from_millis(200);

/// Who orders, and whether it is meant.
#[derive(Debug, Args)]
pub struct Ordering {
    /// Do it; without this, only what would happen is shown.
    #[arg(long)]
    pub yes: bool,
    /// Who orders it: the slug of a contact of the operator, as it is registered. It is kept, and where something is
    /// signed it is logged, as an id.
    #[arg(long, value_name = "CONTACT", required_if_eq("yes", "true"))]
    pub by: Option<String>,
    /// How long to wait until it is done, in seconds; it is done also when nobody waits.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    pub wait: u64,
}

impl Ordering {
    /// The registered person who orders.
    pub fn person(&self, directory: &Directory) -> Result<UserId, Failure> {
        let slug = self
            .by
            .as_deref()
            .ok_or_else(|| Failure::usage("say who orders it with --by CONTACT"))?;
        let operator = directory
            .operator()
            .ok_or_else(|| Failure::no("there is no operator yet; register one with `quittance apply`"))?;
        match directory.contact(operator.id, slug) {
            Some(_) => Ok(staff::id_of(operator.id, slug)),
            None => Err(Failure::usage(format!(
                "the operator has no contact `{slug}`; register the person as a [[contact]] of `{}` with `quittance apply`",
                operator.slug
            ))),
        }
    }

    /// Says that nothing was changed, since it was not meant.
    pub fn not_meant(output: Output) {
        output.say(output.paint(Tone::Quiet, "nothing was changed; --by CONTACT --yes does it"));
    }

    /// Stores a job, and waits for it as long as was said.
    pub async fn give(
        &self,
        order: Order,
        total: i64,
        (deployment, store, directory): (&Deployment, &Store, &Directory),
        output: Output,
    ) -> Result<(), Failure> {
        let who = self.person(directory)?;
        let now = deployment.clock.now();
        let id = JobId::new(now, chance::bytes(&*deployment.rng));
        jobs::put(store.db(), &Job::new(id, order, who, total, now)).await?;
        let words = format!("ordered as {id} by {who}");
        output.tell(words, &json!({"job": id, "who": who, "total": total}));
        follow(store, id, Duration::from_secs(self.wait), output).await
    }
}

/// Waits for a job, showing how far it is.
pub async fn follow(store: &Store, id: JobId, at_most: Duration, output: Output) -> Result<(), Failure> {
    let mut waited = Duration::ZERO;
    let mut bar = None;
    loop {
        let job = jobs::show(store.db(), id).await?;
        let job = job.ok_or_else(|| Failure::no(format!("there is no job {id}")))?;
        let bar = bar.get_or_insert_with(|| output.progress(job.total.unsigned_abs(), "tasks"));
        bar.reach((job.done + job.passed).unsigned_abs());
        if job.state != State::Open {
            bar.end();
            return ended(&job, output);
        }
        if waited >= at_most {
            bar.end();
            return Err(Failure::unreachable(format!(
                "{id} is stored and not done yet; dispatch goes on with it as soon as it runs"
            )));
        }
        tokio::time::sleep(LOOK).await;
        waited += LOOK;
    }
}

fn ended(job: &Job, output: Output) -> Result<(), Failure> {
    if let State::Failed(_, reason) = &job.state {
        return Err(Failure::no(format!("{} changed nothing: {reason}", job.id)));
    }
    let (done, passed) = (job.done, job.passed);
    let words = format!("done: {done} tasks changed, {passed} passed over");
    let facts = json!({"job": job.id, "state": job.state.as_str(), "done": done, "passed": passed});
    output.tell(output.paint(Tone::Good, words), &facts);
    Ok(())
}
