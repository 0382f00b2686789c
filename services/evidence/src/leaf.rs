//! What the log holds of an entry: 49 bytes that say nothing, and the opening that gives them a meaning.
//!
//! A leaf is a commitment: HMAC-SHA256 under a fresh salt over the entry's type, controller, place in the
//! controller's sequence and digest. All leaves look alike, so whoever reads the tiles learns how much is logged and
//! nothing else. The salt is needed although a receipt is unguessable to us: its signer knows it, and Ed25519 signs
//! the same bytes twice the same way, so without a salt a client could find its own receipt in the log, and with it
//! the neighbours'. Each leaf has its own, so that one can be shredded and the rest stay provable.

use aws_lc_rs::hmac;
use domain::id::ControllerId;
use uuid::Uuid;

use crate::digest::sha256;
use crate::entry::EntryType;
use crate::merkle::{Hash, record_hash};

/// What every leaf begins with: tag and version, so that a leaf can't be taken for another log's.
pub const TAG: &[u8; 17] = b"quittance/leaf/v1";

/// The length of a leaf in bytes: [`TAG`] and an HMAC-SHA256.
pub const LEAF_LENGTH: usize = TAG.len() + 32;

/// The length of an opening in bytes: salt, type, controller, sequence number.
pub const OPENING_LENGTH: usize = 32 + 1 + 16 + 8;

/// One leaf of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf([u8; LEAF_LENGTH]);

/// What, together with the entry's bytes, explains a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// 32 bytes of chance, drawn by the ledger for this leaf alone.
    pub salt: [u8; 32],
    /// What kind of entry it is.
    pub entry_type: EntryType,
    /// In whose sequence it stands.
    pub controller: ControllerId,
    /// Its number in that sequence, from 1.
    pub controller_seq: u64,
}

/// Bytes that are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// Not 49 bytes that begin with the tag.
    #[error("not a leaf of this log: 49 bytes that begin with its tag were expected")]
    Leaf,
    /// Not 57 bytes with a known type.
    #[error("not an opening: 57 bytes with a known entry type were expected")]
    Opening,
    /// Not a sequence of length-prefixed leaves, 1 to 256 of them.
    #[error("not a bundle of 1 to 256 leaves")]
    Bundle,
}

impl Leaf {
    /// The leaf of an entry.
    #[must_use]
    pub fn commit(opening: &Opening, entry: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &opening.salt);
        let mut mac = hmac::Context::with_key(&key);
        mac.update(&[opening.entry_type.byte()]);
        mac.update(&opening.controller.bytes());
        mac.update(&opening.controller_seq.to_be_bytes());
        mac.update(&sha256(entry));
        let mut leaf = [0; LEAF_LENGTH];
        leaf[..TAG.len()].copy_from_slice(TAG);
        leaf[TAG.len()..].copy_from_slice(mac.sign().as_ref());
        Self(leaf)
    }

    /// A leaf from a bundle or a row.
    pub fn parse(bytes: &[u8]) -> Result<Self, LeafError> {
        let leaf: [u8; LEAF_LENGTH] = bytes.try_into().map_err(|_| LeafError::Leaf)?;
        if leaf.starts_with(TAG) {
            Ok(Self(leaf))
        } else {
            Err(LeafError::Leaf)
        }
    }

    /// Its bytes, as the log holds them.
    #[must_use]
    pub fn bytes(&self) -> &[u8; LEAF_LENGTH] {
        &self.0
    }

    /// Its hash in the tree.
    #[must_use]
    pub fn hash(&self) -> Hash {
        record_hash(&self.0)
    }
}

impl Opening {
    /// The bytes that the `extra` line of a proof carries.
    #[must_use]
    pub fn bytes(&self) -> [u8; OPENING_LENGTH] {
        let mut bytes = [0; OPENING_LENGTH];
        bytes[..32].copy_from_slice(&self.salt);
        bytes[32] = self.entry_type.byte();
        bytes[33..49].copy_from_slice(&self.controller.bytes());
        bytes[49..].copy_from_slice(&self.controller_seq.to_be_bytes());
        bytes
    }

