//! Standard Webhooks 1.0: how a message says who sent it.
//!
//! The signed content is `id.timestamp.body`, the exact bytes that travel. `v1` is HMAC-SHA-256 under a shared
//! secret (`whsec_…`), `v1a` Ed25519 under a key pair (`whsk_…`, `whpk_…`). One header lists the signatures of all
//! current keys, so that a key can be replaced with overlap; a receiver accepts any one that it can verify.
//! A timestamp belongs to an attempt, an id to a message: receivers recognise repeats by the id.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use zeroize::Zeroizing;

use crate::chance::{self, Rng};
use crate::secret::{Secret, SecretBytes};

/// The names of the three headers.
pub const HEADERS: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

/// How far a message's clock may be from ours, in both directions: what every reference library uses.
pub const TOLERANCE: Duration = Duration::from_mins(5);

/// The specification's bounds for a shared secret.
const HMAC_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Of a fresh shared secret: HMAC-SHA-256 gains nothing from more.
const HMAC_BYTES_NEW: usize = 32;

const SEED_BYTES: usize = 32;

/// More signatures than any overlap of keys needs; the header comes from outside.
const SIGNATURES_MAX: usize = 16;

/// Why a text is not a key. Says nothing about the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The prefix is none of ours.
    #[error("a webhook key begins with `whsec_`, `whsk_` or `whpk_`, as its use demands")]
    Prefix,
    /// What follows is not base64 with padding.
    #[error("what follows a webhook key's prefix is base64 with padding")]
    Encoding,
    /// Too short, too long, or empty.
    #[error("`whsec_` holds 24 to 64 bytes, `whsk_` 64, `whpk_` 32")]
    Length,
    /// The two halves don't belong together, or the public half is no point of the curve.
    #[error("the webhook key is not an Ed25519 key")]
    Curve,
}

/// An id that would make the signed content ambiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a webhook id is printable ASCII without `.`")]
pub struct IdError;

/// Why a message was not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The id is empty or ambiguous.
    #[error("the webhook id is not valid")]
    Id,
    /// Not a number of seconds.
    #[error("the webhook timestamp is not a number of seconds")]
    Timestamp,
    /// Sent too long ago, or repeated by someone who recorded it.
    #[error("the webhook timestamp is too old")]
    TooOld,
    /// The sender's clock is ahead, or the message was made to last.
    #[error("the webhook timestamp is in the future")]
    TooNew,
    /// None of the signatures was made with one of the keys over these bytes.
    #[error("no signature of the webhook matches")]
    Signature,
}

/// A key that signs. Can't be printed.
pub struct SigningKey(Signing);

enum Signing {
    Hmac(Box<hmac::Key>),
    Ed25519(Box<Ed25519KeyPair>),
}

/// A key that verifies. Can't be printed, since a shared secret is one.
pub struct VerifyingKey(Verifying);

enum Verifying {
    Hmac(Box<hmac::Key>),
    Ed25519(Box<ParsedPublicKey>),
}

impl SigningKey {
    /// Reads `whsec_…` or `whsk_…`, strictly.
    pub fn parse(text: &Secret) -> Result<Self, KeyError> {
        let text = text.expose();
        if let Some(encoded) = text.strip_prefix("whsec_") {
            return hmac_key(encoded).map(|key| Self(Signing::Hmac(key)));
        }
        let encoded = text.strip_prefix("whsk_").ok_or(KeyError::Prefix)?;
        let bytes = decode(encoded)?;
        let (seed, public) = bytes.expose().split_at_checked(SEED_BYTES).ok_or(KeyError::Length)?;
        if public.len() != SEED_BYTES {
            return Err(KeyError::Length);
        }
        let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public).map_err(|_| KeyError::Curve)?;
        Ok(Self(Signing::Ed25519(Box::new(pair))))
    }

    /// The public half as `whpk_…`; a shared secret has none.
    #[must_use]
    pub fn public(&self) -> Option<String> {
        match &self.0 {
            Signing::Hmac(_) => None,
            Signing::Ed25519(pair) => Some(format!("whpk_{}", STANDARD.encode(pair.public_key().as_ref()))),
        }
    }

    fn sign(&self, content: &[u8]) -> String {
        match &self.0 {
            Signing::Hmac(key) => format!("v1,{}", STANDARD.encode(hmac::sign(key, content))),
            Signing::Ed25519(pair) => format!("v1a,{}", STANDARD.encode(pair.sign(content))),
        }
    }
}

