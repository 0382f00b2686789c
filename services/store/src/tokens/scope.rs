//! How far a token goes, as it is written and read.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use domain::assurance::AssuranceLevel;
use domain::id::ControllerId;
use domain::right::Right;
use serde::{Deserialize, Serialize};

use super::Role;

/// Whose data, which rights, how sure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenScope {
    /// Whose requests it may send and see.
    pub controllers: Controllers,
    /// Which rights it may exercise.
    pub rights: Rights,
    /// The highest assurance that it may assert about a requester.
    pub assurance: AssuranceLevel,
}

/// Some controllers, or all: those that are registered later too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Controllers {
    /// Every controller.
    All,
    /// These.
    Only(BTreeSet<ControllerId>),
}

/// Some rights, or all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rights {
    /// Every right.
    All,
    /// These.
    Only(BTreeSet<Right>),
}

/// A text is not a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a role is `product`, `operator` or `system:sys_…`")]
pub struct UnknownRole;

impl TokenScope {
    /// Everything: for the operator itself.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            controllers: Controllers::All,
            rights: Rights::All,
            assurance: AssuranceLevel::ControllerConfirmed,
        }
    }

    /// The text that is kept.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a scope is plain data")
    }

    /// Reads what [`to_json`](Self::to_json) wrote; nothing unknown is passed over, because it might have been a limit.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

impl Controllers {
    /// Whether it reaches this one.
    #[must_use]
    pub fn contains(&self, controller: ControllerId) -> bool {
        match self {
            Self::All => true,
            Self::Only(some) => some.contains(&controller),
        }
    }
}

impl Rights {
    /// Whether it reaches this one.
    #[must_use]
    pub fn contains(&self, right: Right) -> bool {
        match self {
            Self::All => true,
            Self::Only(some) => some.contains(&right),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Product => f.pad("product"),
            Self::Operator => f.pad("operator"),
            Self::System(system) => write!(f, "system:{system}"),
        }
    }
}

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        match text {
            "product" => Ok(Self::Product),
            "operator" => Ok(Self::Operator),
            _ => {
                let system = text.strip_prefix("system:").ok_or(UnknownRole)?;
                system.parse().map(Self::System).map_err(|_| UnknownRole)
            }
        }
    }
}
