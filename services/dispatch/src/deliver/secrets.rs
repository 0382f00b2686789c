//! The keys that webhooks are signed with: the system's secrets and its controller's key pairs, ready to sign.
//!
//! Opening and reading them costs more than signing, so it is done once for each edition of the registry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::id::SystemId;
use domain::registration::System;
use platform::keyring::Keyring;
use platform::webhook::SigningKey;
use store::registry::{Directory, SealedSecrets, secrets};
use uuid::Uuid;

/// Keys of systems, opened; clones share them.
#[derive(Clone)]
pub(super) struct Secrets {
    keyring: Arc<Keyring>,
    opened: Arc<Mutex<Opened>>,
}

#[derive(Default)]
struct Opened {
    version: i64,
    keys: HashMap<SystemId, Arc<[SigningKey]>>,
}

/// Stored secrets don't open or are none: a fault of ours, which the owner of the key ring mends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a system's stored secrets can't be used with this key ring")]
pub(super) struct Unusable;

impl Secrets {
    pub(super) fn new(keyring: Arc<Keyring>) -> Self {
        let opened = Arc::default();
        Self { keyring, opened }
    }

    /// Every key of a system, the newest first; none if none is registered.
    pub(super) fn of(&self, directory: &Directory, system: &System) -> Result<Arc<[SigningKey]>, Unusable> {
        if let Some(known) = self.known(directory.version(), system.id) {
            return Ok(known);
        }
        let mut keys = self.open(system.id.uuid(), directory.system_secrets(system.id))?;
        let pairs = directory.controller_secrets(system.controller);
        keys.extend(self.open(system.controller.uuid(), pairs)?);
        let keys: Arc<[SigningKey]> = keys.into();
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.version == directory.version() {
            opened.keys.insert(system.id, Arc::clone(&keys));
        }
        Ok(keys)
    }

    fn known(&self, version: i64, system: SystemId) -> Option<Arc<[SigningKey]>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.version != version {
            *opened = Opened {
                version,
                keys: HashMap::new(),
            };
        }
        opened.keys.get(&system).cloned()
    }

    fn open(&self, owner: Uuid, sealed: Option<&SealedSecrets>) -> Result<Vec<SigningKey>, Unusable> {
        let Some(sealed) = sealed else {
            return Ok(vec![]);
        };
        let texts = secrets::open(&self.keyring, owner, sealed).map_err(|_| Unusable)?;
        let keys = texts.iter().map(SigningKey::parse).collect::<Result<_, _>>();
        keys.map_err(|_| Unusable)
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}
