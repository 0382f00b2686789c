//! `quittance migrate`: the databases' schemas.

use clap::Args;
use platform::db::SchemaError;
use serde_json::json;

use crate::deployment::{Database, Deployment};
use crate::failure::Failure;
use crate::output::Output;
use crate::settings::Settings;

/// Bring the databases' schemas up to date.
///
/// Says for each database what it finds and does. Safe to run twice, and while services of the release before run.
/// Run it once for each set of credentials that may change a schema; name the databases that they are for.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  quittance migrate --dry-run             say what would be done
  quittance migrate --only ledger         with credentials for the ledger's database alone")]
pub struct Migrate {
    /// Only say what would be done; exit 1 if anything would.
    #[arg(long)]
    pub dry_run: bool,
    /// One of the databases; all of them if not said.
    #[arg(long, value_name = "DATABASE", value_enum)]
    pub only: Option<Which>,
}

/// A database.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Which {
    /// Requests, tasks, receipts.
    Router,
    /// Wrapped data keys.
    Keys,
    /// The log.
    Ledger,
}

impl From<Which> for Database {
    fn from(which: Which) -> Self {
        match which {
            Which::Router => Self::Router,
            Which::Keys => Self::Keys,
            Which::Ledger => Self::Ledger,
        }
    }
}

/// Migrates, or says what that would do.
pub async fn run(migrate: &Migrate, settings: Settings, output: Output) -> Result<(), Failure> {
    let deployment = Deployment::new(settings);
    let only = migrate.only.map(Database::from);
    let mut behind = 0;
    for which in Database::ALL
        .into_iter()
        .filter(|which| only.is_none_or(|only| only == *which))
    {
        behind += usize::from(one(&deployment, which, migrate.dry_run, output).await?);
    }
    match (migrate.dry_run, behind) {
        (true, 1..) => Err(Failure::no("schemas are behind; run it without --dry-run")),
        _ => Ok(()),
    }
}

/// Whether anything was to be done.
async fn one(deployment: &Deployment, which: Database, dry_run: bool, output: Output) -> Result<bool, Failure> {
    let place = deployment.place(which)?;
    let db = deployment.connect(which).await?;
    let (found, needed) = match db.check_schema(&which.migrations()).await {
        Ok(()) => {
            let words = format!("{:<7} {place}: up to date", which.name());
            output.tell(words, &json!({"database": which.name(), "up_to_date": true}));
            return Ok(false);
        }
        Err(SchemaError::Behind { found, needed }) => (found, needed),
        Err(error) => return Err(error.into()),
    };
    if !dry_run {
        db.migrate(&which.migrations()).await?;
    }
    let done = if dry_run { "would go" } else { "went" };
    let words = format!("{:<7} {place}: {done} from version {found} to {needed}", which.name());
    let facts = json!({"database": which.name(), "up_to_date": !dry_run, "from": found, "to": needed});
    output.tell(words, &facts);
    Ok(true)
}
