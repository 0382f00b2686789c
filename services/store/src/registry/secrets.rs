//! Webhook secrets at rest: a JSON list, sealed under the key ring's `secrets` key and bound to their owner's id.

use domain::id::ControllerId;
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

/// Seals an owner's secrets, the newest first; `owner` is the system's or controller's id.
///
/// # Panics
/// Never: texts are JSON.
pub fn seal(ring: &Keyring, owner: Uuid, secrets: &[Secret]) -> Result<Vec<u8>, KeyringError> {
    let texts: Vec<&str> = secrets.iter().map(Secret::expose).collect();
    let json = serde_json::to_vec(&texts).expect("texts are JSON");
    ring.wrap(KeyClass::Secrets, owner.as_bytes(), &json)
}

/// Opens an owner's secrets.
pub fn open(ring: &Keyring, owner: Uuid, sealed: &[u8]) -> Result<Vec<Secret>, SecretsError> {
    let json = ring.unwrap(KeyClass::Secrets, owner.as_bytes(), sealed)?;
    let texts: Vec<String> = serde_json::from_slice(json.expose()).map_err(|_| SecretsError::Shape)?;
    Ok(texts.into_iter().map(Secret::new).collect())
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
