//! The publishing side.
//!
//! All messages of a call are handed to librdkafka at once and their acknowledgements awaited together, so that
//! they share batches. The number in flight is bounded by permits rather than by librdkafka's queue, whose answer
//! to fullness is to sleep. An idempotent producer that meets an error it can't explain refuses all further work:
//! it is replaced by a new one, and what it had in flight counts as unconfirmed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::Context;
use crate::bus::{BusConfig, BusError, Message, PublishError};

/// Messages in flight: a tenth of what librdkafka's queue holds, and many more than an acknowledgement's time
/// needs at full speed.
const IN_FLIGHT_MAX: usize = 10_000;

/// Messages that one round hands over, so that a huge call leaves room for others.
const ROUND: usize = 1_000;

/// What `close` grants beyond the time within which every message has its outcome.
const FLUSH_GRACE: Duration = Duration::from_secs(1);

pub(super) type Producer = FutureProducer<Context>;

/// The producer that is in use, and what is needed for the next.
pub(super) struct Publisher {
    settings: ClientConfig,
    prefix: String,
    patience: Duration,
    room: Semaphore,
    current: Mutex<Generation>,
    leaving: TaskTracker,
}

/// Producers are numbered, so that of many calls that see one fail, only the first replaces it.
#[derive(Clone)]
struct Generation {
    number: u64,
    producer: Producer,
}

impl Publisher {
    pub(super) fn open(config: &BusConfig, leaving: TaskTracker) -> Result<Self, BusError> {
        let settings = config.producer()?;
        let producer = settings.create_with_context(Context)?;
        Ok(Self {
            settings,
            prefix: config.prefix.clone(),
            patience: Duration::from_millis(config.timing.publish_ms.into()),
            room: Semaphore::new(IN_FLIGHT_MAX),
            current: Mutex::new(Generation { number: 0, producer }),
            leaving,
        })
    }

    pub(super) fn current(&self) -> Producer {
        self.generation().producer
    }

    /// One outcome a message, in their order.
    pub(super) async fn publish(&self, messages: &[Message]) -> Vec<Result<(), PublishError>> {
        let mut outcomes = Vec::with_capacity(messages.len());
        for round in messages.chunks(ROUND) {
            let permits = u32::try_from(round.len()).expect("a round is small");
            match self.room.acquire_many(permits).await {
                Ok(_permits) => outcomes.extend(self.round(round).await),
                Err(_) => outcomes.extend(
                    round
                        .iter()
                        .map(|_| Err(PublishError::Unconfirmed("it is closed".into()))),
                ),
            }
        }
        outcomes
    }

    /// Lets nobody in any more, and waits for the outcome of what is in flight.
    pub(super) async fn close(&self) {
        self.room.close();
        let (producer, patience) = (self.current(), self.patience + FLUSH_GRACE);
        let flushed = super::blocking(move || producer.flush(patience)).await;
        if let Err(error) = flushed {
            tracing::warn!(%error, "some messages were not confirmed before the end; their outbox keeps them");
        }
    }

    async fn round(&self, messages: &[Message]) -> Vec<Result<(), PublishError>> {
        let generation = self.generation();
        let handed: Vec<_> = messages
            .iter()
            .map(|message| self.hand_over(&generation.producer, message))
            .collect();
        let outcomes = join_all(handed.into_iter().map(delivered)).await;
        if outcomes.iter().any(Result::is_err) && generation.producer.client().fatal_error().is_some() {
            self.replace(&generation);
        }
        outcomes
    }

    fn hand_over(&self, producer: &Producer, message: &Message) -> Result<DeliveryFuture, PublishError> {
        message.check_size()?;
        let topic = format!("{}{}", self.prefix, message.topic);
        let mut record = FutureRecord::to(&topic)
            .payload(&message.value)
            .headers(headers(message));
        if !message.key.is_empty() {
            record = record.key(&message.key);
        }
        producer.send_result(record).map_err(|(error, _)| refusal(&error))
    }

    fn generation(&self) -> Generation {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, failed: &Generation) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.number != failed.number {
            return;
        }
        match self.settings.create_with_context(Context) {
            Ok(producer) => {
                let number = failed.number + 1;
                tracing::warn!(number, "the Kafka producer failed for good and was replaced");
                let old = std::mem::replace(&mut *current, Generation { number, producer });
                self.leaving.spawn_blocking(move || drop(old));
            }
            Err(error) => tracing::error!(%error, "the Kafka producer failed for good and can't be replaced yet"),
        }
    }
}

fn headers(message: &Message) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(message.headers.len());
    message.headers.iter().fold(empty, |headers, (key, value)| {
        headers.insert(Header {
            key,
            value: Some(value),
        })
    })
}

async fn delivered(handed: Result<DeliveryFuture, PublishError>) -> Result<(), PublishError> {
    match handed?.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err((error, _))) => Err(refusal(&error)),
        // The producer went away with the message in it.
        Err(_) => Err(PublishError::Unconfirmed(KafkaError::Canceled.to_string())),
    }
}

/// Only what can't become right by itself is refused; all else is worth another try.
fn refusal(error: &KafkaError) -> PublishError {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(Code::MessageSizeTooLarge | Code::InvalidMessage | Code::InvalidRecord | Code::PolicyViolation) => {
            PublishError::Refused(error.to_string())
        }
        _ => PublishError::Unconfirmed(error.to_string()),
    }
}
