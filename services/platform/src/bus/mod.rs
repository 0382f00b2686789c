//! The bus: how services tell each other things, in one process or across a cluster.
//!
//! A publisher hands over messages and learns, for each, whether it is durable; a subscriber in a group gets
//! every message at least once, in the order of its key, and says when what it got has taken effect. That is
//! all that both deployments promise, so nothing outside this module asks which of them it runs in.
//!
//! What carries correctness is not here: a message keeps its id however often it is sent, its consumer records
//! the effect under a unique key, and a reconciler publishes again what had no effect. A message that comes
//! twice, late, or after a rebalance to the wrong member is therefore harmless.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::SharedClock;
use crate::metrics::Gauge;

pub use self::config::{BusConfig, Compression, GroupProtocol, SaslMechanism, Security, SecurityProtocol, Timing};

mod config;
mod embedded;
mod kafka;
#[cfg(test)]
mod suite;

/// Kafka's brokers take 1,048,588 bytes unless told otherwise; the rest is room for framing. The embedded bus keeps
/// to it too, so that a message that works in one deployment works in the other.
pub const MESSAGE_BYTES_MAX: usize = 1_000_000;

/// Opens the bus of a single process, a file that is made if it isn't there. Needs a tokio runtime.
pub async fn embedded(file: &Path, clock: SharedClock) -> Result<SharedBus, BusError> {
    embedded::open(file, clock).await
}

/// A bus over Kafka. Connects in the background, so that a service starts before its brokers do; [`Bus::check`]
/// says whether they answer. Needs a tokio runtime.
pub fn kafka(config: &BusConfig) -> Result<SharedBus, BusError> {
    kafka::open(config)
}

/// How far the groups are behind, for whoever wants to be alarmed.
static LAG: Gauge = Gauge::new(
    "bus_lag_messages",
    "Messages of a topic that have not taken effect in a group",
);

/// What is published: opaque bytes under a topic. No part of it may hold personal data, since a record can't
/// be taken back from a broker.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The topic without the deployment's prefix.
    pub topic: String,
    /// Messages with equal keys keep their order; an empty key asks for no order.
    pub key: Vec<u8>,
    /// Trace context and facts about the value, for readers who don't decode it.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The content.
    pub value: Vec<u8>,
}

/// A message as a subscriber gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// What was published.
    pub message: Message,
    /// Where it lies within its topic; always 0 when embedded.
    pub partition: i32,
    /// Its place within the partition.
    pub offset: i64,
}

/// Where messages go to and come from.
#[async_trait]
pub trait Bus: Send + Sync + fmt::Debug {
    /// Publishes, and answers for each message in the order given. `Ok` means durable. After
    /// [`PublishError::Unconfirmed`] the message may have been written all the same, so it is sent again with
    /// the same id. A caller that stops waiting leaves the outcome open.
    async fn publish(&self, messages: Vec<Message>) -> Vec<Result<(), PublishError>>;

    /// Joins `group` as a reader of `topics`. A group that is new starts with the oldest message kept.
    async fn subscribe(&self, group: &str, topics: &[String]) -> Result<Box<dyn Subscription>, BusError>;

    /// Makes the topics that are missing, or only looks; never changes one that exists. One state per
    /// topic, in the order given.
    async fn topics(&self, wanted: &[TopicSpec], mode: TopicMode) -> Result<Vec<TopicState>, BusError>;

    /// Whether the bus answers, within a few seconds.
    async fn check(&self) -> Result<(), BusError>;

    /// Waits until everything handed over is written and every reader has left; then the process may end.
    async fn close(&self);
}

/// One member's view of a group's messages.
#[async_trait]
pub trait Subscription: Send {
    /// Waits for messages and returns at least one and at most `max`. Dropping the future loses nothing.
    /// After an error the caller waits a little and asks again, unless it [is final](BusError::is_final); a member
    /// that its group has shut out joins it anew by itself.
    async fn next(&mut self, max: usize) -> Result<Vec<Received>, BusError>;

    /// Says that everything returned by [`next`](Self::next) so far has taken effect in the caller's
    /// database. What was not committed comes again after a restart.
    async fn commit(&mut self) -> Result<(), BusError>;
}

/// The bus as services hold it.
pub type SharedBus = Arc<dyn Bus>;

/// Why a message is not known to be durable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No acknowledgement came. It may have been written; sending it again is right.
    #[error("the bus did not confirm the message: {0}")]
    Unconfirmed(String),
    /// The message as it is will never be written (too large, against a policy); sending it again is useless.
    #[error("the bus refuses the message: {0}")]
    Refused(String),
}

/// Why the bus could not do its part.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The settings can't be right, whatever the brokers say.
    #[error("the bus is configured wrongly: {0}")]
    Config(String),
    /// No answer now; later may do.
    #[error("the bus can't be reached: {0}")]
    Unreachable(String),
    /// The bus answered, with a refusal.
    #[error("the bus refused: {0}")]
    Refused(String),
    /// The file of the embedded bus.
    #[error("the embedded bus failed")]
    Database(#[from] sqlx::Error),
    /// `close` was called, or the task behind the bus has ended.
    #[error("the bus is closed")]
    Closed,
}

impl BusError {
    /// Whether asking again is useless for as long as this process runs: it had better be started anew.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Config(_) | Self::Closed => true,
            Self::Unreachable(_) | Self::Refused(_) | Self::Database(_) => false,
        }
    }
}

/// A topic as a deployment wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// The topic without the deployment's prefix.
    pub name: String,
    /// `None` takes the deployment's default.
    pub partitions: Option<i32>,
    /// How long records are kept, in milliseconds.
    pub retention_ms: i64,
    /// Further settings, in the broker's words (`cleanup.policy`, …).
    pub config: Vec<(String, String)>,
}

/// Whether missing topics are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicMode {
    /// Only look.
    Check,
    /// Make what is missing.
    Create,
}

/// What was found, or done, about one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicState {
    /// It was missing and is there now.
    Created,
    /// It is there, as wanted.
    Present,
    /// It is missing, and was only to be checked.
    Missing,
    /// It is there with other settings; each difference in words.
    Differs(Vec<String>),
}

impl Message {
    fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len());
        self.key.len() + self.value.len() + headers.sum::<usize>()
    }

    fn check_size(&self) -> Result<(), PublishError> {
        match self.bytes() {
            0..=MESSAGE_BYTES_MAX => Ok(()),
            bytes => Err(PublishError::Refused(format!(
                "{bytes} bytes are more than {MESSAGE_BYTES_MAX}"
            ))),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a figure to look at, exact far beyond any backlog"
)]
fn report_lag(group: &str, topic: &str, messages: i64) {
    LAG.set(messages as f64, &[("group", group), ("topic", topic)]);
}

/// Bytes are counted, not shown: they say nothing to a reader of a log.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic)
            .field("key_bytes", &self.key.len())
            .field("headers", &self.headers.len())
            .field("value_bytes", &self.value.len())
            .finish()
    }
}
