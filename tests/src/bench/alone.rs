//! What needs no load: checking a signature, and what the program takes while it does nothing.

use std::time::{Duration, Instant};

use domain::id::{RequestId, TaskId};
use evidence::token::{self, RegisteredKey};
use platform::chance::{self, SystemRng};
use platform::clock::{Clock as _, SystemClock};
use sandbox::Task;
use serde_json::json;

use super::flights::rate;
use super::receiver::{Signer, sign};
use super::report::{Report, Unit, settings};
use super::{NotMeasured, machine};
use crate::harness::{Place, Router};
use crate::parts::quittance;

/// How long signatures are checked in one run.
const CHECKED_FOR: Duration = Duration::from_secs(1);

/// Between a program's first readiness and the look at its memory: what it does at its start is over by then.
const SETTLES_IN: Duration = Duration::from_secs(3);

/// 1,000,000 bytes.
const MEGABYTE: f64 = 1e6;

pub(super) async fn measure(report: &mut Report) -> Result<(), NotMeasured> {
    let repeats = report.options.repeats;
    if report.wants("receipt.verify_per_second_core") {
        let runs: Result<Vec<_>, _> = (0..repeats).map(|_| verify()).collect();
        let own = settings(json!({"algorithm": "EdDSA", "seconds": CHECKED_FOR.as_secs()}));
        report.add("receipt.verify_per_second_core", Unit::PerSecondCore, runs?, own);
    }
    if report.wants("binary.size_mb") {
        let bytes = u32::try_from(std::fs::metadata(quittance())?.len())?;
        report.add(
            "binary.size_mb",
            Unit::Megabytes,
            vec![f64::from(bytes) / MEGABYTE],
            settings(json!({})),
        );
    }
    if report.wants("memory.up_idle_mb") {
        let mut runs = vec![];
        for _ in 0..repeats {
            runs.push(idle().await?);
        }
        let own = settings(json!({"seconds": SETTLES_IN.as_secs()}));
        report.add("memory.up_idle_mb", Unit::Megabytes, runs, own);
    }
    Ok(())
}

/// One core checks the same receipt again and again: parsing, signature, claims.
fn verify() -> Result<f64, NotMeasured> {
    let signer = Signer::new("https://nablus-sweets.example");
    let (now, rng) = (SystemClock.now(), SystemRng::new());
    let task: Task = serde_json::from_value(json!({
        "task": TaskId::new(now, chance::bytes(&rng)), "request": RequestId::new(now, chance::bytes(&rng)),
        "right": "deletion",
        "subject": {}, "receipt": {"deliver_to": "https://privacy.example/v1/receipts",
        "audience": "https://privacy.example", "event": "https://privacy.example/schemas/events/task-completed"}
    }))?;
    let token = sign(&signer, &task, [7; 32], &rng);
    let key = RegisteredKey::new(&signer.issuer, &signer.key.jwk());
    let (started, mut count) = (Instant::now(), 0);
    while started.elapsed() < CHECKED_FOR {
        token::verify(token.as_bytes(), |_, _| Some(&key), &task.receipt.audience)?;
        count += 1;
    }
    Ok(rate(count, started.elapsed()))
}

/// The resident memory of `quittance up` with an operator and nothing to do.
async fn idle() -> Result<f64, NotMeasured> {
    let router = Router::start_processes(Place::embedded()).await;
    tokio::time::sleep(SETTLES_IN).await;
    let mut megabytes = 0.0;
    for process in router.processes().ids() {
        megabytes += machine::resident_mb(process)?;
    }
    router.shut_down().await;
    Ok(megabytes)
}
