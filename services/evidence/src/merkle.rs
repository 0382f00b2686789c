//! The tree whose head we sign: RFC 6962 SHA-256 hashing, kept in C2SP tlog-tiles.
//!
//! Nothing here reads or writes. A caller asks which tiles a piece of work needs ([`prove::inclusion_needs`] and
//! its sisters), fetches them wherever they lie, and hands them over; so an auditor's program and our ledger run
//! the same arithmetic. [`grow::Edge`] appends: it holds the right edge of the tree alone, so its cost per leaf
//! does not depend on how large the tree is. [`verify`] is what a stranger runs: RFC 9162 §2.1.3.2 and §2.1.4.2,
//! and nothing that knows about tiles.
//!
//! Hashing and the order of nodes within a tile are `tlog_tiles`'. Its paths are not, since it writes those of Go's
//! checksum database (`tile/8/0/…`) and not the specification's ([`tile::TileId`]); nor are its proofs, which would
//! hash a tile's inner nodes again for each.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub mod grow;
pub mod prove;
pub mod tile;
pub mod verify;

/// The length of a SHA-256 hash, in bytes.
pub const HASH_LENGTH: usize = 32;

/// The largest tree that we compute with. 2^48 leaves are nine thousand years at a thousand a second, and leave
/// every index that is derived from a size far below `u64::MAX`.
pub const MAX_SIZE: u64 = 1 << 48;

/// The root of a tree without leaves: SHA-256 of nothing (RFC 6962 §2.1).
pub const EMPTY_ROOT: Hash = Hash(tlog_tiles::EMPTY_HASH.0);

/// A leaf's, a node's or a root's hash. It prints as base64, which is how notes and proofs write it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; HASH_LENGTH]);

/// Bytes or a text that are not a 32-byte hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hash of 32 bytes was expected")]
pub struct NotAHash;

/// The hash of a leaf's content: SHA-256(0x00 ‖ content).
#[must_use]
pub fn record_hash(content: &[u8]) -> Hash {
    Hash(tlog_tiles::record_hash(content).0)
}

/// The hash of a node over its two children: SHA-256(0x01 ‖ left ‖ right).
#[must_use]
pub fn node_hash(left: Hash, right: Hash) -> Hash {
    Hash(tlog_tiles::node_hash(tlog_tiles::Hash(left.0), tlog_tiles::Hash(right.0)).0)
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<&[u8]> for Hash {
    type Error = NotAHash;
    fn try_from(bytes: &[u8]) -> Result<Self, NotAHash> {
        bytes.try_into().map(Self).map_err(|_| NotAHash)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = NotAHash;
    fn from_str(text: &str) -> Result<Self, NotAHash> {
        let bytes = STANDARD.decode(text).map_err(|_| NotAHash)?;
        Self::try_from(bytes.as_slice())
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The constants that transparency-dev/merkle publishes for RFC 6962.
    #[test]
    fn hashes_as_others_do() {
        let hex = |hash: Hash| {
            hash.0
                .iter()
                .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
        };
        let leaf = "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56";
        assert_eq!(hex(record_hash(b"L123456")), leaf);
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex(EMPTY_ROOT), empty);
        // The published node is over four-byte children, so this one is RFC 6962's definition spelt out.
        let (left, right) = (record_hash(b"a"), record_hash(b"b"));
        let spelt = [&[1], left.as_ref(), right.as_ref()].concat();
        assert_eq!(node_hash(left, right).0, crate::digest::sha256(&spelt));
    }

    #[test]
    fn reads_back_what_it_prints() {
        let hash = record_hash(b"");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        for text in ["", "AAAA", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFX=", "not base64"] {
            assert_eq!(text.parse::<Hash>(), Err(NotAHash), "{text}");
        }
    }
}
