//! Messages that can't be taken in: told to operators, so that they block nobody behind them.
//!
//! A dead letter says where the message lies and of what class its fault is, never what it holds. It is committed to
//! the outbox before the group's offset moves on; its id follows from the message's place, so that it is one letter
//! however often the message comes.

use domain::id::{MessageId, RequestId};
use jiff::Timestamp;
use platform::bus::Received;
use platform::db::DbError;
use platform::metrics::Counter;
use proto::{DeadLetter, ErrorClass};
use store::Store;
use store::outbox::{self, OutboxRow};
use store::receipts::{self, AnomalyKind, AnomalyRow};

use crate::messages::outbox_row;
use crate::oddities;

static DEAD: Counter = Counter::new(
    "quittance_dead_letters_total",
    "Messages that could not be taken in, by class of fault.",
);

/// Dead letters of one round.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    now: Timestamp,
    rows: Vec<OutboxRow>,
    anomalies: Vec<AnomalyRow>,
}

impl DeadLetters {
    /// None yet.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            now,
            rows: vec![],
            anomalies: vec![],
        }
    }

    /// Gives a message up.
    pub(crate) fn add(&mut self, received: &Received, class: ErrorClass, request: Option<RequestId>) {
        let Received {
            message,
            partition,
            offset,
        } = received;
        let place = [
            partition.to_be_bytes().as_slice(),
            &offset.to_be_bytes(),
            message.topic.as_bytes(),
        ]
        .concat();
        let mark = oddities::mark(&[b"dead_letter", &place]);
        tracing::error!(topic = message.topic, partition, offset, %class, "a message can't be taken in");
        DEAD.add(1, &[("class", class.as_str())]);
        let letter = DeadLetter {
            message_id: MessageId::from_uuid(mark),
            occurred_at: self.now,
            failed: proto::message_id(&message.headers),
            topic: message.topic.clone(),
            partition: *partition,
            offset: *offset,
            error_class: class,
        };
        self.rows.push(outbox_row(letter.message_id, letter.envelope()));
        let kind = match class {
            ErrorClass::Unknown => AnomalyKind::UnknownRequest,
            ErrorClass::Malformed | ErrorClass::Conflict | ErrorClass::Failed => AnomalyKind::Poison,
        };
        let row = oddities::row(kind, mark);
        self.anomalies.push(AnomalyRow { request, ..row });
    }

    /// Makes them durable.
    pub(crate) async fn store(self, store: &Store) -> Result<(), DbError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let letters = std::sync::Arc::new(self);
        store
            .db()
            .transaction("dead_letters", move |tx| {
                let letters = std::sync::Arc::clone(&letters);
                Box::pin(async move {
                    receipts::insert_anomalies(tx, &letters.anomalies, letters.now).await?;
                    outbox::put(tx, &letters.rows).await
                })
            })
            .await?;
        store.waker().wake();
        Ok(())
    }
}
