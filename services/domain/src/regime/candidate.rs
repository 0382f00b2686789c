//! Every date that a case could be due at, each with its reason, and the one that binds.
//!
//! An acknowledgement is a duty of its own: it is listed, and never taken for the answer. A margin inside the legal
//! period ([`Kind::Internal`]) and the date before it was rolled move alarms, not the due date.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::Case;
use super::calendar::{Place, Week};
use super::clock::{ClockError, ClockState, Run};
use super::rules::{Period, Regime, Term};
use super::words;
use crate::word::vocabulary;

vocabulary! {
    /// What a date is the end of.
    Kind ("kind of term") {
        /// The law's period for confirming receipt.
        Acknowledge = "acknowledge",
        /// The law's period for the answer.
        Due = "due",
        /// The law's period for the answer, once it is extended.
        Extended = "extended",
        /// The margin that we keep before the law's end.
        Internal = "internal",
        /// The contract's period for the answer.
        Contract = "contract",
        /// The contract's period for confirming receipt.
        ContractAcknowledge = "contract_acknowledge",
    }
}

/// One date, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// What ends.
    pub kind: Kind,
    /// The last second.
    pub at: Timestamp,
    /// The last second before it was moved over free days.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rolled_from: Option<Timestamp>,
    /// Whether it holds now. An extended date doesn't before the extension, nor the first one after it.
    pub binding: bool,
    /// The computation in words, for an auditor to follow. Never anything about the person.
    pub reason: String,
    /// The rule's source, and how sure we are of it.
    pub source: String,
}

/// The date that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// The latest moment for the answer.
    pub at: Timestamp,
    /// What ends then.
    pub kind: Kind,
    /// Why then.
    pub reason: String,
    /// From when on it is late by our own measure: margins kept, nothing rolled over free days.
    pub alarm_at: Timestamp,
    /// The latest moment for confirming receipt, where that is a duty.
    pub acknowledge_at: Option<Timestamp>,
    /// Whether the clock is running.
    pub state: ClockState,
}

/// From a receipt to the end of a term.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) received: Date,
    /// Where the period ends by counting.
    pub(super) counted: Date,
    /// `counted`, moved by the paused days.
    pub(super) moved: Date,
    /// `moved`, rolled to a working day where the law does so.
    pub(super) end: Date,
    pub(super) paused_days: i32,
}

impl Regime {
    /// Every date of a case, in the order of the law's file, the contract's last.
    pub fn candidates(&'static self, case: Case) -> Result<Vec<Candidate>, ClockError> {
        let run = Run::of(self, case)?;
        let law = self.terms(case.right).flat_map(|term| case.by_law(self, term, run));
        Ok(law.chain(case.by_contract()).collect())
    }

    /// The earliest date that binds. Fails where an event was not allowed, or nothing sets an end.
    pub fn due(&'static self, case: Case) -> Result<Due, ClockError> {
        let state = Run::of(self, case)?.state;
        let candidates = self.candidates(case)?;
        let of = |kinds: &'static [Kind]| {
            let binding = candidates.iter().filter(|candidate| candidate.binding);
            binding.filter(move |candidate| kinds.contains(&candidate.kind))
        };
        let answer = of(&[Kind::Due, Kind::Extended, Kind::Contract]).min_by_key(|candidate| candidate.at);
        let alarm = of(&[Kind::Due, Kind::Extended, Kind::Contract, Kind::Internal])
            .map(Candidate::unrolled)
            .min();
        let acknowledge = of(&[Kind::Acknowledge, Kind::ContractAcknowledge])
            .map(|candidate| candidate.at)
            .min();
        let (answer, alarm_at) = answer.zip(alarm).ok_or(ClockError::NoTerm {
            regime: self.id(),
            right: case.right,
        })?;
        let Candidate { at, kind, reason, .. } = answer.clone();
        Ok(Due {
            at,
            kind,
            reason,
            alarm_at,
            acknowledge_at: acknowledge,
            state,
        })
    }
}

impl Candidate {
    /// The date before it was moved over free days: what alarms run on.
    #[must_use]
    pub fn unrolled(&self) -> Timestamp {
        self.rolled_from.unwrap_or(self.at)
    }
}

