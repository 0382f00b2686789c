//! `quittance token`: who may call the APIs, and how far.

pub mod auditor;

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use domain::assurance::AssuranceLevel;
use domain::id::{ControllerId, SystemId};
use domain::right::Right;
use jiff::Timestamp;
use platform::db::Db;
use platform::secret::{Secret, digest, random_token};
use serde_json::json;
use store::Store;
use store::registry::{Directory, DirectoryCache};
use store::tokens::{self, Controllers, Revoked, Rights, Role, Token as Kept, TokenScope};

use crate::deployment::{Database, Deployment};
use crate::failure::Failure;
use crate::output::{Output, Tone};
use crate::settings::Settings;

/// A label tells people what a token is for; what is longer is a letter.
const LABEL_MAX: usize = 100;

/// Enough of a digest to tell tokens apart.
const SHOWN_BYTES: usize = 6;

/// Give, list and revoke API tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Give a token. It is shown once; only its digest is kept.
    #[command(after_long_help = "\
Examples:
  quittance token add --role product --label \"Smart Reply\" --controller nablus-sweets --right deletion --right access
  quittance token add --role operator --label \"privacy desk\" --expires-in-days 90
  quittance token add --role system --system nablus-sweets/crm --label \"CRM\"
  quittance token add --role auditor --controller nablus-sweets --from 2026-01-01T00:00:00Z")]
    Add(Add),
    /// List all tokens by their digests, with those that open nothing any more.
    List,
    /// End a token at once, by its digest as `list` shows it or by the token itself.
    Revoke(Revoke),
}

/// `quittance token add`.
#[derive(Debug, Args)]
pub struct Add {
    /// Which doors it opens.
    #[arg(long, value_enum)]
    pub role: RoleName,
    /// What it is for; needed for every role but `auditor`, whose tokens are told apart by their digests alone.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub label: String,
    /// Whose requests it may send and see: a controller's slug or id; may be repeated. All, if not said.
    #[arg(long = "controller", value_name = "SLUG")]
    pub controllers: Vec<String>,
    /// Which rights it may exercise; may be repeated. All, if not said.
    #[arg(long = "right", value_name = "RIGHT")]
    pub rights: Vec<Right>,
    /// The highest assurance that it may assert about a requester.
    #[arg(long, value_name = "LEVEL", default_value = "account_session")]
    pub assurance: AssuranceLevel,
    /// Of which system, for the role `system`: CONTROLLER/SYSTEM or its id.
    #[arg(long, required_if_eq("role", "system"), value_name = "SYSTEM")]
    pub system: Option<String>,
    /// For the role `auditor`: in whose sequence its questions are logged; the operator's, if not said.
    #[arg(long, value_name = "SLUG")]
    pub home: Option<String>,
    /// For the role `auditor`: entries from this instant on.
    #[arg(long, value_name = "INSTANT")]
    pub from: Option<Timestamp>,
    /// For the role `auditor`: entries before this instant.
    #[arg(long, value_name = "INSTANT")]
    pub until: Option<Timestamp>,
    /// From when on it opens nothing; never if not said, but for an auditor's after 90 days.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub expires_in_days: Option<u32>,
}

/// Who may hold a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// A product, or a client's program: sends requests, forwards what its channels sent it, reads what it sent.
    Product,
    /// The operator's staff.
    Operator,
    /// One system: fetches its tasks and answers them.
    System,
    /// An auditor: reads the ledger, and every question is logged.
    Auditor,
}

/// `quittance token revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    /// The beginning of its digest, or the token itself.
    pub token: String,
}

/// Does it.
pub async fn run(command: &Token, settings: Settings, output: Output) -> Result<(), Failure> {
    let deployment = Deployment::new(settings);
    match command {
        Token::Add(add) => {
            let token = match add.role {
                RoleName::Auditor => auditor::issue(add, &deployment).await?,
                _ => issue(add, &deployment, &deployment.database(Database::Router).await?).await?,
            };
            let words = format!("token, shown this once: {}", token.expose());
            output.tell(words, &json!({"token": token.expose(), "label": add.label}));
            Ok(())
        }
        Token::List => list(&deployment, output).await,
        Token::Revoke(revoked) => revoke_any(&deployment, &revoked.token, output).await,
    }
}

