//! What must never be printed.
//!
//! [`Secret`] and [`SecretBytes`] show `‹secret›`, can't be serialised, and overwrite their memory when they go.
//! Whoever needs the content says [`Secret::expose`], which is easy to search for. A token that opens a door is
//! 32 random bytes; only its [`digest`] is stored, so that a stolen table opens nothing.

use std::fmt;

use aws_lc_rs::constant_time;
use aws_lc_rs::digest::{SHA256, digest as hash};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::chance::{self, Rng};

/// 256 bits: beyond guessing, and no birthday matters at any number of tokens.
const TOKEN_BYTES: usize = 32;

/// A text that must not be printed.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text into custody.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Bytes that must not be printed.
#[derive(Clone)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes the bytes into custody.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes themselves, for the one call that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// Whether two byte strings are equal, in a time that depends on their lengths alone.
#[must_use]
pub fn equal(left: &[u8], right: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// A fresh token: 32 random bytes in URL-safe base64, 43 characters.
#[must_use]
pub fn random_token(rng: &dyn Rng) -> Secret {
    let bytes = Zeroizing::new(chance::bytes::<TOKEN_BYTES>(rng));
    Secret::new(URL_SAFE_NO_PAD.encode(bytes.as_ref()))
}

/// What is stored in a token's place: its SHA-256. A token has full entropy, so no salt or stretching is needed.
#[must_use]
pub fn digest(token: &Secret) -> [u8; 32] {
    let digest = hash(&SHA256, token.expose().as_bytes());
    digest.as_ref().try_into().expect("a SHA-256 digest has 32 bytes")
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        equal(self.expose().as_bytes(), other.expose().as_bytes())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("‹secret›")
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("‹secret›")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl schemars::JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "writeOnly": true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::SeededRng;

    #[test]
    fn nothing_prints_a_secret() {
        let secret = Secret::new("hunter2");
        let bytes = SecretBytes::new(*b"hunter2");
        assert_eq!(format!("{secret:?} {bytes:?}"), "‹secret› ‹secret›");
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(serde_json::from_str::<Secret>("\"hunter2\"").unwrap(), secret);
    }

    #[test]
    fn a_token_is_fresh_and_its_digest_is_sha256() {
        let rng = SeededRng::new(1);
        let token = random_token(&rng);
        assert_eq!(token.expose().len(), 43);
        assert_ne!(token, random_token(&rng));
        let known = digest(&Secret::new("abc"));
        assert_eq!(known[..4], [0xba, 0x78, 0x16, 0xbf]);
    }
}
