//! From what is told to the rows that carry it: entries for the ledger, messages for the bus.

use domain::id::MessageId;
use evidence::entry::Entry;
use proto::{Envelope, LedgerEntry};
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

/// A message's row.
pub(crate) fn outbox_row(id: MessageId, envelope: Envelope) -> OutboxRow {
    let text = |(name, value): (String, Vec<u8>)| (name, String::from_utf8_lossy(&value).into_owned());
    let headers = envelope.headers.into_iter().map(text).collect();
    OutboxRow::new(id, envelope.topic.to_string(), envelope.key, headers, envelope.value)
}
