//! Whether an endpoint is worth calling: a circuit breaker. Pure.
//!
//! It opens on failures in a row, or when most of the last attempts failed. While it is open nothing is claimed for the
//! endpoint and nothing is written about it, however much waits; when its time is over, one task goes as a probe, and
//! its end closes the breaker or opens it for longer. Attempts that were under way when it opened say nothing: they
//! began before. A turn is all that is ever stored, so that a restart begins where the last holder stood.

use std::time::Duration;

use jiff::Timestamp;
use store::leases::OpenBreaker;

use super::parcel::Load;
use super::policy::Health;

/// One failure is a release under way, two are bad luck; five without a success between them are an outage.
const IN_A_ROW: u32 = 5;

/// Attempts that the ratio is taken over: more than a burst, fewer than what an endpoint gets in a quiet hour.
const WINDOW: u32 = 20;

/// Before the first probe: an endpoint that restarts is back by then.
const FIRST: Duration = Duration::from_secs(5);

/// Between two probes at most: who has mended an endpoint waits no longer to see it used.
const LONGEST: Duration = Duration::from_mins(10);

/// An endpoint's breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Breaker {
    /// Calls are made; what the last ones came to.
    Closed(Last),
    /// None are made before then, then one.
    Open(OpenBreaker, Option<Load>),
}

/// The last attempts: one bit each, the newest lowest, set where it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Last {
    failed: u32,
    seen: u32,
}

/// How many calls may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// As many as there is capacity for.
    All,
    /// One, to see whether the endpoint is back.
    Probe,
    /// None.
    Nothing,
}

/// A change that is to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It opened, or opened again.
    Opened(OpenBreaker),
    /// It closed.
    Closed,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed(Last::default())
    }
}

impl Breaker {
    /// As the last holder left it.
    pub(super) fn stored(opened: Option<OpenBreaker>) -> Self {
        opened.map_or_else(Self::default, |opened| Self::Open(opened, None))
    }

    /// What may begin now.
    pub(super) fn admits(&self, now: Timestamp) -> Admission {
        match self {
            Self::Closed(_) => Admission::All,
            Self::Open(opened, None) if opened.until <= now => Admission::Probe,
            Self::Open(..) => Admission::Nothing,
        }
    }

    /// An attempt begins; it was admitted.
    pub(super) fn begin(&mut self, load: Load) {
        if let Self::Open(_, probe) = self {
            *probe = Some(load);
        }
    }

    /// An attempt ended. `chance` in [0, 1) spreads probes, so that endpoints that failed together aren't called
    /// together.
    pub(super) fn end(&mut self, load: Load, health: Health, now: Timestamp, chance: f64) -> Option<Turn> {
        match self {
            Self::Closed(last) => {
                if !last.note(health) {
                    return None;
                }
                Some(self.open(1, now, chance))
            }
            Self::Open(_, probe) if *probe != Some(load) => None,
            Self::Open(opened, probe) => match health {
                Health::Good => {
                    *self = Self::default();
                    Some(Turn::Closed)
                }
                Health::Slow | Health::Bad => {
                    let times = opened.times.saturating_add(1);
                    Some(self.open(times, now, chance))
                }
                // Nobody was asked: the next one is the probe.
                Health::Unknown => {
                    *probe = None;
                    None
                }
            },
        }
    }

    fn open(&mut self, times: i64, now: Timestamp, chance: f64) -> Turn {
        let doubled = FIRST.saturating_mul(1 << (times - 1).clamp(0, 16)).min(LONGEST);
        let wait = doubled.mul_f64(0.8 + 0.4 * chance);
        let opened = OpenBreaker {
            until: now.checked_add(wait).unwrap_or(Timestamp::MAX),
            times,
        };
        *self = Self::Open(opened, None);
        Turn::Opened(opened)
    }
}

