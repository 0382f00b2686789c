//! A message ready for its topic, as an outbox keeps it.

use domain::id::MessageId;

use crate::Topic;

/// Names a message for whoever can't read its value.
const MESSAGE_ID: &str = "message-id";

/// A message with everything that the bus needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Where it goes.
    pub topic: Topic,
    /// What keeps its order; empty where there is none to keep.
    pub key: Vec<u8>,
    /// Its id, and what the topic's contract names beside. The publisher adds its trace context.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The bytes.
    pub value: Vec<u8>,
}

impl Envelope {
    /// An id that is a key stands there as text, as everywhere that people look.
    pub(crate) fn new(topic: Topic, key: &impl ToString, message_id: MessageId, value: Vec<u8>) -> Self {
        Self {
            topic,
            key: key.to_string().into_bytes(),
            headers: vec![header(MESSAGE_ID, &message_id)],
            value,
        }
    }
}

pub(crate) fn header(name: &str, value: &impl ToString) -> (String, Vec<u8>) {
    (name.to_owned(), value.to_string().into_bytes())
}

/// The id that a message's headers name; for a dead letter, when the value can't be read.
#[must_use]
pub fn message_id(headers: &[(String, Vec<u8>)]) -> Option<MessageId> {
    find(headers, MESSAGE_ID)?.parse().ok()
}

pub(crate) fn find<'h>(headers: &'h [(String, Vec<u8>)], wanted: &str) -> Option<&'h str> {
    let (_, value) = headers.iter().find(|(name, _)| name == wanted)?;
    std::str::from_utf8(value).ok()
}
