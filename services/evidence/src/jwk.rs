//! Keys that sign tokens: public ones as JWK, private ones from 32 bytes of chance.
//!
//! A key is Ed25519 (RFC 8037) or P-256 (RFC 7518 §6.2), one algorithm a key, and its `kid` is its RFC 7638
//! thumbprint, which commits to it. A registered JWK may carry `kid`, `use` and `alg` if they say the same; a JWK
//! that carries its private part is refused with a word of its own, since somebody has just shown it to us.

use std::fmt;

use aws_lc_rs::agreement;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    ParsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::sha256;

/// The algorithms that tokens are signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519, written `EdDSA`; RFC 9864 spells it `Ed25519`, and both are read.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    /// The algorithm that a token's header names, in any spelling that we read.
    #[must_use]
    pub fn named(alg: &str) -> Option<Self> {
        match alg {
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }

    /// The spelling that we write.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Jwk {
    /// `kty` OKP, `crv` Ed25519.
    Ed25519 {
        /// The encoded point.
        x: [u8; 32],
    },
    /// `kty` EC, `crv` P-256.
    P256 {
        /// The point's first coordinate.
        x: [u8; 32],
        /// Its second.
        y: [u8; 32],
    },
}

/// Why a JWK can't be registered.
#[derive(Debug, thiserror::Error)]
pub enum JwkError {
    /// Not a JSON object with the members of an Ed25519 or P-256 key.
    #[error("not an Ed25519 or P-256 public key as JWK")]
    Shape(#[from] serde_json::Error),
    /// It has the member `d`.
    #[error("this JWK holds the private key: make a new one, keep `d` to yourself, and register the rest")]
    Private,
    /// Another key type or curve, or a member that this type does not have.
    #[error("kty OKP with crv Ed25519, or kty EC with crv P-256, was expected")]
    Kind,
    /// A coordinate that is not 32 bytes in base64url, or a point that is not on the curve.
    #[error("the coordinates are not a point of the curve")]
    Point,
    /// `kid`, `use` or `alg` says something else than the key.
    #[error("`kid` is not the RFC 7638 thumbprint, `use` is not `sig`, or `alg` is not the key's")]
    Contradiction,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    kty: String,
    crv: String,
    x: String,
    y: Option<String>,
    kid: Option<String>,
    r#use: Option<String>,
    alg: Option<String>,
    d: Option<serde::de::IgnoredAny>,
}

impl Jwk {
    /// Reads a JWK.
    pub fn parse(json: &str) -> Result<Self, JwkError> {
        Self::from_members(&serde_json::from_str(json)?)
    }

    fn from_members(members: &Members) -> Result<Self, JwkError> {
        if members.d.is_some() {
            return Err(JwkError::Private);
        }
        let x = coordinate(&members.x)?;
        let key = match (members.kty.as_str(), members.crv.as_str(), &members.y) {
            ("OKP", "Ed25519", None) => Self::Ed25519 { x },
            ("EC", "P-256", Some(y)) => Self::P256 { x, y: coordinate(y)? },
            _ => return Err(JwkError::Kind),
        };
        let same = |said: &Option<String>, fact: &str| said.as_ref().is_none_or(|said| said == fact);
        let algorithm = members
            .alg
            .as_ref()
            .is_none_or(|alg| Algorithm::named(alg) == Some(key.algorithm()));
        if !same(&members.kid, &key.thumbprint()) || !same(&members.r#use, "sig") || !algorithm {
            return Err(JwkError::Contradiction);
        }
        key.on_curve()
    }

    /// A point off the curve verifies nothing, and one of small order verifies what anyone makes up: an owner who
    /// registered it could disown every receipt.
    fn on_curve(self) -> Result<Self, JwkError> {
        match self {
            Self::Ed25519 { x } if has_small_order(x) => Err(JwkError::Point),
            Self::Ed25519 { .. } => Ok(self),
            Self::P256 { .. } => match ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.point()) {
                Ok(_) => Ok(self),
                Err(_) => Err(JwkError::Point),
            },
        }
    }

    /// The one algorithm that this key signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519 { .. } => Algorithm::EdDsa,
            Self::P256 { .. } => Algorithm::Es256,
        }
    }

    /// The key as primitives take it: 32 bytes, or an uncompressed point.
    #[must_use]
    pub fn point(&self) -> Vec<u8> {
        match self {
            Self::Ed25519 { x } => x.to_vec(),
            Self::P256 { x, y } => [&[4], &x[..], &y[..]].concat(),
        }
    }

    /// RFC 7638: SHA-256 over the required members in the order of their names, as base64url. Our `kid`.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(sha256(self.required_members().as_bytes()))
    }

    /// The JSON that RFC 7638 hashes, which is also how we write the key.
    #[must_use]
    pub fn required_members(&self) -> String {
        let encode = |bytes| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Ed25519 { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, encode(x)),
            Self::P256 { x, y } => {
                format!(
                    r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
                    encode(x),
                    encode(y)
                )
            }
        }
    }
}

