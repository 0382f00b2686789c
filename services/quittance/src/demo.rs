//! The demonstration: the whole journey on one machine, watched, checked, and proved to a process that knows only files.
//!
//! An embedded deployment is started in a folder, the example registrations are applied with a sandbox behind each
//! system, and nine people write through every door (`script`, `doors`). What happens is shown as it happens
//! (`follow`); then everything that must be true is asked: each request closed as it should be, each task done once,
//! each receipt logged, and all of it verified offline (`audit`). What does not hold is said, and decides the exit code.

mod audit;
mod cast;
mod doors;
mod follow;
mod ground;
mod play;
mod report;
mod script;

use std::path::PathBuf;
use std::sync::Arc;

use platform::chance::{SeededRng, SharedRng, SystemRng};
use platform::lifecycle::{Lifecycle, Stop};
use platform::telemetry::{self, Telemetry};
use tokio::sync::Mutex;

use self::ground::Ground;
use crate::failure::Failure;
use crate::output::{Output, Tone};

/// How it is shown.
#[derive(Debug, Clone)]
pub struct Demo {
    /// End when it is shown, instead of staying up.
    pub once: bool,
    /// Where everything is left; a temporary folder that is removed, if not said.
    pub data: Option<PathBuf>,
    /// The same ids, keys and tokens each time.
    pub seed: Option<u64>,
    /// What is logged, to standard error.
    pub log: String,
}

/// Shows it. Ends well only if all of it held.
pub async fn run(demo: &Demo, output: Output) -> Result<(), Failure> {
    let _guard = telemetry::init(&log(demo), "demo").map_err(Failure::usage)?;
    let rng: SharedRng = match demo.seed {
        Some(seed) => Arc::new(SeededRng::new(seed)),
        None => Arc::new(SystemRng::new()),
    };
    let ground = Ground::lay(demo.data.as_deref(), rng)?;
    let lifecycle = Lifecycle::new();
    let stop = lifecycle.stop();
    let stage = play::set(demo, &ground, &lifecycle).await?;
    let (router, verdict) = (stage.router(), Arc::new(Mutex::new(None)));
    let (once, told) = (demo.once, Arc::clone(&verdict));
    lifecycle.spawn("demonstration", async move {
        *told.lock().await = Some(show(stage, once, &stop, output).await);
        Ok::<_, std::convert::Infallible>(())
    });
    let ended = router.until_stopped(&lifecycle).await;
    drop(ground);
    let verdict = verdict.lock().await.take();
    verdict
        .unwrap_or_else(|| Err(Failure::no("stopped before it was shown")))
        .and(ended)
}

/// Plays, and says what came of it; with `once` the deployment ends then.
async fn show(stage: play::Stage, once: bool, stop: &Stop, output: Output) -> Result<(), Failure> {
    let played = tokio::select! {
        played = stage.play(output) => played,
        () = stop.soft() => Err(Failure::no("stopped before it was shown")),
    };
    if once || stop.is_stopping() {
        stop.ask();
    } else {
        if let Err(failure) = &played {
            output.fail(failure);
        }
        output.say(output.paint(Tone::Quiet, "Everything stays up until Ctrl-C."));
    }
    played
}

fn log(demo: &Demo) -> Telemetry {
    Telemetry {
        filter: demo.log.clone(),
        ..Telemetry::default()
    }
}
