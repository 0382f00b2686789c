//! What becomes of a task after an attempt (delivery.md §2). Pure.

use std::time::Duration;

use connectors::Attempted;
use domain::task::ParkReason;
use jiff::{SignedDuration, Timestamp};
use platform::egress::{RetryAfter, Theirs};
use schemars::JsonSchema;
use serde::Deserialize;
use store::tasks::record::Next;

/// Standard Webhooks' schedule without its first, immediate attempt: 5 s, 5 m, 30 m, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.
const STEPS_SECONDS: [u64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// What an endpoint may ask for at most; longer would be a way to make a deadline pass unseen.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// 401, 403 or 404 once is a release under way; three times in a row is a system that doesn't want us.
const REJECTIONS_MAX: i64 = 3;

/// A fault of ours is usually over within seconds, and spends nothing of the owner's.
const OURS_AGAIN: Duration = Duration::from_secs(5);

/// When a task is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// Seconds before the second attempt, the third, …; the last one repeats.
    pub steps_seconds: Vec<u64>,
    /// A delay is drawn from so many percent around its step, so that endpoints that failed together are not tried
    /// together.
    pub jitter_percent: u8,
    /// How long after its deadline a task is still tried; then it is parked, and stays open.
    pub after_deadline_days: u32,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            steps_seconds: STEPS_SECONDS.to_vec(),
            jitter_percent: 20,
            after_deadline_days: 30,
        }
    }
}

/// What is known of a task when its attempt is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tried {
    /// Steps that were used up before.
    pub steps: i64,
    /// Answers 401, 403 or 404 in a row before.
    pub rejections: i64,
    /// When the request's answer is due.
    pub deadline: Timestamp,
    /// When the attempt was over.
    pub now: Timestamp,
    /// Chance in [0, 1).
    pub chance: f64,
}

/// Where the task goes, and its counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Where it goes.
    pub next: Next,
    /// Steps that are used up now.
    pub steps: i64,
    /// Rejections in a row now.
    pub rejections: i64,
    /// Until when the whole endpoint wants to be left alone.
    pub pause: Option<Timestamp>,
    /// What the attempt showed of the endpoint.
    pub health: Health,
}

/// What an attempt shows of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It works.
    Good,
    /// It is overloaded, or does not answer in time.
    Slow,
    /// It does not work.
    Bad,
    /// Nothing: the fault is ours, or it works and does not want this task.
    Unknown,
}

impl From<&Attempted> for Health {
    fn from(attempted: &Attempted) -> Self {
        match attempted {
            Attempted::Delivered { .. } => Self::Good,
            Attempted::Answered {
                status: 429 | 502 | 503 | 504,
                ..
            }
            | Attempted::Failed(Theirs::ConnectTimeout | Theirs::Timeout) => Self::Slow,
            // They end in parking, which a breaker would only put off.
            Attempted::Answered {
                status: 401 | 403 | 404 | 410,
                ..
            }
            | Attempted::Misregistered
            | Attempted::Ours(_) => Self::Unknown,
            Attempted::Answered { .. } | Attempted::Failed(_) => Self::Bad,
        }
    }
}

impl Decision {
    /// With these counters; the endpoint showed nothing.
    pub(super) fn keeping(next: Next, steps: i64, rejections: i64) -> Self {
        Self {
            next,
            steps,
            rejections,
            pause: None,
            health: Health::Unknown,
        }
    }
}

impl Schedule {
    /// Decides.
    #[must_use]
    pub fn decide(&self, attempted: &Attempted, tried: Tried) -> Decision {
        Decision {
            health: attempted.into(),
            ..self.next(attempted, tried)
        }
    }

    fn next(&self, attempted: &Attempted, tried: Tried) -> Decision {
        let keep = |next| Decision::keeping(next, tried.steps, tried.rejections);
        match attempted {
            Attempted::Delivered { .. } => Decision {
                rejections: 0,
                ..keep(Next::Delivered(tried.now))
            },
            Attempted::Answered { status: 410, .. } => keep(Next::Parked(ParkReason::Gone)),
            Attempted::Answered {
                status: 401 | 403 | 404,
                ..
            } => self.reject(tried),
            Attempted::Answered {
                status: 429 | 503,
                retry_after,
            } => {
                let pause = retry_after.map(|wait| later(tried.now, wait_from(wait, tried.now)));
                let decision = self.again(tried, pause);
                Decision { pause, ..decision }
            }
            Attempted::Answered { .. } | Attempted::Failed(_) => self.again(tried, None),
            Attempted::Misregistered => keep(Next::Parked(ParkReason::Misregistered)),
            Attempted::Ours(_) => Self::ours(tried),
        }
    }

    /// A fault of ours: no step is spent.
    #[must_use]
    pub fn ours(tried: Tried) -> Decision {
        Decision::keeping(Next::Due(later(tried.now, OURS_AGAIN)), tried.steps, tried.rejections)
    }

    fn reject(&self, tried: Tried) -> Decision {
        let rejections = tried.rejections + 1;
        if rejections >= REJECTIONS_MAX {
            return Decision::keeping(Next::Parked(ParkReason::Rejected), tried.steps, rejections);
        }
        Decision {
            rejections,
            ..self.again(tried, None)
        }
    }

