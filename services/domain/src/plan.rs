//! Which systems a request must reach: fixed from the registry before any result is known.
//!
//! A plan is a pure function of the request's facts, the registered systems and the instruction, so that an auditor
//! who has the snapshot can compute it again.

use crate::receipt::EvidenceLevel;
use crate::registration::{InstructionMode, System, SystemOwner};
use crate::right::{Channel, Right};
use crate::word::vocabulary;

vocabulary! {
    /// What an instruction means for a plan.
    Instruct ("instruction") {
        /// Tell the controller's systems; keep our own back until told.
        Forward = "forward",
        /// Tell the controller's systems and act in our own.
        Act = "act",
        /// Tell the controller, act nowhere, close as declined.
        Decline = "decline",
    }
}

impl From<InstructionMode> for Instruct {
    fn from(mode: InstructionMode) -> Self {
        match mode {
            InstructionMode::ForwardOnly => Self::Forward,
            InstructionMode::ActOnInstruction => Self::Act,
            InstructionMode::DeclineWithNotice => Self::Decline,
        }
    }
}

/// What of a request decides which systems it must reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The right.
    pub right: Right,
    /// The product's slug, where one was named.
    pub product: Option<String>,
    /// Where the person met the business.
    pub channel: Channel,
}

/// How a planned task begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// Due at once.
    Due,
    /// Held until the controller instructs.
    Held,
}

/// One system of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned<'s> {
    /// The system.
    pub system: &'s System,
    /// How its task begins.
    pub beginning: Beginning,
    /// The evidence that closes it.
    pub demand: EvidenceLevel,
}

/// No registered system is reached; the request stays ready, and somebody must look at the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no registered system is reached by this right, product and channel")]
pub struct NoSystems;

/// The systems that the request must reach, in the order of their ids. `systems` are the controller's and the
/// operator's own for the same product.
pub fn plan<'s>(reach: &Reach, systems: &'s [System], mode: InstructionMode) -> Result<Vec<Planned<'s>>, NoSystems> {
    let reached = systems.iter().filter(|system| reaches(reach, system));
    let mut planned: Vec<Planned<'s>> = reached.filter_map(|system| begin(system, mode)).collect();
    planned.sort_unstable_by_key(|planned| planned.system.id);
    if planned.is_empty() {
        Err(NoSystems)
    } else {
        Ok(planned)
    }
}

/// An empty list in a registration means all.
fn reaches(reach: &Reach, system: &System) -> bool {
    let product = reach
        .product
        .as_ref()
        .is_none_or(|product| system.products.is_empty() || system.products.contains(product));
    let right = system.rights.is_empty() || system.rights.contains(&reach.right);
    let channel = system.channels.is_empty() || system.channels.contains(&reach.channel);
    system.takes_tasks() && product && right && channel
}

/// Under a decline, only the controller is told.
fn begin(system: &System, mode: InstructionMode) -> Option<Planned<'_>> {
    let beginning = match (system.owner, mode) {
        (SystemOwner::Operator, InstructionMode::DeclineWithNotice) => return None,
        (SystemOwner::Operator, InstructionMode::ForwardOnly) => Beginning::Held,
        (SystemOwner::Controller, _) | (SystemOwner::Operator, InstructionMode::ActOnInstruction) => Beginning::Due,
    };
    Some(Planned {
        system,
        beginning,
        demand: system.demand,
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::id::{ControllerId, SystemId};

    fn system(number: u128, owner: SystemOwner) -> System {
        let id = SystemId::from_uuid(Uuid::from_u128(number));
        System {
            owner,
            ..System::webhook(id, ControllerId::from_uuid(Uuid::from_u128(1)), "crm")
        }
    }

    fn reach() -> Reach {
        Reach {
            right: Right::Deletion,
            product: Some("smart-reply".into()),
            channel: Channel::Whatsapp,
        }
    }

    fn check(systems: &[System], mode: InstructionMode, expected: &[(u128, Beginning)]) {
        let planned = plan(&reach(), systems, mode).unwrap_or_default();
        let planned: Vec<_> = planned
            .iter()
            .map(|p| (p.system.id.uuid().as_u128(), p.beginning))
            .collect();
        assert_eq!(planned, expected);
    }

    #[test]
    fn the_instruction_decides_over_our_own_systems() {
        let systems = [system(2, SystemOwner::Operator), system(1, SystemOwner::Controller)];
        check(
            &systems,
            InstructionMode::ForwardOnly,
            &[(1, Beginning::Due), (2, Beginning::Held)],
        );
        check(
            &systems,
            InstructionMode::ActOnInstruction,
            &[(1, Beginning::Due), (2, Beginning::Due)],
        );
        check(&systems, InstructionMode::DeclineWithNotice, &[(1, Beginning::Due)]);
    }

    #[test]
    fn what_a_system_is_not_registered_for_does_not_reach_it() {
        let base = system(1, SystemOwner::Controller);
        let other_right = System {
            rights: vec![Right::Access],
            ..base.clone()
        };
        let other_product = System {
            products: vec!["modelix".into()],
            ..base.clone()
        };
        let other_channel = System {
            channels: vec![Channel::Telegram],
            ..base.clone()
        };
        check(
            &[other_right, other_product, other_channel],
            InstructionMode::ActOnInstruction,
            &[],
        );
        let fitting = System {
            rights: vec![Right::Deletion],
            channels: vec![Channel::Whatsapp],
            ..base
        };
        check(&[fitting], InstructionMode::ActOnInstruction, &[(1, Beginning::Due)]);
    }

    #[test]
    fn a_plan_is_never_empty() {
        assert_eq!(plan(&reach(), &[], InstructionMode::ActOnInstruction), Err(NoSystems));
    }
}
