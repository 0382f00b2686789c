//! Waiting for what must come, without guessing how long it takes.

use std::future::Future;
use std::time::{Duration, Instant};

/// Far beyond what anything here takes on a machine that is busy with something else.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(40);

/// Looks again and again until there is something, at most [`PATIENCE`].
///
/// # Panics
/// When it doesn't come; `what` and the last look are told.
pub async fn eventually<T, F>(what: &str, look: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    within(PATIENCE, what, look).await
}

/// [`eventually`], for what takes longer.
///
/// # Panics
/// As [`eventually`].
pub async fn within<T, F>(limit: Duration, what: &str, look: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let started = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if started.elapsed() > limit => panic!("{what}: not within {limit:?}; at the end: {seen}"),
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}
