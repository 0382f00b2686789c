//! What a deployment is made of, opened on demand: databases, key ring, bus.
//!
//! Nothing above this module asks whether it runs on one machine or in a cluster. The folder's databases belong to the
//! one process that has them open, so they are brought up to date when they are opened; those of a cluster are shared
//! by releases that overlap, so they are only checked, and `quittance migrate` brings them up to date when somebody
//! decides so.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use platform::bus::{self, SharedBus};
use platform::chance::{SharedRng, SystemRng};
use platform::clock::{SharedClock, SystemClock};
use platform::config::DatabaseConfig;
use platform::db::{self, Db, DbOptions, Migrations};
use platform::keyring::Keyring;
use platform::problem::chain;
use platform::secret::Secret;

use crate::failure::Failure;
use crate::settings::Settings;

/// A database that doesn't answer in this time is reported as away; longer than a failover takes to be noticed.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// Requests, tasks, receipts.
    Router,
    /// Wrapped data keys.
    Keys,
    /// The log.
    Ledger,
}

impl Database {
    /// All of them, in the order in which they are prepared.
    pub const ALL: [Self; 3] = [Self::Router, Self::Keys, Self::Ledger];

    /// As the configuration names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Keys => "keys",
            Self::Ledger => "ledger",
        }
    }

    /// Its history.
    #[must_use]
    pub const fn migrations(self) -> Migrations {
        match self {
            Self::Router => store::MIGRATIONS,
            Self::Keys => keys::MIGRATIONS,
            Self::Ledger => ledger::MIGRATIONS,
        }
    }
}

/// A deployment, as far as this process may reach it.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// What it was told.
    pub settings: Settings,
    /// Its time.
    pub clock: SharedClock,
    /// Its chance.
    pub rng: SharedRng,
}

impl Deployment {
    /// With the machine's clock and chance.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            clock: Arc::new(SystemClock),
            rng: Arc::new(SystemRng::new()),
        }
    }

    /// Takes the folder for this process alone, as long as what is returned lives; a cluster has no folder to take.
    /// Two processes on one folder would both hold its log, and neither would hear what the other puts on the bus.
    pub fn claim(&self) -> Result<Option<File>, Failure> {
        let settings = &self.settings;
        if settings.databases.is_some() && settings.kafka.is_some() {
            return Ok(None);
        }
        make_folder(&settings.data)?;
        let (folder, path) = (settings.data.display(), settings.data.join("lock"));
        let unusable = |error| Failure::usage(format!("the folder {folder} can't be locked ({error}); correct `data`"));
        let lock = File::options().create(true).append(true).open(path).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => Err(Failure::usage(format!(
                "the folder {folder} is in use by another process; stop that one, or choose another folder as `data`"
            ))),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// Whether this process was given a database: in a cluster, each has the credentials of its own alone.
    #[must_use]
    pub fn may_use(&self, which: Database) -> bool {
        self.settings.databases.is_none() || self.config(which).is_ok()
    }

    /// Where a database is, without its password.
    pub fn place(&self, which: Database) -> Result<String, Failure> {
        let config = self.config(which)?;
        let url = config.url.expose();
        Ok(match url.rsplit_once('@') {
            Some((_, rest)) => format!("postgres://{rest}"),
            None => url.to_owned(),
        })
    }

    /// Refuses a file that is not there yet: whoever only looks must not make it by connecting.
    pub fn is_made(&self, which: Database) -> Result<(), Failure> {
        let place = self.place(which)?;
        match place.strip_prefix("sqlite:") {
            Some(file) if !Path::new(file).exists() => Err(Failure::no(format!(
                "there is no {file} yet; `quittance migrate` makes it, and so does `quittance up`"
            ))),
            _ => Ok(()),
        }
    }

    /// Connects to a database and sees whether it answers.
    pub async fn connect(&self, which: Database) -> Result<Db, Failure> {
        let config = self.config(which)?;
        if self.settings.databases.is_none() {
            make_folder(&self.settings.data)?;
        }
        let options = DbOptions {
            max_connections: config.max_connections,
            application: "quittance",
        };
        let answer = async {
            let db = db::connect(config.url.expose(), &options).await?;
            db.ping().await.map(|()| db)
        };
        let away = |why: String| self.away(which, &why);
        match tokio::time::timeout(ANSWER_WITHIN, answer).await {
            Ok(Ok(db)) => Ok(db),
            Ok(Err(error)) => Err(away(chain(&error))),
            Err(_) => Err(away(format!("no answer within {ANSWER_WITHIN:?}"))),
        }
    }

    /// Connects to a database whose schema is this program's.
    pub async fn database(&self, which: Database) -> Result<Db, Failure> {
        let db = self.connect(which).await?;
        if let Db::Lite(_) = db {
            db.migrate(&which.migrations()).await?;
        }
        let checked = db.check_schema(&which.migrations()).await;
        checked.map_err(|error| Failure {
            line: format!("database `{}`: {}", which.name(), chain(&error)),
            ..Failure::from(error)
        })?;
        Ok(db)
    }

    /// The root keys.
    pub fn keyring(&self) -> Result<Arc<Keyring>, Failure> {
        let ring = Keyring::open(&self.settings.key_ring(), Arc::clone(&self.rng))?;
        Ok(Arc::new(ring))
    }

    /// The bus. Kafka's is connected in the background, so that a service starts before its brokers do.
    pub async fn bus(&self) -> Result<SharedBus, Failure> {
        if let Some(kafka) = &self.settings.kafka {
            return Ok(bus::kafka(kafka)?);
        }
        make_folder(&self.settings.data)?;
        let file = self.settings.data.join("bus.db");
        Ok(bus::embedded(&file, Arc::clone(&self.clock)).await?)
    }

    fn config(&self, which: Database) -> Result<DatabaseConfig, Failure> {
        let Some(databases) = &self.settings.databases else {
            let file = self.settings.data.join(format!("{}.db", which.name()));
            return Ok(DatabaseConfig {
                url: Secret::new(format!("sqlite:{}", file.display())),
                max_connections: 1,
            });
        };
        let config = match which {
            Database::Router => &databases.router,
            Database::Keys => &databases.keys,
            Database::Ledger => &databases.ledger,
        };
        config.clone().ok_or_else(|| {
            let name = which.name();
            Failure::usage(format!(
                "`databases.{name}` is missing; set its url in the configuration or as QUITTANCE__DATABASES__{}__URL_FILE",
                name.to_uppercase()
            ))
        })
    }

    fn away(&self, which: Database, why: &str) -> Failure {
        let place = self.place(which).unwrap_or_default();
        Failure::unreachable(format!(
            "the database `{}` at {place} does not answer ({why}); start it, or correct `databases.{}.url`",
            which.name(),
            which.name()
        ))
    }
}

/// What lies in it is its owner's alone.
fn make_folder(folder: &Path) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| {
        Failure::usage(format!(
            "the folder {} can't be made ({error}); correct `data`",
            folder.display()
        ))
    })
}
