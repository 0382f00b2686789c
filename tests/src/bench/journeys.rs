//! What the router does a second, as a whole and in parts.
//!
//! * accept — posts until every one of them is answered, and so durable. Planning and logging go on meanwhile, as they
//!   do in life; deliveries begin and are held, so that the businesses take nothing of the machine.
//! * journey — from the first post until the last receipt has its place in the log.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::field::{BUSINESSES, Far, Field, LOOK, RUN_ENDS};
use super::flights::{IN_FLIGHT, Post, fly, rate, thousands};
use super::receiver::Mode;
use super::report::{Report, Unit, settings};
use super::{Deployment, NotMeasured};

/// Requests in one run: seconds of work, and some minutes for everything together.
const REQUESTS: usize = 2_000;

/// Before anything is measured, each part of the router has worked once.
const WARMING_UP: usize = 200;

/// Through which door requests come.
#[derive(Debug, Clone, Copy)]
enum Door {
    Rest,
    Whatsapp,
}

/// Measures what is asked for on one deployment, which is not started for nothing.
pub(super) async fn measure(report: &mut Report, deployment: Deployment) -> Result<(), NotMeasured> {
    let figure = |what: &str| format!("{what}.{}", deployment.name());
    let names = [
        figure("accept.per_second.rest"),
        figure("accept.per_second.whatsapp"),
        figure("journey.end_to_end"),
        figure("journey.cpu_seconds_per_1000"),
    ];
    if !names.iter().any(|name| report.wants(name)) {
        return Ok(());
    }
    let field = Field::start(deployment).await?;
    field.journey(WARMING_UP).await?;
    let [rest, whatsapp, journey, cpu] = names;
    accept(report, &field, &rest, Door::Rest).await?;
    accept(report, &field, &whatsapp, Door::Whatsapp).await?;
    go(report, &field, &journey, &cpu).await?;
    field.stop().await;
    Ok(())
}

async fn accept(report: &mut Report, field: &Field, name: &str, door: Door) -> Result<(), NotMeasured> {
    if !report.wants(name) {
        return Ok(());
    }
    let (count, mut runs) = (report.options.count(REQUESTS), vec![]);
    for _ in 0..report.options.repeats {
        runs.push(field.accept(door, count).await?);
    }
    report.add(name, Unit::PerSecond, runs, field.settings(count));
    Ok(())
}

async fn go(report: &mut Report, field: &Field, name: &str, cpu: &str) -> Result<(), NotMeasured> {
    if !report.wants(name) && !report.wants(cpu) {
        return Ok(());
    }
    let (count, mut rates, mut seconds) = (report.options.count(REQUESTS), vec![], vec![]);
    for _ in 0..report.options.repeats {
        let before = field.cpu_seconds()?;
        rates.push(field.journey(count).await?);
        seconds.push((field.cpu_seconds()? - before) / thousands(count));
    }
    if report.wants(name) {
        report.add(name, Unit::PerSecond, rates, field.settings(count));
    }
    if report.wants(cpu) {
        report.add(cpu, Unit::CpuSeconds, seconds, field.settings(count));
    }
    Ok(())
}

impl Field {
    /// Requests accepted a second.
    async fn accept(&self, door: Door, count: usize) -> Result<f64, NotMeasured> {
        let before = self.planned().await?;
        self.receiver.set(Mode::Held);
        let posts = match door {
            Door::Rest => self.by_rest(count),
            Door::Whatsapp => self.by_whatsapp(count),
        };
        let rate = rate(count, self.post(posts).await?);
        self.until(Far::Planned(before + number(count))).await?;
        self.receiver.set(Mode::Unread);
        self.rest().await?;
        Ok(rate)
    }

    /// Requests a second, from the first post to the last logged receipt.
    async fn journey(&self, count: usize) -> Result<f64, NotMeasured> {
        let before = self.logged().await?;
        self.receiver.set(Mode::Receipt);
        let posts = self.by_rest(count);
        let (started, answered) = (Instant::now(), self.receiver.answered());
        self.post(posts).await?;
        // The tables are only asked when the end is near.
        self.answered(answered + count).await;
        self.until(Far::Logged(before + number(count))).await?;
        let rate = rate(count, started.elapsed());
        self.rest().await?;
        Ok(rate)
    }

    /// Waits until so many webhooks were ever answered, and says how many are by then. If they don't come, whoever
    /// looks at the tables next finds out.
    async fn answered(&self, count: usize) -> usize {
        let started = Instant::now();
        while self.receiver.answered() < count && started.elapsed() < RUN_ENDS {
            tokio::time::sleep(LOOK).await;
        }
        self.receiver.answered()
    }

    async fn post(&self, posts: Vec<Post>) -> Result<Duration, NotMeasured> {
        let egress = self.egress.clone();
        fly(posts, move |post| {
            let egress = egress.clone();
            async move { post.send(&egress).await }
        })
        .await
    }

    /// Waits until nothing is left to do, so that the next run begins like this one.
    async fn rest(&self) -> Result<(), NotMeasured> {
        self.until(Far::Sent).await?;
        self.until(Far::Told).await
    }

    fn settings(&self, count: usize) -> Value {
        settings(json!({
            "in_flight": IN_FLIGHT, "requests": count, "endpoints": BUSINESSES, "body_bytes": self.receiver.bytes()
        }))
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
