//! From what is told to the rows that carry it: entries for the ledger, messages for the bus.

use domain::id::{ControllerId, MessageId, RequestId};
use evidence::entry::Entry;
use jiff::Timestamp;
use platform::chance::{self, Rng};
use proto::{Envelope, Happened, LedgerEntry, LifecycleEvent};
use store::entries::{self, EntryRow};
use store::outbox::OutboxRow;

/// An entry's row, with its message.
pub(crate) fn entry_row(entry: &Entry) -> EntryRow {
    let message = LedgerEntry {
        message_id: entries::message_id(entry.id),
        occurred_at: entry.at,
        entry: entry.id,
        entry_type: entry.entry_type() as u8,
        controller: entry.controller,
        request: entry.request,
        content: entry.encode(),
    };
    EntryRow {
        id: entry.id,
        controller: entry.controller,
        request: entry.request,
        kind: i64::from(message.entry_type),
        message: message.encode(),
    }
}

/// What happened to a request, for whoever follows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Occurrence {
    /// The request.
    pub(crate) request: RequestId,
    /// Whose data it is about.
    pub(crate) controller: ControllerId,
    /// The request's version by then.
    pub(crate) version: i64,
    /// What happened.
    pub(crate) happened: Happened,
}

impl Occurrence {
    /// The row of the message that tells it.
    pub(crate) fn row(self, now: Timestamp, rng: &dyn Rng) -> OutboxRow {
        let event = LifecycleEvent {
            message_id: MessageId::new(now, chance::bytes(rng)),
            occurred_at: now,
            request: self.request,
            controller: self.controller,
            request_version: self.version,
            happened: self.happened,
        };
        outbox_row(event.message_id, event.envelope())
    }
}

/// A message's row.
pub(crate) fn outbox_row(id: MessageId, envelope: Envelope) -> OutboxRow {
    let text = |(name, value): (String, Vec<u8>)| (name, String::from_utf8_lossy(&value).into_owned());
    let headers = envelope.headers.into_iter().map(text).collect();
    OutboxRow::new(id, envelope.topic.to_string(), envelope.key, headers, envelope.value)
}
