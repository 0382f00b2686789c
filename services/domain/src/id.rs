//! Ids: one type for each thing, so that a task's id can't be passed for a request's.
//!
//! An id is a `UUIDv7` and prints as a prefix, `_` and 26 characters of lower-case Crockford base-32
//! (contracts.md §1). It is a name and never a capability: whatever opens a door is a token, not an id.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Crockford's alphabet: no i, l, o, u, so that an id can be read out over a telephone.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// 128 bits in groups of five, the first group holding three.
const LENGTH: usize = 26;

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text begins with something else than this kind's prefix.
    #[error("an id that starts with `{0}_` was expected")]
    Prefix(&'static str),
    /// What follows the prefix is not 26 characters of Crockford base-32 below 2^128.
    #[error("after `{0}_`, 26 characters of lower-case Crockford base-32 were expected")]
    Body(&'static str),
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What every id of this kind starts with, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A new id of this instant (`UUIDv7`, RFC 9562 §5.7); `random` is fresh chance.
            #[must_use]
            pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
                Self(at(now, random))
            }

            /// The id behind 128 bits, as a database column or a message holds it.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The 128 bits, for a database column.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// The 16 bytes, for a message or a digest.
            #[must_use]
            pub const fn bytes(self) -> [u8; 16] {
                self.0.into_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write(f, $prefix, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write(f, $prefix, self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                parse($prefix, text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// One person's exercise of one right against one controller.
    RequestId = "req";
    /// One request × one system.
    TaskId = "task";
    /// A signed statement about a task.
    ReceiptId = "rcpt";
    /// A client business, or the operator in its own right.
    ControllerId = "ctl";
    /// One place where a controller's data lives.
    SystemId = "sys";
    /// One connected account on one channel.
    BindingId = "bnd";
    /// A controller's standing or single decision.
    InstructionId = "ins";
    /// One try to hand a task over.
    AttemptId = "atm";
    /// One thing that happened to a request.
    EventId = "evt";
    /// One thing that the ledger must hold.
    EntryId = "ent";
    /// A registered public key.
    KeyId = "key";
    /// A named person of the operator's or a controller's staff.
    UserId = "usr";
    /// One message on a topic, or one notice to a system.
    MessageId = "msg";
    /// Work on many tasks that a person ordered.
    JobId = "job";
}

fn at(now: Timestamp, random: [u8; 10]) -> Uuid {
    let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

fn write(f: &mut fmt::Formatter<'_>, prefix: &str, id: Uuid) -> fmt::Result {
    let bits = id.as_u128();
    let mut text = [0u8; LENGTH];
    for (place, character) in text.iter_mut().rev().enumerate() {
        *character = ALPHABET[usize::try_from((bits >> (5 * place)) & 31).expect("five bits")];
    }
    write!(
        f,
        "{prefix}_{}",
        std::str::from_utf8(&text).expect("the alphabet is ASCII")
    )
}

fn parse(prefix: &'static str, text: &str) -> Result<Uuid, IdError> {
    let body = text
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .ok_or(IdError::Prefix(prefix))?;
    // The first character holds three bits, so anything above `7` would not fit into 128.
    if body.len() != LENGTH || body.as_bytes()[0] > b'7' {
        return Err(IdError::Body(prefix));
    }
    let digit = |character: u8| ALPHABET.iter().position(|known| *known == character);
    body.bytes()
        .try_fold(0u128, |bits, character| Some((bits << 5) | digit(character)? as u128))
        .map(Uuid::from_u128)
        .ok_or(IdError::Body(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_reads_back() {
        for bits in [0, 1, u128::MAX, 0x0199_3c5e_7a10_7000_8000_0000_0000_0001] {
            let id = RequestId::from_uuid(Uuid::from_u128(bits));
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(id.to_string().len(), "req_".len() + LENGTH);
        }
        let one = TaskId::from_uuid(Uuid::from_u128(1));
        assert_eq!(one.to_string(), "task_00000000000000000000000001");
    }

    #[test]
    fn refuses_what_is_not_an_id() {
        let parse = |text: &str| text.parse::<RequestId>();
        assert_eq!(parse("task_00000000000000000000000001"), Err(IdError::Prefix("req")));
        for body in [
            "",
            "1",
            "80000000000000000000000000",
            "0000000000000000000000000U",
            "0000000000000000000000000é",
        ] {
            assert_eq!(parse(&format!("req_{body}")), Err(IdError::Body("req")), "{body}");
        }
    }

    #[test]
    fn later_ids_sort_later() {
        let id = |millis| EntryId::new(Timestamp::from_millisecond(millis).unwrap(), [9; 10]);
        assert!(id(1_700_000_000_000).to_string() < id(1_700_000_000_001).to_string());
        assert_eq!(id(1).uuid().get_version_num(), 7);
    }
}
