//! Entries on their way to the ledger, and the ledger's answer.

use domain::id::{ControllerId, EntryId, MessageId, RequestId};
use jiff::Timestamp;
use prost::Message as _;

use crate::convert::{Malformed, decode, id, instant, optional_id};
use crate::{Envelope, Topic, wire};

/// Entries in one announcement: 300 kB, a third of what a message may be.
pub const LOGGED_MAX: usize = 10_000;

/// One entry on its way to the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Names this message on every sending.
    pub message_id: MessageId,
    /// When the entry was written.
    pub occurred_at: Timestamp,
    /// The entry; appending is idempotent by it.
    pub entry: EntryId,
    /// The type's byte, as the leaf commits to it.
    pub entry_type: u8,
    /// In whose sequence it counts.
    pub controller: ControllerId,
    /// What it is about, if it is about a request.
    pub request: Option<RequestId>,
    /// The bytes that the leaf commits to; never written anew.
    pub content: Vec<u8>,
}

/// Entries that the log holds from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEntries {
    /// Names this message on every sending.
    pub message_id: MessageId,
    /// When their checkpoint was signed.
    pub occurred_at: Timestamp,
    /// The size of the tree whose signed checkpoint covers them.
    pub tree_size: u64,
    /// At most [`LOGGED_MAX`].
    pub entries: Vec<Logged>,
}

/// Where one entry lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logged {
    /// The entry.
    pub entry: EntryId,
    /// Its number in its controller's own dense sequence, from 1.
    pub controller_seq: u64,
    /// Its leaf's index in the tree, from 0.
    pub index: u64,
}

impl LedgerEntry {
    /// The bytes for the topic.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let wire = wire::LedgerEntry {
            message_id: self.message_id.bytes().to_vec(),
            occurred_at: self.occurred_at.as_microsecond(),
            entry: self.entry.bytes().to_vec(),
            r#type: self.entry_type.into(),
            controller: self.controller.bytes().to_vec(),
            request: self.request.map(|request| request.bytes().to_vec()),
            content: self.content.clone(),
        };
        wire.encode_to_vec()
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let wire: wire::LedgerEntry = decode(bytes)?;
        Ok(Self {
            message_id: id("message_id", &wire.message_id)?,
            occurred_at: instant("occurred_at", wire.occurred_at)?,
            entry: id("entry", &wire.entry)?,
            entry_type: wire.r#type.try_into().map_err(|_| Malformed::Range("type"))?,
            controller: id("controller", &wire.controller)?,
            request: optional_id("request", wire.request.as_deref())?,
            content: wire.content,
        })
    }

    /// The message on its topic, keyed by request, else by entry.
    #[must_use]
    pub fn envelope(&self) -> Envelope {
        let key = self
            .request
            .map_or_else(|| self.entry.to_string(), |request| request.to_string());
        Envelope::new(Topic::Ledger, &key, self.message_id, self.encode())
    }
}

impl LoggedEntries {
    /// The bytes for the topic.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let logged = |logged: &Logged| wire::Logged {
            entry: logged.entry.bytes().to_vec(),
            controller_seq: logged.controller_seq,
            index: logged.index,
        };
        let wire = wire::LoggedEntries {
            message_id: self.message_id.bytes().to_vec(),
            occurred_at: self.occurred_at.as_microsecond(),
            tree_size: self.tree_size,
            entries: self.entries.iter().map(logged).collect(),
        };
        wire.encode_to_vec()
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let wire: wire::LoggedEntries = decode(bytes)?;
        let logged = |logged: wire::Logged| {
            Ok(Logged {
                entry: id("entry", &logged.entry)?,
                controller_seq: logged.controller_seq,
                index: logged.index,
            })
        };
        Ok(Self {
            message_id: id("message_id", &wire.message_id)?,
            occurred_at: instant("occurred_at", wire.occurred_at)?,
            tree_size: wire.tree_size,
            entries: wire.entries.into_iter().map(logged).collect::<Result<_, _>>()?,
        })
    }

    /// The message on its topic; announcements need no order.
    #[must_use]
    pub fn envelope(&self) -> Envelope {
        Envelope::new(Topic::Logged, &"", self.message_id, self.encode())
    }
}
