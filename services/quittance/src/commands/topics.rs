//! `quittance topics`: what Kafka must have before the services start.

use clap::Args;
use platform::bus::{TopicMode, TopicSpec, TopicState};
use proto::{RETENTION_MS, Topic};
use serde_json::json;

use crate::deployment::Deployment;
use crate::failure::Failure;
use crate::output::{Output, Tone};
use crate::settings::Settings;

/// Make the Kafka topics that are missing, or only check them.
///
/// A topic that exists is never changed; where it differs from what this deployment wants, the difference is told.
#[derive(Debug, Args)]
pub struct Topics {
    /// Only look; exit 1 if a topic is missing or differs.
    #[arg(long)]
    pub check: bool,
}

/// Makes them, or checks them.
pub async fn run(topics: &Topics, settings: Settings, output: Output) -> Result<(), Failure> {
    let Some(kafka) = settings.kafka.clone() else {
        output.tell(
            "nothing to make: without `[kafka]` the bus is a file that needs no topics",
            &json!({"topics": 0}),
        );
        return Ok(());
    };
    let bus = Deployment::new(settings).bus().await?;
    let mode = if topics.check {
        TopicMode::Check
    } else {
        TopicMode::Create
    };
    let wanted = specs();
    let states = bus.topics(&wanted, mode).await.map_err(|error| {
        let failure = Failure::from(error);
        let line = format!(
            "{} (brokers {}); start them, or correct `kafka.brokers`",
            failure.line, kafka.brokers
        );
        Failure { line, ..failure }
    })?;
    bus.close().await;
    let wrong = wanted
        .iter()
        .zip(&states)
        .filter(|(spec, state)| !told(spec, state, &kafka.prefix, output));
    match wrong.count() {
        0 => Ok(()),
        wrong => Err(Failure::no(format!(
            "{wrong} of {} topics are not as wanted",
            wanted.len()
        ))),
    }
}

/// Every topic, as this deployment wants it.
#[must_use]
pub fn specs() -> Vec<TopicSpec> {
    let spec = |topic: Topic| TopicSpec {
        name: topic.to_string(),
        partitions: None,
        retention_ms: RETENTION_MS,
        config: vec![],
    };
    Topic::all().map(spec).collect()
}

/// Whether a topic is there as wanted.
#[must_use]
pub fn is_good(state: &TopicState) -> bool {
    matches!(state, TopicState::Created | TopicState::Present)
}

/// Whether it is as wanted; says so either way.
fn told(spec: &TopicSpec, state: &TopicState, prefix: &str, output: Output) -> bool {
    let good = is_good(state);
    let words = match state {
        TopicState::Created => "made".to_owned(),
        TopicState::Present => "is there".to_owned(),
        TopicState::Missing => "is missing; make it with `quittance topics`".to_owned(),
        TopicState::Differs(how) => format!("differs: {}", how.join("; ")),
    };
    let name = format!("{prefix}{}", spec.name);
    let painted = output.paint(if good { Tone::Good } else { Tone::Bad }, &words);
    output.tell(
        format_args!("{name}  {painted}"),
        &json!({"topic": name, "good": good, "state": words}),
    );
    good
}
