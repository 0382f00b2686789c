//! What travels between services: topics, keys, and the messages on them (contracts.md §3).
//!
//! Each message is a struct of domain types with `encode`, `decode` and `envelope`; the generated Protobuf types stay
//! inside. So a service can't publish a task's id as a request's, a reader gets either a message that can't be wrong
//! or [`Malformed`], and the domain may be renamed without touching a byte of the wire.
//!
//! What keeps the wire as it is: the bytes of one message of each kind stand in a test, and `dsr/v1/fields.txt` lists
//! every field's name, number and type. A change to either has to be made on purpose.

mod convert;
mod deadletter;
mod envelope;
mod event;
mod ledger;
mod receipt;
mod request;
mod topic;
mod wire;

pub use convert::Malformed;
pub use deadletter::{DeadLetter, ErrorClass};
pub use envelope::{Envelope, message_id};
pub use event::{Happened, LifecycleEvent};
pub use ledger::{LOGGED_MAX, LedgerEntry, Logged, LoggedEntries};
pub use receipt::ReceiptPublished;
pub use request::RequestPublished;
pub use topic::{Group, RETENTION_MS, Topic};

#[cfg(test)]
mod tests;
