//! People who write to a business: made up, and nobody twice.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use platform::chance::{self, SystemRng};

/// Begins elsewhere in every process, because several share one cluster.
static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| {
    let drawn = u32::from_be_bytes(chance::bytes(&SystemRng::new()));
    AtomicU64::new(u64::from(drawn))
});

/// A number that no other call in this process returns, below ten billion.
pub(crate) fn fresh() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Somebody, with what each platform calls them.
#[derive(Debug, Clone)]
pub struct Person {
    /// As their profile shows it.
    pub name: String,
    /// E.164, with the `+`.
    pub phone: String,
    /// Their mail address.
    pub email: String,
    /// WhatsApp's id of them at one business portfolio.
    pub bsuid: String,
    /// Messenger's page-scoped id.
    pub psid: String,
    /// Instagram's id of them.
    pub igsid: String,
    /// Telegram's id of them.
    pub telegram: u64,
}

impl Person {
    /// Somebody new, with an Arabic name.
    #[must_use]
    pub fn new() -> Self {
        Self::named("سناء الحلبي")
    }

    /// Somebody new of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let number = fresh();
        Self {
            name: name.to_owned(),
            phone: format!("+97059{:07}", number % 10_000_000),
            email: format!("person{number}@mail.example"),
            bsuid: format!("PS.{number}{number}"),
            psid: format!("74{number:010}"),
            igsid: format!("17{number:010}"),
            telegram: 4_000_000_000 + number,
        }
    }

    /// Their phone number without the `+`, as platforms write it.
    #[must_use]
    pub fn digits(&self) -> &str {
        self.phone.trim_start_matches('+')
    }
}

impl Default for Person {
    fn default() -> Self {
        Self::new()
    }
}
