//! `quittance apply`: from registration files to registrations that count.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use registry::apply::{Applied, Registrar, RegistryError};
use registry::diff::{Changes, Sign};
use registry::file::File;
use serde_json::json;
use store::Store;

use crate::deployment::{Database, Deployment};
use crate::failure::Failure;
use crate::output::{Output, Tone};
use crate::settings::Settings;

/// How often a change is computed anew when others change the registry at the same time.
const TRIES: u32 = 5;

/// Register client businesses, accounts, systems, keys and instructions from TOML files.
///
/// Shows what changes and writes it: all of it or nothing. Applying is additive: what no file names stays, and a key
/// ends only by `state = "retired"` or `"revoked"`. Returns when the change is in the log, since keys, instructions
/// and sets of systems count from there on. Webhook secrets that were made are shown once and never again.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  quittance apply -f smart-reply.toml --dry-run    show what would change, and every mistake
  quittance apply -f clients.toml -f keys.toml     as if they were one file")]
pub struct Apply {
    /// A registration file; may be repeated.
    #[arg(short, long = "file", required = true, value_name = "FILE", num_args = 1..)]
    pub file: Vec<PathBuf>,
    /// Only show what would change; exit 0 whether anything would or not.
    #[arg(long)]
    pub dry_run: bool,
    /// How long to wait for the log, in seconds.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    pub wait: u64,
}

/// Applies files.
pub async fn run(apply: &Apply, settings: Settings, output: Output) -> Result<(), Failure> {
    let deployment = Deployment::new(settings);
    // A mistake in a file is told before anything is asked for a connection.
    File::read(&apply.file)?;
    let registrar = registrar(&deployment).await?;
    let read = || File::read(&apply.file).map_err(Failure::from);
    if apply.dry_run {
        let (changes, _) = registrar.propose(read()?).await?;
        show(&changes, output);
        return Ok(());
    }
    let Some((changes, applied)) = write(&registrar, read).await? else {
        output.tell("nothing to change", &json!({"changes": 0}));
        return Ok(());
    };
    show(&changes, output);
    show_secrets(&changes, &applied, output);
    registrar.wait(&applied, Duration::from_secs(apply.wait)).await?;
    let logged = applied.entries.len();
    output.tell(
        output.paint(Tone::Good, format_args!("applied, and logged with {logged} entries")),
        &json!({"changes": changes.lines.len(), "entries": logged}),
    );
    Ok(())
}

/// What changes the registry of a deployment.
pub async fn registrar(deployment: &Deployment) -> Result<Registrar, Failure> {
    Ok(Registrar {
        store: Store::new(deployment.database(Database::Router).await?),
        keyring: deployment.keyring()?,
        clock: Arc::clone(&deployment.clock),
        rng: Arc::clone(&deployment.rng),
    })
}

/// Computes the change and writes it; computes it anew if somebody else was faster. `None` if nothing differs.
pub async fn write(
    registrar: &Registrar,
    read: impl Fn() -> Result<File, Failure>,
) -> Result<Option<(Changes, Applied)>, Failure> {
    let mut tried = 1;
    loop {
        let (changes, directory) = registrar.propose(read()?).await?;
        if changes.lines.is_empty() {
            return Ok(None);
        }
        match registrar.apply(&changes, &directory).await {
            Ok(applied) => return Ok(Some((changes, applied))),
            Err(RegistryError::Stale) if tried < TRIES => tried += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

fn show(changes: &Changes, output: Output) {
    if changes.lines.is_empty() {
        output.tell("nothing to change", &json!({"changes": 0}));
    }
    for line in &changes.lines {
        let (tone, sign) = match line.sign {
            Sign::Added => (Tone::Good, "added"),
            Sign::Changed => (Tone::Strong, "changed"),
            Sign::Ended => (Tone::Bad, "ended"),
        };
        output.tell(
            output.paint(tone, line),
            &json!({"sign": sign, "what": line.what, "detail": line.detail}),
        );
    }
}

fn show_secrets(changes: &Changes, applied: &Applied, output: Output) {
    for (named, secret) in &applied.made {
        // A new controller is known to whoever applies by its slug, not yet by its id.
        let slug = |controller: &str| {
            let new = changes.controllers.iter().map(|(new, _)| new);
            new.clone()
                .find(|new| new.id.to_string() == controller)
                .map(|new| new.slug.clone())
        };
        let by_slug = named
            .split_once('/')
            .and_then(|(owner, system)| Some(format!("{}/{system}", slug(owner)?)));
        let system = by_slug.as_ref().unwrap_or(named);
        let words = format!("secret of {system}, shown this once: {}", secret.expose());
        output.tell(words, &json!({"system": system, "secret": secret.expose()}));
    }
}