impl VerifyingKey {
    /// Reads `whsec_…` or `whpk_…`, strictly.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if let Some(encoded) = text.strip_prefix("whsec_") {
            return hmac_key(encoded).map(|key| Self(Verifying::Hmac(key)));
        }
        let encoded = text.strip_prefix("whpk_").ok_or(KeyError::Prefix)?;
        let bytes = decode(encoded)?;
        if bytes.expose().len() != SEED_BYTES {
            return Err(KeyError::Length);
        }
        let key = ParsedPublicKey::new(&ED25519, bytes.expose()).map_err(|_| KeyError::Curve)?;
        Ok(Self(Verifying::Ed25519(Box::new(key))))
    }

    /// Whether one entry of the header was made with this key; in constant time for a shared secret.
    fn matches(&self, entry: &str, content: &[u8]) -> bool {
        let Some((version, encoded)) = entry.split_once(',') else {
            return false;
        };
        let Ok(signature) = STANDARD.decode(encoded) else {
            return false;
        };
        match &self.0 {
            Verifying::Hmac(key) => version == "v1" && hmac::verify(key, content, &signature).is_ok(),
            Verifying::Ed25519(key) => version == "v1a" && key.verify_sig(content, &signature).is_ok(),
        }
    }
}

/// Signs one attempt with every key, in their order: the three headers, under the names of [`HEADERS`].
pub fn sign(keys: &[SigningKey], id: &str, at: Timestamp, body: &[u8]) -> Result<[(&'static str, String); 3], IdError> {
    if !is_id(id) {
        return Err(IdError);
    }
    let timestamp = at.as_second().to_string();
    let content = content(id, &timestamp, body);
    let signatures: Vec<String> = keys.iter().map(|key| key.sign(&content)).collect();
    let [id_name, timestamp_name, signature_name] = HEADERS;
    Ok([
        (id_name, id.to_owned()),
        (timestamp_name, timestamp),
        (signature_name, signatures.join(" ")),
    ])
}

/// The three headers of a message, as they came.
#[derive(Debug, Clone, Copy)]
pub struct Received<'h> {
    /// `webhook-id`.
    pub id: &'h str,
    /// `webhook-timestamp`.
    pub timestamp: &'h str,
    /// `webhook-signature`.
    pub signature: &'h str,
}

/// Believes a message if one of its signatures was made with one of `keys` and its time is within `tolerance`.
pub fn verify(
    keys: &[VerifyingKey],
    received: Received<'_>,
    body: &[u8],
    now: Timestamp,
    tolerance: Duration,
) -> Result<(), VerifyError> {
    if !is_id(received.id) {
        return Err(VerifyError::Id);
    }
    check_time(received.timestamp, now, tolerance)?;
    let content = content(received.id, received.timestamp, body);
    let mut entries = received.signature.split(' ').take(SIGNATURES_MAX);
    let believed = entries.any(|entry| keys.iter().any(|key| key.matches(entry, &content)));
    if believed { Ok(()) } else { Err(VerifyError::Signature) }
}

/// A fresh shared secret, `whsec_…`.
#[must_use]
pub fn generate_shared(rng: &dyn Rng) -> Secret {
    let bytes = Zeroizing::new(chance::bytes::<HMAC_BYTES_NEW>(rng));
    Secret::new(format!("whsec_{}", STANDARD.encode(bytes.as_ref())))
}

