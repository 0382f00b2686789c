//! Auditors' tokens: their digests lie in the ledger's database, with what they open.

use std::time::Duration;

use domain::id::ControllerId;
use jiff::Timestamp;
use ledger::tokens::{self, Controllers, Scope, Stored};
use platform::secret::{Secret, digest, random_token};
use store::Store;
use store::registry::{Directory, DirectoryCache};

use super::{Add, SHOWN_BYTES, controller, hex, is_named};
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

/// Auditors' tokens as rows of `token list`; one that is over opens nothing.
pub(super) async fn rows(deployment: &Deployment) -> Result<Vec<Vec<String>>, Failure> {
    let db = deployment.database(Database::Ledger).await?;
    let now = deployment.clock.now();
    let row = |token: &Stored| {
        let controllers = match &token.scope.controllers {
            Controllers::All => "all".to_owned(),
            Controllers::These(these) => these.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        };
        let state = if token.expires_at > now {
            format!("valid until {}", token.expires_at)
        } else {
            "expired".to_owned()
        };
        let digest = hex(&token.digest[..SHOWN_BYTES]);
        vec![
            digest,
            "auditor".to_owned(),
            String::new(),
            controllers,
            String::new(),
            state,
        ]
    };
    Ok(tokens::list(&db).await?.iter().map(row).collect())
}

/// Ends the one that is named; false if there is none.
pub(super) async fn revoke(deployment: &Deployment, named: &str) -> Result<bool, Failure> {
    let db = deployment.database(Database::Ledger).await?;
    let all = tokens::list(&db).await?;
    let found: Vec<&Stored> = all.iter().filter(|token| is_named(&token.digest, named)).collect();
    match found[..] {
        [token] => Ok(tokens::remove(&db, &token.digest).await?),
        _ => Ok(false),
    }
}

/// How controllers are named here: by slug or id, or by id alone where the router's database is out of reach.
struct Names(Option<std::sync::Arc<Directory>>);

impl Names {
    async fn of(deployment: &Deployment) -> Result<Self, Failure> {
        if !deployment.may_use(Database::Router) {
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
