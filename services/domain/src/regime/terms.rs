//! A controller's regime, place and contract, parsed once: what its due dates are computed with.

use jiff::Timestamp;

use super::{
    Candidate, Case, ClockError, ClockEvent, Contract, Due, OwnDays, Place, PlaceError, Regime, UnknownRegime,
};
use crate::registration::Controller;
use crate::right::Right;

/// What a controller's clocks run under.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Its law.
    pub regime: &'static Regime,
    /// Where it sits.
    pub place: Place,
    /// What it was promised.
    pub contract: Contract,
}

/// Why a registration's clocks can't run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// A law that is not known.
    #[error(transparent)]
    Regime(#[from] UnknownRegime),
    /// A zone, country or weekend that does not exist.
    #[error(transparent)]
    Place(#[from] PlaceError),
}

impl Terms {
    /// Looks the names up.
    pub fn new(regime: &str, zone: &str, country: &str, own: &OwnDays, contract: Contract) -> Result<Self, TermsError> {
        let regime = Regime::known(regime)?;
        let place = Place::new(zone, country, own)?;
        Ok(Self {
            regime,
            place,
            contract,
        })
    }

    /// When a request must be answered; see [`Regime::due`].
    pub fn due(&self, right: Right, received_at: Timestamp, events: &[ClockEvent]) -> Result<Due, ClockError> {
        self.regime.due(self.case(right, received_at, events))
    }

    /// Every date of a request; see [`Regime::candidates`].
    pub fn candidates(
        &self,
        right: Right,
        received_at: Timestamp,
        events: &[ClockEvent],
    ) -> Result<Vec<Candidate>, ClockError> {
        self.regime.candidates(self.case(right, received_at, events))
    }

    fn case<'a>(&'a self, right: Right, received_at: Timestamp, events: &'a [ClockEvent]) -> Case<'a> {
        Case {
            right,
            received_at,
            place: &self.place,
            contract: &self.contract,
            events,
        }
    }
}

impl Controller {
    /// What this controller's clocks run under; a registration that fails here is refused.
    pub fn terms(&self) -> Result<Terms, TermsError> {
        Terms::new(&self.regime, &self.zone, &self.country, &self.days, self.contract)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTERED: &str = r#"
        id = "ctl_00000000000000000000000001"
        slug = "nablus-sweets"
        name = "Nablus Sweets"
        regime = "gdpr"
        zone = "Asia/Hebron"
        country = "PS"
        issuer = "https://nablus-sweets.example"
        contract = { answer = { business_days = 5 } }
        days = { holidays = ["2026-05-07"] }"#;

    #[test]
    fn a_controllers_due_date_follows_from_its_registration() {
        let controller: Controller = toml::from_str(REGISTERED).unwrap();
        let terms = controller.terms().unwrap();
        let due = terms
            .due(Right::Deletion, "2026-05-04T09:00:00Z".parse().unwrap(), &[])
            .unwrap();
        assert_eq!(
            due.reason,
            "Contract: 5 business days from receipt on 4 May 2026 end 12 May 2026, not counting \
             the controller's own holiday (7 May 2026), 23:59:59 Asia/Hebron (no holidays of PS apply: weekends alone count)"
        );
        assert_eq!(due.at.to_string(), "2026-05-12T20:59:59Z");
    }

    #[test]
    fn a_registration_with_a_name_that_is_not_known_is_refused() {
        for (from, to) in [("gdpr", "hipaa"), ("Asia/Hebron", "Asia/Nablus"), ("\"PS\"", "\"ps\"")] {
            let controller: Controller = toml::from_str(&REGISTERED.replace(from, to)).unwrap();
            assert!(controller.terms().is_err(), "{to}");
        }
    }
}
