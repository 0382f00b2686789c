//! What may happen to a clock, and what may not.
//!
//! Events are replayed over the case; the replay refuses the first one that the law does not allow, so a store that
//! asks before it appends never holds an illegal log. The start is not an event: it is the receipt itself, and
//! nothing moves it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Case;
use super::candidate::Kind;
use super::rules::{Regime, Term};
use crate::right::Right;
use crate::word::vocabulary;

vocabulary! {
    /// Why a clock stands still.
    PauseReason ("reason for a pause") {
        /// Reasonable doubts about who is asking.
        Identity = "identity",
        /// The request has to be explained before it can be answered.
        Clarification = "clarification",
        /// A lawful fee is outstanding.
        Fee = "fee",
    }
}

vocabulary! {
    /// Why more time is taken; GDPR Art. 12(3) and Cal. Civ. Code 1798.145(h) name the same two.
    ExtendReason ("reason for an extension") {
        /// The request is complex.
        Complexity = "complexity",
        /// There are many requests.
        Number = "number",
    }
}

/// Something that happened to a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockEvent {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub change: Change,
}

/// What can happen to a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Change {
    /// It stands still from now on.
    Pause {
        /// On which ground; the law has to know it.
        reason: PauseReason,
    },
    /// It runs again. Due dates move by the days between.
    Resume,
    /// More time is taken.
    Extend {
        /// Why, as the person was told.
        reason: ExtendReason,
        /// When the person was told: within the first period, or it doesn't count.
        notice_sent_at: Timestamp,
    },
    /// The request is answered; nothing more can happen.
    Close,
}

/// Whether a clock is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockState {
    /// Towards its due date.
    Running,
    /// Standing still; its dates are the earliest that are still possible.
    PausedSince(Timestamp),
    /// Done.
    ClosedAt(Timestamp),
}

/// Why a clock's events, or the wish for a due date, were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// An event before the receipt, or before the event that it follows.
    #[error("a clock event at {0} comes before what it follows")]
    OutOfOrder(Timestamp),
    /// An event after the close.
    #[error("the clock was closed before {0}")]
    Closed(Timestamp),
    /// A pause on a ground that the law does not know.
    #[error("{regime} does not allow a pause for {reason}")]
    PauseNotAllowed {
        /// The law.
        regime: &'static str,
        /// The ground.
        reason: PauseReason,
    },
    /// A pause of a clock that has already run out.
    #[error("the clock ran out at {due}: it can't be paused any more")]
    PauseTooLate {
        /// The end that was missed.
        due: Timestamp,
    },
    /// A pause within a pause.
    #[error("the clock is already paused")]
    AlreadyPaused,
    /// A resumption of a running clock.
    #[error("the clock isn't paused")]
    NotPaused,
    /// An extension that the law does not give for this right.
    #[error("{regime} gives no extension for {right}")]
    NotExtendable {
        /// The law.
        regime: &'static str,
        /// The right.
        right: Right,
    },
    /// A second extension.
    #[error("the clock is already extended")]
    AlreadyExtended,
    /// The person was told after the first period had ended.
    #[error("the notice of an extension had to be sent by {due}")]
    NoticeTooLate {
        /// The end of the first period.
        due: Timestamp,
    },
    /// A notice from before the receipt, or from after the event that reports it.
    #[error("the notice of an extension must have been sent after receipt and before it is recorded")]
    NoticeOutOfOrder,
    /// Neither the law nor the contract sets an end.
    #[error("{regime} sets no term for {right}, and the contract sets none")]
    NoTerm {
        /// The law.
        regime: &'static str,
        /// The right.
        right: Right,
    },
}

/// Where the events have brought a clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) state: ClockState,
    /// Whole days between pauses and resumptions, by the controller's calendar: never rounded up.
    pub(super) paused_days: i32,
    /// When the person was told of an extension.
    pub(super) extended: Option<Timestamp>,
}

/// The events seen so far, and the case that they belong to.
struct Replay<'a> {
    regime: &'static Regime,
    case: Case<'a>,
    run: Run,
}

impl Run {
    /// Where the events bring the clock, or the first of them that is not allowed.
    pub(super) fn of(regime: &'static Regime, case: Case) -> Result<Self, ClockError> {
        let run = Self {
            state: ClockState::Running,
            paused_days: 0,
            extended: None,
        };
        let mut replay = Replay { regime, case, run };
        let mut last = case.received_at;
        for event in case.events {
            if event.at < last {
                return Err(ClockError::OutOfOrder(event.at));
            }
            last = event.at;
            replay.run = replay.next(*event)?;
        }
        Ok(replay.run)
    }
}