/// Whether eight times this point is nothing: the seven encodings of such `y`, whatever the sign of `x`.
fn has_small_order(mut point: [u8; 32]) -> bool {
    point[31] &= 0x7f;
    let near_p = |low: u8| {
        let mut y = [0xff; 32];
        (y[0], y[31]) = (low, 0x7f);
        y
    };
    let small = |low: u8| {
        let mut y = [0; 32];
        y[0] = low;
        y
    };
    // 0 and 1, the same with p added, -1, and the two of order eight.
    [
        small(0),
        small(1),
        near_p(0xec),
        near_p(0xed),
        near_p(0xee),
        ORDER_EIGHT[0],
        ORDER_EIGHT[1],
    ]
    .contains(&point)
}

/// The `y` of the points of order eight, least byte first.
const ORDER_EIGHT: [[u8; 32]; 2] = [
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

fn coordinate(text: &str) -> Result<[u8; 32], JwkError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| JwkError::Point)?;
    bytes.try_into().map_err(|_| JwkError::Point)
}

impl Serialize for Jwk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = serde_json::value::RawValue::from_string(self.required_members());
        json.map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Jwk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_members(&Members::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A key that signs tokens. It can't be printed.
pub struct TokenKey {
    pair: Pair,
    jwk: Jwk,
    kid: String,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

/// Chance that happens to be no private key of the curve (one draw in 2^32 for P-256, none for Ed25519).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these 32 bytes are no private key of the curve; draw others")]
pub struct NotAKey;

impl TokenKey {
    /// The key behind 32 secret bytes: an Ed25519 seed (RFC 8032) or a P-256 scalar.
    pub fn new(algorithm: Algorithm, secret: &[u8; 32]) -> Result<Self, NotAKey> {
        let (pair, jwk) = match algorithm {
            Algorithm::EdDsa => ed25519(secret)?,
            Algorithm::Es256 => p256(secret)?,
        };
        Ok(Self {
            pair,
            jwk,
            kid: jwk.thumbprint(),
        })
    }

    /// Reads a private JWK (RFC 8037 §2, RFC 7518 §6.2.2): the form of a key file.
    pub fn parse_private(json: &str) -> Result<Self, JwkError> {
        let read: Private = serde_json::from_str(json)?;
        let secret = coordinate(&read.d)?;
        let key = Self::new(read.algorithm()?, &secret).map_err(|NotAKey| JwkError::Point)?;
        let said = match (read.crv.as_str(), &read.y) {
            ("Ed25519", None) => Jwk::Ed25519 {
                x: coordinate(&read.x)?,
            },
            ("P-256", Some(y)) => Jwk::P256 {
                x: coordinate(&read.x)?,
                y: coordinate(y)?,
            },
            _ => return Err(JwkError::Kind),
        };
        if said == key.jwk {
            Ok(key)
        } else {
            Err(JwkError::Contradiction)
        }
    }

    /// Writes 32 secret bytes as a private JWK, for a key file that nobody else may read.
    pub fn write_private(algorithm: Algorithm, secret: &[u8; 32]) -> Result<String, NotAKey> {
        let public = Self::new(algorithm, secret)?.jwk.required_members();
        let d = URL_SAFE_NO_PAD.encode(secret);
        Ok(public.replacen('{', &format!("{{\"d\":\"{d}\","), 1))
    }

    /// Its public part.
    #[must_use]
    pub fn jwk(&self) -> Jwk {
        self.jwk
    }

    /// Its thumbprint.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Signs. P-256 draws its nonce inside the primitive, as it must; Ed25519 needs none.
    ///
    /// # Panics
    /// If the operating system has no randomness, which ends every other use of cryptography as well.
    #[must_use]
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.pair {
            Pair::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Pair::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message);
                signature.expect("the system has randomness").as_ref().to_vec()
            }
        }
    }
}

/// A private JWK's members. It can't be printed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Private {
    kty: String,
    crv: String,
    x: String,
    y: Option<String>,
    d: String,
}

impl Private {
    fn algorithm(&self) -> Result<Algorithm, JwkError> {
        match (self.kty.as_str(), self.crv.as_str()) {
            ("OKP", "Ed25519") => Ok(Algorithm::EdDsa),
            ("EC", "P-256") => Ok(Algorithm::Es256),
            _ => Err(JwkError::Kind),
        }
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({})", self.kid)
    }
}

fn ed25519(seed: &[u8; 32]) -> Result<(Pair, Jwk), NotAKey> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NotAKey)?;
    let x = pair.public_key().as_ref().try_into().map_err(|_| NotAKey)?;
    Ok((Pair::Ed25519(pair), Jwk::Ed25519 { x }))
}

