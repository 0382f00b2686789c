//! The command line: what it is told, in the words of `--help`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{apply, demo, doctor, keys, migrate, requests, sandbox, serve, tasks, token, topics, verify};
use crate::failure::Failure;
use crate::output::Output;
use crate::router::Roles;
use crate::settings::Settings;

const EXIT_CODES: &str = "\
Exit codes:
  0  it worked, or what was checked holds
  1  what was checked does not hold, or the work failed
  2  the command line, the configuration or a file is wrong
  3  something that is needed (database, brokers, ledger) does not answer";

const EXAMPLES: &str = "\
Begin here:
  quittance demo                          watch a request from a chat message to a verified receipt
  quittance keys init                     make the keys of a deployment in ./quittance-data
  quittance apply -f registrations.toml   register client businesses and their systems
  quittance verify evidence/              check receipts and proofs with nothing but files

Configuration: a TOML file named with --config or QUITTANCE_CONFIG; every key can be set as an environment variable,
QUITTANCE__SECTION__KEY, and secrets from files, QUITTANCE__SECTION__KEY_FILE. Without any, everything lies in the
folder ./quittance-data.

Exit codes:
  0  it worked, or what was checked holds
  1  what was checked does not hold, or the work failed
  2  the command line, the configuration or a file is wrong
  3  something that is needed (database, brokers, ledger) does not answer";

/// Routes people's data requests to the businesses that hold their data, and proves what each of them answered.
#[derive(Debug, Parser)]
#[command(name = "quittance", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub struct Cli {
    /// The deployment's configuration file.
    #[arg(long, short, global = true, value_name = "FILE", env = "QUITTANCE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Print one JSON object a line, for programs.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// See it work, on this machine, in half a minute.
    Demo(demo::Demo),
    /// Run all services in one process.
    Up(serve::Up),
    /// Run the doors of a cluster: what channels, products and programs send.
    Intake(serve::Service),
    /// Run a cluster's dispatch: planning, delivering, collecting, closing.
    Dispatch(serve::Service),
    /// Run a cluster's ledger: the log, its proofs, auditors' questions.
    Ledger(serve::Service),
    /// Make keys, and replace webhook secrets.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Bring the databases' schemas up to date.
    Migrate(migrate::Migrate),
    /// Make the Kafka topics, or check them.
    Topics(topics::Topics),
    /// Register client businesses, accounts, systems, keys and instructions from TOML files.
    Apply(apply::Apply),
    /// Give, list and revoke API tokens.
    #[command(subcommand)]
    Token(token::Token),
    /// Look at requests and what became of them, and decide about them.
    #[command(subcommand)]
    Requests(requests::Requests),
    /// Look at tasks that wait for a person.
    #[command(subcommand)]
    Tasks(tasks::Tasks),
    /// Check a deployment, and say how to mend what is wrong.
    Doctor(doctor::Doctor),
    /// Be a client business, for trying out an integration.
    Sandbox(sandbox::Sandbox),
    /// Check receipts and proofs offline.
    #[command(after_help = EXIT_CODES)]
    Verify(verify::Verify),
    /// Print the JSON Schema of the configuration file.
    ConfigSchema(ConfigSchema),
}

/// `quittance config-schema`.
#[derive(Debug, Args)]
pub struct ConfigSchema {}

impl Cli {
    /// Does it.
    pub async fn run(self) -> Result<(), Failure> {
        let output = Output::new(self.json);
        let settings = || Settings::load(self.config.as_deref());
        match self.command {
            Command::Demo(demo) => demo::run(demo, output).await,
            Command::Up(_) => serve::run(Roles::All, settings()?, output).await,
            Command::Intake(_) => serve::run(Roles::Intake, settings()?, output).await,
            Command::Dispatch(_) => serve::run(Roles::Dispatch, settings()?, output).await,
            Command::Ledger(_) => serve::run(Roles::Ledger, settings()?, output).await,
            Command::Keys(keys) => keys::run(&keys, settings()?, output).await,
            Command::Migrate(migrate) => migrate::run(&migrate, settings()?, output).await,
            Command::Topics(topics) => topics::run(&topics, settings()?, output).await,
            Command::Apply(apply) => apply::run(&apply, settings()?, output).await,
            Command::Token(token) => token::run(&token, settings()?, output).await,
            Command::Requests(requests) => requests::run(&requests, settings()?, output).await,
            Command::Tasks(tasks) => tasks::run(&tasks, settings()?, output).await,
            Command::Doctor(_) => doctor::run(settings()?, output).await,
            Command::Sandbox(sandbox) => sandbox::run(&sandbox, output).await,
            Command::Verify(verify) => verify::run(&verify, output),
            Command::ConfigSchema(_) => {
                output.say(crate::settings::schema());
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of README and of every `--help` that tell a reader what to type.
    fn shown() -> Vec<String> {
        let mut help = vec![include_str!("../../../README.md").to_owned()];
        let mut commands = vec![<Cli as clap::CommandFactory>::command()];
        while let Some(mut command) = commands.pop() {
            help.push(command.render_long_help().to_string());
            commands.extend(command.get_subcommands().cloned());
        }
        let lines = help.iter().flat_map(|text| text.lines());
        lines.filter_map(typed).collect()
    }

    /// Without what explains it, which comes after a number sign or two spaces, and what reads it, after a bar.
    fn typed(line: &str) -> Option<String> {
        let words = line.trim_start().strip_prefix("quittance ")?;
        let words = match words.split_once(" #") {
            Some((words, _)) => words,
            None => words.split("  ").next()?,
        };
        let words = words.split(" | ").next()?.split('"').enumerate();
        // What stands in quotes is one word.
        let joined = words.map(|(part, words)| {
            if part % 2 == 1 {
                words.replace(' ', "-")
            } else {
                words.to_owned()
            }
        });
        Some(joined.collect())
    }

    #[test]
    fn what_readers_are_told_to_type_is_understood() {
        let shown = shown();
        assert!(shown.len() > 25, "{shown:?}");
        for line in shown {
            let (commands, rest) = line.split_once(' ').unwrap_or((&line, ""));
            for command in commands.split('|') {
                let words = ["quittance", command].into_iter().chain(rest.split_whitespace());
                if let Err(error) = Cli::try_parse_from(words) {
                    panic!("quittance {command} {rest}: {error}");
                }
            }
        }
    }
}
