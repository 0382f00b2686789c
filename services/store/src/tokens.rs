//! Bearer tokens: who may call, and how far.
//!
//! A token is 256 random bits that are shown once; only its SHA-256 is kept, so that a stolen table opens nothing.
//! What a token may do stands beside it: a role says which doors it opens, a scope whose data, which rights, and how
//! sure it may say that the requester is the person. Auditors' tokens lie in the ledger's database, not here.

mod finder;
mod scope;

use domain::id::SystemId;
use jiff::Timestamp;
use platform::db::{Args, Db, DbError, Row, Statement};

pub use finder::Finder;
pub use scope::{Controllers, Rights, TokenScope, UnknownRole};

const INSERT: Statement = Statement::both(
    "tokens_insert",
    "INSERT INTO token (digest, role, label, scope, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
);

/// Once revoked, the first instant stays.
const REVOKE: Statement = Statement::both(
    "tokens_revoke",
    "UPDATE token SET revoked_at = $2 WHERE digest = $1 AND revoked_at IS NULL",
);

const LIST: Statement = Statement::both(
    "tokens_list",
    "SELECT digest, role, label, scope, created_at, expires_at, revoked_at FROM token ORDER BY created_at, digest",
);

pub(crate) const ALL: &[&[Statement]] = &[&[INSERT, REVOKE, LIST], finder::ALL];

/// Which doors a token opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A product, or a client's program: sends requests, forwards what its channels sent it, reads what it sent.
    Product,
    /// The operator's staff: registrations, tasks, everything about requests that isn't sealed.
    Operator,
    /// One system: fetches its tasks and answers them.
    System(SystemId),
}

/// A token as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// SHA-256 of what the caller holds.
    pub digest: [u8; 32],
    /// Which doors it opens.
    pub role: Role,
    /// What it is for, in the words of whoever made it.
    pub label: String,
    /// How far it goes.
    pub scope: TokenScope,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it opens nothing, if ever.
    pub expires_at: Option<Timestamp>,
    /// Since when it opens nothing, whatever its expiry says.
    pub revoked_at: Option<Timestamp>,
}

/// Whether a token could be revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// From now on it opens nothing.
    Now,
    /// There is none, or it was revoked before.
    Nothing,
}

impl Token {
    /// Whether it opens anything at this instant.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        let expired = self.expires_at.is_some_and(|expires_at| expires_at <= now);
        !expired && self.revoked_at.is_none()
    }
}

/// Keeps a new token. Its `revoked_at` is not looked at.
pub async fn insert(db: &Db, token: &Token) -> Result<(), DbError> {
    let (role, scope) = (token.role.to_string(), token.scope.to_json());
    let args = Args::new()
        .blob(&token.digest)
        .text(&role)
        .text(&token.label)
        .text(&scope)
        .int(token.created_at.as_microsecond())
        .maybe_int(token.expires_at.map(Timestamp::as_microsecond));
    db.execute(&INSERT, args).await.map(drop)
}

/// Ends a token at once.
pub async fn revoke(db: &Db, digest: &[u8; 32], now: Timestamp) -> Result<Revoked, DbError> {
    let args = Args::new().blob(digest).int(now.as_microsecond());
    let touched = db.execute(&REVOKE, args).await?;
    Ok(if touched == 1 { Revoked::Now } else { Revoked::Nothing })
}

/// All tokens, oldest first, with those that open nothing any more.
pub async fn list(db: &Db) -> Result<Vec<Token>, DbError> {
    db.fetch(&LIST, Args::new()).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Token, DbError> {
    let instant = |micros| Timestamp::from_microsecond(micros).map_err(|_| DbError::Inconsistent("a token's instant"));
    let maybe = |micros: Option<i64>| micros.map(instant).transpose();
    Ok(Token {
        digest: row.bytes(0, "a token's digest is not 32 bytes")?,
        role: row.parse(1, "a token has an unknown role")?,
        label: row.get(2)?,
        scope: TokenScope::from_json(&row.get::<String>(3)?)
            .map_err(|_| DbError::Inconsistent("a token's scope can't be read"))?,
        created_at: instant(row.get(4)?)?,
        expires_at: maybe(row.get(5)?)?,
        revoked_at: maybe(row.get(6)?)?,
    })
}

#[cfg(test)]
mod tests;
