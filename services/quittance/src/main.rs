//! `quittance`: reads the command line, runs the command, tells the exit code.

use std::process::ExitCode;

use clap::Parser as _;
use quittance::cli::Cli;
use quittance::output::Output;

#[tokio::main]
async fn main() -> ExitCode {
    platform::install_crypto();
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
