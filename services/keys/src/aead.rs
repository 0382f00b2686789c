//! AES-256-GCM as this crate uses it: `1 ‖ nonce (12) ‖ ciphertext ‖ tag (16)`.
//!
//! Nonces are random. One key seals a handful of fields, or wraps the keys of one controller's quarter: both are far
//! below the 2^32 messages after which a repeated nonce would be likelier than 2^-32.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use platform::chance::{self, Rng};
use zeroize::Zeroizing;

/// The only layout so far.
const LAYOUT: u8 = 1;

const HEAD: usize = 1 + NONCE_LEN;

const TAG: usize = 16;

/// These bytes were not sealed by this key for this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mismatch;

/// A key that seals and opens. Its library overwrites it when it goes.
pub(crate) struct Cipher(LessSafeKey);

impl Cipher {
    pub(crate) fn new(key: UnboundKey) -> Self {
        Self(LessSafeKey::new(key))
    }

    pub(crate) fn from_bytes(key: &[u8; 32]) -> Self {
        Self::new(UnboundKey::new(&AES_256_GCM, key).expect("32 bytes are an AES-256 key"))
    }

    /// `place` is authenticated, and has to be named again to open.
    pub(crate) fn seal(&self, rng: &dyn Rng, place: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = chance::bytes(rng);
        let mut sealed = Vec::with_capacity(HEAD + plaintext.len() + TAG);
        sealed.push(LAYOUT);
        sealed.extend(nonce);
        sealed.extend(plaintext);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(place), &mut sealed[HEAD..]);
        sealed.extend(tag.expect("what is sealed is far below AES-GCM's 64 GiB").as_ref());
        sealed
    }

    pub(crate) fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Mismatch> {
        let (head, body) = sealed.split_at_checked(HEAD).ok_or(Mismatch)?;
        if head[0] != LAYOUT {
            return Err(Mismatch);
        }
        let nonce = Nonce::try_assume_unique_for_key(&head[1..]).map_err(|_| Mismatch)?;
        let mut body = Zeroizing::new(body.to_vec());
        let opened = self.0.open_in_place(nonce, Aad::from(place), &mut body);
        let length = opened.map_err(|_| Mismatch)?.len();
        body.truncate(length);
        Ok(body)
    }
}
