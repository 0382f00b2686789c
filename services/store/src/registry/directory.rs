//! One consistent picture of the registry.

use std::collections::HashMap;

use domain::id::{BindingId, ControllerId, EntryId, KeyId, SystemId};
use domain::registration::{Binding, ConnectorKind, Controller, Instruction, System};
use domain::right::{Channel, Right};
use uuid::Uuid;

/// What stands in the registry at one version of it.
#[derive(Debug, Default)]
pub struct Directory {
    pub(super) version: i64,
    pub(super) controllers: HashMap<ControllerId, Controller>,
    pub(super) operator: Option<ControllerId>,
    pub(super) bindings: HashMap<BindingId, Binding>,
    pub(super) accounts: HashMap<(Channel, String), BindingId>,
    pub(super) systems: HashMap<SystemId, System>,
    pub(super) by_controller: HashMap<ControllerId, Vec<SystemId>>,
    pub(super) controller_secrets: HashMap<ControllerId, SealedSecrets>,
    pub(super) system_secrets: HashMap<SystemId, SealedSecrets>,
    pub(super) keys: HashMap<(String, String), SigningKey>,
    pub(super) instructions: HashMap<ControllerId, Vec<Instruction>>,
    pub(super) snapshots: HashMap<ControllerId, Snapshot>,
    pub(super) contacts: HashMap<(ControllerId, String), Vec<u8>>,
}

/// Webhook secrets as they are stored: sealed under the key ring's `secrets` key.
pub type SealedSecrets = Vec<u8>;

/// A registered public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Its id.
    pub id: KeyId,
    /// Whose it is.
    pub controller: ControllerId,
    /// The JWK as registered.
    pub jwk: String,
    /// Whether a signature of it counts.
    pub state: KeyState,
}

/// Whether a signature counts. A key that is not logged yet is not in the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// It counts.
    Active,
    /// It counted once; new receipts under it are refused.
    Retired,
    /// It is not trusted any more.
    Revoked,
}

/// The logged set of systems that plans are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id, which plans name.
    pub id: Uuid,
    /// SHA-256 of its body.
    pub digest: [u8; 32],
    /// The entry that logged it.
    pub entry: EntryId,
}

impl Directory {
    /// The registry's version that this shows; 0 before the first load.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.version
    }

    /// A controller by its id.
    #[must_use]
    pub fn controller(&self, id: ControllerId) -> Option<&Controller> {
        self.controllers.get(&id)
    }

    /// A controller by its slug.
    #[must_use]
    pub fn controller_by_slug(&self, slug: &str) -> Option<&Controller> {
        self.controllers.values().find(|controller| controller.slug == slug)
    }

    /// All controllers, in no order.
    pub fn controllers(&self) -> impl Iterator<Item = &Controller> {
        self.controllers.values()
    }

    /// The operator in its own right; unmatched requests count under it.
    #[must_use]
    pub fn operator(&self) -> Option<&Controller> {
        self.controllers.get(&self.operator?)
    }

    /// The binding of a channel's account.
    #[must_use]
    pub fn binding_of(&self, channel: Channel, account: &str) -> Option<&Binding> {
        self.bindings.get(self.accounts.get(&(channel, account.to_owned()))?)
    }

    /// A binding by its id.
    #[must_use]
    pub fn binding(&self, id: BindingId) -> Option<&Binding> {
        self.bindings.get(&id)
    }

    /// A system by its id.
    #[must_use]
    pub fn system(&self, id: SystemId) -> Option<&System> {
        self.systems.get(&id)
    }

    /// The systems that hold a controller's data: its own, and the operator's that act for their clients.
    #[must_use]
    pub fn systems_for(&self, controller: ControllerId) -> Vec<System> {
        let own = self.systems_of(controller);
        let operators = self.operator.filter(|operator| *operator != controller);
        let ours = operators.map(|operator| self.systems_of(operator)).unwrap_or_default();
        let acting = ours
            .into_iter()
            .filter(|system| system.owner == domain::registration::SystemOwner::Operator);
        own.into_iter().chain(acting).cloned().collect()
    }

    /// The systems that are registered under a controller.
    #[must_use]
    pub fn systems_of(&self, controller: ControllerId) -> Vec<&System> {
        let ids = self.by_controller.get(&controller).map_or(&[][..], Vec::as_slice);
        ids.iter().filter_map(|id| self.systems.get(id)).collect()
    }

    /// The system that a controller has its notices sent to; the first, if it registered several.
    #[must_use]
    pub fn notices_of(&self, controller: ControllerId) -> Option<SystemId> {
        let systems = self.by_controller.get(&controller)?.iter();
        let notices = systems.filter(|id| {
            let system = self.systems.get(id);
            system.is_some_and(|system| system.kind == ConnectorKind::Notices)
        });
        notices.min().copied()
    }

    /// Every controller that has a notices system, with it.
    #[must_use]
    pub fn notices(&self) -> Vec<(ControllerId, SystemId)> {
        let controllers = self.by_controller.keys();
        let notices = controllers.filter_map(|controller| Some((*controller, self.notices_of(*controller)?)));
        notices.collect()
    }

    /// A controller's contact by its slug, sealed: staff are persons too.
    #[must_use]
    pub fn contact(&self, controller: ControllerId, slug: &str) -> Option<&[u8]> {
        self.contacts.get(&(controller, slug.to_owned())).map(Vec::as_slice)
    }

    /// A controller's sealed webhook keys (`whsk_`).
    #[must_use]
    pub fn controller_secrets(&self, controller: ControllerId) -> Option<&SealedSecrets> {
        self.controller_secrets.get(&controller)
    }

    /// A system's sealed webhook secrets (`whsec_`).
    #[must_use]
    pub fn system_secrets(&self, system: SystemId) -> Option<&SealedSecrets> {
        self.system_secrets.get(&system)
    }

    /// The key that an issuer registered under a thumbprint.
    #[must_use]
    pub fn key(&self, issuer: &str, kid: &str) -> Option<&SigningKey> {
        self.keys.get(&(issuer.to_owned(), kid.to_owned()))
    }

    /// The issuers and thumbprints of all keys.
    pub fn keys(&self) -> impl Iterator<Item = (&(String, String), &SigningKey)> {
        self.keys.iter()
    }

    /// The standing instruction of a controller that covers a right: the newest version that does.
    #[must_use]
    pub fn instruction(&self, controller: ControllerId, right: Right) -> Option<&Instruction> {
        let instructions = self.instructions.get(&controller)?;
        instructions
            .iter()
            .filter(|instruction| instruction.covers(right))
            .max_by_key(|one| one.version)
    }

    /// The newest edition of a controller's standing instructions, whatever it covers.
    #[must_use]
    pub fn latest_instruction(&self, controller: ControllerId) -> Option<&Instruction> {
        self.instructions.get(&controller)?.iter().max_by_key(|one| one.version)
    }

    /// What holds for a right: the standing instruction that covers it, else the default, forward only.
    #[must_use]
    pub fn instruction_or_default(&self, controller: ControllerId, right: Right) -> Instruction {
        let standing = self.instruction(controller, right).cloned();
        standing.unwrap_or_else(|| Instruction::default_of(controller))
    }

    /// The logged snapshot of the systems that hold a controller's data.
    #[must_use]
    pub fn snapshot(&self, controller: ControllerId) -> Option<&Snapshot> {
        self.snapshots.get(&controller)
    }
}
