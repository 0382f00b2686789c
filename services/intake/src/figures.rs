//! What intake counts. Labels are doors, channels, reasons and problems: never an account, never a person.

use platform::metrics::Counter;

/// By `door` and `how` (`new`, `repeat`).
pub(crate) static ACCEPTED: Counter = Counter::new(
    "quittance_intake_accepted_total",
    "Requests whose callers were told that they are durable.",
);

/// By `channel` and `reason`.
pub(crate) static IGNORED: Counter = Counter::new(
    "quittance_intake_ignored_total",
    "Parts of signed notifications that are no requests; nothing of them is stored.",
);

/// By `channel`. To be alarmed: somebody's messages arrive and nobody is registered for them.
pub(crate) static UNKNOWN_ACCOUNTS: Counter = Counter::new(
    "quittance_intake_unknown_accounts_total",
    "Messages in signed notifications for accounts that no binding names.",
);

/// By `problem`.
pub(crate) static REFUSED: Counter = Counter::new("quittance_intake_refused_total", "Calls that were refused.");
