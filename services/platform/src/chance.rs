//! Chance as a parameter.
//!
//! Ids, nonces, keys and jitter are made from an [`Rng`] that the caller passed in: the operating system's in a
//! deployment, a seeded one in tests, so that a run can be repeated.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// Gives unpredictable bytes.
pub trait Rng: Send + Sync + Debug {
    /// Fills all of `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// A source of chance as everything holds it.
pub type SharedRng = Arc<dyn Rng>;

/// A fixed number of fresh bytes.
#[must_use]
pub fn bytes<const N: usize>(rng: &dyn Rng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill(&mut bytes);
    bytes
}

/// Evenly spread over [0, 1), with the 53 bits that an `f64` can hold.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
pub fn unit(rng: &dyn Rng) -> f64 {
    let bits = u64::from_le_bytes(bytes(rng)) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

/// The operating system's chance, through the one crypto library.
#[derive(Debug, Default)]
pub struct SystemRng(SystemRandom);

impl SystemRng {
    /// Costs nothing; the library seeds itself once a process.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Rng for SystemRng {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.fill(bytes).expect("the operating system gives random bytes");
    }
}

/// For tests: the stream SHA-256(seed ‖ 0), SHA-256(seed ‖ 1), …, the same for the same seed.
#[derive(Debug)]
pub struct SeededRng {
    seed: u64,
    next: AtomicU64,
}

impl SeededRng {
    /// A stream of its own for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            next: AtomicU64::new(0),
        }
    }

    fn block(&self) -> [u8; SHA256_OUTPUT_LEN] {
        let mut context = Context::new(&SHA256);
        context.update(&self.seed.to_le_bytes());
        context.update(&self.next.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        context
            .finish()
            .as_ref()
            .try_into()
            .expect("a SHA-256 digest has 32 bytes")
    }
}

impl Rng for SeededRng {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(SHA256_OUTPUT_LEN) {
            chunk.copy_from_slice(&self.block()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_stream_and_no_other() {
        let draw = |seed| {
            let rng = SeededRng::new(seed);
            (bytes::<40>(&rng), bytes::<40>(&rng))
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_ne!(draw(1).0, draw(1).1);
    }

    #[test]
    fn unit_spreads_over_the_interval() {
        let rng = SeededRng::new(7);
        let mean = (0..1_000).map(|_| unit(&rng)).sum::<f64>() / 1_000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
        assert_ne!(bytes::<32>(&SystemRng::new()), bytes::<32>(&SystemRng::new()));
    }
}
