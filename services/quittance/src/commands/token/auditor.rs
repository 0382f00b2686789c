//! Auditors' tokens: their digests lie in the ledger's database, with what they open.

use std::time::Duration;

use domain::id::ControllerId;
use jiff::Timestamp;
use ledger::tokens::{self, Controllers, Scope};
use platform::secret::{Secret, digest, random_token};
use store::Store;
use store::registry::{Directory, DirectoryCache};

use super::{Add, controller};
use crate::deployment::{Database, Deployment};
use crate::failure::Failure;

/// A quarter's audit, unless it is said otherwise; an auditor's token always ends.
const EXPIRES_IN_DAYS: u32 = 90;

/// Makes a token with the auditor role and keeps its digest in the ledger's database.
pub(super) async fn issue(add: &Add, deployment: &Deployment) -> Result<Secret, Failure> {
    let names = Names::of(deployment).await?;
    let scope = Scope {
        home: names.home(add.home.as_deref())?,
        controllers: match &add.controllers[..] {
            [] => Controllers::All,
            some => Controllers::These(some.iter().map(|named| names.find(named)).collect::<Result<_, _>>()?),
        },
        from: add.from,
        until: add.until,
    };
    let days = add.expires_in_days.unwrap_or(EXPIRES_IN_DAYS);
    grant(deployment, &scope, Duration::from_hours(24 * u64::from(days))).await
}

/// Makes a token that opens this for so long.
pub async fn grant(deployment: &Deployment, scope: &Scope, lasts: Duration) -> Result<Secret, Failure> {
    let db = deployment.database(Database::Ledger).await?;
    let (token, now): (Secret, Timestamp) = (random_token(&*deployment.rng), deployment.clock.now());
    tokens::add(&db, &digest(&token), scope, now + lasts, now).await?;
    Ok(token)
}

/// Ends one, by the token itself; false if there is none.
pub(super) async fn revoke(deployment: &Deployment, token: &Secret) -> Result<bool, Failure> {
    let db = deployment.database(Database::Ledger).await?;
    Ok(tokens::remove(&db, &digest(token)).await?)
}

/// How controllers are named here: by slug or id, or by id alone where the router's database is out of reach.
struct Names(Option<std::sync::Arc<Directory>>);

impl Names {
    async fn of(deployment: &Deployment) -> Result<Self, Failure> {
        let databases = deployment.settings.databases.as_ref();
        if databases.is_some_and(|databases| databases.router.is_none()) {
            return Ok(Self(None));
        }
        let cache = DirectoryCache::new(Store::new(deployment.database(Database::Router).await?));
        cache.refresh().await?;
        Ok(Self(Some(cache.current())))
    }

    fn find(&self, named: &str) -> Result<ControllerId, Failure> {
        match &self.0 {
            Some(directory) => controller(named, directory),
            None => named.parse().map_err(|_| {
                Failure::usage(format!(
                    "`{named}` is no id; without the router's database, write ctl_…"
                ))
            }),
        }
    }

    /// The operator, if nothing is said.
    fn home(&self, named: Option<&str>) -> Result<ControllerId, Failure> {
        let operator = || self.0.as_ref()?.operator().map(|operator| operator.id);
        match named {
            Some(named) => self.find(named),
            None => operator().ok_or_else(|| {
                Failure::usage(
                    "say with `--home` in whose sequence the auditor's questions are logged; no operator is known here",
                )
            }),
        }
    }
}
