//! The bus of a cluster: Apache Kafka through librdkafka.
//!
//! Publishing is an idempotent producer that waits for all in-sync replicas; a message that isn't acknowledged in
//! time is reported as unconfirmed, and whoever published it (an outbox) publishes it again. After a fatal error
//! the producer is useless and is replaced. Reading is a group member that moves its offsets only when it is told
//! that what it handed out has taken effect.
//!
//! The deployment's prefix goes before topics and groups here and nowhere else.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer as _;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use self::consumer::KafkaSubscription;
use self::producer::Publisher;
use super::{
    Bus, BusConfig, BusError, Message, PublishError, SharedBus, Subscription, TopicMode, TopicSpec, TopicState,
};

mod admin;
mod consumer;
mod producer;

/// The bus over brokers.
struct KafkaBus {
    config: BusConfig,
    publisher: Publisher,
    /// Clients that are being destroyed; librdkafka blocks while it says goodbye.
    leaving: TaskTracker,
}

/// Checks the settings and makes the producer; the brokers need not be there.
pub(super) fn open(config: &BusConfig) -> Result<SharedBus, BusError> {
    let leaving = TaskTracker::new();
    Ok(Arc::new(KafkaBus {
        config: config.clone(),
        publisher: Publisher::open(config, leaving.clone())?,
        leaving,
    }))
}

#[async_trait]
impl Bus for KafkaBus {
    async fn publish(&self, messages: Vec<Message>) -> Vec<Result<(), PublishError>> {
        self.publisher.publish(&messages).await
    }

    async fn subscribe(&self, group: &str, topics: &[String]) -> Result<Box<dyn Subscription>, BusError> {
        let subscription = KafkaSubscription::open(&self.config, group, topics, self.leaving.clone())?;
        Ok(Box::new(subscription))
    }

    async fn topics(&self, wanted: &[TopicSpec], mode: TopicMode) -> Result<Vec<TopicState>, BusError> {
        admin::topics(&self.config, wanted, mode).await
    }

    async fn check(&self) -> Result<(), BusError> {
        let producer = self.publisher.current();
        let patience = self.answer();
        blocking(move || producer.client().fetch_metadata(None, patience).map(drop)).await
    }

    async fn close(&self) {
        self.publisher.close().await;
        self.leaving.close();
        if timeout(self.answer(), self.leaving.wait()).await.is_err() {
            tracing::warn!("a reader could not say goodbye to its group, which will wait for its session to end");
        }
    }
}

impl KafkaBus {
    fn answer(&self) -> Duration {
        Duration::from_millis(self.config.timing.answer_ms.into())
    }
}

impl fmt::Debug for KafkaBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaBus")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// What librdkafka tells on its own: errors once more at a lower level, since whoever called is told them too.
struct Context;

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
    }
}

/// Calls of librdkafka that block.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, BusError> {
    match tokio::task::spawn_blocking(call).await {
        Ok(outcome) => Ok(outcome?),
        // The runtime is being shut down.
        Err(_) => Err(BusError::Closed),
    }
}

