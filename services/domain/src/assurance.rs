//! What was proven about the requester, and whether that is enough (intake.md §4).

use jiff::Timestamp;

use crate::right::Right;
use crate::word::vocabulary;

vocabulary! {
    /// How sure we are that the requester is the person, from nothing to the controller's own word.
    AssuranceLevel ("assurance level") {
        /// Nothing was shown.
        None = "none",
        /// A code to the e-mail address or phone came back.
        AddressControl = "address_control",
        /// A signed webhook came from that very account.
        ChannelControl = "channel_control",
        /// The client's own login.
        AccountSession = "account_session",
        /// A named operator checked.
        OperatorChecked = "operator_checked",
        /// The controller said so.
        ControllerConfirmed = "controller_confirmed",
    }
}

/// What was proven, when, by which evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assurance {
    /// How sure.
    pub level: AssuranceLevel,
    /// When it was shown.
    pub at: Timestamp,
    /// SHA-256 of what showed it (the signed body, the session's proof); never the thing itself.
    pub evidence: Option<[u8; 32]>,
}

/// The least assurance for a right, where the controller's registration says nothing else: what only destroys
/// needs control of the channel that holds it, what discloses needs a login or somebody's check.
#[must_use]
pub fn needed_by_default(right: Right) -> AssuranceLevel {
    match right {
        Right::Access | Right::Portability => AssuranceLevel::AccountSession,
        Right::Deletion | Right::Correction | Right::Restriction => AssuranceLevel::ChannelControl,
        Right::Objection | Right::ConsentWithdrawal | Right::OptOut => AssuranceLevel::AddressControl,
        Right::Offboarding => AssuranceLevel::ControllerConfirmed,
    }
}
