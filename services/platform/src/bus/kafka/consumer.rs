//! The reading side: one member of a group.
//!
//! What has been received and not yet returned waits in `pending`, so that a caller may stop waiting at any time
//! and lose nothing. An offset is stored only by `commit`, and librdkafka commits what is stored in the background,
//! when partitions are taken away, and when the member leaves. A partition that was taken away meanwhile can't
//! store an offset any more: its new owner gets those messages again, which consumers are made for.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::statistics::Statistics;
use rdkafka::{ClientConfig, ClientContext};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use crate::bus::{BusConfig, BusError, Message, Received, Subscription, report_lag};

/// How long the first message waits for others: those of the same fetch are there within it.
const LINGER: Duration = Duration::from_millis(2);

type Consumer = StreamConsumer<Member>;

pub(super) struct KafkaSubscription {
    membership: Membership,
    /// `None` only while it is being dropped.
    consumer: Option<Consumer>,
    pending: Vec<Received>,
    /// The last offset returned of each topic (with the prefix) and partition, since the last commit.
    returned: BTreeMap<(String, i32), i64>,
    leaving: TaskTracker,
}

/// What it takes to join, and to join again.
struct Membership {
    settings: ClientConfig,
    member: Member,
    /// With the prefix.
    topics: Vec<String>,
}

/// Who a consumer is to its group.
#[derive(Clone)]
struct Member {
    group: String,
    prefix: String,
}

impl KafkaSubscription {
    pub(super) fn open(
        config: &BusConfig,
        group: &str,
        topics: &[String],
        leaving: TaskTracker,
    ) -> Result<Self, BusError> {
        let (group, prefix) = (group.to_owned(), config.prefix.clone());
        let membership = Membership {
            settings: config.consumer(&group)?,
            topics: topics.iter().map(|topic| format!("{prefix}{topic}")).collect(),
            member: Member { group, prefix },
        };
        Ok(Self {
            consumer: Some(membership.join()?),
            membership,
            pending: Vec::new(),
            returned: BTreeMap::new(),
            leaving,
        })
    }
}

#[async_trait]
impl Subscription for KafkaSubscription {
    async fn next(&mut self, max: usize) -> Result<Vec<Received>, BusError> {
        let max = max.max(1);
        if self.pending.is_empty() {
            self.receive().await?;
        }
        let until = Instant::now() + LINGER;
        while self.pending.len() < max {
            match timeout_at(until, self.receive()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "reading stopped early; what was read is handed out");
                    break;
                }
                Err(_) => break,
            }
        }
        Ok(self.hand_out(max))
    }

    async fn commit(&mut self) -> Result<(), BusError> {
        for ((topic, partition), offset) in std::mem::take(&mut self.returned) {
            match self.consumer().store_offset(&topic, partition, offset) {
                Err(error) if !was_revoked(&error) => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

impl KafkaSubscription {
    fn consumer(&self) -> &Consumer {
        self.consumer
            .as_ref()
            .expect("it is there until the subscription is dropped")
    }

    /// Moves one message from librdkafka to `pending`, with nothing to cancel between the two.
    async fn receive(&mut self) -> Result<(), BusError> {
        let received = self
            .consumer()
            .recv()
            .await
            .map(|message| received(&message, &self.membership.member.prefix));
        match received {
            Ok(received) => {
                self.pending.push(received);
                Ok(())
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    fn hand_out(&mut self, max: usize) -> Vec<Received> {
        let count = max.min(self.pending.len());
        let batch: Vec<Received> = self.pending.drain(..count).collect();
        for received in &batch {
            let topic = format!("{}{}", self.membership.member.prefix, received.message.topic);
            self.returned.insert((topic, received.partition), received.offset);
        }
        batch
    }

    /// A consumer that failed for good (fenced by another of its name, say) is replaced; the caller's pause before
    /// it asks again keeps two of the same name from chasing each other.
    fn failed(&mut self, error: KafkaError) -> BusError {
        if self.consumer().client().fatal_error().is_some() {
            match self.membership.join() {
                Ok(fresh) => {
                    self.leave();
                    self.consumer = Some(fresh);
                    self.pending.clear();
                    self.returned.clear();
                }
                Err(error) => tracing::error!(%error, "the Kafka consumer failed for good and can't be replaced yet"),
            }
        }
        error.into()
    }

    /// Leaving the group blocks until the last commit is answered.
    fn leave(&mut self) {
        let consumer = self.consumer.take();
        if Handle::try_current().is_ok() {
            self.leaving.spawn_blocking(move || drop(consumer));
        }
    }
}

impl Drop for KafkaSubscription {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Membership {
    fn join(&self) -> Result<Consumer, BusError> {
        let consumer: Consumer = self.settings.create_with_context(self.member.clone())?;
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics)?;
        Ok(consumer)
    }
}

impl ClientContext for Member {
    fn error(&self, error: KafkaError, reason: &str) {
        // `next` returns it too.
        tracing::debug!(%error, reason, group = self.group, "librdkafka");
    }

    /// Partitions that this member doesn't own count nothing here; their owners count them.
    fn stats(&self, statistics: Statistics) {
        for (topic, told) in &statistics.topics {
            let behind = told
                .partitions
                .values()
                .map(|partition| partition.consumer_lag_stored.max(0));
            let topic = topic.strip_prefix(&self.prefix).unwrap_or(topic);
            report_lag(&self.group, topic, behind.sum());
        }
    }
}

impl ConsumerContext for Member {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let group = &self.group;
        match rebalance {
            Rebalance::Assign(to) => tracing::info!(group, partitions = to.count(), "partitions were assigned"),
            Rebalance::Revoke(from) => tracing::info!(group, partitions = from.count(), "partitions were revoked"),
            Rebalance::Error(error) => tracing::warn!(group, %error, "partitions could not be shared anew"),
        }
    }
}

/// Copied out, because a borrowed message holds on to the whole fetch that it came with.
fn received(message: &BorrowedMessage<'_>, prefix: &str) -> Received {
    let bytes = |bytes: Option<&[u8]>| bytes.unwrap_or_default().to_vec();
    let headers = message.headers().into_iter().flat_map(rdkafka::message::Headers::iter);
    Received {
        message: Message {
            topic: message
                .topic()
                .strip_prefix(prefix)
                .unwrap_or(message.topic())
                .to_owned(),
            key: bytes(message.key()),
            headers: headers
                .map(|header| (header.key.to_owned(), bytes(header.value)))
                .collect(),
            value: bytes(message.payload()),
        },
        partition: message.partition(),
        offset: message.offset(),
    }
}

fn was_revoked(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(error.rdkafka_error_code(), Some(Code::State | Code::UnknownPartition))
}
