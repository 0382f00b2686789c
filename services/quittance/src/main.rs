//! `quittance`: reads the command line, runs the command, tells the exit code.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use mimalloc::MiMalloc;
use quittance::cli::Cli;
use quittance::failure::Failure;
use quittance::output::Output;
use tokio::runtime::Builder;

/// Batches of rows and answers are many short-lived pieces that another thread frees: with the system's allocator that
/// was an eighth of the processors' work.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// A Kafka client whose brokers are gone never finishes leaving its group; everything of ours has ended by then.
const LEAVING: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    platform::install_crypto();
    let output = Output::new(false);
    match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(run());
            runtime.shutdown_timeout(LEAVING);
            code
        }
        Err(error) => {
            output.fail(Failure::no(format!("no threads can be started ({error})")));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.json);
    match cli.run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.fail(&failure);
            failure.exit.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
