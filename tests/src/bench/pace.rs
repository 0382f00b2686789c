//! Posts at a fixed rate, whatever the answers take, and how long each waited for its first attempt.

use std::collections::HashMap;
use std::time::Duration;

use platform::clock::{Clock as _, SystemClock};
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::NotMeasured;
use super::flights::Post;

/// Posts a second: what a large operator sees in its worst hour, and far below what the router takes.
pub(super) const PER_SECOND: u64 = 200;

#[derive(Deserialize)]
struct Answered {
    request: String,
}

/// Sends them one after the other at the rate; says when each request was accepted, in microseconds.
pub(super) async fn post(client: &reqwest::Client, posts: Vec<Post>) -> Result<HashMap<String, i64>, NotMeasured> {
    let every = Duration::from_micros(1_000_000 / PER_SECOND);
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut flights = JoinSet::new();
    for post in posts {
        ticks.tick().await;
        let client = client.clone();
        flights.spawn(async move {
            let body = post.send_by(&client).await?;
            let at = SystemClock.now().as_microsecond();
            Ok::<_, NotMeasured>((serde_json::from_slice::<Answered>(&body)?.request, at))
        });
    }
    let mut accepted = HashMap::new();
    while let Some(ended) = flights.join_next().await {
        let (request, at) = ended??;
        accepted.insert(request, at);
    }
    Ok(accepted)
}

/// Milliseconds from the answer to the first webhook, of those that came. One that overtook its answer waited for none.
pub(super) fn waits(accepted: &HashMap<String, i64>, arrivals: &HashMap<String, i64>) -> Vec<f64> {
    let wait = |(request, at): (&String, &i64)| {
        let micros = arrivals.get(request)?.saturating_sub(*at).max(0);
        Some(f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1_000.0)
    };
    accepted.iter().filter_map(wait).collect()
}

/// The least value that so many percent of all don't exceed.
pub(super) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert!((percentile(&values, 50) - 100.0).abs() < f64::EPSILON);
        assert!((percentile(&values, 99) - 198.0).abs() < f64::EPSILON);
        assert!(percentile(&[], 99).is_nan());
    }

    #[test]
    fn who_never_came_is_left_out_and_who_overtook_waited_for_nothing() {
        let map = |of: &[(&str, i64)]| of.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect();
        let mut waits = waits(
            &map(&[("a", 1_000), ("b", 1_000), ("c", 9)]),
            &map(&[("a", 3_500), ("b", 400)]),
        );
        waits.sort_by(f64::total_cmp);
        assert_eq!(waits, [0.0, 2.5]);
    }
}
