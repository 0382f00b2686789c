//! Topics: made where they are missing, compared where they are not.
//!
//! A topic that exists is never changed, since its partitions decide where keys lie and its settings may be an
//! administrator's; the differences are told in words.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::Metadata;

use super::{Context, blocking};
use crate::bus::{BusConfig, BusError, TopicMode, TopicSpec, TopicState};

/// A topic with three copies and two acknowledgements survives the loss of one broker without a pause. With fewer
/// brokers there is nothing to choose.
const SAFE_BROKERS: usize = 3;
const SAFE_REPLICATION: i32 = 3;

type Admin = AdminClient<Context>;

/// A topic as this cluster should have it.
struct Wanted {
    name: String,
    partitions: i32,
    replication: i32,
    config: Vec<(String, String)>,
}

/// A topic as the cluster has it.
struct Found {
    partitions: i32,
    replication: i32,
}

pub(super) async fn topics(
    config: &BusConfig,
    specs: &[TopicSpec],
    mode: TopicMode,
) -> Result<Vec<TopicState>, BusError> {
    let patience = Duration::from_millis(config.timing.answer_ms.into());
    let admin: Admin = config.client()?.create_with_context(Context)?;
    let (admin, found, brokers) = look(admin, patience).await?;
    let wanted: Vec<Wanted> = specs.iter().map(|spec| Wanted::of(spec, config, brokers)).collect();
    let options = AdminOptions::new()
        .request_timeout(Some(patience))
        .operation_timeout(Some(patience));

    let missing: Vec<&Wanted> = wanted.iter().filter(|topic| !found.contains_key(&topic.name)).collect();
    let present: Vec<&Wanted> = wanted.iter().filter(|topic| found.contains_key(&topic.name)).collect();
    let mut states = differences(&admin, &options, &present, &found).await?;
    match mode {
        TopicMode::Check => states.extend(missing.iter().map(|topic| (topic.name.clone(), TopicState::Missing))),
        TopicMode::Create => states.extend(create(&admin, &options, &missing).await?),
    }
    Ok(wanted
        .iter()
        .map(|topic| states.remove(&topic.name).unwrap_or(TopicState::Missing))
        .collect())
}

impl Wanted {
    fn of(spec: &TopicSpec, config: &BusConfig, brokers: usize) -> Self {
        let safe = if brokers >= SAFE_BROKERS { SAFE_REPLICATION } else { 1 };
        let replication = config.replication.map_or(safe, |copies| copies.get().into());
        // One copy may be away; with two, waiting for both would stop all writing whenever one is.
        let in_sync = if replication >= SAFE_REPLICATION {
            replication - 1
        } else {
            1
        };
        let mut settings = vec![
            ("retention.ms".to_owned(), spec.retention_ms.to_string()),
            ("min.insync.replicas".to_owned(), in_sync.to_string()),
            ("unclean.leader.election.enable".to_owned(), "false".to_owned()),
        ];
        settings.extend(spec.config.iter().cloned());
        Self {
            name: format!("{}{}", config.prefix, spec.name),
            partitions: spec.partitions.unwrap_or_else(|| config.partitions.get().into()),
            replication,
            config: settings,
        }
    }

    fn new_topic(&self) -> NewTopic<'_> {
        let topic = NewTopic::new(&self.name, self.partitions, TopicReplication::Fixed(self.replication));
        self.config
            .iter()
            .fold(topic, |topic, (name, value)| topic.set(name, value))
    }

    fn compare(&self, found: &Found, settings: &ConfigResource) -> TopicState {
        let mut differences = Vec::new();
        let mut compare = |what: &str, found: &str, wanted: &str| {
            if found != wanted {
                differences.push(format!("{what} is {found}, wanted {wanted}"));
            }
        };
        compare(
            "partitions",
            &found.partitions.to_string(),
            &self.partitions.to_string(),
        );
        compare(
            "replication",
            &found.replication.to_string(),
            &self.replication.to_string(),
        );
        for (name, wanted) in &self.config {
            let found = settings.get(name).and_then(|entry| entry.value.as_deref());
            compare(name, found.unwrap_or("unset"), wanted);
        }
        if differences.is_empty() {
            TopicState::Present
        } else {
            TopicState::Differs(differences)
        }
    }
}

/// The topics that are there, and the number of brokers. Lends the client to a thread, because it blocks.
async fn look(admin: Admin, patience: Duration) -> Result<(Admin, HashMap<String, Found>, usize), BusError> {
    blocking(move || {
        let metadata = admin.inner().fetch_metadata(None, patience)?;
        let brokers = metadata.brokers().len();
        Ok((admin, found(&metadata), brokers))
    })
    .await
}

fn found(metadata: &Metadata) -> HashMap<String, Found> {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let found = metadata.topics().iter().map(|topic| {
        let partitions = count(topic.partitions().len());
        let replication = topic
            .partitions()
            .first()
            .map_or(0, |partition| count(partition.replicas().len()));
        (
            topic.name().to_owned(),
            Found {
                partitions,
                replication,
            },
        )
    });
    found.collect()
}

async fn differences(
    admin: &Admin,
    options: &AdminOptions,
    present: &[&Wanted],
    found: &HashMap<String, Found>,
) -> Result<HashMap<String, TopicState>, BusError> {
    if present.is_empty() {
        return Ok(HashMap::new());
    }
    let resources: Vec<_> = present
        .iter()
        .map(|topic| ResourceSpecifier::Topic(&topic.name))
        .collect();
    let described = admin.describe_configs(&resources, options).await?;
    let mut states = HashMap::new();
    for (topic, settings) in present.iter().zip(described) {
        let settings = settings.map_err(|code| refused(&topic.name, code))?;
        states.insert(topic.name.clone(), topic.compare(&found[&topic.name], &settings));
    }
    Ok(states)
}

async fn create(
    admin: &Admin,
    options: &AdminOptions,
    missing: &[&Wanted],
) -> Result<HashMap<String, TopicState>, BusError> {
    if missing.is_empty() {
        return Ok(HashMap::new());
    }
    let topics: Vec<NewTopic<'_>> = missing.iter().map(|topic| topic.new_topic()).collect();
    let created = admin.create_topics(&topics, options);
    let outcomes = created.await?.into_iter().map(|outcome| match outcome {
        Ok(name) => Ok((name, TopicState::Created)),
        // Somebody else was faster.
        Err((name, RDKafkaErrorCode::TopicAlreadyExists)) => Ok((name, TopicState::Present)),
        Err((name, code)) => Err(refused(&name, code)),
    });
    outcomes.collect()
}

fn refused(topic: &str, code: RDKafkaErrorCode) -> BusError {
    BusError::Refused(format!("{topic}: {code}"))
}
