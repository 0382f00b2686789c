//! What could not be taken in: where it lies, never what it says.

use std::fmt;

use domain::id::MessageId;
use jiff::Timestamp;
use prost::Message as _;

use crate::convert::{Malformed, Numbered as _, decode, id, instant, numbered, optional_id, word};
use crate::{Envelope, Topic, wire};

/// Where a message lies that could not be taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Names this message on every sending.
    pub message_id: MessageId,
    /// When it was given up.
    pub occurred_at: Timestamp,
    /// The failed message's own id, where it could be read.
    pub failed: Option<MessageId>,
    /// Its topic, as a name: it may be one that this version doesn't know.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Why.
    pub error_class: ErrorClass,
}

/// Why a message could not be taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The bytes are not what the topic carries, or of a later version.
    Malformed,
    /// It speaks of something that isn't known here.
    Unknown,
    /// It contradicts what is stored.
    Conflict,
    /// Taking it in failed, again and again.
    Failed,
}

numbered! { ErrorClass = ErrorClass { Malformed, Unknown, Conflict, Failed } }

impl ErrorClass {
    /// As operators read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Conflict => "conflict",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl DeadLetter {
    /// The bytes for the topic.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let wire = wire::DeadLetter {
            message_id: self.message_id.bytes().to_vec(),
            occurred_at: self.occurred_at.as_microsecond(),
            failed: self.failed.map(|failed| failed.bytes().to_vec()),
            topic: self.topic.clone(),
            partition: self.partition,
            offset: self.offset,
            error_class: self.error_class.number(),
        };
        wire.encode_to_vec()
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let wire: wire::DeadLetter = decode(bytes)?;
        Ok(Self {
            message_id: id("message_id", &wire.message_id)?,
            occurred_at: instant("occurred_at", wire.occurred_at)?,
            failed: optional_id("failed", wire.failed.as_deref())?,
            topic: wire.topic,
            partition: wire.partition,
            offset: wire.offset,
            error_class: word("error_class", wire.error_class)?,
        })
    }

    /// The message on its topic; dead letters need no order.
    #[must_use]
    pub fn envelope(&self) -> Envelope {
        Envelope::new(Topic::DeadLetters, &"", self.message_id, self.encode())
    }
}
