//! The keys that webhooks are signed with: the system's secrets and its controller's key pairs, ready to sign.
//!
//! Opening and reading them costs more than signing, so it is done once for each edition of the registry, and anew when
//! the overlap of a replaced secret ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::id::SystemId;
use domain::registration::System;
use jiff::Timestamp;
use platform::keyring::Keyring;
use platform::webhook::SigningKey;
use store::registry::secrets::{self, Kept};
use store::registry::{Directory, SealedSecrets};
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
    keys: HashMap<SystemId, Keys>,
}

struct Keys {
    keys: Arc<[SigningKey]>,
    /// When the first of them stops to sign.
    until: Option<Timestamp>,
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

    /// Every key that signs for a system now, the newest first; none if none is registered.
    pub(super) fn of(
        &self,
        directory: &Directory,
        system: &System,
        now: Timestamp,
    ) -> Result<Arc<[SigningKey]>, Unusable> {
        if let Some(known) = self.known(directory.version(), system.id, now) {
            return Ok(known);
        }
        let mut kept = self.open(system.id.uuid(), directory.system_secrets(system.id))?;
        let pairs = directory.controller_secrets(system.controller);
        kept.extend(self.open(system.controller.uuid(), pairs)?);
        kept.retain(|one| one.signs(now));
        let keys = kept
            .iter()
            .map(|one| SigningKey::parse(&one.secret))
            .collect::<Result<_, _>>();
        let keys: Arc<[SigningKey]> = keys.map_err(|_| Unusable)?;
        let until = kept.iter().filter_map(|one| one.until).min();
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.version == directory.version() {
            let keys = Arc::clone(&keys);
            opened.keys.insert(system.id, Keys { keys, until });
        }
        Ok(keys)
    }

    fn known(&self, version: i64, system: SystemId, now: Timestamp) -> Option<Arc<[SigningKey]>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.version != version {
            *opened = Opened {
                version,
                keys: HashMap::new(),
            };
        }
        let known = opened.keys.get(&system)?;
        let holds = known.until.is_none_or(|until| now < until);
        holds.then(|| Arc::clone(&known.keys))
    }

    fn open(&self, owner: Uuid, sealed: Option<&SealedSecrets>) -> Result<Vec<Kept>, Unusable> {
        let Some(sealed) = sealed else {
            return Ok(vec![]);
        };
        secrets::open(&self.keyring, owner, sealed).map_err(|_| Unusable)
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}
