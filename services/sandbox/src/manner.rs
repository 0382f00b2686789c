//! How a client business behaves.
//!
//! Well-behaved by default. A test sets trouble and takes it away; [`Manner::hostile`] draws trouble from a seed, the
//! same for the same seed and delivery, so that a failing run can be run again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What it says that it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All was done.
    Completed,
    /// The invoices are kept, on tax law.
    Partial,
    /// Nothing is held.
    NotFound,
    /// It refuses, for legal claims.
    Refused,
    /// It failed, and says so.
    Failed,
    /// It failed, and on the next delivery or prod it is done.
    FailedThenCompleted,
    /// It says nothing: a 2xx is all.
    Silent,
}

/// How its receipt comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answering {
    /// As the answer to the webhook.
    InBody,
    /// By `POST` to the address that the task names, after the 2xx.
    ByPost,
    /// By `POST` before the webhook is answered, so that the receipt overtakes the attempt's result.
    PostBeforeAnswer,
}

/// What goes wrong at its door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// It answers with this status and does nothing.
    Status(u16),
    /// It takes this long before it answers as it would.
    Slow(Duration),
    /// It does the work and answers 500: the effect happened, the router can't know.
    DoneButFailed,
    /// It posts its receipt twice.
    Twice,
    /// It posts a receipt that is signed by nobody's key first, then the real one.
    ForgedFirst,
}

/// Its manner; settable while it runs.
#[derive(Debug)]
pub struct Manner {
    set: Mutex<Set>,
    hostile: Option<u64>,
    drawn: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Set {
    verdict: Verdict,
    answering: Answering,
    trouble: Trouble,
}

/// How one delivery is to be treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Treatment {
    /// What it will say.
    pub verdict: Verdict,
    /// How it will say it.
    pub answering: Answering,
    /// What goes wrong.
    pub trouble: Trouble,
}

impl Manner {
    /// Well-behaved, with this verdict.
    #[must_use]
    pub fn good(verdict: Verdict, answering: Answering) -> Self {
        let set = Set {
            verdict,
            answering,
            trouble: Trouble::None,
        };
        Self {
            set: Mutex::new(set),
            hostile: None,
            drawn: AtomicU64::new(0),
        }
    }

    /// About every second delivery meets some trouble, drawn from the seed; in the end everything is completed.
    #[must_use]
    pub fn hostile(seed: u64) -> Self {
        Self {
            hostile: Some(seed),
            ..Self::good(Verdict::Completed, Answering::ByPost)
        }
    }

    /// From now on it says this.
    pub fn set_verdict(&self, verdict: Verdict) {
        self.change(|set| set.verdict = verdict);
    }

    /// From now on it answers this way.
    pub fn set_answering(&self, answering: Answering) {
        self.change(|set| set.answering = answering);
    }

    /// From now on this goes wrong.
    pub fn set_trouble(&self, trouble: Trouble) {
        self.change(|set| set.trouble = trouble);
    }

    /// The treatment of the next delivery.
    #[must_use]
    pub fn next(&self) -> Treatment {
        let set = *self.set.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let plain = Treatment {
            verdict: set.verdict,
            answering: set.answering,
            trouble: set.trouble,
        };
        match self.hostile {
            Some(seed) => trouble(plain, scramble(seed ^ self.drawn.fetch_add(1, Ordering::Relaxed))),
            None => plain,
        }
    }

    fn change(&self, how: impl FnOnce(&mut Set)) {
        how(&mut self.set.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

fn trouble(plain: Treatment, drawn: u64) -> Treatment {
    let answering = match drawn >> 32 & 3 {
        0 => Answering::InBody,
        1 => Answering::PostBeforeAnswer,
        _ => Answering::ByPost,
    };
    let trouble = match drawn % 20 {
        0 | 1 => Trouble::Status(500),
        2 => Trouble::Status(503),
        3 => Trouble::Status(429),
        4 | 5 => Trouble::DoneButFailed,
        6 | 7 => Trouble::Twice,
        8 => Trouble::ForgedFirst,
        9 | 10 => Trouble::Slow(Duration::from_millis(drawn >> 40 & 0x1ff)),
        _ => Trouble::None,
    };
    Treatment {
        answering,
        trouble,
        ..plain
    }
}

/// `SplitMix64`'s finaliser: every bit of the input reaches every bit of the output.
fn scramble(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_troubles_again() {
        let draw = |seed| {
            let manner = Manner::hostile(seed);
            (0..200).map(|_| manner.next().trouble).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let troubles = draw(7);
        assert!(troubles.contains(&Trouble::DoneButFailed) && troubles.contains(&Trouble::ForgedFirst));
        let calm = troubles.iter().filter(|trouble| **trouble == Trouble::None).count();
        assert!((60..140).contains(&calm), "{calm} of 200");
    }
}