/// Makes a token and keeps its digest.
pub async fn issue(add: &Add, deployment: &Deployment, db: &Db) -> Result<Secret, Failure> {
    if add.label.is_empty() || add.label.len() > LABEL_MAX {
        return Err(Failure::usage(format!("`--label` is 1 to {LABEL_MAX} bytes")));
    }
    let cache = DirectoryCache::new(Store::new(db.clone()));
    cache.refresh().await?;
    let directory = cache.current();
    let token = random_token(&*deployment.rng);
    let now = deployment.clock.now();
    let kept = Kept {
        digest: digest(&token),
        role: role(add, &directory)?,
        label: add.label.clone(),
        scope: scope(add, &directory)?,
        created_at: now,
        expires_at: add
            .expires_in_days
            .map(|days| now + Duration::from_hours(24 * u64::from(days))),
        revoked_at: None,
    };
    tokens::insert(db, &kept).await?;
    Ok(token)
}

async fn list(deployment: &Deployment, output: Output) -> Result<(), Failure> {
    let (now, mut rows) = (deployment.clock.now(), vec![]);
    if deployment.may_use(Database::Router) {
        let db = deployment.database(Database::Router).await?;
        rows.extend(tokens::list(&db).await?.iter().map(|token| row(token, now)));
    }
    if deployment.may_use(Database::Ledger) {
        rows.extend(auditor::rows(deployment).await?);
    }
    output.table(&["digest", "role", "label", "controllers", "rights", "state"], &rows);
    Ok(())
}

/// An auditor's token is looked for where this process can look.
async fn revoke_any(deployment: &Deployment, named: &str, output: Output) -> Result<(), Failure> {
    if deployment.may_use(Database::Ledger) && auditor::revoke(deployment, named).await? {
        let words = output.paint(Tone::Good, "it opens nothing from now on");
        output.tell(words, &json!({"role": "auditor", "revoked": true}));
        return Ok(());
    }
    let db = deployment.database(Database::Router).await?;
    revoke(&db, named, deployment.clock.now(), output).await
}

async fn revoke(db: &Db, named: &str, now: Timestamp, output: Output) -> Result<(), Failure> {
    let all = tokens::list(db).await?;
    let fits = |token: &&Kept| is_named(&token.digest, named);
    let found: Vec<&Kept> = all.iter().filter(fits).collect();
    let [token] = found[..] else {
        return Err(Failure::usage(
            "no single token is named by that; `quittance token list` shows their digests",
        ));
    };
    let words = match tokens::revoke(db, &token.digest, now).await? {
        Revoked::Now => output.paint(Tone::Good, "it opens nothing from now on"),
        Revoked::Nothing => "it was revoked before".to_owned(),
    };
    output.tell(words, &json!({"digest": hex(&token.digest), "revoked": true}));
    Ok(())
}

/// Whether a token is meant: by itself, or by the beginning of its digest.
fn is_named(digest_kept: &[u8; 32], named: &str) -> bool {
    let shown = hex(digest_kept);
    *digest_kept == digest(&Secret::new(named)) || named.len() >= 2 * SHOWN_BYTES && shown.starts_with(named)
}

fn role(add: &Add, directory: &Directory) -> Result<Role, Failure> {
    Ok(match (add.role, &add.system) {
        (RoleName::Product, None) => Role::Product,
        (RoleName::Operator, None) => Role::Operator,
        (RoleName::System, Some(named)) => Role::System(system(named, directory)?),
        (RoleName::Auditor, _) => return Err(Failure::usage("an auditor's token is made for the ledger")),
        (RoleName::System, None) => return Err(Failure::usage("the role `system` needs `--system`")),
        (_, Some(_)) => return Err(Failure::usage("`--system` belongs to the role `system` only")),
    })
}

