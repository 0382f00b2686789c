//! What a law says about time, as data: one TOML file a law, each rule with its source and how sure we are of it.
//!
//! The files are part of the program, so a rule can change only with a release, and its version with it.

use serde::{Deserialize, Serialize};

use super::candidate::Kind;
use super::clock::PauseReason;
use crate::right::Right;
use crate::word::vocabulary;

/// More than ten years is a slip of the pen in a contract, not a promise.
const MAX_MONTHS: u16 = 120;

/// As [`MAX_MONTHS`], in days.
const MAX_DAYS: u16 = 3660;

vocabulary! {
    /// How sure we are of a rule.
    Certainty ("certainty") {
        /// The source itself was read.
        Read = "read",
        /// Somebody's account of the source was read.
        SecondHand = "second_hand",
        /// From memory: to be checked by a lawyer before it is relied on.
        Memory = "memory",
    }
}

/// One law, in one version.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regime {
    id: String,
    version: String,
    title: String,
    pub(super) working_days: WorkingDays,
    pub(super) pausing: Pausing,
    #[serde(rename = "term")]
    terms: Vec<Term>,
}

/// Which days a law takes for free ones.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkingDays {
    pub(super) weekend: Vec<super::calendar::DayName>,
    /// The countries whose public holidays this law means.
    pub(super) holidays_of: Vec<String>,
    #[expect(
        dead_code,
        reason = "it speaks to the reader of the file; the parser demands that it is there"
    )]
    source: String,
    #[expect(dead_code, reason = "as `source`")]
    certainty: Certainty,
}

/// On which grounds a law lets the clock stand still.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pausing {
    pub(super) reasons: Vec<PauseReason>,
    pub(super) source: String,
    #[expect(
        dead_code,
        reason = "it speaks to the reader of the file; the parser demands that it is there"
    )]
    certainty: Certainty,
}

/// One period that runs for some rights.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Term {
    pub(super) kind: Kind,
    pub(super) rights: Vec<Right>,
    pub(super) within: Period,
    /// Whether an end on a free day moves to the next working day.
    pub(super) roll: bool,
    /// How many days before the legal end we aim for.
    #[serde(default)]
    pub(super) margin_days: u8,
    /// The rule as a reason names it.
    pub(super) law: String,
    pub(super) source: String,
    pub(super) certainty: Certainty,
}

/// How long something may take, counted from the day of receipt, which is not counted itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "Written", into = "Written")]
pub enum Period {
    /// The same day-number so many months later, or that month's last day where there is none.
    Months(u16),
    /// Calendar days.
    Days(u16),
    /// Days that are neither weekend nor public holiday.
    BusinessDays(u16),
}

/// A period as a file has it, before its limits are checked.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Written {
    Months(u16),
    Days(u16),
    BusinessDays(u16),
}

/// A period of nothing, or of more than ten years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a period is 1 to {MAX_MONTHS} months or 1 to {MAX_DAYS} days")]
pub struct PeriodError;

/// What a controller's contract asks of us as its processor; no law fixes hours for a processor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// Everything done within.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Period>,
    /// Receipt confirmed within.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledge: Option<Period>,
}

impl Regime {
    /// The name under which a controller registers it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Changes with every change of a rule.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The law's own name.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// On which grounds the clock may stand still; none for most laws.
    #[must_use]
    pub fn pausable_reasons(&self) -> &[PauseReason] {
        &self.pausing.reasons
    }

    /// The terms that run for a right.
    pub(super) fn terms(&self, right: Right) -> impl Iterator<Item = &Term> {
        self.terms.iter().filter(move |term| term.rights.contains(&right))
    }

    /// The one term of a kind that runs for a right.
    pub(super) fn term(&self, right: Right, kind: Kind) -> Option<&Term> {
        self.terms(right).find(|term| term.kind == kind)
    }
}

impl TryFrom<Written> for Period {
    type Error = PeriodError;

    fn try_from(written: Written) -> Result<Self, PeriodError> {
        match written {
            Written::Months(months @ 1..=MAX_MONTHS) => Ok(Self::Months(months)),
            Written::Days(days @ 1..=MAX_DAYS) => Ok(Self::Days(days)),
            Written::BusinessDays(days @ 1..=MAX_DAYS) => Ok(Self::BusinessDays(days)),
            _ => Err(PeriodError),
        }
    }
}

impl From<Period> for Written {
    fn from(period: Period) -> Self {
        match period {
            Period::Months(months) => Self::Months(months),
            Period::Days(days) => Self::Days(days),
            Period::BusinessDays(days) => Self::BusinessDays(days),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_right_has_one_term_of_a_kind_in_every_regime() {
        for regime in Regime::all() {
            for right in Right::ALL.iter().copied() {
                let count = |kind| regime.terms(right).filter(|term| term.kind == kind).count();
                let due = usize::from(right != Right::Offboarding);
                assert_eq!(count(Kind::Due), due, "{} {right}", regime.id());
                assert!(
                    count(Kind::Extended) <= 1 && count(Kind::Acknowledge) <= 1,
                    "{} {right}",
                    regime.id()
                );
                assert_eq!(
                    count(Kind::Internal) + count(Kind::Contract),
                    0,
                    "these are derived, not written"
                );
            }
        }
    }

    #[test]
    fn refuses_a_file_with_a_key_or_a_period_that_it_does_not_know() {
        let file = include_str!("../../regimes/ccpa.toml");
        let refused = |from: &str, to: &str| {
            let changed = file.replacen(from, to, 1);
            assert_ne!(changed, file);
            assert!(toml::from_str::<Regime>(&changed).is_err(), "{to}");
        };
        refused("roll = false", "rolls = false");
        refused("{ days = 45 }", "{ weeks = 6 }");
        refused("{ days = 45 }", "{ days = 0 }");
        refused("kind = \"due\"", "kind = \"soon\"");
        refused("\"opt_out\"", "\"opt-out\"");
    }

    #[test]
    fn a_contract_reads_as_it_is_written() {
        let contract: Contract = toml::from_str("answer = { business_days = 5 }").unwrap();
        assert_eq!(
            contract,
            Contract {
                answer: Some(Period::BusinessDays(5)),
                acknowledge: None
            }
        );
        assert_eq!(toml::from_str(&toml::to_string(&contract).unwrap()), Ok(contract));
        assert!(toml::from_str::<Contract>("answer = { days = 4000 }").is_err());
    }
}