impl From<KafkaError> for BusError {
    fn from(error: KafkaError) -> Self {
        use RDKafkaErrorCode as Code;
        match &error {
            KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) | KafkaError::Subscription(_) => {
                Self::Config(error.to_string())
            }
            KafkaError::Canceled => Self::Closed,
            _ => match error.rdkafka_error_code() {
                Some(
                    Code::SaslAuthenticationFailed
                    | Code::TopicAuthorizationFailed
                    | Code::GroupAuthorizationFailed
                    | Code::ClusterAuthorizationFailed
                    | Code::UnknownTopicOrPartition
                    | Code::UnknownTopic
                    | Code::UnknownPartition
                    | Code::Fatal
                    | Code::FencedInstanceId
                    | Code::PolicyViolation,
                ) => Self::Refused(error.to_string()),
                _ => Self::Unreachable(error.to_string()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::super::config::{Compression, GroupProtocol, Security, Timing};
    use super::super::suite::{self, join, message, publish, take, values};
    use super::*;

    type Cluster = MockCluster<'static, DefaultProducerContext>;

    /// Brokers inside this process, on loopback, with these topics.
    fn cluster(topics: &[&str]) -> Cluster {
        let cluster = MockCluster::new(3).unwrap();
        for topic in topics {
            cluster.create_topic(&format!("test.{topic}"), 4, 3).unwrap();
        }
        cluster
    }

    fn config(brokers: String) -> BusConfig {
        BusConfig {
            brokers,
            prefix: "test.".into(),
            partitions: NonZeroU16::new(4).unwrap(),
            replication: None,
            instance: None,
            group_protocol: GroupProtocol::Classic,
            compression: Compression::Zstd,
            security: Security::default(),
            timing: Timing {
                // Also a machine with other work connects within this time.
                publish_ms: 5_000,
                session_ms: 6_000,
                ..Timing::default()
            },
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn keeps_the_promises_of_every_bus() {
        let cluster = cluster(&["carries", "order", "redelivers", "cancels", "large"]);
        let bus = open(&config(cluster.bootstrap_servers())).unwrap();
        tokio::join!(
            suite::carries_all_of_a_message(&*bus, "carries"),
            suite::keeps_the_order_of_a_key(&*bus, "order", 2_500),
            suite::redelivers_what_was_not_committed(&*bus, "redelivers"),
            suite::loses_nothing_when_not_awaited(&*bus, "cancels"),
            suite::refuses_only_what_is_too_large(&*bus, "large"),
        );
        bus.check().await.unwrap();
        bus.close().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_publisher_is_told_when_the_brokers_are_away_and_goes_on_when_they_are_back() {
        let cluster = cluster(&["t"]);
        let bus = open(&config(cluster.bootstrap_servers())).unwrap();
        publish(&*bus, vec![message("t", "k", "1")]).await;

        (1..=3).for_each(|broker| cluster.broker_down(broker).unwrap());
        let outcomes = bus.publish(vec![message("t", "k", "2")]).await;
        assert!(
            matches!(outcomes[..], [Err(PublishError::Unconfirmed(_))]),
            "{outcomes:?}"
        );
        assert!(matches!(bus.check().await, Err(BusError::Unreachable(_))));

        (1..=3).for_each(|broker| cluster.broker_up(broker).unwrap());
        // As an outbox does: what is not confirmed is sent again.
        let mut sent = 0;
        while bus.publish(vec![message("t", "k", "3")]).await != [Ok(())] {
            sent += 1;
            assert!(sent < 5, "it does not go on");
        }
        let mut member = join(&*bus, "g", &["t"]).await;
        let received = take(&mut *member, 2).await;
        assert_eq!((values(&received)[0], values(&received)[1]), (&b"1"[..], &b"3"[..]));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_producer_that_failed_for_good_is_replaced() {
        let cluster = cluster(&["t"]);
        let bus = open(&config(cluster.bootstrap_servers())).unwrap();
        publish(&*bus, vec![message("t", "k", "1")]).await;

        let fatal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        cluster.request_errors(RDKafkaApiKey::Produce, &[fatal]);
        let outcomes = bus.publish(vec![message("t", "k", "2")]).await;
        assert!(
            matches!(outcomes[..], [Err(PublishError::Unconfirmed(_))]),
            "{outcomes:?}"
        );
        publish(&*bus, vec![message("t", "k", "3")]).await;
        bus.close().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn closes_in_time_though_the_brokers_are_away() {
        let cluster = cluster(&["t"]);
        let bus = open(&config(cluster.bootstrap_servers())).unwrap();
        publish(&*bus, vec![message("t", "k", "1")]).await;
        let mut member = join(&*bus, "g", &["t"]).await;
        take(&mut *member, 1).await;
        (1..=3).for_each(|broker| cluster.broker_down(broker).unwrap());
        member.commit().await.unwrap();
        drop(member);
        // The commit that leaving waits for can't be answered any more.
        timeout(Duration::from_secs(15), bus.close()).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_members_share_what_the_group_reads() {
        let cluster = cluster(&["t"]);
        let bus = open(&config(cluster.bootstrap_servers())).unwrap();
        let mut first = join(&*bus, "g", &["t"]).await;
        let numbered = |range: std::ops::Range<u32>| {
            range
                .map(|number| message("t", &number.to_string(), number.to_string()))
                .collect::<Vec<_>>()
        };
        publish(&*bus, numbered(0..100)).await;
        take(&mut *first, 100).await;
        first.commit().await.unwrap();

        // Both must ask: a rebalance goes through every member's `next`.
        let mut second = join(&*bus, "g", &["t"]).await;
        let [mut by_first, mut by_second] = [0, 0];
        for round in 1_u32.. {
            assert!(round < 200, "the second member got nothing");
            publish(&*bus, numbered(100 * round..100 * round + 100)).await;
            let wait = Duration::from_millis(200);
            let (one, other) = tokio::join!(
                tokio::time::timeout(wait, first.next(100)),
                tokio::time::timeout(wait, second.next(100))
            );
            by_first += one.map_or(0, |received| received.unwrap().len());
            by_second += other.map_or(0, |received| received.unwrap().len());
            // What a revoked partition's messages would have stored is not an error.
            first.commit().await.unwrap();
            second.commit().await.unwrap();
            if by_first > 0 && by_second > 0 {
                break;
            }
        }
        // Members leave while there is still somebody to tell: without brokers, leaving has no end.
        drop((first, second));
        bus.close().await;
    }

    /// The same promises by Apache Kafka, whose address is in `QUITTANCE_TEST_KAFKA`.
    #[tokio::test(flavor = "multi_thread")]
    async fn apache_kafka_keeps_the_promises_too() {
        let Ok(brokers) = std::env::var("QUITTANCE_TEST_KAFKA") else {
            eprintln!("QUITTANCE_TEST_KAFKA is not set: only the mock cluster was asked");
            return;
        };
        for group_protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
            let run = crate::chance::bytes::<4>(&crate::chance::SystemRng::new());
            let prefix = format!("test.{:08x}.", u32::from_be_bytes(run));
            let config = BusConfig {
                prefix,
                group_protocol,
                ..config(brokers.clone())
            };
            let bus = open(&config).unwrap();
            makes_and_compares_topics(&*bus).await;
            tokio::join!(
                suite::carries_all_of_a_message(&*bus, "carries"),
                suite::keeps_the_order_of_a_key(&*bus, "order", 2_500),
                suite::redelivers_what_was_not_committed(&*bus, "redelivers"),
                suite::loses_nothing_when_not_awaited(&*bus, "cancels"),
                suite::refuses_only_what_is_too_large(&*bus, "large"),
            );
            bus.close().await;
        }
    }

    async fn makes_and_compares_topics(bus: &dyn Bus) {
        let spec = |name: &str| TopicSpec {
            name: name.into(),
            partitions: None,
            retention_ms: 3_600_000,
            config: vec![("cleanup.policy".into(), "delete".into())],
        };
        let wanted = ["carries", "order", "redelivers", "cancels", "large"].map(spec);
        let all = |state: TopicState| vec![state; wanted.len()];
        assert_eq!(
            bus.topics(&wanted, TopicMode::Check).await.unwrap(),
            all(TopicState::Missing)
        );
        assert_eq!(
            bus.topics(&wanted, TopicMode::Create).await.unwrap(),
            all(TopicState::Created)
        );
        assert_eq!(
            bus.topics(&wanted, TopicMode::Create).await.unwrap(),
            all(TopicState::Present)
        );

        let other = TopicSpec {
            partitions: Some(6),
            retention_ms: 1,
            ..spec("order")
        };
        let states = bus.topics(&[other, spec("absent")], TopicMode::Check).await.unwrap();
        let differences = vec![
            "partitions is 4, wanted 6".into(),
            "retention.ms is 3600000, wanted 1".into(),
        ];
        assert_eq!(states, [TopicState::Differs(differences), TopicState::Missing]);
    }
}