fn scope(add: &Add, directory: &Directory) -> Result<TokenScope, Failure> {
    let named: Vec<ControllerId> = add
        .controllers
        .iter()
        .map(|named| controller(named, directory))
        .collect::<Result<_, _>>()?;
    Ok(TokenScope {
        controllers: if named.is_empty() {
            Controllers::All
        } else {
            Controllers::Only(named.into_iter().collect())
        },
        rights: if add.rights.is_empty() {
            Rights::All
        } else {
            Rights::Only(add.rights.iter().copied().collect())
        },
        assurance: add.assurance,
    })
}

/// A controller by its slug or id.
pub fn controller(named: &str, directory: &Directory) -> Result<ControllerId, Failure> {
    let by_id = named.parse().ok().filter(|id| directory.controller(*id).is_some());
    let found = by_id.or_else(|| directory.controller_by_slug(named).map(|controller| controller.id));
    found.ok_or_else(|| {
        Failure::usage(format!(
            "no controller is registered as `{named}`; `quittance apply` registers one"
        ))
    })
}

/// The system that is named CONTROLLER/SYSTEM, or by its id.
pub fn system(named: &str, directory: &Directory) -> Result<SystemId, Failure> {
    let unknown = || {
        Failure::usage(format!(
            "no system is registered as `{named}`; write CONTROLLER/SYSTEM or its id"
        ))
    };
    if let Some((owner, slug)) = named.split_once('/') {
        let owner = controller(owner, directory)?;
        let systems = directory.systems_of(owner);
        return systems
            .iter()
            .find(|system| system.slug == slug)
            .map(|system| system.id)
            .ok_or_else(unknown);
    }
    let id: SystemId = named.parse().map_err(|_| unknown())?;
    directory.system(id).map(|system| system.id).ok_or_else(unknown)
}

fn row(token: &Kept, now: Timestamp) -> Vec<String> {
    let controllers = match &token.scope.controllers {
        Controllers::All => "all".to_owned(),
        Controllers::Only(some) => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    };
    let rights = match &token.scope.rights {
        Rights::All => "all".to_owned(),
        Rights::Only(some) => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    };
    let state = match (token.is_valid(now), token.revoked_at, token.expires_at) {
        (true, _, None) => "valid".to_owned(),
        (true, _, Some(until)) => format!("valid until {until}"),
        (false, Some(since), _) => format!("revoked {since}"),
        (false, None, _) => "expired".to_owned(),
    };
    let digest = hex(&token.digest[..SHOWN_BYTES]);
    vec![
        digest,
        token.role.to_string(),
        token.label.clone(),
        controllers,
        rights,
        state,
    ]
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_is_kept_by_its_digest_and_ends_when_it_is_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            data: folder.path().to_owned(),
            ..Settings::default()
        };
        let deployment = Deployment::new(settings);
        let db = deployment.database(Database::Router).await.unwrap();
        let mut add = Add {
            role: RoleName::Product,
            label: "test".to_owned(),
            controllers: vec![],
            rights: vec![Right::Access],
            assurance: AssuranceLevel::ChannelControl,
            system: None,
            home: None,
            from: None,
            until: None,
            expires_in_days: None,
        };
        let token = issue(&add, &deployment, &db).await.unwrap();
        let now = deployment.clock.now();
        let finder = tokens::Finder::new(db.clone());
        let found = finder.find(&token, now).await.unwrap().unwrap();
        assert!(!found.scope.rights.contains(Right::Deletion));
        let output = Output::new(true);
        assert!(revoke(&db, "00", now, output).await.is_err());
        revoke(&db, token.expose(), now, output).await.unwrap();
        assert!(finder.find(&token, now).await.unwrap().is_none());
        add.controllers = vec!["nobody".to_owned()];
        let refused = issue(&add, &deployment, &db).await.unwrap_err();
        assert!(refused.line.contains("`nobody`"), "{refused}");
    }
}