/// A fresh key pair: `whsk_…` and its public half `whpk_…`.
#[must_use]
pub fn generate_pair(rng: &dyn Rng) -> (Secret, String) {
    let seed = Zeroizing::new(chance::bytes::<SEED_BYTES>(rng));
    let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).expect("every 32 bytes are a seed");
    let public = pair.public_key().as_ref();
    let both = Zeroizing::new([seed.as_ref(), public].concat());
    let secret = Secret::new(format!("whsk_{}", STANDARD.encode(both.as_slice())));
    (secret, format!("whpk_{}", STANDARD.encode(public)))
}

/// A body's digest as the `Content-Digest` field writes it (RFC 9530 §2).
#[must_use]
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(digest(&SHA256, body)))
}

fn content(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat()
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.')
}

fn check_time(text: &str, now: Timestamp, tolerance: Duration) -> Result<(), VerifyError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let second = text.parse().ok().filter(|_| digits).ok_or(VerifyError::Timestamp)?;
    let sent = Timestamp::from_second(second).map_err(|_| VerifyError::Timestamp)?;
    let age = now.duration_since(sent);
    let tolerance = SignedDuration::try_from(tolerance).unwrap_or(SignedDuration::MAX);
    if age > tolerance {
        return Err(VerifyError::TooOld);
    }
    if -age > tolerance {
        return Err(VerifyError::TooNew);
    }
    Ok(())
}

fn hmac_key(encoded: &str) -> Result<Box<hmac::Key>, KeyError> {
    let bytes = decode(encoded)?;
    if !HMAC_BYTES.contains(&bytes.expose().len()) {
        return Err(KeyError::Length);
    }
    Ok(Box::new(hmac::Key::new(hmac::HMAC_SHA256, bytes.expose())))
}

