//! The keys of notes: `<name>+<id>+<base64>` for the public ones, `PRIVATE+KEY+…` for the others.
//!
//! Type 0x01 signs the note's text (a log), type 0x04 signs it together with a time (a witness). Both are Ed25519,
//! and the id commits to name, type and key, so that a log's key can't be passed for a witness's.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

/// What a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// The text alone: a log (C2SP signed-note, type 0x01).
    Log,
    /// The text and a time: a witness (C2SP tlog-cosignature, type 0x04).
    Witness,
}

/// A public key with its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NoteKey {
    name: String,
    key_type: KeyType,
    id: u32,
    public: [u8; 32],
}

/// A key that signs notes. It can't be printed.
pub struct NoteSigner {
    key: NoteKey,
    pair: Ed25519KeyPair,
}

/// A text that is not a note's key; it is not repeated, since it may be a private one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not the parts of a key, or not in their one spelling.
    #[error("not a note's key: <name>+<id>+<base64> was expected")]
    Format,
    /// Neither type 0x01 nor type 0x04.
    #[error("only Ed25519 keys of logs (type 1) and witnesses (type 4) are understood")]
    Type,
    /// The id is not that of this name, type and key.
    #[error("the key's id does not belong to its name and key")]
    Id,
    /// Empty, or with white space, `+` or control characters.
    #[error("a key's name is not empty and has no white space and no `+`")]
    Name,
}

impl KeyType {
    const fn byte(self) -> u8 {
        match self {
            Self::Log => 1,
            Self::Witness => 4,
        }
    }

    fn from_byte(byte: u8) -> Result<Self, KeyError> {
        match byte {
            1 => Ok(Self::Log),
            4 => Ok(Self::Witness),
            _ => Err(KeyError::Type),
        }
    }
}

impl NoteKey {
    /// A key from its parts.
    pub fn new(key_type: KeyType, name: &str, public: [u8; 32]) -> Result<Self, KeyError> {
        if !signed_note::is_key_name_valid(name) || name.chars().any(char::is_control) {
            return Err(KeyError::Name);
        }
        let id = signed_note::key_id(name, &[&[key_type.byte()], &public[..]].concat());
        Ok(Self {
            name: name.to_owned(),
            key_type,
            id,
            public,
        })
    }

    /// The name in its signature lines; a log's is its origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The id in its signature lines.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The Ed25519 point.
    #[must_use]
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The time in a witness's signature: seconds, as eight bytes before it.
    pub(super) fn time(&self, signature: &[u8]) -> Option<Timestamp> {
        match self.key_type {
            KeyType::Log => None,
            KeyType::Witness => seconds(signature).and_then(|(seconds, _)| Timestamp::from_second(seconds).ok()),
        }
    }

    fn holds(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public)
            .verify(message, signature)
            .is_ok()
    }
}

impl signed_note::Verifier for NoteKey {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        match self.key_type {
            KeyType::Log => self.holds(text, signature),
            // A time that is no instant is as wrong as a signature that does not hold.
            KeyType::Witness => seconds(signature).is_some_and(|(seconds, signature)| {
                Timestamp::from_second(seconds).is_ok() && self.holds(&cosigned(seconds, text), signature)
            }),
        }
    }
}

fn seconds(signature: &[u8]) -> Option<(i64, &[u8])> {
    let (seconds, signature) = signature.split_first_chunk()?;
    Some((i64::try_from(u64::from_be_bytes(*seconds)).ok()?, signature))
}

/// What a witness signs: two lines that say what it is, and the text.
fn cosigned(seconds: i64, text: &[u8]) -> Vec<u8> {
    [format!("cosignature/v1\ntime {seconds}\n").as_bytes(), text].concat()
}

impl fmt::Display for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_key(f, "", self, &self.public)
    }
}

fn write_key(f: &mut impl fmt::Write, prefix: &str, key: &NoteKey, bytes: &[u8; 32]) -> fmt::Result {
    let encoded = STANDARD.encode([&[key.key_type.byte()], &bytes[..]].concat());
    write!(f, "{prefix}{}+{:08x}+{encoded}", key.name, key.id)
}

impl FromStr for NoteKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, id, key_type, public) = split(text)?;
        let key = Self::new(key_type, name, public)?;
        if key.id == id { Ok(key) } else { Err(KeyError::Id) }
    }
}

/// Name, id, type and the 32 bytes.
fn split(text: &str) -> Result<(&str, u32, KeyType, [u8; 32]), KeyError> {
    let (name, rest) = text.split_once('+').ok_or(KeyError::Format)?;
    let (id, encoded) = rest.split_once('+').ok_or(KeyError::Format)?;
    let hex = id.len() == 8
        && id
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let id = u32::from_str_radix(id, 16)
        .ok()
        .filter(|_| hex)
        .ok_or(KeyError::Format)?;
    let bytes = STANDARD.decode(encoded).map_err(|_| KeyError::Format)?;
    let (key_type, bytes) = bytes.split_first().ok_or(KeyError::Format)?;
    let key_type = KeyType::from_byte(*key_type)?;
    Ok((name, id, key_type, bytes.try_into().map_err(|_| KeyError::Format)?))
}