impl Span {
    fn new(received: Date, within: Period, paused_days: i32, roll: bool, week: &Week) -> Self {
        let counted = within.end(received, week);
        let moved = counted.saturating_add(jiff::Span::new().days(paused_days));
        let end = if roll { week.roll(moved) } else { moved };
        Self {
            received,
            counted,
            moved,
            end,
            paused_days,
        }
    }

    pub(super) fn at(&self, place: &Place) -> Timestamp {
        place.end_of(self.end)
    }

    fn rolled_from(&self, place: &Place) -> Option<Timestamp> {
        (self.end != self.moved).then(|| place.end_of(self.moved))
    }
}

impl Case<'_> {
    /// From the receipt to the end of a term of the law.
    pub(super) fn span(&self, regime: &Regime, term: &Term, paused_days: i32) -> Span {
        let week = self.place.calendar.under(&regime.working_days);
        Span::new(
            self.place.date(self.received_at),
            term.within,
            paused_days,
            term.roll,
            &week,
        )
    }

    fn by_law(&self, regime: &'static Regime, term: &Term, run: Run) -> Vec<Candidate> {
        let week = self.place.calendar.under(&regime.working_days);
        let span = self.span(regime, term, run.paused_days);
        let notice = run.extended.map(|notice| self.place.date(notice));
        let reason = words::by_law(term, notice, &span, &week, self.place);
        let candidate = Candidate {
            kind: term.kind,
            at: span.at(self.place),
            rolled_from: span.rolled_from(self.place),
            binding: term.kind == Kind::Acknowledge || (term.kind == Kind::Extended) == run.extended.is_some(),
            reason,
            source: words::source(term, &regime.pausing, run.paused_days),
        };
        let margin = (term.margin_days > 0).then(|| self.margin(term, &span, &candidate));
        [Some(candidate), margin].into_iter().flatten().collect()
    }

    fn margin(&self, term: &Term, span: &Span, legal: &Candidate) -> Candidate {
        let date = span
            .moved
            .saturating_sub(jiff::Span::new().days(i32::from(term.margin_days)));
        Candidate {
            kind: Kind::Internal,
            at: self.place.end_of(date),
            rolled_from: None,
            binding: legal.binding,
            reason: words::margin(term, span.moved, date, self.place),
            source: legal.source.clone(),
        }
    }

    fn by_contract(&self) -> impl Iterator<Item = Candidate> {
        let acknowledge = self
            .contract
            .acknowledge
            .map(|within| (Kind::ContractAcknowledge, within));
        let answer = self.contract.answer.map(|within| (Kind::Contract, within));
        [acknowledge, answer]
            .into_iter()
            .flatten()
            .map(|(kind, within)| self.promise(kind, within))
    }

    fn promise(&self, kind: Kind, within: Period) -> Candidate {
        let week = self.place.calendar.local();
        let span = Span::new(self.place.date(self.received_at), within, 0, false, &week);
        Candidate {
            kind,
            at: span.at(self.place),
            rolled_from: None,
            binding: true,
            reason: words::by_contract(kind, within, &span, &week, self.place),
            source: "the controller's contract, as registered".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Change, ClockEvent, ExtendReason, OwnDays, PauseReason};
    use super::*;
    use crate::regime::Contract;
    use crate::right::Right;

    const NO_CONTRACT: Contract = Contract {
        answer: None,
        acknowledge: None,
    };
    const BERLIN: (&str, &str) = ("Europe/Berlin", "DE");
    const LOS_ANGELES: (&str, &str) = ("America/Los_Angeles", "US");
    const HEBRON: (&str, &str) = ("Asia/Hebron", "PS");

    fn place((zone, country): (&str, &str)) -> Place {
        Place::new(zone, country, &OwnDays::default()).unwrap()
    }

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    /// Noon of a date, there: far from both midnights.
    fn noon(place: &Place, text: &str) -> Timestamp {
        place.end_of(date(text)) - jiff::SignedDuration::from_hours(12)
    }

    fn case<'a>(right: Right, place: &'a Place, received: &str, events: &'a [ClockEvent]) -> Case<'a> {
        Case {
            right,
            received_at: noon(place, received),
            place,
            contract: &NO_CONTRACT,
            events,
        }
    }

    fn all(regime: &str, case: Case) -> Vec<Candidate> {
        Regime::known(regime).unwrap().candidates(case).unwrap()
    }

    fn one(candidates: &[Candidate], kind: Kind) -> &Candidate {
        let mut found = candidates.iter().filter(|candidate| candidate.kind == kind);
        found.next().unwrap_or_else(|| panic!("no {kind} date"))
    }

    /// Zone and country, receipt, then the counted and the rolled end of the first month and of the extension.
    const MONTHS: &str = "
        Europe/Berlin DE 2024-03-05  2024-04-05 2024-04-05  2024-06-05 2024-06-05
        Europe/Berlin DE 2024-08-31  2024-09-30 2024-09-30  2024-11-30 2024-12-02
        Europe/Berlin DE 2025-09-03  2025-10-03 2025-10-06  2025-12-03 2025-12-03
        Europe/Lisbon PT 2025-09-03  2025-10-03 2025-10-03  2025-12-03 2025-12-03
        Europe/Berlin DE 2026-01-31  2026-02-28 2026-03-02  2026-04-30 2026-04-30
        Europe/Lisbon PT 2026-03-05  2026-04-05 2026-04-06  2026-06-05 2026-06-05
        Europe/Berlin DE 2026-03-05  2026-04-05 2026-04-07  2026-06-05 2026-06-05
        Europe/Berlin DE 2026-08-31  2026-09-30 2026-09-30  2026-11-30 2026-11-30
        Europe/Lisbon PT 2028-01-30  2028-02-29 2028-02-29  2028-04-30 2028-05-01
        Europe/Berlin DE 2028-01-30  2028-02-29 2028-02-29  2028-04-30 2028-05-02
        Europe/Berlin DE 2026-11-30  2026-12-30 2026-12-30  2027-02-28 2027-03-01
        Europe/Berlin DE 2026-12-31  2027-01-31 2027-02-01  2027-03-31 2027-03-31";

    #[test]
    fn months_end_as_worked_out_by_hand() {
        for line in MONTHS.lines().skip(1) {
            let [zone, country, received, ends @ ..] = &*line.split_whitespace().collect::<Vec<_>>() else {
                panic!("{line}");
            };
            let place = place((zone, country));
            let candidates = all("gdpr", case(Right::Deletion, &place, received, &[]));
            for (kind, ends) in [Kind::Due, Kind::Extended].into_iter().zip(ends.chunks(2)) {
                let found = one(&candidates, kind);
                let expected = (place.end_of(date(ends[0])), place.end_of(date(ends[1])));
                assert_eq!((found.unrolled(), found.at), expected, "{line}: {}", found.reason);
            }
        }
    }

    /// Every worked date for days and business days.
    #[test]
    fn days_end_as_worked_out_by_hand() {
        let place = place(LOS_ANGELES);
        for (right, kind, end) in [
            (Right::Deletion, Kind::Acknowledge, "2026-07-13"),
            (Right::Deletion, Kind::Due, "2026-08-10"),
            (Right::Deletion, Kind::Internal, "2026-08-09"),
            (Right::Access, Kind::Extended, "2026-09-24"),
            (Right::OptOut, Kind::Due, "2026-07-20"),
        ] {
            let candidates = all("ccpa", case(right, &place, "2026-06-26", &[]));
            let found = one(&candidates, kind);
            assert_eq!(found.at, place.end_of(date(end)), "{right} {kind}: {}", found.reason);
            assert_eq!(found.rolled_from, None);
        }
        // A Saturday stays one: 45 days are not rolled.
        let candidates = all("ccpa", case(Right::Deletion, &place, "2026-07-01", &[]));
        assert_eq!(one(&candidates, Kind::Due).at, place.end_of(date("2026-08-15")));
    }

    #[test]
    fn the_reason_can_be_followed_with_a_calendar() {
        let reason = |regime, at, right, received, kind| {
            let place = place(at);
            one(&all(regime, case(right, &place, received, &[])), kind)
                .reason
                .clone()
        };
        assert_eq!(
            reason("gdpr", BERLIN, Right::Deletion, "2026-01-31", Kind::Due),
            "GDPR Art. 12(3): one month from receipt on 31 Jan 2026 ends 28 Feb 2026 (Sat), \
             next working day Mon 2 Mar 2026, 23:59:59 Europe/Berlin"
        );
        assert_eq!(
            reason("gdpr", BERLIN, Right::Access, "2026-03-05", Kind::Due),
            "GDPR Art. 12(3): one month from receipt on 5 Mar 2026 ends 5 Apr 2026 (Sun), next working day \
             Tue 7 Apr 2026, not counting Easter Monday (6 Apr 2026), 23:59:59 Europe/Berlin"
        );
        assert_eq!(
            reason("gdpr", HEBRON, Right::Deletion, "2026-05-04", Kind::Due),
            "GDPR Art. 12(3): one month from receipt on 4 May 2026 ends 4 Jun 2026, 23:59:59 Asia/Hebron \
             (no holidays of PS apply: weekends alone count)"
        );
        assert_eq!(
            reason("ccpa", LOS_ANGELES, Right::Deletion, "2026-06-26", Kind::Acknowledge),
            "11 CCR 7021(a), confirming receipt: 10 business days from receipt on 26 Jun 2026 end 13 Jul 2026, \
             not counting Independence Day, observed (3 Jul 2026), 23:59:59 America/Los_Angeles"
        );
        assert_eq!(
            reason("ccpa", LOS_ANGELES, Right::Deletion, "2026-06-26", Kind::Internal),
            "11 CCR 7021(b): one day before 10 Aug 2026, in case the day of receipt counts as the first: \
             9 Aug 2026, 23:59:59 America/Los_Angeles"
        );
    }

    #[test]
    fn an_extension_counts_from_receipt_and_replaces_the_first_month() {
        let place = place(BERLIN);
        let extend = Change::Extend {
            reason: ExtendReason::Complexity,
            notice_sent_at: noon(&place, "2026-02-20"),
        };
        let events = [ClockEvent {
            at: noon(&place, "2026-02-20"),
            change: extend,
        }];
        let due = Regime::known("gdpr").unwrap();
        let due = due.due(case(Right::Deletion, &place, "2026-01-31", &events)).unwrap();
        assert_eq!((due.kind, due.at), (Kind::Extended, place.end_of(date("2026-04-30"))));
        assert_eq!(
            due.reason,
            "GDPR Art. 12(3): extended by notice of 20 Feb 2026: three months from receipt on 31 Jan 2026 \
             end 30 Apr 2026, 23:59:59 Europe/Berlin"
        );
    }

    #[test]
    fn a_pause_moves_the_end_by_whole_days_and_then_rolls() {
        let place = place(BERLIN);
        let reason = PauseReason::Identity;
        let at = |day, change| ClockEvent {
            at: noon(&place, day),
            change,
        };
        let events = [
            at("2026-02-10", Change::Pause { reason }),
            at("2026-02-16", Change::Resume),
        ];
        let gdpr = Regime::known("gdpr").unwrap();
        let due = gdpr.due(case(Right::Deletion, &place, "2026-01-31", &events)).unwrap();
        // 28 Feb + 6 days = Fri 6 Mar: not the rolled date + 6.
        assert_eq!((due.at, due.alarm_at), (place.end_of(date("2026-03-06")), due.at));
        assert!(
            due.reason
                .contains("ends 28 Feb 2026, moved by 6 paused days to 6 Mar 2026"),
            "{}",
            due.reason
        );

        let paused = gdpr
            .due(case(Right::Deletion, &place, "2026-01-31", &events[..1]))
            .unwrap();
        assert_eq!(paused.state, ClockState::PausedSince(events[0].at));
        assert_eq!(
            paused.at,
            place.end_of(date("2026-03-02")),
            "an open pause moves nothing yet"
        );
    }

    #[test]
    fn the_earliest_binding_date_wins_and_alarms_run_on_the_unrolled_one() {
        let place = place(BERLIN);
        let gdpr = Regime::known("gdpr").unwrap();
        let due = gdpr.due(case(Right::Deletion, &place, "2026-01-31", &[])).unwrap();
        assert_eq!(due.at, place.end_of(date("2026-03-02")));
        assert_eq!(due.alarm_at, place.end_of(date("2026-02-28")));

        let contract = Contract {
            answer: Some(Period::BusinessDays(5)),
            acknowledge: Some(Period::BusinessDays(1)),
        };
        let mut promised = case(Right::Deletion, &place, "2026-03-31", &[]);
        promised.contract = &contract;
        let due = gdpr.due(promised).unwrap();
        // Good Friday and Easter Monday lie between.
        assert_eq!((due.kind, due.at), (Kind::Contract, place.end_of(date("2026-04-09"))));
        assert_eq!(due.acknowledge_at, Some(place.end_of(date("2026-04-01"))));

        let place = super::tests::place(LOS_ANGELES);
        let ccpa = Regime::known("ccpa").unwrap();
        let due = ccpa.due(case(Right::Deletion, &place, "2026-06-26", &[])).unwrap();
        assert_eq!((due.kind, due.at), (Kind::Due, place.end_of(date("2026-08-10"))));
        assert_eq!(due.alarm_at, place.end_of(date("2026-08-09")), "our margin alarms");
        assert_eq!(
            due.acknowledge_at,
            Some(place.end_of(date("2026-07-13"))),
            "and this is no answer"
        );
    }

    #[test]
    fn offboarding_is_due_by_contract_alone() {
        let place = place(BERLIN);
        let gdpr = Regime::known("gdpr").unwrap();
        let mut offboarding = case(Right::Offboarding, &place, "2026-03-02", &[]);
        let error = gdpr.due(offboarding).unwrap_err();
        assert_eq!(
            error.to_string(),
            "gdpr sets no term for offboarding, and the contract sets none"
        );
        let contract = Contract {
            answer: Some(Period::Days(30)),
            acknowledge: None,
        };
        offboarding.contract = &contract;
        assert_eq!(gdpr.due(offboarding).unwrap().at, place.end_of(date("2026-04-01")));
    }

    /// The day of receipt and the end of the last day are the controller's, summer time and all.
    #[test]
    fn days_begin_and_end_at_the_controllers_midnight() {
        let due = |regime, right, at, received: &str| {
            let place = place(at);
            let mut case = case(right, &place, "2026-01-01", &[]);
            case.received_at = received.parse().unwrap();
            Regime::known(regime).unwrap().due(case).unwrap().at.to_string()
        };
        let gdpr = |at, received| due("gdpr", Right::Deletion, at, received);
        assert_eq!(gdpr(HEBRON, "2026-05-04T09:00:00Z"), "2026-06-04T20:59:59Z");
        // 00:30 of 5 May there: a day later than in UTC.
        assert_eq!(gdpr(HEBRON, "2026-05-04T21:30:00Z"), "2026-06-05T20:59:59Z");
        // Into winter time (24 Oct 2026) and into summer time (28 Mar 2026).
        assert_eq!(gdpr(HEBRON, "2026-10-20T12:00:00Z"), "2026-11-20T21:59:59Z");
        assert_eq!(gdpr(HEBRON, "2026-03-17T12:00:00Z"), "2026-04-17T20:59:59Z");
        // 23:30 of 25 Jun there, though UTC has the 26th; the period crosses no change.
        let ccpa = |received| due("ccpa", Right::Deletion, LOS_ANGELES, received);
        assert_eq!(ccpa("2026-06-26T06:30:00Z"), "2026-08-10T06:59:59Z");
        // Out of summer time: 7 a.m. UTC becomes 8.
        assert_eq!(ccpa("2026-10-01T12:00:00Z"), "2026-11-16T07:59:59Z");
    }

    #[test]
    fn the_same_facts_give_the_same_bytes() {
        let place = place(BERLIN);
        let (mut first, mut again) = (String::new(), String::new());
        for text in [&mut first, &mut again] {
            for regime in Regime::all() {
                let candidates = regime
                    .candidates(case(Right::Access, &place, "2026-12-31", &[]))
                    .unwrap();
                text.extend(candidates.iter().map(|candidate| toml::to_string(candidate).unwrap()));
            }
        }
        assert_eq!(first, again);
        let basis = Regime::known("gdpr").unwrap().basis();
        assert_eq!(
            (basis.regime, basis.regime_version, basis.calendar_version),
            ("gdpr", "2026.1", "2026.1")
        );
        assert!(basis.tzdb_version.starts_with("20"), "{basis:?}");
    }
}
