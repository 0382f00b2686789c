//! The key of one request and one class, as services hold it.
//!
//! Its 32 bytes never seal anything themselves: HKDF-SHA256 gives a sub-key for each use, so that a MAC can't be
//! turned into a ciphertext. What is sealed is bound to its request, class and field, so that nothing can be moved to
//! another row or column.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk};
use aws_lc_rs::hmac;
use domain::id::RequestId;
use platform::chance::SharedRng;

use crate::Class;
use crate::aead::Cipher;

/// What is sealed here is about a person, or signed by somebody; the error says nothing about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what is sealed does not open: it belongs to another request, class or field, or is damaged")]
pub struct SealError;

/// A request's key of one class. Cheap to clone; can't be printed; overwritten when its last clone goes.
#[derive(Clone)]
pub struct DataKey(Arc<Parts>);

struct Parts {
    request: RequestId,
    class: Class,
    seal: Cipher,
    identity: hmac::Key,
    rng: SharedRng,
}

impl DataKey {
    /// `rng` gives the nonces.
    pub(crate) fn new(request: RequestId, class: Class, key: &[u8; 32], rng: SharedRng) -> Self {
        // The bytes are uniformly random already, so HKDF's extraction may be left out (RFC 5869 §3.3).
        let key = Prk::new_less_safe(HKDF_SHA256, key);
        let seal = key.expand(&[b"seal"], &AES_256_GCM);
        let identity = key.expand(&[b"identity-hmac"], hmac::HMAC_SHA256);
        let short = "32 bytes are far below HKDF's limit";
        Self(Arc::new(Parts {
            request,
            class,
            seal: Cipher::new(UnboundKey::from(seal.expect(short))),
            identity: hmac::Key::from(identity.expect(short)),
            rng,
        }))
    }

    /// Whose it is.
    #[must_use]
    pub fn request(&self) -> RequestId {
        self.0.request
    }

    /// Of which class it is.
    #[must_use]
    pub fn class(&self) -> Class {
        self.0.class
    }

    /// Seals the content of a field: 29 bytes longer, different each time.
    #[must_use]
    pub fn seal(&self, field: &'static str, plaintext: &[u8]) -> Vec<u8> {
        self.0.seal.seal(&*self.0.rng, &self.place(field), plaintext)
    }

    /// Opens what [`seal`](Self::seal) made for the same request, class and field.
    pub fn open(&self, field: &'static str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let opened = self.0.seal.open(&self.place(field), sealed);
        opened
            .map(|mut opened| std::mem::take(&mut *opened))
            .map_err(|_| SealError)
    }

    /// Stands for an identity where the identity itself must not: HMAC-SHA256 of its kind and value. Two requests of
    /// one person have nothing in common. The kind's length goes first, so that no other pair has these bytes.
    #[must_use]
    pub fn identity_hmac(&self, kind: &str, value: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0.identity);
        context.update(&(kind.len() as u64).to_be_bytes());
        context.update(kind.as_bytes());
        context.update(value.as_bytes());
        let tag = context.sign();
        tag.as_ref().try_into().expect("an HMAC-SHA256 has 32 bytes")
    }

    fn place(&self, field: &str) -> Vec<u8> {
        let request = self.0.request.bytes();
        [b"field\0", &[self.0.class.number()][..], &request, field.as_bytes()].concat()
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(‹secret›)")
    }
}

#[cfg(test)]
mod tests {
    use platform::chance::SeededRng;
    use uuid::Uuid;

    use super::*;

    fn key(request: u128, class: Class, byte: u8) -> DataKey {
        let request = RequestId::from_uuid(Uuid::from_u128(request));
        DataKey::new(request, class, &[byte; 32], Arc::new(SeededRng::new(1)))
    }

    #[test]
    fn what_is_sealed_opens_only_in_its_place() {
        let owner = key(1, Class::Subject, 7);
        let sealed = owner.seal("words", "صباح الخير".as_bytes());
        assert_eq!(owner.open("words", &sealed).unwrap(), "صباح الخير".as_bytes());
        assert_ne!(
            owner.seal("words", "صباح الخير".as_bytes()),
            sealed,
            "a fresh nonce each time"
        );
        assert_eq!(owner.open("words", &owner.seal("words", b"")).unwrap(), b"");

        assert_eq!(owner.open("word", &sealed), Err(SealError));
        assert_eq!(owner.open("wordsx", &sealed), Err(SealError));
        // Even under the very same key bytes.
        assert_eq!(key(2, Class::Subject, 7).open("words", &sealed), Err(SealError));
        assert_eq!(key(1, Class::Evidence, 7).open("words", &sealed), Err(SealError));
        assert_eq!(key(1, Class::Subject, 8).open("words", &sealed), Err(SealError));
    }

    #[test]
    fn damage_is_seen() {
        let owner = key(1, Class::Evidence, 7);
        let sealed = owner.seal("receipt", b"header.claims.signature");
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(owner.open("receipt", &damaged), Err(SealError), "byte {at}");
            assert_eq!(owner.open("receipt", &sealed[..at]), Err(SealError), "cut at {at}");
        }
        assert_eq!(owner.open("receipt", &[&sealed[..], b"x"].concat()), Err(SealError));
    }

    #[test]
    fn an_identity_is_told_apart_by_kind_value_and_request() {
        let tag = |request, kind, value| {
            key(request, Class::Evidence, u8::try_from(request).unwrap()).identity_hmac(kind, value)
        };
        assert_eq!(tag(1, "phone", "+970591234567"), tag(1, "phone", "+970591234567"));
        assert_ne!(tag(1, "phone", "+970591234567"), tag(2, "phone", "+970591234567"));
        assert_ne!(tag(1, "phone", "x"), tag(1, "phonex", ""));
        assert_eq!(format!("{:?}", key(1, Class::Subject, 7)), "DataKey(‹secret›)");
    }

    /// Sealed fields outlive releases: the derivation may never change. Both values were computed with Python's `hmac`
    /// and `cryptography`.
    #[test]
    fn the_derivation_stays_as_it_is() {
        let owner = key(1, Class::Evidence, 7);
        let tag = owner.identity_hmac("email", "a@example.com");
        assert_eq!(tag[..8], [0xc0, 0xf1, 0xbc, 0x0d, 0x35, 0x7d, 0xa4, 0xe1]);
        let sealed = [
            &[1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0xf8, 0x1c, 0x00, 0x6e, 0xcd][..],
            &[
                0xc6, 0x99, 0xe5, 0xe2, 0x1a, 0x24, 0x8a, 0xb0, 0x3a, 0x82, 0xbb, 0x23, 0x8e, 0xde, 0xe3, 0x3a,
            ],
        ];
        assert_eq!(owner.open("words", &sealed.concat()).unwrap(), b"words");
    }
}
