//! Auditors' tokens: who may ask, about whom, and about which time.
//!
//! A token opens what its scope names and nothing else; what lies outside looks as if it weren't there. Only digests
//! are stored. Every question is itself an entry, in the sequence of the controller that it is about, or of the token's
//! home where it is about no single one.

use domain::id::ControllerId;
use jiff::Timestamp;
use platform::db::{Args, Db, DbError, Row, Statement};
use serde::{Deserialize, Serialize};

use crate::archive::Held;
use crate::incoming::instant;

const ADD: Statement = Statement::both(
    "tokens_add",
    "INSERT INTO auditor_token (digest, scope, expires_at, created_at) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (digest) DO UPDATE SET scope = excluded.scope, expires_at = excluded.expires_at",
);

const FIND: Statement = Statement::both(
    "tokens_find",
    "SELECT scope FROM auditor_token WHERE digest = $1 AND expires_at > $2",
);

const LIST: Statement = Statement::both(
    "tokens_list",
    "SELECT digest, scope, expires_at FROM auditor_token ORDER BY created_at, digest LIMIT 1000",
);

const REMOVE: Statement = Statement::both("tokens_remove", "DELETE FROM auditor_token WHERE digest = $1");

pub(crate) const ALL: &[Statement] = &[ADD, FIND, LIST, REMOVE];

/// What a token opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// In whose sequence questions stand that are about no single controller: the operator's, or the one controller's
    /// that the auditor works for. Its key events are open too, since statements are signed with them.
    pub home: ControllerId,
    /// About whom the auditor may ask.
    pub controllers: Controllers,
    /// Entries from this instant on; unset, from the beginning.
    pub from: Option<Timestamp>,
    /// Entries before this instant; unset, to the end.
    pub until: Option<Timestamp>,
}

/// Controllers that a token opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Controllers {
    /// Every one, for the operator's own auditor.
    All,
    /// These.
    These(Vec<ControllerId>),
}

impl Scope {
    /// Whether an entry may be shown.
    #[must_use]
    pub fn covers(&self, entry: &Held) -> bool {
        let within = self.from.is_none_or(|from| from <= entry.at) && self.until.is_none_or(|until| entry.at < until);
        within && self.has(entry.controller)
    }

    /// Whether what happened to a controller's keys may be shown, whenever it was: old keys explain newer receipts.
    #[must_use]
    pub fn covers_keys(&self, controller: ControllerId) -> bool {
        controller == self.home || self.has(controller)
    }

    fn has(&self, controller: ControllerId) -> bool {
        match &self.controllers {
            Controllers::All => true,
            Controllers::These(these) => these.contains(&controller),
        }
    }
}

/// Adds a token, by its digest ([`platform::secret::digest`]), or gives one that exists another scope.
pub async fn add(
    db: &Db,
    digest: &[u8; 32],
    scope: &Scope,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<(), DbError> {
    let scope = serde_json::to_string(scope).expect("ids and instants are JSON");
    let args = Args::new().blob(digest).text(&scope).int(expires_at.as_microsecond());
    db.execute(&ADD, args.int(now.as_microsecond())).await.map(drop)
}

/// A token as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Names it, in questions' entries too.
    pub digest: [u8; 32],
    /// What it opens.
    pub scope: Scope,
    /// Until when.
    pub expires_at: Timestamp,
}

/// The oldest thousand tokens, those that are over too.
pub async fn list(db: &Db) -> Result<Vec<Stored>, DbError> {
    let read = |row: &Row| {
        Ok(Stored {
            digest: row.bytes(0, "a token's digest is none")?,
            scope: scope(&row.get::<String>(1)?)?,
            expires_at: instant(row.get(2)?)?,
        })
    };
    db.fetch(&LIST, Args::new()).await?.iter().map(read).collect()
}

/// Takes a token back; whether there was one.
pub async fn remove(db: &Db, digest: &[u8; 32]) -> Result<bool, DbError> {
    Ok(db.execute(&REMOVE, Args::new().blob(digest)).await? > 0)
}

/// What a token opens now; none if it is unknown or over.
pub(crate) async fn find(db: &Db, digest: &[u8; 32], now: Timestamp) -> Result<Option<Scope>, DbError> {
    let row = db
        .fetch_optional(&FIND, Args::new().blob(digest).int(now.as_microsecond()))
        .await?;
    row.map(|row| scope(&row.get::<String>(0)?)).transpose()
}

fn scope(json: &str) -> Result<Scope, DbError> {
    serde_json::from_str(json).map_err(|_| DbError::Inconsistent("an auditor's scope can't be read"))
}
