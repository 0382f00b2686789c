//! Many posts, a fixed number of them under way.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use platform::egress::{Egress, Limits};
use tokio::task::JoinSet;

use super::NotMeasured;

/// Posts under way: as many idle connections as the way out keeps for one host, so that none is opened twice.
pub(super) const IN_FLIGHT: usize = 64;

/// One post.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// The status that counts.
    pub(super) expected: u16,
}

impl Post {
    /// Sends it by another client than the router's own kind, and returns the answer's body.
    pub(super) async fn send_by(self, client: &reqwest::Client) -> Result<Vec<u8>, NotMeasured> {
        let mut request = client.post(&self.url).body(self.body);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let answer = request.send().await?;
        let (status, body) = (answer.status().as_u16(), answer.bytes().await?);
        if status == self.expected {
            return Ok(body.into());
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        Err(NotMeasured(format!("{} answered {status}: {body}", self.url)))
    }

    /// Sends it; any other answer than the expected one ends the measurement, since it would measure something else.
    pub(super) async fn send(self, egress: &Egress) -> Result<(), NotMeasured> {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let answer = egress.post(&self.url, &headers, self.body, Limits::default()).await?;
        if answer.status == self.expected {
            return Ok(());
        }
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        Err(NotMeasured(format!("{} answered {}: {body}", self.url, answer.status)))
    }
}

/// Does the work for every item, [`IN_FLIGHT`] at a time, and says how long all of it took.
pub(super) async fn fly<T, F>(
    items: Vec<T>,
    work: impl Fn(T) -> F + Clone + Send + 'static,
) -> Result<Duration, NotMeasured>
where
    T: Send + 'static,
    F: Future<Output = Result<(), NotMeasured>> + Send,
{
    fly_at(IN_FLIGHT, items, work).await
}

/// The same, so many at a time.
pub(super) async fn fly_at<T, F>(
    in_flight: usize,
    items: Vec<T>,
    work: impl Fn(T) -> F + Clone + Send + 'static,
) -> Result<Duration, NotMeasured>
where
    T: Send + 'static,
    F: Future<Output = Result<(), NotMeasured>> + Send,
{
    let queue = Arc::new(Mutex::new(items.into_iter()));
    let mut flights: JoinSet<Result<(), NotMeasured>> = JoinSet::new();
    let started = Instant::now();
    for _ in 0..in_flight {
        let (queue, work) = (Arc::clone(&queue), work.clone());
        flights.spawn(async move {
            while let Some(item) = next(&queue) {
                work(item).await?;
            }
            Ok(())
        });
    }
    while let Some(ended) = flights.join_next().await {
        ended??;
    }
    Ok(started.elapsed())
}

fn next<T>(queue: &Mutex<std::vec::IntoIter<T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// Thousands of it.
pub(super) fn thousands(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / 1_000.0
}

/// How many a second that is.
pub(super) fn rate(count: usize, elapsed: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / elapsed.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn every_item_is_worked_on_once_and_not_all_at_the_same_time() {
        let counts = Arc::new([const { AtomicUsize::new(0) }; 3]);
        let shared = Arc::clone(&counts);
        let work = move |item: usize| {
            let counts = Arc::clone(&shared);
            async move {
                let [sum, now, most] = &*counts;
                sum.fetch_add(item, Ordering::Relaxed);
                most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(1)).await;
                now.fetch_sub(1, Ordering::Relaxed);
                Ok(())
            }
        };
        fly((1..=200).collect(), work).await.unwrap();
        assert_eq!(counts[0].load(Ordering::Relaxed), 20_100);
        assert_eq!(counts[2].load(Ordering::Relaxed), IN_FLIGHT);
    }

    #[tokio::test]
    async fn one_failure_ends_it() {
        let work = |item: usize| async move {
            if item == 150 {
                return Err(NotMeasured("wrong".to_owned()));
            }
            Ok(())
        };
        assert_eq!(fly((0..200).collect(), work).await.unwrap_err().to_string(), "wrong");
    }
}
