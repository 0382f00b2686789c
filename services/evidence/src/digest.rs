//! SHA-256, and the way HTTP writes it.
//!
//! `sha-256=:<base64>:` is the form of RFC 9530's `Content-Digest`. A client business copies it from the header of
//! the webhook that it got into the receipt that it signs, so both are compared as 32 bytes and never as text.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// SHA-256 of the bytes.
///
/// # Panics
/// Never: SHA-256 has 32 bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// A body's digest as RFC 9530 writes it: `sha-256=:<base64>:`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentDigest(pub [u8; 32]);

/// A text that is not exactly one SHA-256 digest in RFC 9530's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`sha-256=:<base64 of 32 bytes>:` was expected")]
pub struct NotADigest;

impl ContentDigest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        Self(sha256(body))
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha-256=:{}:", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ContentDigest {
    type Err = NotADigest;
    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let base64 = text.strip_prefix("sha-256=:").and_then(|rest| rest.strip_suffix(':'));
        let bytes = STANDARD.decode(base64.ok_or(NotADigest)?).map_err(|_| NotADigest)?;
        bytes.try_into().map(Self).map_err(|_| NotADigest)
    }
}

impl Serialize for ContentDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContentDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 9530 §2: the digest of `{"hello": "world"}` and a newline.
    #[test]
    fn writes_as_the_rfc_does() {
        let text = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
        assert_eq!(ContentDigest::of(b"{\"hello\": \"world\"}\n").to_string(), text);
        assert_eq!(text.parse(), Ok(ContentDigest::of(b"{\"hello\": \"world\"}\n")));
    }

    #[test]
    fn refuses_every_other_form() {
        for text in [
            "",
            "sha-256=::",
            "SHA-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
            "sha-512=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
            "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg:",
            "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDh=:",
            "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:, md5=:AAAA:",
        ] {
            assert_eq!(text.parse::<ContentDigest>(), Err(NotADigest), "{text}");
        }
    }
}