impl Last {
    /// Whether that was one failure too many.
    fn note(&mut self, health: Health) -> bool {
        let failed = match health {
            Health::Good => 0,
            Health::Slow | Health::Bad => 1,
            Health::Unknown => return false,
        };
        self.failed = self.failed << 1 | failed;
        self.seen = (self.seen + 1).min(WINDOW);
        let in_a_row = self.failed.trailing_ones().min(self.seen);
        let of_window = (self.failed & ((1 << WINDOW) - 1)).count_ones();
        in_a_row >= IN_A_ROW || self.seen == WINDOW && of_window * 2 > WINDOW
    }
}

#[cfg(test)]
mod tests {
    use domain::id::TaskId;
    use uuid::Uuid;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn load(number: u128) -> Load {
        Load::Task(TaskId::from_uuid(Uuid::from_u128(number)))
    }

    fn fed(breaker: &mut Breaker, healths: &[Health]) -> Option<Turn> {
        let mut turns = healths.iter().map(|health| breaker.end(load(1), *health, at(0), 0.5));
        turns.find_map(|turn| turn)
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        use Health::{Bad, Good, Slow, Unknown};
        let mut breaker = Breaker::default();
        assert_eq!(
            fed(&mut breaker, &[Bad, Slow, Bad, Bad, Good, Bad, Bad, Bad, Bad]),
            None
        );
        assert_eq!(fed(&mut breaker, &[Unknown; 9]), None, "faults of ours say nothing");
        let opened = OpenBreaker { until: at(5), times: 1 };
        assert_eq!(fed(&mut breaker, &[Bad]), Some(Turn::Opened(opened)));
        assert_eq!(breaker.admits(at(4)), Admission::Nothing);
        assert_eq!(breaker.admits(at(5)), Admission::Probe);
    }

    #[test]
    fn most_of_the_last_attempts_open_it() {
        let mut breaker = Breaker::default();
        let mixed = [Health::Bad, Health::Bad, Health::Good];
        let many: Vec<Health> = mixed.iter().copied().cycle().take(19).collect();
        assert_eq!(fed(&mut breaker, &many), None, "not enough to judge");
        assert!(fed(&mut breaker, &[Health::Bad]).is_some());
        let mut breaker = Breaker::default();
        let half: Vec<Health> = [Health::Bad, Health::Good].into_iter().cycle().take(100).collect();
        assert_eq!(fed(&mut breaker, &half), None, "half is not most");
    }

    #[test]
    fn one_probe_decides() {
        let mut breaker = Breaker::default();
        fed(&mut breaker, &[Health::Bad; 5]);
        assert_eq!(
            fed(&mut breaker, &[Health::Good, Health::Bad]),
            None,
            "they began before it opened"
        );
        breaker.begin(load(2));
        assert_eq!(breaker.admits(at(99)), Admission::Nothing, "one at a time");
        let longer = OpenBreaker {
            until: at(110),
            times: 2,
        };
        assert_eq!(
            breaker.end(load(2), Health::Slow, at(100), 0.5),
            Some(Turn::Opened(longer))
        );
        let mut again = Breaker::stored(Some(longer));
        assert_eq!(again, breaker, "a restart changes nothing");
        again.begin(load(3));
        assert_eq!(again.end(load(3), Health::Unknown, at(111), 0.5), None);
        assert_eq!(again.admits(at(111)), Admission::Probe, "nobody was asked");
        again.begin(load(4));
        assert_eq!(again.end(load(4), Health::Good, at(112), 0.5), Some(Turn::Closed));
        assert_eq!(again.admits(at(112)), Admission::All);
    }

    #[test]
    fn the_wait_grows_to_ten_minutes_and_is_spread() {
        let wait = |times, chance| {
            let opened = Breaker::default().open(times, at(0), chance);
            let Turn::Opened(opened) = opened else { unreachable!() };
            opened.until.duration_since(at(0)).as_secs()
        };
        assert_eq!(
            [1, 2, 3, 7, 8, 99].map(|times| wait(times, 0.5)),
            [5, 10, 20, 320, 600, 600]
        );
        assert_eq!((wait(8, 0.0), wait(8, 1.0)), (480, 720));
    }
}
