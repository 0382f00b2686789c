//! What stands in the registry: controllers, their bindings, systems and instructions.
//!
//! These are facts without personal data; secrets are not here (they lie sealed beside their system). The registry
//! file's shape is the `registry` crate's; here is what the rest of the house computes with.

use serde::{Deserialize, Serialize};

use crate::assurance::AssuranceLevel;
use crate::id::{BindingId, ControllerId, InstructionId, SystemId};
use crate::person::IdentityKind;
use crate::receipt::EvidenceLevel;
use crate::regime::{Contract, OwnDays};
use crate::right::{Channel, Right};
use crate::word::vocabulary;

/// A client business, or the operator in its own right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Controller {
    /// Its id.
    pub id: ControllerId,
    /// The name that registrations refer to; unique.
    pub slug: String,
    /// The business's name.
    pub name: String,
    /// Other names by which people call it.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The regime that its clocks run under (`gdpr`, `ccpa`).
    pub regime: String,
    /// IANA zone in which its days end.
    pub zone: String,
    /// ISO 3166-1 alpha-2; picks weekends and holidays.
    pub country: String,
    /// Where its weekend or public holidays differ from its country's.
    #[serde(default)]
    pub days: OwnDays,
    /// What its contract with us promises.
    #[serde(default)]
    pub contract: Contract,
    /// The `iss` of its receipts.
    pub issuer: String,
    /// Least assurance per right, where it differs from the default.
    #[serde(default)]
    pub assurance: Vec<(Right, AssuranceLevel)>,
    /// Whether it is the operator itself.
    #[serde(default)]
    pub operator: bool,
}

impl Controller {
    /// The least assurance that this controller asks for.
    #[must_use]
    pub fn assurance_for(&self, right: Right) -> AssuranceLevel {
        let own = self.assurance.iter().find(|(covered, _)| *covered == right);
        own.map_or_else(|| crate::assurance::needed_by_default(right), |(_, level)| *level)
    }
}

vocabulary! {
    /// Whose account a binding is.
    BindingScope ("binding scope") {
        /// Of one controller: certain.
        Own = "own",
        /// Of the operator or of several: the business must be named.
        Shared = "shared",
    }
}

/// One connected account on one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// Its id.
    pub id: BindingId,
    /// Whose account it is; the operator's for a shared one.
    pub controller: ControllerId,
    /// The product's slug.
    pub product: String,
    /// The channel.
    pub channel: Channel,
    /// The channel's own name of the account: phone-number id, page id, Instagram id, bot id.
    pub account: String,
    /// Certain, or to be named.
    pub scope: BindingScope,
}

vocabulary! {
    /// The kinds of connector.
    ConnectorKind ("connector") {
        /// A signed webhook (Standard Webhooks).
        Webhook = "webhook",
        /// The controller's notices: acknowledgements, proofs, closings. Takes no tasks.
        Notices = "notices",
        /// The system leases its tasks itself.
        Pull = "pull",
    }
}

vocabulary! {
    /// Whose data a system holds.
    SystemOwner ("system owner") {
        /// The client's own system.
        Controller = "controller",
        /// The operator's system with the client's data: acted in on instruction.
        Operator = "operator",
    }
}

/// One place where a controller's (or the operator's own) data lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct System {
    /// Its id.
    pub id: SystemId,
    /// Whose it is; the operator's for an operator's system.
    pub controller: ControllerId,
    /// Unique within its controller.
    pub slug: String,
    /// How it is reached.
    pub kind: ConnectorKind,
    /// Where, for a webhook.
    #[serde(default)]
    pub url: Option<String>,
    /// Whose data it holds.
    pub owner: SystemOwner,
    /// Products that it serves; empty for all.
    #[serde(default)]
    pub products: Vec<String>,
    /// Rights that it handles; empty for all.
    #[serde(default)]
    pub rights: Vec<Right>,
    /// Channels that it serves; empty for all.
    #[serde(default)]
    pub channels: Vec<Channel>,
    /// Identity kinds that it can use, as `IdentityKind` prints them; empty for all.
    #[serde(default)]
    pub identity_kinds: Vec<String>,
    /// Whether it wants the person's own words.
    #[serde(default)]
    pub wants_description: bool,
    /// The evidence that closes its tasks.
    pub demand: EvidenceLevel,
    /// Attempts under way at once.
    pub concurrency: u16,
    /// Attempts a second, where it names a limit.
    #[serde(default)]
    pub rate_per_second: Option<u32>,
    /// The `iss` of its receipts, where it differs from the controller's.
    #[serde(default)]
    pub issuer: Option<String>,
}

/// Attempts under way at once for an endpoint that says nothing else (delivery.md §2).
pub const CONCURRENCY_DEFAULT: u16 = 8;

impl System {
    /// A webhook system with the defaults of a registration that names only what it must.
    #[must_use]
    pub fn webhook(id: SystemId, controller: ControllerId, slug: &str) -> Self {
        Self {
            id,
            controller,
            slug: slug.to_owned(),
            kind: ConnectorKind::Webhook,
            url: None,
            owner: SystemOwner::Controller,
            products: vec![],
            rights: vec![],
            channels: vec![],
            identity_kinds: vec![],
            wants_description: false,
            demand: EvidenceLevel::Declared,
            concurrency: CONCURRENCY_DEFAULT,
            rate_per_second: None,
            issuer: None,
        }
    }

    /// Whether a task can be planned for it.
    #[must_use]
    pub fn takes_tasks(&self) -> bool {
        self.kind != ConnectorKind::Notices
    }

    /// Whether the task's body may carry identities of this kind: a system gets only what it can use.
    #[must_use]
    pub fn uses(&self, kind: &IdentityKind) -> bool {
        self.identity_kinds.is_empty() || self.identity_kinds.contains(&kind.to_string())
    }
}

vocabulary! {
    /// What the operator may do about a request (intake.md §5).
    InstructionMode ("instruction mode") {
        /// Tell the controller; do nothing in our own systems until told. The default.
        ForwardOnly = "forward_only",
        /// Tell the controller and run our own systems' tasks.
        ActOnInstruction = "act_on_instruction",
        /// The service provider's answer of 11 CCR §7050; under that law only.
        DeclineWithNotice = "decline_with_notice",
    }
}

/// A controller's standing or single decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instruction {
    /// Its id.
    pub id: InstructionId,
    /// Whose decision it is.
    pub controller: ControllerId,
    /// Grows with each change, from 1.
    pub version: u32,
    /// What it says.
    pub mode: InstructionMode,
    /// Rights that it covers; empty for all.
    #[serde(default)]
    pub rights: Vec<Right>,
    /// Who approved it: a name of staff, as the contract has it, or an id.
    pub approver: String,
}

impl Instruction {
    /// What holds for a controller that has instructed us about nothing: forward only. It bears the controller's own
    /// number and version 0, so that whatever must name an instruction can, and a reader sees that nobody gave it.
    #[must_use]
    pub fn default_of(controller: ControllerId) -> Self {
        Self {
            id: InstructionId::from_uuid(controller.uuid()),
            controller,
            version: 0,
            mode: InstructionMode::ForwardOnly,
            rights: vec![],
            approver: "default".to_owned(),
        }
    }

    /// Whether it says anything about this right.
    #[must_use]
    pub fn covers(&self, right: Right) -> bool {
        self.rights.is_empty() || self.rights.contains(&right)
    }
}