    /// The next step, but not before the endpoint wants it; parked once the deadline is long past.
    fn again(&self, tried: Tried, not_before: Option<Timestamp>) -> Decision {
        let scheduled = later(tried.now, self.delay(tried.steps, tried.chance));
        let at = not_before.map_or(scheduled, |pause| pause.max(scheduled));
        let grace = SignedDuration::from_hours(24 * i64::from(self.after_deadline_days));
        let given_up = tried.deadline.checked_add(grace).is_ok_and(|end| at > end);
        let next = if given_up {
            Next::Parked(ParkReason::Exhausted)
        } else {
            Next::Due(at)
        };
        Decision::keeping(next, tried.steps + 1, 0)
    }

    fn delay(&self, steps: i64, chance: f64) -> Duration {
        let last = self.steps_seconds.len().saturating_sub(1);
        let step = usize::try_from(steps).unwrap_or(last).min(last);
        let seconds = self.steps_seconds.get(step).copied().unwrap_or(86_400);
        let spread = f64::from(self.jitter_percent.min(100)) / 100.0;
        Duration::from_secs(seconds).mul_f64(1.0 - spread + 2.0 * spread * chance)
    }
}

fn wait_from(wait: RetryAfter, now: Timestamp) -> Duration {
    let wait = match wait {
        RetryAfter::Delay(delay) => delay,
        RetryAfter::At(at) => Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO),
    };
    wait.min(RETRY_AFTER_MAX)
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use platform::egress::Ours;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    const DAY: i64 = 86_400;

    fn decide(attempted: &Attempted, steps: i64, rejections: i64) -> Decision {
        let tried = Tried {
            steps,
            rejections,
            deadline: at(30 * DAY),
            now: at(0),
            chance: 0.5,
        };
        Schedule::default().decide(attempted, tried)
    }

    fn answered(status: u16) -> Attempted {
        Attempted::Answered {
            status,
            retry_after: None,
        }
    }

    #[test]
    fn failures_walk_the_schedule_and_then_come_daily() {
        let seconds = |steps| match decide(&answered(500), steps, 0).next {
            Next::Due(due) => due.duration_since(at(0)).as_secs(),
            other => panic!("{other:?}"),
        };
        let walked: Vec<i64> = (0..11).map(seconds).collect();
        assert_eq!(
            walked,
            [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, DAY, DAY, DAY]
        );
        assert_eq!(decide(&Attempted::Failed(Theirs::Timeout), 3, 0).steps, 4);
    }

    #[test]
    fn chance_spreads_a_step_by_a_fifth() {
        let delay = |chance| Schedule::default().delay(1, chance).as_secs();
        assert_eq!((delay(0.0), delay(0.5), delay(1.0)), (240, 300, 360));
    }

    #[test]
    fn our_faults_spend_nothing() {
        let decision = decide(&Attempted::Ours(Ours::Resolver), 4, 1);
        assert_eq!(decision, Decision::keeping(Next::Due(at(5)), 4, 1));
    }

    #[test]
    fn an_endpoint_is_judged_by_what_it_did_and_not_by_what_it_rejects() {
        let health = |attempted: &Attempted| decide(attempted, 0, 0).health;
        for slow in [429, 502, 503, 504] {
            assert_eq!(health(&answered(slow)), Health::Slow, "{slow}");
        }
        assert_eq!(health(&Attempted::Failed(Theirs::Timeout)), Health::Slow);
        for bad in [302, 400, 500, 501] {
            assert_eq!(health(&answered(bad)), Health::Bad, "{bad}");
        }
        assert_eq!(health(&Attempted::Failed(Theirs::Refused)), Health::Bad);
        for rejected in [401, 403, 404, 410] {
            assert_eq!(health(&answered(rejected)), Health::Unknown, "{rejected}");
        }
        assert_eq!(health(&Attempted::Ours(Ours::Network)), Health::Unknown);
        let receipt = None;
        assert_eq!(health(&Attempted::Delivered { status: 204, receipt }), Health::Good);
    }

    #[test]
    fn who_is_gone_or_keeps_rejecting_is_parked() {
        assert_eq!(decide(&answered(410), 0, 0).next, Next::Parked(ParkReason::Gone));
        assert!(matches!(decide(&answered(404), 0, 1).next, Next::Due(_)));
        assert_eq!(decide(&answered(404), 0, 2).next, Next::Parked(ParkReason::Rejected));
        assert_eq!(
            decide(&Attempted::Misregistered, 0, 0).next,
            Next::Parked(ParkReason::Misregistered)
        );
    }

    #[test]
    fn an_endpoint_may_ask_for_a_day_and_no_more() {
        let asked = |wait| match decide(
            &Attempted::Answered {
                status: 503,
                retry_after: Some(wait),
            },
            0,
            0,
        )
        .next
        {
            Next::Due(due) => due.duration_since(at(0)).as_secs(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            asked(RetryAfter::Delay(Duration::from_secs(1))),
            5,
            "at least the schedule's"
        );
        assert_eq!(asked(RetryAfter::Delay(Duration::from_secs(700))), 700);
        assert_eq!(asked(RetryAfter::At(at(900))), 900);
        assert_eq!(asked(RetryAfter::Delay(Duration::from_hours(48))), DAY);
    }

    #[test]
    fn long_after_its_deadline_a_task_is_parked_and_stays_open() {
        let tried = Tried {
            steps: 60,
            rejections: 0,
            deadline: at(0),
            now: at(30 * DAY - 1),
            chance: 0.5,
        };
        let next = Schedule::default().decide(&answered(500), tried).next;
        assert_eq!(next, Next::Parked(ParkReason::Exhausted));
    }
}
