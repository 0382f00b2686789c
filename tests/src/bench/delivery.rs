//! Deliveries, as delivery.md §5 lists them: how many a second, what each costs, how soon the first attempt comes.
//!
//! * end to end — from the first post until every task was answered by its business, while the ledger runs.
//! * planned — requests are accepted and planned while answers are held back; what is counted runs from when the tasks
//!   that were claimed meanwhile are gone until the last task's result is stored. Statements are those that the router
//!   counted meanwhile for claims and results.
//! * first attempt — posts at a fixed rate, each alone; from the 202 until the webhook arrives.
//! * backlog — a dead endpoint, and very many tasks due there: what dispatch holds in memory.
//! * growth — the planned rate again, with so many tasks stored already.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::field::{Far, Field, LOOK, RUN_ENDS};
use super::flights::{rate, thousands};
use super::hostile::{Behaviour, Hostile};
use super::report::{Report, Unit, settings};
use super::{Deployment, NotMeasured, machine, pace, seed};

/// So many endpoints that a 50 ms answer takes no part of the rate: each has 8 attempts under way.
const ENDPOINTS: usize = 100;

/// Of them, those that get requests at a fixed rate; one of them hangs.
const PACED: usize = 20;

/// Posts under way: enough that batches fill.
const IN_FLIGHT: usize = 256;

/// Requests in one run end to end.
const REQUESTS: usize = 6_000;

/// Tasks in one run of planned ones: three times what held endpoints claim.
const TASKS: usize = 10_000;

/// A held endpoint has its 8 attempts under way and three times as many tasks claimed.
const CLAIMED: usize = 32 * ENDPOINTS;

/// Requests in one run at a fixed rate.
const PACED_REQUESTS: usize = 2_000;

/// Tasks behind the dead endpoint.
const BACKLOG: usize = 1_000_000;

/// How long memory is looked at.
const WATCHED: Duration = Duration::from_secs(20);

/// Tasks that are stored before the planned rate is measured again.
const GROWTH: [(&str, usize); 3] = [("10k", 10_000), ("100k", 100_000), ("1m", 1_000_000)];

/// Statements of claims and results, by the beginnings of their names.
const COUNTED: [&str; 7] = [
    "tasks_claim",
    "tasks_record",
    "leases_due",
    "leases_next",
    "attempts_",
    "entries_put",
    "outbox_put",
];

/// A router whose businesses are the hostile receiver's places.
struct Fleet {
    field: Field,
    hostile: std::sync::Arc<Hostile>,
    client: reqwest::Client,
}

/// Processor seconds of everybody who takes part.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    ours: f64,
    database: f64,
    broker: f64,
}

/// Whose seconds a figure is about.
type Part = fn(&Used) -> f64;

/// Measures what is asked for on one deployment, which is not started for nothing.
pub(super) async fn measure(report: &mut Report, deployment: Deployment) -> Result<(), NotMeasured> {
    let names = Names(deployment.name());
    if !names.all().iter().any(|name| report.wants(name)) {
        return Ok(());
    }
    let fleet = Fleet::start(deployment).await?;
    fleet.post(REQUESTS / 10).await?;
    fleet.rest().await?;
    fleet.end_to_end(report, &names).await?;
    fleet.planned(report, &names).await?;
    fleet.first_attempts(report, &names).await?;
    fleet.growth(report, &names).await?;
    fleet.backlog(report, &names).await?;
    fleet.hostile.set(Behaviour::Prompt).await?;
    fleet.field.stop().await;
    Ok(())
}

