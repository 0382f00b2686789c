//! Tokens: what an owner signs about a task, and what we sign ourselves (RFC 8417, contracts.md §5).
//!
//! There is one way from bytes to a statement that counts. [`Unverified::parse`] reads the token with a parser of our
//! own that takes exactly the members we know, once each, in their one form; then the key is looked up by issuer and
//! `kid`, never taken from the token; then the signature alone goes through `jsonwebtoken`, with the algorithm of the
//! *registered* key. That library's own `decode` is never called: it accepts a missing `iss`, an unknown `crit` and
//! any `typ`, and doesn't know `alg: Ed25519`. What is left to check against the database is [`bind`].
//! The bytes that came are kept; nothing is ever signed or hashed from what was parsed.

use std::borrow::Borrow;

use domain::id::RequestId;
use domain::receipt::Report;
use jiff::Timestamp;
use jsonwebtoken::DecodingKey;
use uuid::Uuid;

use crate::digest::sha256;
use crate::jwk::{Algorithm, Jwk};

pub mod bind;
pub mod refusal;
pub mod sign;

mod envelope;
mod members;
mod report;
mod statement;
#[cfg(test)]
mod traps;

pub use envelope::Unverified;
pub use refusal::{Refusal, SetError};
pub use statement::{Said, verify_statement};

/// The longest token. A receipt with 64 categories and 32 attachments has 12 KiB.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// The media type of a token, as `content-type` and, without `application/`, as `typ`.
pub const MEDIA_TYPE: &str = "application/secevent+jwt";

/// A public key that may sign for an issuer, ready to verify.
#[derive(Clone)]
pub struct RegisteredKey {
    issuer: String,
    kid: String,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// A receipt whose signature holds: who said what, when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedReceipt {
    /// Who says it (`iss`).
    pub issuer: String,
    /// With which key.
    pub kid: String,
    /// The token's own id, new for each of an issuer's statements.
    pub jti: Uuid,
    /// The request that it belongs to (`txn`).
    pub request: RequestId,
    /// When it was signed (`iat`).
    pub issued_at: Timestamp,
    /// When it happened (`toe`), if that is said.
    pub occurred_at: Option<Timestamp>,
    /// What is said.
    pub report: Report,
}

impl RegisteredKey {
    /// The key that the registry has for this issuer.
    #[must_use]
    pub fn new(issuer: &str, jwk: &Jwk) -> Self {
        let point = jwk.point();
        let key = match jwk.algorithm() {
            Algorithm::EdDsa => DecodingKey::from_ed_der(&point),
            Algorithm::Es256 => DecodingKey::from_ec_der(&point),
        };
        Self {
            issuer: issuer.to_owned(),
            kid: jwk.thumbprint(),
            algorithm: jwk.algorithm(),
            key,
        }
    }

    /// Whether this key made the signature over the token's signed part.
    fn signed(&self, token: &Unverified<'_>) -> bool {
        let algorithm = match self.algorithm {
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        };
        let (message, signature) = token.signed_part();
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, algorithm).unwrap_or(false)
    }
}

impl std::fmt::Debug for RegisteredKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RegisteredKey({} {} {})", self.issuer, self.algorithm, self.kid)
    }
}

/// Verifies a receipt that was sent to `audience`, which is our public URL, with the keys that `keys` finds.
pub fn verify<K: Borrow<RegisteredKey>>(
    token: &[u8],
    keys: impl FnOnce(&str, &str) -> Option<K>,
    audience: &str,
) -> Result<VerifiedReceipt, Refusal> {
    let token = Unverified::parse(token)?;
    let key = keys(token.issuer(), token.kid()).ok_or(Refusal::UnknownKey)?;
    token.verify(key.borrow(), audience)
}

impl Unverified<'_> {
    /// Verifies a receipt with the key that was found for its issuer and `kid`: [`verify`] for a caller that has to
    /// wait for its keys.
    pub fn verify(&self, key: &RegisteredKey, audience: &str) -> Result<VerifiedReceipt, Refusal> {
        self.is_for(audience)?;
        let (name, payload) = self.event(audience)?;
        let report = report::read(name, payload)?;
        self.authenticate(key)?;
        Ok(VerifiedReceipt {
            issuer: self.issuer().to_owned(),
            kid: self.kid().to_owned(),
            jti: self.jti,
            request: self.request,
            issued_at: self.issued_at,
            occurred_at: self.occurred_at,
            report,
        })
    }

    /// The registered key is the token's own, of the token's algorithm, and has signed it.
    fn authenticate(&self, key: &RegisteredKey) -> Result<(), Refusal> {
        if (key.issuer.as_str(), key.kid.as_str()) != (self.issuer(), self.kid()) {
            return Err(Refusal::UnknownKey);
        }
        if key.algorithm != self.algorithm {
            return Err(Refusal::Algorithm);
        }
        if key.signed(self) {
            Ok(())
        } else {
            Err(Refusal::Signature)
        }
    }
}

impl VerifiedReceipt {
    /// SHA-256 over what is said, without who signed it when: equal for a client that signs the same again under the
    /// same `jti`, and different for one that takes it back.
    #[must_use]
    pub fn report_digest(&self) -> [u8; 32] {
        sha256(format!("{}\n{}", self.request, report::payload(&self.report)).as_bytes())
    }
}
