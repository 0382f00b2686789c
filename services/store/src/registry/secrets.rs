//! Webhook secrets at rest: a JSON list, sealed under the key ring's `secrets` key and bound to their owner's id.
//!
//! A secret that was replaced signs beside its successor until its overlap ends. It stays in the list after that, so
//! that a registration file from before the rotation is recognised and does not bring it back.

use domain::id::ControllerId;
use jiff::Timestamp;
use platform::keyring::{KeyClass, Keyring, KeyringError};
use platform::secret::Secret;
use uuid::Uuid;

/// Why stored secrets can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The key ring doesn't open them.
    #[error("the stored secrets do not open")]
    Ring(#[from] KeyringError),
    /// What opens is not a list of secrets.
    #[error("the stored secrets are not a list")]
    Shape,
}

/// A secret as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The secret.
    pub secret: Secret,
    /// When it stops to sign, if it was replaced.
    pub until: Option<Timestamp>,
}

impl Kept {
    /// A secret that signs until it is replaced.
    #[must_use]
    pub fn current(secret: Secret) -> Self {
        Self { secret, until: None }
    }

    /// Whether attempts are signed with it.
    #[must_use]
    pub fn signs(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// Seals an owner's secrets, the newest first; `owner` is the system's or controller's id.
///
/// # Panics
/// Never: texts and numbers are JSON.
pub fn seal(ring: &Keyring, owner: Uuid, secrets: &[Kept]) -> Result<Vec<u8>, KeyringError> {
    let until = |kept: &Kept| kept.until.map(Timestamp::as_microsecond);
    let pairs: Vec<(&str, Option<i64>)> = secrets.iter().map(|kept| (kept.secret.expose(), until(kept))).collect();
    let json = serde_json::to_vec(&pairs).expect("texts and numbers are JSON");
    ring.wrap(KeyClass::Secrets, owner.as_bytes(), &json)
}

/// Opens an owner's secrets, the newest first.
pub fn open(ring: &Keyring, owner: Uuid, sealed: &[u8]) -> Result<Vec<Kept>, SecretsError> {
    let json = ring.unwrap(KeyClass::Secrets, owner.as_bytes(), sealed)?;
    let pairs: Vec<(String, Option<i64>)> = serde_json::from_slice(json.expose()).map_err(|_| SecretsError::Shape)?;
    let kept = |(text, until): (String, Option<i64>)| {
        let until = until.map(Timestamp::from_microsecond).transpose();
        let until = until.map_err(|_| SecretsError::Shape)?;
        Ok(Kept {
            secret: Secret::new(text),
            until,
        })
    };
    pairs.into_iter().map(kept).collect()
}

/// Seals a contact's e-mail address.
pub fn seal_contact(ring: &Keyring, owner: ControllerId, slug: &str, email: &Secret) -> Result<Vec<u8>, KeyringError> {
    ring.wrap(KeyClass::Secrets, &contact(owner, slug), email.expose().as_bytes())
}

/// Opens a contact's e-mail address.
pub fn open_contact(ring: &Keyring, owner: ControllerId, slug: &str, sealed: &[u8]) -> Result<Secret, SecretsError> {
    let email = ring.unwrap(KeyClass::Secrets, &contact(owner, slug), sealed)?;
    let text = std::str::from_utf8(email.expose()).map_err(|_| SecretsError::Shape)?;
    Ok(Secret::new(text))
}

fn contact(owner: ControllerId, slug: &str) -> Vec<u8> {
    [&owner.bytes()[..], slug.as_bytes()].concat()
}
