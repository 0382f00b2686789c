//! `quittance keys`: the files that a deployment's trust rests on, and the secrets that webhooks are signed with.

mod rotate;

use std::path::Path;

use clap::Subcommand;
use platform::chance::{Rng, SystemRng};
use platform::keyring::{self, Part};
use serde_json::json;

use crate::failure::Failure;
use crate::key_files;
use crate::output::Output;
use crate::settings::Settings;

/// Make keys, and replace webhook secrets.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make the key files that are missing: root keys, the log's key, the key of our own statements.
    ///
    /// An existing file is never overwritten: what was sealed or signed with it would be lost. Keep copies of the new
    /// ones apart from the databases' backups. Only their owner may read them.
    Init,
    /// Replace the secret that a system's webhooks are signed with, or the key pair of a controller's.
    ///
    /// Both the old and the new one sign until the overlap ends, in one header, so that a receiver may change at any
    /// moment in between. Says what would happen; does it with --yes.
    Rotate(rotate::Rotate),
}

/// Does what was asked.
pub async fn run(command: &Keys, settings: Settings, output: Output) -> Result<(), Failure> {
    match command {
        Keys::Init => init(&settings, &SystemRng::new(), output),
        Keys::Rotate(rotate) => rotate::run(rotate, settings, output).await,
    }
}

/// Makes the key files that are missing, and says of each whether it did.
pub fn init(settings: &Settings, rng: &dyn Rng, output: Output) -> Result<(), Failure> {
    once(&settings.key_ring(), "root keys", output, |path| {
        Ok(keyring::create(path, Part::ALL, rng)?)
    })?;
    let statement = settings.statement_key();
    once(&statement, "the key of our statements", output, |path| {
        key_files::create(path, rng)
    })?;
    let log = settings.ledger().log_key;
    once(&log, "the log's key", output, |path| {
        ledger::log_key::create(path, rng).map_err(Failure::usage)
    })
}

fn once(
    path: &Path,
    what: &str,
    output: Output,
    create: impl FnOnce(&Path) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let made = !path.exists();
    if made {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| Failure::usage(format!("the folder {} can't be made ({error})", folder.display())))?;
        }
        create(path)?;
    }
    let words = if made {
        format!(
            "made {what} in {}; keep a copy apart from the databases' backups",
            path.display()
        )
    } else {
        format!("{} is there already and stays as it is ({what})", path.display())
    };
    output.tell(words, &json!({"file": path, "what": what, "made": made}));
    Ok(())
}
