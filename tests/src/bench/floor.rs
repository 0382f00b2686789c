//! The floor: what this machine does when nothing has to be kept.

use std::sync::Arc;

use platform::chance::SystemRng;
use platform::clock::{Clock as _, SystemClock};
use platform::egress::Egress;
use platform::lifecycle::Lifecycle;
use platform::webhook::{self, SigningKey};
use serde_json::json;

use super::NotMeasured;
use super::flights::{IN_FLIGHT, Post, fly, rate};
use super::receiver::Receiver;
use super::report::{Report, Unit, settings};
use crate::harness::running;

/// Deliveries in one run.
const DELIVERIES: usize = 10_000;

/// As many bytes as a task about a person with a phone number and a mail address has.
const BODY_BYTES: usize = 1_300;

/// Always measured: throughputs are compared with it.
pub(super) async fn measure(report: &mut Report) -> Result<(), NotMeasured> {
    let lifecycle = Lifecycle::new();
    let (_, url) = Receiver::start(&lifecycle)?;
    let url = format!("{url}/0");
    let (egress, count) = (running::egress(), report.options.count(DELIVERIES));
    // What the first run would pay for: connections, and the pages of both sides.
    deliver(&egress, &url, IN_FLIGHT * 4).await?;
    let mut runs = vec![];
    for _ in 0..report.options.repeats {
        runs.push(deliver(&egress, &url, count).await?);
    }
    lifecycle.shut_down().await;
    let own = json!({"in_flight": IN_FLIGHT, "requests": count, "body_bytes": BODY_BYTES, "signature": "v1"});
    report.add("floor.deliveries_per_second", Unit::PerSecond, runs, settings(own));
    Ok(())
}

async fn deliver(egress: &Egress, url: &str, count: usize) -> Result<f64, NotMeasured> {
    let secret = webhook::generate_shared(&SystemRng::new());
    let keys = Arc::new([SigningKey::parse(&secret)?]);
    let (egress, url) = (egress.clone(), url.to_owned());
    let body = vec![b'x'; BODY_BYTES];
    let one = move |number: usize| {
        let (egress, url, keys, body) = (egress.clone(), url.clone(), Arc::clone(&keys), body.clone());
        async move {
            let signed = webhook::sign(&*keys, &format!("task_{number:026}"), SystemClock.now(), &body)?;
            let mut headers = vec![
                ("content-type", "application/json".to_owned()),
                ("content-digest", webhook::content_digest(&body)),
            ];
            headers.extend(signed);
            let post = Post {
                url,
                headers,
                body,
                expected: 202,
            };
            post.send(&egress).await
        }
    };
    Ok(rate(count, fly((0..count).collect(), one).await?))
}
