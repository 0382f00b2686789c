//! What a caller may see and make: every read of requests takes a [`Scope`].
//!
//! What lies outside of it answers exactly like what isn't there, so a caller can't learn that a foreign request
//! exists. A scope comes from the caller's token; only the deployment's own commands use [`Scope::EVERYTHING`].

use domain::id::ControllerId;
use domain::right::Right;

use crate::tokens::{Controllers, Rights, TokenScope};

/// Which requests a caller may see and make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Whose requests.
    pub controllers: Among<ControllerId>,
    /// Of which rights.
    pub rights: Among<Right>,
}

/// All things of a kind, or some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Among<T> {
    /// All, also those that are added later.
    All,
    /// These and no others.
    Only(Vec<T>),
}

impl Scope {
    /// For the deployment's own commands.
    pub const EVERYTHING: Self = Self {
        controllers: Among::All,
        rights: Among::All,
    };

    /// Whether it covers a right against a controller.
    #[must_use]
    pub fn covers(&self, controller: ControllerId, right: Right) -> bool {
        self.controllers.includes(&controller) && self.rights.includes(&right)
    }
}

impl From<&TokenScope> for Scope {
    fn from(token: &TokenScope) -> Self {
        Self {
            controllers: match &token.controllers {
                Controllers::All => Among::All,
                Controllers::Only(some) => Among::Only(some.iter().copied().collect()),
            },
            rights: match &token.rights {
                Rights::All => Among::All,
                Rights::Only(some) => Among::Only(some.iter().copied().collect()),
            },
        }
    }
}

impl<T: PartialEq> Among<T> {
    /// Whether it is one of them.
    #[must_use]
    pub fn includes(&self, one: &T) -> bool {
        match self {
            Self::All => true,
            Self::Only(some) => some.contains(one),
        }
    }
}
