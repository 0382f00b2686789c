//! The topics and the groups that read them.

use std::fmt;
use std::str::FromStr;

use domain::right::Right;

use crate::Malformed;

/// Ids are pseudonymous; a week is enough for a reader that was away and for the reconciler to publish again.
pub const RETENTION_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// A topic; prints as its name without the deployment's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Requests of one right that may be planned.
    Requests(Right),
    /// Receipts as they were signed.
    Receipts,
    /// What happens to requests.
    Events,
    /// Entries on their way to the ledger.
    Ledger,
    /// What the ledger holds.
    Logged,
    /// What could not be taken in.
    DeadLetters,
}

/// A group of readers whose work the deployment rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Plans requests.
    Plan,
    /// Takes entries into the ledger.
    Ledger,
    /// Notes which entries the ledger holds.
    Logged,
}

impl Topic {
    /// Every topic, as `quittance topics` makes them.
    pub fn all() -> impl Iterator<Item = Self> {
        let others = [
            Self::Receipts,
            Self::Events,
            Self::Ledger,
            Self::Logged,
            Self::DeadLetters,
        ];
        Right::ALL.iter().copied().map(Self::Requests).chain(others)
    }
}

impl Group {
    /// Its name without the deployment's prefix.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plan => "quittance.plan",
            Self::Ledger => "quittance.ledger",
            Self::Logged => "quittance.logged",
        }
    }

    /// The topics that it reads, by name.
    #[must_use]
    pub fn topics(self) -> Vec<String> {
        let reads = |topic: &Topic| match self {
            Self::Plan => matches!(topic, Topic::Requests(_)),
            Self::Ledger => *topic == Topic::Ledger,
            Self::Logged => *topic == Topic::Logged,
        };
        Topic::all().filter(reads).map(|topic| topic.to_string()).collect()
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requests(right) => write!(f, "dsr.requests.{right}.v1"),
            Self::Receipts => f.pad("dsr.receipts.v1"),
            Self::Events => f.pad("dsr.events.v1"),
            Self::Ledger => f.pad("dsr.ledger.v1"),
            Self::Logged => f.pad("dsr.logged.v1"),
            Self::DeadLetters => f.pad("dsr.deadletters.v1"),
        }
    }
}

impl FromStr for Topic {
    type Err = Malformed;
    fn from_str(name: &str) -> Result<Self, Malformed> {
        Self::all()
            .find(|topic| topic.to_string() == name)
            .ok_or(Malformed::Unknown("topic"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_contract() {
        let names: Vec<String> = Topic::all().map(|topic| topic.to_string()).collect();
        let expected = [
            "dsr.requests.deletion.v1",
            "dsr.requests.access.v1",
            "dsr.requests.correction.v1",
            "dsr.requests.portability.v1",
            "dsr.requests.restriction.v1",
            "dsr.requests.objection.v1",
            "dsr.requests.consent_withdrawal.v1",
            "dsr.requests.opt_out.v1",
            "dsr.requests.offboarding.v1",
            "dsr.receipts.v1",
            "dsr.events.v1",
            "dsr.ledger.v1",
            "dsr.logged.v1",
            "dsr.deadletters.v1",
        ];
        assert_eq!(names, expected);
        for topic in Topic::all() {
            assert_eq!(topic.to_string().parse(), Ok(topic));
        }
        assert_eq!("dsr.requests.v1".parse::<Topic>(), Err(Malformed::Unknown("topic")));
    }

    #[test]
    fn each_group_reads_its_topics() {
        assert_eq!(
            Group::Plan.topics(),
            Topic::all()
                .take(Right::ALL.len())
                .map(|topic| topic.to_string())
                .collect::<Vec<_>>()
        );
        assert_eq!(Group::Ledger.topics(), ["dsr.ledger.v1"]);
        assert_eq!(Group::Logged.topics(), ["dsr.logged.v1"]);
    }
}
