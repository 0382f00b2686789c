//! What the ledger counts about itself.

use platform::metrics::{Counter, Gauge, Histogram};

pub(crate) static LEAVES: Gauge = Gauge::new("quittance_ledger_tree_leaves", "Leaves of the log's tree.");

pub(crate) static PENDING: Gauge = Gauge::new(
    "quittance_ledger_pending_entries",
    "Entries that wait for their place in the log.",
);

pub(crate) static BATCH: Histogram = Histogram::new(
    "quittance_ledger_batch_seconds",
    "From taking a batch of entries to the commit of their places.",
);

pub(crate) static LOGGED_AFTER: Histogram = Histogram::new(
    "quittance_ledger_logged_seconds",
    "From what an entry records to its place in the log, for the oldest entry of each batch.",
);

pub(crate) static LOGGED: Counter = Counter::new("quittance_ledger_logged_total", "Entries that were given places.");

pub(crate) static UNSEALABLE: Counter = Counter::new(
    "quittance_ledger_unsealable_total",
    "Entries whose request has no evidence key any more: their leaves were logged and their bytes dropped.",
);

pub(crate) static DEAD: Counter = Counter::new("quittance_ledger_dead_letters_total", "Messages that are no entries.");

/// A count as metrics take it.
#[expect(clippy::cast_precision_loss, reason = "a figure for people; 2^53 is far away")]
pub(crate) fn count(number: u64) -> f64 {
    number as f64
}