    /// Reads those bytes back. They prove nothing by themselves: only a leaf that they lead to does.
    pub fn parse(bytes: &[u8]) -> Result<Self, LeafError> {
        let (salt, rest) = bytes.split_first_chunk().ok_or(LeafError::Opening)?;
        let (entry_type, rest) = rest.split_first().ok_or(LeafError::Opening)?;
        let (controller, rest) = rest.split_first_chunk().ok_or(LeafError::Opening)?;
        Ok(Self {
            salt: *salt,
            entry_type: EntryType::from_byte(*entry_type).ok_or(LeafError::Opening)?,
            controller: ControllerId::from_uuid(Uuid::from_bytes(*controller)),
            controller_seq: u64::from_be_bytes(rest.try_into().map_err(|_| LeafError::Opening)?),
        })
    }
}

/// The content of `tile/entries/<N>`: each leaf after its length as two bytes, big end first (C2SP tlog-tiles).
#[must_use]
pub fn bundle(leaves: &[Leaf]) -> Vec<u8> {
    // The length of a leaf is 49, so its big end is zero.
    let prefix = [0, LEAF_LENGTH.to_le_bytes()[0]];
    leaves
        .iter()
        .flat_map(|leaf| prefix.iter().chain(&leaf.0))
        .copied()
        .collect()
}

/// Reads a bundle back.
pub fn parse_bundle(content: &[u8]) -> Result<Vec<Leaf>, LeafError> {
    let (chunks, rest) = content.as_chunks::<{ 2 + LEAF_LENGTH }>();
    let read = |chunk: &[u8; 2 + LEAF_LENGTH]| match chunk {
        [0, 49, leaf @ ..] => Leaf::parse(leaf),
        _ => Err(LeafError::Bundle),
    };
    match (chunks.len(), rest) {
        (1..=256, []) => chunks.iter().map(read).collect(),
        _ => Err(LeafError::Bundle),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn opening() -> Opening {
        Opening {
            salt: [7; 32],
            entry_type: EntryType::Receipt,
            controller: ControllerId::from_uuid(Uuid::from_u128(0x0199_3c5e_7a10_7000_8000_0000_0000_0001)),
            controller_seq: 0x0102_0304_0506_0708,
        }
    }

    /// Computed apart from this code with Python's `hmac` and `hashlib`; frozen, because leaves are for ever.
    #[test]
    fn a_leaf_is_what_it_always_was() {
        let leaf = Leaf::commit(&opening(), br#"{"v":1}"#);
        let hex = leaf
            .bytes()
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let (tag, mac) = hex.split_at(34);
        assert_eq!(tag, "7175697474616e63652f6c6561662f7631");
        assert_eq!(mac, "995e9b0fe0b2971da671da412d500129ef13c97ef085385b510d85ba7b56910a");
    }

    #[test]
    fn every_part_of_the_opening_and_each_bit_of_the_entry_counts() {
        let leaf = Leaf::commit(&opening(), b"entry");
        let others = [
            Opening {
                salt: [8; 32],
                ..opening()
            },
            Opening {
                entry_type: EntryType::Statement,
                ..opening()
            },
            Opening {
                controller: ControllerId::from_uuid(Uuid::from_u128(2)),
                ..opening()
            },
            Opening {
                controller_seq: 1,
                ..opening()
            },
        ];
        assert!(others.iter().all(|other| Leaf::commit(other, b"entry") != leaf));
        assert_ne!(Leaf::commit(&opening(), b"entrz"), leaf);
    }

    #[test]
    fn openings_read_back() {
        assert_eq!(Opening::parse(&opening().bytes()), Ok(opening()));
        let mut unknown = opening().bytes();
        unknown[32] = 0;
        assert_eq!(Opening::parse(&unknown), Err(LeafError::Opening));
        assert_eq!(Opening::parse(&opening().bytes()[1..]), Err(LeafError::Opening));
        assert_eq!(
            Opening::parse(&[&opening().bytes()[..], &[0]].concat()),
            Err(LeafError::Opening)
        );
    }

    #[test]
    fn bundles_read_back() {
        let leaves = vec![Leaf::commit(&opening(), b"a"), Leaf::commit(&opening(), b"b")];
        let content = bundle(&leaves);
        assert_eq!(content.len(), 2 * 51);
        assert_eq!(content[..2], 49u16.to_be_bytes());
        assert_eq!(parse_bundle(&content), Ok(leaves));
        assert_eq!(parse_bundle(&content[1..]), Err(LeafError::Bundle));
        assert_eq!(parse_bundle(&[]), Err(LeafError::Bundle));
        let foreign = [&[0, 49], &[1; 49][..]].concat();
        assert_eq!(parse_bundle(&foreign), Err(LeafError::Leaf));
    }
}
