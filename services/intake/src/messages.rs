//! From what is to be told to the rows that carry it.

use domain::id::MessageId;
use evidence::entry::Entry;
use proto::{Envelope, LedgerEntry};
use store::entries::{EntryRow, message_id};
use store::outbox::OutboxRow;

/// An entry with its message to the ledger.
pub(crate) fn entry_row(entry: &Entry) -> EntryRow {
    let kind = entry.entry_type().byte();
    let message = LedgerEntry {
        message_id: message_id(entry.id),
        occurred_at: entry.at,
        entry: entry.id,
        entry_type: kind,
        controller: entry.controller,
        request: entry.request,
        content: entry.encode(),
    };
    EntryRow {
        id: entry.id,
        controller: entry.controller,
        request: entry.request,
        kind: kind.into(),
        message: message.encode(),
    }
}

/// A message for its topic, with the current span's trace.
pub(crate) fn outbox_row(id: MessageId, envelope: Envelope) -> OutboxRow {
    let text = |(name, value): (String, Vec<u8>)| (name, String::from_utf8(value).expect("ids and words are text"));
    let headers = envelope.headers.into_iter().map(text).collect();
    OutboxRow::new(id, envelope.topic.to_string(), envelope.key, headers, envelope.value)
}