impl Replay<'_> {
    fn next(&self, event: ClockEvent) -> Result<Run, ClockError> {
        match (self.run.state, event.change) {
            (ClockState::ClosedAt(_), _) => Err(ClockError::Closed(event.at)),
            (_, Change::Close) => Ok(Run {
                state: ClockState::ClosedAt(event.at),
                ..self.run
            }),
            (ClockState::Running, Change::Pause { reason }) => self.pause(event.at, reason),
            (ClockState::PausedSince(_), Change::Pause { .. }) => Err(ClockError::AlreadyPaused),
            (ClockState::PausedSince(since), Change::Resume) => Ok(self.resume(since, event.at)),
            (ClockState::Running, Change::Resume) => Err(ClockError::NotPaused),
            (_, Change::Extend { notice_sent_at, .. }) => self.extend(event.at, notice_sent_at),
        }
    }

    fn pause(&self, at: Timestamp, reason: PauseReason) -> Result<Run, ClockError> {
        if !self.regime.pausable_reasons().contains(&reason) {
            return Err(ClockError::PauseNotAllowed {
                regime: self.regime.id(),
                reason,
            });
        }
        let kind = if self.run.extended.is_some() {
            Kind::Extended
        } else {
            Kind::Due
        };
        match self.regime.term(self.case.right, kind).map(|term| self.end(term, at)) {
            Some(due) if at > due => Err(ClockError::PauseTooLate { due }),
            _ => Ok(Run {
                state: ClockState::PausedSince(at),
                ..self.run
            }),
        }
    }

    fn resume(&self, since: Timestamp, at: Timestamp) -> Run {
        Run {
            state: ClockState::Running,
            paused_days: self.run.paused_days + self.days(since, at),
            ..self.run
        }
    }

    fn extend(&self, at: Timestamp, notice_sent_at: Timestamp) -> Result<Run, ClockError> {
        let right = self.case.right;
        let terms = self
            .regime
            .term(right, Kind::Due)
            .zip(self.regime.term(right, Kind::Extended));
        let Some((first, _)) = terms else {
            return Err(ClockError::NotExtendable {
                regime: self.regime.id(),
                right,
            });
        };
        if self.run.extended.is_some() {
            return Err(ClockError::AlreadyExtended);
        }
        if notice_sent_at < self.case.received_at || at < notice_sent_at {
            return Err(ClockError::NoticeOutOfOrder);
        }
        let due = self.end(first, notice_sent_at);
        if notice_sent_at > due {
            return Err(ClockError::NoticeTooLate { due });
        }
        Ok(Run {
            extended: Some(notice_sent_at),
            ..self.run
        })
    }

    /// The legal end of a term as it stood at an instant, with the days of a pause that was running then.
    fn end(&self, term: &Term, as_of: Timestamp) -> Timestamp {
        let running = match self.run.state {
            ClockState::PausedSince(since) => self.days(since, as_of).max(0),
            _ => 0,
        };
        self.case
            .span(self.regime, term, self.run.paused_days + running)
            .at(self.case.place)
    }

    fn days(&self, from: Timestamp, to: Timestamp) -> i32 {
        let place = self.case.place;
        (place.date(to) - place.date(from)).get_days()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Contract, OwnDays, Place, Regime};
    use super::*;

    const IDENTITY: Change = Change::Pause {
        reason: PauseReason::Identity,
    };

    fn at(text: &str) -> Timestamp {
        format!("{text}T12:00:00Z").parse().unwrap()
    }

    fn extend(notice: &str) -> Change {
        Change::Extend {
            reason: ExtendReason::Number,
            notice_sent_at: at(notice),
        }
    }

    /// A request of 31 January 2026 in Berlin: due on 2 March.
    fn replay(regime: &str, right: Right, events: &[(&str, Change)]) -> Result<ClockState, ClockError> {
        let event = |(day, change): &(&str, Change)| ClockEvent {
            at: at(day),
            change: *change,
        };
        let events: Vec<_> = events.iter().map(event).collect();
        let case = Case {
            right,
            received_at: at("2026-01-31"),
            place: &Place::new("Europe/Berlin", "DE", &OwnDays::default()).unwrap(),
            contract: &Contract::default(),
            events: &events,
        };
        Regime::known(regime).unwrap().due(case).map(|due| due.state)
    }

    #[test]
    fn a_pause_needs_a_ground_that_the_law_knows() {
        for reason in PauseReason::ALL.iter().copied() {
            let pause = |regime| replay(regime, Right::Deletion, &[("2026-02-10", Change::Pause { reason })]);
            let refused = |regime| Err(ClockError::PauseNotAllowed { regime, reason });
            let paused = Ok(ClockState::PausedSince(at("2026-02-10")));
            assert_eq!(
                pause("gdpr"),
                if reason == PauseReason::Identity {
                    paused
                } else {
                    refused("gdpr")
                }
            );
            assert_eq!(pause("ccpa"), refused("ccpa"));
        }
    }

    #[test]
    fn a_notice_counts_within_the_first_period_alone() {
        let gdpr = |events: &[(&str, Change)]| replay("gdpr", Right::Deletion, events);
        // The last day of the period is the rolled one, and it may be recorded later.
        assert!(gdpr(&[("2026-03-05", extend("2026-03-02"))]).is_ok());
        let late = gdpr(&[("2026-03-05", extend("2026-03-03"))]).unwrap_err();
        assert_eq!(
            late.to_string(),
            "the notice of an extension had to be sent by 2026-03-02T22:59:59Z"
        );
        // Four days of identity check make room for it, while they run and afterwards.
        let check = [("2026-02-10", IDENTITY), ("2026-02-14", Change::Resume)];
        assert!(gdpr(&[check[0], check[1], ("2026-03-03", extend("2026-03-03"))]).is_ok());
        assert!(gdpr(&[check[0], ("2026-03-03", extend("2026-03-03"))]).is_ok());
        assert!(gdpr(&[check[0], check[1], ("2026-03-05", extend("2026-03-05"))]).is_err());

        let early = gdpr(&[("2026-02-05", extend("2026-01-30"))]);
        assert_eq!(early, Err(ClockError::NoticeOutOfOrder));
        assert_eq!(
            gdpr(&[("2026-02-05", extend("2026-02-06"))]),
            Err(ClockError::NoticeOutOfOrder)
        );
    }

    #[test]
    fn an_opt_out_has_no_extension() {
        let refused = replay("ccpa", Right::OptOut, &[("2026-02-05", extend("2026-02-05"))]);
        let regime = "ccpa";
        assert_eq!(
            refused,
            Err(ClockError::NotExtendable {
                regime,
                right: Right::OptOut
            })
        );
    }

    #[test]
    fn what_does_not_follow_is_refused() {
        let gdpr = |events: &[(&str, Change)]| replay("gdpr", Right::Deletion, events);
        let pause = ("2026-02-10", IDENTITY);
        let resume = ("2026-02-12", Change::Resume);
        let close = ("2026-02-13", Change::Close);
        assert_eq!(
            gdpr(&[("2026-01-30", Change::Close)]),
            Err(ClockError::OutOfOrder(at("2026-01-30")))
        );
        assert_eq!(gdpr(&[close, resume]), Err(ClockError::OutOfOrder(at("2026-02-12"))));
        assert_eq!(gdpr(&[resume]), Err(ClockError::NotPaused));
        assert_eq!(gdpr(&[pause, pause]), Err(ClockError::AlreadyPaused));
        assert_eq!(gdpr(&[pause, close, close]), Err(ClockError::Closed(at("2026-02-13"))));
        let twice = [
            ("2026-02-05", extend("2026-02-05")),
            ("2026-02-06", extend("2026-02-06")),
        ];
        assert_eq!(gdpr(&twice), Err(ClockError::AlreadyExtended));
        let late = gdpr(&[("2026-03-03", IDENTITY)]);
        assert!(matches!(late, Err(ClockError::PauseTooLate { .. })), "{late:?}");
        // After an extension, it is the extended end that counts.
        assert!(gdpr(&[twice[0], ("2026-03-03", IDENTITY)]).is_ok());
    }

    #[test]
    fn events_read_as_they_are_written() {
        let event = ClockEvent {
            at: at("2026-02-10"),
            change: IDENTITY,
        };
        let text = toml::to_string(&event).unwrap();
        assert_eq!(
            text,
            "at = \"2026-02-10T12:00:00Z\"\nevent = \"pause\"\nreason = \"identity\"\n"
        );
        assert_eq!(toml::from_str(&text), Ok(event));
    }
}