/// The signing interface wants both halves, so the public one is computed by the agreement interface first.
fn p256(scalar: &[u8; 32]) -> Result<(Pair, Jwk), NotAKey> {
    let private = agreement::PrivateKey::from_private_key(&agreement::ECDH_P256, scalar).map_err(|_| NotAKey)?;
    let public = private.compute_public_key().map_err(|_| NotAKey)?;
    let point: &[u8; 65] = public.as_ref().try_into().map_err(|_| NotAKey)?;
    let pair = EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, scalar, point);
    let half = |from| std::array::from_fn(|place| point[from + place]);
    Ok((
        Pair::P256(pair.map_err(|_| NotAKey)?),
        Jwk::P256 {
            x: half(1),
            y: half(33),
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037 appendix A.1 to A.3: the key, and its thumbprint.
    #[test]
    fn thumbprints_are_those_of_the_rfc() {
        let jwk = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let key = Jwk::parse(jwk).unwrap();
        assert_eq!(key.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let seed = URL_SAFE_NO_PAD
            .decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
            .unwrap();
        let private = TokenKey::new(Algorithm::EdDsa, &seed.try_into().unwrap()).unwrap();
        assert_eq!(private.jwk(), key);
        assert_eq!(format!("{private:?}"), format!("TokenKey({})", key.thumbprint()));
    }

    #[test]
    fn both_kinds_read_back() {
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
            let key = TokenKey::new(algorithm, &[7; 32]).unwrap().jwk();
            let json = serde_json::to_string(&key).unwrap();
            assert_eq!(serde_json::from_str::<Jwk>(&json).unwrap(), key);
            let full = json.replace(
                '{',
                &format!(r#"{{"use":"sig","alg":"{algorithm}","kid":"{}","#, key.thumbprint()),
            );
            assert_eq!(Jwk::parse(&full).unwrap(), key);
        }
        assert_eq!(TokenKey::new(Algorithm::Es256, &[0; 32]).unwrap_err(), NotAKey);
        assert_eq!(TokenKey::new(Algorithm::Es256, &[255; 32]).unwrap_err(), NotAKey);
    }

    /// Under the neutral point, R = s·B is a signature of every message: this one was made without a key.
    #[test]
    fn refuses_points_that_let_anyone_sign() {
        let base = { [&[0x58][..], &[0x66; 31]].concat() };
        let forged = [&base[..], &[1], &[0; 31]].concat();
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let anyone = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, neutral);
        assert!(
            anyone.verify(b"whatever is said", &forged).is_ok(),
            "the primitive began to refuse it itself"
        );
        let parse = |x: [u8; 32]| Jwk::parse(&Jwk::Ed25519 { x }.required_members());
        for x in [neutral, [0; 32], ORDER_EIGHT[0], ORDER_EIGHT[1]] {
            let mut negative = x;
            negative[31] |= 0x80;
            assert!(matches!(
                (parse(x), parse(negative)),
                (Err(JwkError::Point), Err(JwkError::Point))
            ));
        }
    }

    #[test]
    fn a_key_file_reads_back_and_must_not_contradict_itself() {
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
            let written = TokenKey::write_private(algorithm, &[7; 32]).unwrap();
            let key = TokenKey::parse_private(&written).unwrap();
            assert_eq!(key.jwk(), TokenKey::new(algorithm, &[7; 32]).unwrap().jwk());
            let other = TokenKey::write_private(algorithm, &[8; 32]).unwrap();
            let other_d = &other[..other.find("crv").unwrap()];
            let mixed = written.replacen(&written[..written.find("crv").unwrap()], other_d, 1);
            assert_eq!(
                TokenKey::parse_private(&mixed).unwrap_err().to_string(),
                JwkError::Contradiction.to_string()
            );
        }
    }

    #[test]
    fn refuses_what_is_not_exactly_a_public_key() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let refused = |json: String| Jwk::parse(&json).unwrap_err().to_string();
        let ed = |more: &str| format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"{more}}}"#);
        assert_eq!(refused(ed(r#","d":"AAAA""#)), JwkError::Private.to_string());
        assert_eq!(refused(ed(r#","y":"AAAA""#)), JwkError::Kind.to_string());
        for more in [r#","kid":"other""#, r#","use":"enc""#, r#","alg":"ES256""#] {
            assert_eq!(refused(ed(more)), JwkError::Contradiction.to_string(), "{more}");
        }
        assert!(Jwk::parse(&ed(r#","x5u":"https://evil.example""#)).is_err());
        assert!(Jwk::parse(&ed(&format!(r#","x":"{x}""#))).is_err());
        assert_eq!(refused(ed("").replace("11qY", "qY")), JwkError::Point.to_string());
        let off = format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{x}"}}"#);
        assert_eq!(refused(off), JwkError::Point.to_string());
        assert_eq!(refused(ed("").replace("OKP", "oct")), JwkError::Kind.to_string());
    }
}