/// The figures' names on one deployment.
struct Names(&'static str);

impl Names {
    fn of(&self, what: &str) -> String {
        format!("delivery.{what}.{}", self.0)
    }

    fn all(&self) -> Vec<String> {
        let growth = GROWTH.iter().map(|(size, _)| format!("growth.tasks_{size}"));
        let fixed = [
            "end_to_end",
            "cpu_seconds_per_1000",
            "cpu_ours_per_1000",
            "cpu_database_per_1000",
            "cpu_broker_per_1000",
            "planned.0ms",
            "planned.50ms",
            "statements_each",
            "first_attempt_p50_ms",
            "first_attempt_p99_ms",
            "first_attempt_p99_ms.one_hangs",
            "backlog.dispatch_mb",
        ];
        let fixed = fixed.iter().map(ToString::to_string);
        fixed.chain(growth).map(|what| self.of(&what)).collect()
    }
}

impl Fleet {
    async fn start(deployment: Deployment) -> Result<Self, NotMeasured> {
        let hostile = Hostile::start()?;
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(IN_FLIGHT);
        Ok(Self {
            field: Field::at(deployment, &hostile.url, ENDPOINTS).await?,
            client: client.build()?,
            hostile,
        })
    }

    async fn end_to_end(&self, report: &mut Report, names: &Names) -> Result<(), NotMeasured> {
        let [rate, all, ours, database, broker] = [
            "end_to_end",
            "cpu_seconds_per_1000",
            "cpu_ours_per_1000",
            "cpu_database_per_1000",
            "cpu_broker_per_1000",
        ]
        .map(|what| names.of(what));
        if ![&rate, &all, &ours, &database, &broker]
            .iter()
            .any(|name| report.wants(name))
        {
            return Ok(());
        }
        let (count, mut rates, mut used) = (report.options.count(REQUESTS), vec![], vec![]);
        for _ in 0..report.options.repeats {
            let before = self.used()?;
            rates.push(self.journey(count).await?);
            self.rest().await?;
            used.push(self.used()?.since(before, thousands(count)));
        }
        report.add_wanted(&rate, Unit::PerSecond, rates, self.settings(count));
        let parts: [(String, Part); 4] = [
            (all, |used| used.ours + used.database + used.broker),
            (ours, |used| used.ours),
            (database, |used| used.database),
            (broker, |used| used.broker),
        ];
        for (name, part) in parts {
            let seconds = used.iter().map(part).collect();
            report.add_wanted(&name, Unit::CpuSeconds, seconds, self.settings(count));
        }
        Ok(())
    }

    async fn planned(&self, report: &mut Report, names: &Names) -> Result<(), NotMeasured> {
        let [prompt, late, each] = ["planned.0ms", "planned.50ms", "statements_each"].map(|what| names.of(what));
        let count = report.options.count(TASKS);
        if report.wants(&prompt) || report.wants(&each) {
            let (mut rates, mut statements) = (vec![], vec![]);
            for _ in 0..report.options.repeats {
                let (rate, counted) = self.deliver(count, Behaviour::Prompt).await?;
                rates.push(rate);
                statements.push(counted);
            }
            report.add_wanted(&prompt, Unit::PerSecond, rates, self.settings(count));
            report.add_wanted(&each, Unit::Statements, statements, self.settings(count));
        }
        if report.wants(&late) {
            let mut rates = vec![];
            for _ in 0..report.options.repeats {
                rates.push(self.deliver(count, Behaviour::Late).await?.0);
            }
            report.add(&late, Unit::PerSecond, rates, self.settings(count));
        }
        Ok(())
    }

    async fn first_attempts(&self, report: &mut Report, names: &Names) -> Result<(), NotMeasured> {
        let [median, p99, hanging] = [
            "first_attempt_p50_ms",
            "first_attempt_p99_ms",
            "first_attempt_p99_ms.one_hangs",
        ]
        .map(|what| names.of(what));
        let count = report.options.count(PACED_REQUESTS);
        if report.wants(&median) || report.wants(&p99) {
            let (mut medians, mut nearly_all) = (vec![], vec![]);
            for _ in 0..report.options.repeats {
                self.hostile.note(Behaviour::Prompt).await?;
                let waits = self.waits(count).await?;
                medians.push(pace::percentile(&waits, 50));
                nearly_all.push(pace::percentile(&waits, 99));
            }
            report.add_wanted(&median, Unit::Milliseconds, medians, self.settings(count));
            report.add_wanted(&p99, Unit::Milliseconds, nearly_all, self.settings(count));
        }
        if report.wants(&hanging) {
            let mut runs = vec![];
            for _ in 0..report.options.repeats {
                self.hostile.note(Behaviour::Prompt).await?;
                self.hostile.set_at(0, Behaviour::Hangs).await?;
                runs.push(pace::percentile(&self.waits(count).await?, 99));
            }
            report.add(&hanging, Unit::Milliseconds, runs, self.settings(count));
            self.hostile.set(Behaviour::Prompt).await?;
        }
        Ok(())
    }

    async fn growth(&self, report: &mut Report, names: &Names) -> Result<(), NotMeasured> {
        let mut stored = 0;
        for (size, whole) in GROWTH {
            let name = names.of(&format!("growth.tasks_{size}"));
            if !report.wants(&name) {
                continue;
            }
            let (wanted, count) = (report.options.count(whole), report.options.count(TASKS));
            seed::delivered(&self.field, wanted.saturating_sub(stored)).await?;
            stored = wanted;
            let mut rates = vec![];
            for _ in 0..report.options.repeats {
                rates.push(self.deliver(count, Behaviour::Prompt).await?.0);
            }
            report.add(&name, Unit::PerSecond, rates, self.settings(count));
        }
        Ok(())
    }

    /// The largest that was seen in a while; there is one run, because what is due stays due.
    async fn backlog(&self, report: &mut Report, names: &Names) -> Result<(), NotMeasured> {
        let name = names.of("backlog.dispatch_mb");
        if !report.wants(&name) {
            return Ok(());
        }
        let count = report.options.count(BACKLOG);
        self.hostile.set(Behaviour::Hangs).await?;
        seed::due(&self.field, count).await?;
        let process = self.field.dispatch_process()?;
        let (started, mut most) = (Instant::now(), 0.0_f64);
        while started.elapsed() < WATCHED {
            most = most.max(machine::resident_mb(process)?);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        report.add(&name, Unit::Megabytes, vec![most], self.settings(count));
        Ok(())
    }

    /// Requests a second, from the first post until each was answered by its business.
    async fn journey(&self, count: usize) -> Result<f64, NotMeasured> {
        self.hostile.set(Behaviour::Prompt).await?;
        let (started, answered) = (Instant::now(), self.hostile.answered().await?);
        self.post(count).await?;
        self.answered(answered + count).await?;
        Ok(rate(count, started.elapsed()))
    }

    /// Planned tasks delivered a second, and the statements that each took.
    async fn deliver(&self, count: usize, behaviour: Behaviour) -> Result<(f64, f64), NotMeasured> {
        let before = self.field.planned().await?;
        self.hostile.set(Behaviour::Held).await?;
        self.post(count).await?;
        let planned = before + i64::try_from(count).unwrap_or(i64::MAX);
        self.field.until(Far::Planned(planned)).await?;
        self.field.until(Far::Told).await?;
        let answered = self.hostile.answered().await?;
        self.hostile.set(behaviour).await?;
        self.answered(answered + CLAIMED.min(count / 2)).await?;
        let statements = self.statements().await?;
        let (gone, started) = (self.hostile.answered().await? - answered, Instant::now());
        self.field.until(Far::Sent).await?;
        let delivered = count.saturating_sub(gone);
        let rate = rate(delivered, started.elapsed());
        let statements = self.statements().await? - statements;
        self.rest().await?;
        Ok((rate, statements / (thousands(delivered) * 1_000.0)))
    }

    /// Milliseconds from each 202 to its webhook, of those that came.
    async fn waits(&self, count: usize) -> Result<Vec<f64>, NotMeasured> {
        let accepted = pace::post(&self.client, self.field.by_rest_of(count, PACED)).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(pace::waits(&accepted, &self.hostile.arrivals().await?))
    }

    async fn post(&self, count: usize) -> Result<(), NotMeasured> {
        let client = self.client.clone();
        let send = move |post: super::flights::Post| {
            let client = client.clone();
            async move { post.send_by(&client).await.map(drop) }
        };
        super::flights::fly_at(IN_FLIGHT, self.field.by_rest(count), send)
            .await
            .map(drop)
    }

    async fn answered(&self, count: usize) -> Result<(), NotMeasured> {
        let started = Instant::now();
        while self.hostile.answered().await? < count {
            if started.elapsed() > RUN_ENDS {
                return Err(NotMeasured(format!(
                    "{count} answers were not reached within {RUN_ENDS:?}"
                )));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn rest(&self) -> Result<(), NotMeasured> {
        self.field.until(Far::Sent).await?;
        self.field.until(Far::Told).await
    }

    /// Claims and results that the router has counted.
    async fn statements(&self) -> Result<f64, NotMeasured> {
        let url = format!("{}/metrics", self.field.router.running().dispatch);
        let text = self.client.get(url).send().await?.text().await?;
        Ok(text.lines().filter_map(counted).sum())
    }

    fn used(&self) -> Result<Used, NotMeasured> {
        let place = self.field.router.place();
        let cluster = place.cluster.as_ref();
        let of = |address: Option<&str>| machine::cpu_seconds(&address.map(machine::listening_at).unwrap_or_default());
        Ok(Used {
            ours: self.field.cpu_seconds()?,
            database: of(cluster.map(|cluster| server(&cluster.router)))?,
            broker: of(cluster.map(|cluster| cluster.brokers.as_str()))?,
        })
    }

    fn settings(&self, count: usize) -> Value {
        settings(
            json!({"in_flight": IN_FLIGHT, "requests": count, "endpoints": ENDPOINTS, "paced_endpoints": PACED,
            "paced_per_second": pace::PER_SECOND, "receiver": self.hostile.process()}),
        )
    }
}

impl Used {
    /// What was used since, for each thousand.
    fn since(self, before: Self, thousands: f64) -> Self {
        Self {
            ours: (self.ours - before.ours) / thousands,
            database: (self.database - before.database) / thousands,
            broker: (self.broker - before.broker) / thousands,
        }
    }
}

/// `host:port` of a database's URL.
fn server(url: &str) -> &str {
    let server = url.rsplit_once('/').map_or(url, |(server, _)| server);
    server.rsplit('@').next().unwrap_or(server)
}

/// How often a statement was carried out, if this line of the metrics says so of one that counts.
fn counted(line: &str) -> Option<f64> {
    let (labels, value) = line
        .strip_prefix("quittance_db_statement_duration_seconds_count{")?
        .split_once("} ")?;
    let name = labels.split("statement=\"").nth(1)?.split('"').next()?;
    COUNTED
        .iter()
        .any(|start| name.starts_with(start))
        .then(|| value.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_and_results_are_counted_and_others_are_not() {
        let line = |name: &str| format!("quittance_db_statement_duration_seconds_count{{statement=\"{name}\"}} 7");
        assert_eq!(counted(&line("tasks_claim_rest")), Some(7.0));
        assert_eq!(counted(&line("requests_insert")), None);
        assert_eq!(
            counted("quittance_db_statement_duration_seconds_sum{statement=\"tasks_claim\"} 7"),
            None
        );
    }

    #[test]
    fn a_database_is_found_by_its_servers_address() {
        assert_eq!(server("postgres://postgres@127.0.0.1:5432/router_1"), "127.0.0.1:5432");
    }
}
