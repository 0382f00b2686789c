//! What we sign ourselves, with the deployment's statement key (contracts.md §9).
//!
//! `iss` is our public URL and `aud` the issuer name of the controller that is told. The key belongs to dispatch alone:
//! connectors and pages hand facts over, and dispatch signs.

use std::sync::Arc;

use domain::id::RequestId;
use evidence::jwk::{Jwk, TokenKey};
use evidence::token::Said;
use evidence::token::sign::{Claims, sign_statement};
use jiff::Timestamp;
use uuid::Uuid;

/// Signs statements of ours; clones share the key.
#[derive(Clone)]
pub(crate) struct Signer {
    key: Arc<TokenKey>,
    issuer: Arc<str>,
}

impl Signer {
    /// With the statement key, under our public URL.
    pub(crate) fn new(key: Arc<TokenKey>, issuer: Arc<str>) -> Self {
        Self { key, issuer }
    }

    /// A statement about a request, to the controller of that issuer name; `jti` is new for each statement.
    pub(crate) fn sign(&self, said: &Said, request: RequestId, audience: &str, jti: Uuid, now: Timestamp) -> String {
        let claims = Claims {
            issuer: &self.issuer,
            audience,
            issued_at: now,
            occurred_at: None,
            jti,
            request,
        };
        sign_statement(&claims, said, &self.key)
    }
}

impl Signer {
    /// The public half of its key.
    pub(crate) fn public_key(&self) -> Jwk {
        self.key.jwk()
    }

    /// Who signs: our public URL.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({} {})", self.issuer, self.key.kid())
    }
}
