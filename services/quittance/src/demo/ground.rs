//! Where the demonstration takes place: a folder, its keys, free addresses and fresh secrets.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use platform::chance::SharedRng;
use platform::clock::SystemClock;
use platform::http::Http;
use platform::keyring::{self, Part};
use platform::secret::{Secret, random_token};

use super::doors::APP;
use crate::deployment::Deployment;
use crate::failure::Failure;
use crate::key_files;
use crate::settings::Settings;

/// The bot of the example registrations.
const BOT: &str = "7204411905";

/// The log's name stays the same over runs in one folder, whatever the ports are.
const ORIGIN: &str = "demo.quittance.example/log";

/// The ground. What was temporary is removed with it.
#[derive(Debug)]
pub(super) struct Ground {
    /// The deployment.
    pub deployment: Deployment,
    /// Signs what Meta's channels send.
    pub app_secret: Secret,
    /// Opens the bot's door.
    pub bot_secret: Secret,
    temporary: Option<PathBuf>,
    _claim: Option<File>,
}

impl Ground {
    /// Lays it in a folder that stays, or in one that doesn't.
    pub(super) fn lay(data: Option<&Path>, rng: SharedRng) -> Result<Self, Failure> {
        let folder = data.map_or_else(|| temporary(&rng), Path::to_owned);
        let secret = || random_token(&*rng);
        let (app_secret, bot_secret) = (secret(), secret());
        let settings = settings(&folder, &app_secret, &bot_secret, secret())?;
        let deployment = Deployment {
            settings,
            clock: Arc::new(SystemClock),
            rng,
        };
        let claim = deployment.claim()?;
        make_keys(&deployment.settings, &deployment.rng)?;
        Ok(Self {
            deployment,
            _claim: claim,
            app_secret,
            bot_secret,
            temporary: data.is_none().then_some(folder),
        })
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Some(folder) = &self.temporary {
            // What can't be removed is in the system's temporary folder, which is emptied by others.
            let _ = fs::remove_dir_all(folder);
        }
    }
}

fn temporary(rng: &SharedRng) -> PathBuf {
    let name = u64::from_be_bytes(platform::chance::bytes(&**rng));
    let process = std::process::id();
    std::env::temp_dir().join(format!("quittance-demo-{process}-{name:016x}"))
}

fn settings(folder: &Path, app: &Secret, bot: &Secret, verify_token: Secret) -> Result<Settings, Failure> {
    let mut settings = Settings {
        data: folder.to_owned(),
        ..Settings::default()
    };
    settings.intake.http = http()?;
    let app = intake::App {
        secret: app.clone(),
        previous_secret: None,
        verify_token,
    };
    settings.intake.apps.insert(APP.to_owned(), app);
    let bot = intake::Bot {
        secret: bot.clone(),
        previous_secret: None,
    };
    settings.intake.telegram.insert(BOT.to_owned(), bot);
    settings.dispatch.http = http()?;
    settings.dispatch.egress.trusted = vec!["127.0.0.1".parse().map_err(Failure::no)?];
    settings.ledger.http = http()?;
    ORIGIN.clone_into(&mut settings.ledger.origin);
    Ok(settings)
}

/// Bound from here on, because the addresses are part of what is signed and must stay ours until a service has them.
fn http() -> Result<Http, Failure> {
    let bound = Http::on_free_port().map_err(|error| Failure::no(format!("no free port ({error})")))?;
    Ok(Http {
        workers: Some(1),
        ..bound
    })
}

fn make_keys(settings: &Settings, rng: &SharedRng) -> Result<(), Failure> {
    let missing = |path: &Path| !path.exists();
    let (root, statement, log) = (settings.key_ring(), settings.statement_key(), settings.ledger().log_key);
    if missing(&root) {
        keyring::create(&root, Part::ALL, &**rng)?;
    }
    if missing(&statement) {
        key_files::create(&statement, &**rng)?;
    }
    if missing(&log) {
        ledger::log_key::create(&log, &**rng).map_err(Failure::usage)?;
    }
    Ok(())
}
