//! How fast an endpoint is called: its own wish, and what it shows that it can bear. Pure.
//!
//! A registration may name a rate: a bucket of one second's tokens. An endpoint that answers 429, 502, 503 or 504, or
//! not in time, has its concurrency halved, once a second at most, since what was under way fails together; each
//! success then gives back a part of one place, so that as many successes as there are places give back one.

use std::time::Duration;

use jiff::Timestamp;

use super::policy::Health;

/// What fails within this time failed for the same reason.
const TOGETHER: Duration = Duration::from_secs(1);

/// An endpoint's pace.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    /// Places that are taken away for now, of its capacity.
    withheld: f64,
    slowed_at: Option<Timestamp>,
    bucket: Option<Bucket>,
}

/// Tokens for attempts, at most one second's.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    rate: f64,
    tokens: f64,
    at: Timestamp,
}

impl Pace {
    /// Takes over the rate that the registration names now, in attempts a second.
    pub(super) fn set_rate(&mut self, rate: Option<u32>, now: Timestamp) {
        let rate = rate.map(f64::from);
        if self.bucket.map(|bucket| bucket.rate) != rate {
            self.bucket = rate.map(|rate| Bucket {
                rate,
                tokens: rate.max(1.0),
                at: now,
            });
        }
    }

    /// How many attempts may be under way, of as many as its registration allows; never none.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a capacity is a few thousand at most"
    )]
    pub(super) fn places(&self, capacity: usize) -> usize {
        ((capacity as f64 - self.withheld).floor() as usize).max(1)
    }

    /// How many attempts are worth preparing: two seconds' of its rate.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is a few thousand at most"
    )]
    pub(super) fn ahead(&self) -> usize {
        self.bucket
            .map_or(usize::MAX, |bucket| (bucket.rate * 2.0).ceil() as usize)
            .max(1)
    }

    /// What an attempt showed.
    #[expect(clippy::cast_precision_loss, reason = "a capacity is a few thousand at most")]
    pub(super) fn note(&mut self, health: Health, capacity: usize, now: Timestamp) {
        let places = self.places(capacity) as f64;
        match health {
            Health::Slow if self.slowed_at.is_none_or(|at| now.duration_since(at) >= span(TOGETHER)) => {
                self.withheld = (capacity as f64 - (places / 2.0).floor())
                    .min(capacity as f64 - 1.0)
                    .max(0.0);
                self.slowed_at = Some(now);
            }
            Health::Good => self.withheld = (self.withheld - 1.0 / places).max(0.0),
            Health::Slow | Health::Bad | Health::Unknown => {}
        }
    }

    /// Takes a token; otherwise, when there will be one.
    pub(super) fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        let Some(bucket) = &mut self.bucket else { return Ok(()) };
        let passed = now.duration_since(bucket.at).as_secs_f64().max(0.0);
        bucket.tokens = (bucket.tokens + passed * bucket.rate).min(bucket.rate.max(1.0));
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let wait = Duration::from_secs_f64((1.0 - bucket.tokens) / bucket.rate);
        // A microsecond more, so that rounding never makes one come back in vain.
        Err(now
            .checked_add(wait + Duration::from_micros(1))
            .unwrap_or(Timestamp::MAX))
    }
}

fn span(duration: Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milli: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + milli).unwrap()
    }

    #[test]
    fn an_endpoint_that_is_slow_has_its_places_halved_and_earns_them_back() {
        let mut pace = Pace::default();
        for _ in 0..8 {
            pace.note(Health::Slow, 8, at(0));
        }
        assert_eq!(pace.places(8), 4, "what fails together counts once");
        pace.note(Health::Slow, 8, at(1_000));
        pace.note(Health::Slow, 8, at(2_000));
        pace.note(Health::Slow, 8, at(3_000));
        assert_eq!(pace.places(8), 1, "never none");
        pace.note(Health::Good, 8, at(4_000));
        assert_eq!(pace.places(8), 2);
        for _ in 0..2 {
            pace.note(Health::Good, 8, at(4_000));
        }
        assert_eq!(pace.places(8), 3, "as many successes as places give one back");
        for _ in 0..99 {
            pace.note(Health::Good, 8, at(5_000));
        }
        assert_eq!(pace.places(8), 8);
    }

    #[test]
    fn a_rate_is_kept() {
        let mut pace = Pace::default();
        assert_eq!((pace.take(at(0)), pace.ahead()), (Ok(()), usize::MAX));
        pace.set_rate(Some(2), at(0));
        assert_eq!(pace.ahead(), 4);
        assert_eq!([pace.take(at(0)), pace.take(at(0))], [Ok(()), Ok(())]);
        let next = pace.take(at(0)).unwrap_err();
        assert_eq!(next.as_millisecond(), at(500).as_millisecond());
        assert_eq!(pace.take(next), Ok(()));
        let begun = (0..1_000)
            .filter(|milli| pace.take(at(1_000 + milli * 10)).is_ok())
            .count();
        assert!((20..=22).contains(&begun), "{begun} in ten seconds");
    }
}