fn decode(encoded: &str) -> Result<SecretBytes, KeyError> {
    STANDARD
        .decode(encoded)
        .map(SecretBytes::new)
        .map_err(|_| KeyError::Encoding)
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(‹secret›)")
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifyingKey(‹secret›)")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;
    use crate::chance::SeededRng;

    fn vectors() -> Vec<Value> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/standard-webhooks.json");
        let text = std::fs::read_to_string(path).unwrap();
        let mut document: Value = serde_json::from_str(&text).unwrap();
        serde_json::from_value(document["cases"].take()).unwrap()
    }

    fn text<'v>(case: &'v Value, name: &str) -> &'v str {
        case[name].as_str().unwrap()
    }

    #[test]
    fn the_published_cases_sign_and_verify() {
        let cases = vectors();
        assert_eq!(cases.len(), 3);
        for case in &cases {
            let key = SigningKey::parse(&Secret::new(text(case, "secret"))).unwrap();
            let at = Timestamp::from_second(text(case, "webhook-timestamp").parse().unwrap()).unwrap();
            let body = text(case, "body").as_bytes();
            let signed = sign(&[key], text(case, "webhook-id"), at, body).unwrap();
            assert_eq!(signed[2].1, text(case, "signature"));

            let public = case.get("public").unwrap_or(&case["secret"]).as_str().unwrap();
            check(&VerifyingKey::parse(public).unwrap(), &signed, at, body);
        }
    }

    /// The message is believed as it is, and not with anything changed.
    fn check(key: &VerifyingKey, signed: &[(&str, String); 3], at: Timestamp, body: &[u8]) {
        let keys = std::slice::from_ref(key);
        let [(_, id), (_, timestamp), (_, signature)] = signed;
        let received = Received {
            id,
            timestamp,
            signature,
        };
        let verdict = |received, body, now| verify(keys, received, body, now, TOLERANCE);
        assert_eq!(verdict(received, body, at), Ok(()));
        assert_eq!(verdict(received, b"{}", at), Err(VerifyError::Signature));
        assert_eq!(
            verdict(
                Received {
                    id: "msg_other",
                    ..received
                },
                body,
                at
            ),
            Err(VerifyError::Signature)
        );
        assert_eq!(verdict(received, body, at + TOLERANCE), Ok(()));
        assert_eq!(verdict(received, body, at + TOLERANCE * 2), Err(VerifyError::TooOld));
        assert_eq!(verdict(received, body, at - TOLERANCE * 2), Err(VerifyError::TooNew));
        for cut in [0, 2, signature.len() - 4] {
            let signature = &signature[..cut];
            assert_eq!(
                verdict(Received { signature, ..received }, body, at),
                Err(VerifyError::Signature)
            );
        }
        let swapped = signature.replace("v1a,", "v2,").replace("v1,", "v1a,");
        let signature = &swapped;
        assert_eq!(
            verdict(Received { signature, ..received }, body, at),
            Err(VerifyError::Signature),
            "downgrade"
        );
        for timestamp in ["", "1e9", "+5", "99999999999999999999"] {
            assert_eq!(
                verdict(Received { timestamp, ..received }, body, at),
                Err(VerifyError::Timestamp)
            );
        }
    }

    #[test]
    fn during_a_rotation_either_key_is_enough() {
        let rng = SeededRng::new(3);
        let (old, new) = (generate_shared(&rng), generate_shared(&rng));
        let (pair, public) = generate_pair(&rng);
        let parse = |secret: &Secret| SigningKey::parse(secret).unwrap();
        let keys = [parse(&old), parse(&new), parse(&pair)];
        assert_eq!(keys[2].public().as_deref(), Some(public.as_str()));

        let at = Timestamp::from_second(1_777_885_200).unwrap();
        let [(_, id), (_, timestamp), (_, signature)] = sign(&keys, "msg_1", at, b"{}").unwrap();
        let received = Received {
            id: &id,
            timestamp: &timestamp,
            signature: &signature,
        };
        let believed = |key: &str| verify(&[VerifyingKey::parse(key).unwrap()], received, b"{}", at, TOLERANCE).is_ok();
        assert!(believed(old.expose()) && believed(new.expose()) && believed(&public));
        assert!(!believed(generate_shared(&rng).expose()));
        assert!(!believed(&generate_pair(&rng).1));
    }

    #[test]
    fn a_key_is_parsed_strictly() {
        let signing = |text: &str| SigningKey::parse(&Secret::new(text)).map(|_| ()).unwrap_err();
        let verifying = |text: &str| VerifyingKey::parse(text).map(|_| ()).unwrap_err();
        let mixed = format!("whsk_{}", STANDARD.encode([1; 64]));
        for (text, wanted) in [
            ("", KeyError::Prefix),
            ("C2FVsBQIhrscChlQIMV+b5sSYspob7oD", KeyError::Prefix),
            ("whsec_", KeyError::Length),
            ("whsec_AAAA", KeyError::Length),
            ("whsec_C2FVsBQIhrscChlQIMV-b5sSYspob7oD", KeyError::Encoding),
            ("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\n", KeyError::Encoding),
            ("whsk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=", KeyError::Length),
            (mixed.as_str(), KeyError::Curve),
        ] {
            assert_eq!(signing(text), wanted, "{text}");
        }
        assert_eq!(verifying("whsec_"), KeyError::Length);
        assert_eq!(verifying("whpk_AAAA"), KeyError::Length);
        assert_eq!(verifying("whsk_AAAA"), KeyError::Prefix);
        assert!(sign(&[], "a.b", Timestamp::UNIX_EPOCH, b"").is_err());
    }

    #[test]
    fn a_content_digest_is_that_of_the_rfc() {
        // RFC 9530 §2, without the line break that its figure shows.
        let wanted = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
        assert_eq!(content_digest(b"{\"hello\": \"world\"}\n"), wanted);
    }
}