impl NoteSigner {
    /// The key behind a seed of 32 secret bytes.
    ///
    /// # Panics
    /// Never: every 32 bytes are an Ed25519 seed.
    pub fn new(key_type: KeyType, name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("32 bytes are an Ed25519 seed");
        let public = pair
            .public_key()
            .as_ref()
            .try_into()
            .expect("an Ed25519 point has 32 bytes");
        Ok(Self {
            key: NoteKey::new(key_type, name, public)?,
            pair,
        })
    }

    /// Reads `PRIVATE+KEY+<name>+<id>+<base64>`, the form of Go's `sumdb/note`.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (name, id, key_type, seed) = split(text.strip_prefix(PRIVATE).ok_or(KeyError::Format)?)?;
        let signer = Self::new(key_type, name, &seed)?;
        if signer.key.id == id {
            Ok(signer)
        } else {
            Err(KeyError::Id)
        }
    }

    /// Writes a seed in that form, for a key file.
    pub fn write(key_type: KeyType, name: &str, seed: &[u8; 32]) -> Result<String, KeyError> {
        let signer = Self::new(key_type, name, seed)?;
        let mut text = String::new();
        write_key(&mut text, PRIVATE, &signer.key, seed).map_err(|_| KeyError::Format)?;
        Ok(text)
    }

    /// Its public part.
    #[must_use]
    pub fn key(&self) -> &NoteKey {
        &self.key
    }

    /// The signature line over a note's text; a witness's with the time. A log's has none, whatever is passed.
    ///
    /// # Panics
    /// Never: the key's name was checked when it was made.
    pub(super) fn line(&self, text: &[u8], now: Option<Timestamp>) -> signed_note::Signature {
        let signature = match (self.key.key_type, now) {
            (KeyType::Witness, now) => {
                let seconds = now.map_or(0, Timestamp::as_second).max(0);
                let signature = self.pair.sign(&cosigned(seconds, text));
                [&seconds.to_be_bytes(), signature.as_ref()].concat()
            }
            (KeyType::Log, _) => self.pair.sign(text).as_ref().to_vec(),
        };
        let line = signed_note::Signature::new(self.key.name.clone(), self.key.id, signature);
        line.expect("a key's name fits into a line")
    }
}

const PRIVATE: &str = "PRIVATE+KEY+";

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteSigner({})", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_and_private_ones_do_not_print() {
        for key_type in [KeyType::Log, KeyType::Witness] {
            let signer = NoteSigner::new(key_type, "example.com/a", &[3; 32]).unwrap();
            assert_eq!(signer.key().to_string().parse().as_ref(), Ok(signer.key()));
            let text = NoteSigner::write(key_type, "example.com/a", &[3; 32]).unwrap();
            assert_eq!(NoteSigner::parse(&text).unwrap().key(), signer.key());
            let secret = text.rsplit('+').next().unwrap();
            assert!(!format!("{signer:?}").contains(secret));
        }
    }

    #[test]
    fn a_witness_s_time_must_be_an_instant() {
        use signed_note::Verifier as _;
        let signer = NoteSigner::new(KeyType::Witness, "example.com/a", &[3; 32]).unwrap();
        let signed_at = |seconds: i64| {
            [
                &seconds.to_be_bytes(),
                signer.pair.sign(&cosigned(seconds, b"text\n")).as_ref(),
            ]
            .concat()
        };
        assert!(signer.key().verify(b"text\n", &signed_at(1_777_885_300)));
        assert!(!signer.key().verify(b"text\n", &signed_at(i64::MAX)));
        assert!(!signer.key().verify(b"text\n", &signed_at(-1)));
    }

    #[test]
    fn refuses_what_is_not_a_key() {
        let good = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let refused = |from: &str, to: &str| good.replacen(from, to, 1).parse::<NoteKey>().unwrap_err();
        assert_eq!(refused("c74f20a3", "C74F20A3"), KeyError::Format);
        assert_eq!(refused("c74f20a3", "+74f20a3"), KeyError::Format);
        assert_eq!(refused("c74f20a3", "c74f20a4"), KeyError::Id);
        assert_eq!(refused("Peter", "Mary"), KeyError::Id);
        assert_eq!(refused("PeterNeumann", ""), KeyError::Name);
        assert_eq!(refused("Peter", "Peter "), KeyError::Name);
        assert_eq!(refused("+AR", "+AS"), KeyError::Id);
        assert_eq!(refused("+AR", "+Ah"), KeyError::Type);
        assert_eq!(refused("10TW", ""), KeyError::Format);
        assert_eq!(refused("10TW", "10TW="), KeyError::Format);
        assert_eq!(NoteSigner::parse(good).unwrap_err(), KeyError::Format);
    }
}
