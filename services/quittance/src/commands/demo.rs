//! `quittance demo`: see it work.

use std::path::PathBuf;

use clap::Args;

use crate::demo;
use crate::failure::Failure;
use crate::output::Output;

/// Show the whole journey on this machine: from a WhatsApp message to a receipt that a stranger can verify.
///
/// Starts an embedded deployment with the example registrations and a sandbox for each system, sends what WhatsApp,
/// Instagram, Messenger, Telegram, a product and callers of the API would send, shows each step, checks everything,
/// and has every receipt verified by a separate process. Then it stays up for you to look around, until Ctrl-C.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  quittance demo                    watch, then look around
  quittance demo --once             exit 0 only if all of it held
  quittance demo --data ./demo      keep the databases, keys and evidence")]
pub struct Demo {
    /// End when it is shown, with exit 0 only if all of it held.
    #[arg(long)]
    pub once: bool,
    /// Keep everything in this folder; without it nothing is left behind.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Draw ids, keys and tokens from this seed. For looking only: such keys are no secret.
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
    /// What the services log to standard error.
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    pub log: String,
}

/// Shows it.
pub async fn run(command: Demo, output: Output) -> Result<(), Failure> {
    let demo = demo::Demo {
        once: command.once,
        data: command.data,
        seed: command.seed,
        log: command.log,
    };
    demo::run(&demo, output).await
}
