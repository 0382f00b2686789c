//! Replacing the secrets that webhooks are signed with.
//!
//! A new secret signs from the moment that it is stored; what it replaces signs beside it, in the same header, until
//! the overlap ends, so that a receiver may change at any moment in between. Nothing has to happen at that end: whoever
//! signs asks the clock. A rotation is a change of the registry like any other, guarded by its version, but not one of
//! those that are logged: receipts don't rest on these keys.

use domain::registration::{ConnectorKind, Controller, System};
use jiff::{SignedDuration, Timestamp};
use platform::secret::Secret;
use platform::webhook;
use store::registry::secrets::{self, Kept};
use store::registry::write::{self, Bumped};
use store::registry::{Directory, DirectoryCache, SealedSecrets};
use uuid::Uuid;

use crate::apply::{Registrar, RegistryError};

/// Secrets of one owner that sign at the same time: a header holds those of a system and of its controller, and
/// receivers bound what they read.
const SIGNING_MAX: usize = 4;

/// Secrets of one owner that are remembered: a file from before more rotations than that is not recognised.
const REMEMBERED_MAX: usize = 32;

/// Whose secret is replaced.
#[derive(Debug, Clone)]
enum Owner {
    Controller(Controller),
    System(System),
}

/// A replacement that was computed and not written yet.
#[derive(Debug)]
pub struct Rotation {
    version: i64,
    owner: Owner,
    kept: Vec<Kept>,
    /// The new secret, `whsec_…` or `whsk_…`.
    pub made: Secret,
    /// The public half of a new key pair, `whpk_…`, for receivers.
    pub public: Option<String>,
    /// How many secrets it takes the place of.
    pub replaced: usize,
    /// Until when those sign too.
    pub until: Timestamp,
}

impl Registrar {
    /// Computes a replacement: of a system's secret (`controller/system`), or of a controller's key pair
    /// (`controller`).
    pub async fn propose_rotation(&self, name: &str, overlap: SignedDuration) -> Result<Rotation, RegistryError> {
        let cache = DirectoryCache::new(self.store.clone());
        cache.refresh().await?;
        let directory = cache.current();
        let owner = Owner::find(&directory, name)?;
        let (made, public) = match &owner {
            Owner::System(_) => (webhook::generate_shared(&*self.rng), None),
            Owner::Controller(_) => {
                let (made, public) = webhook::generate_pair(&*self.rng);
                (made, Some(public))
            }
        };
        let stored = match owner.sealed(&directory) {
            Some(sealed) => secrets::open(&self.keyring, owner.id(), sealed).map_err(RegistryError::Unopened)?,
            None => vec![],
        };
        let now = self.clock.now();
        let until = now + overlap;
        Ok(Rotation {
            version: directory.version(),
            replaced: stored.iter().filter(|kept| kept.until.is_none()).count(),
            kept: rotated(stored, made.clone(), until, now)?,
            owner,
            made,
            public,
            until,
        })
    }

    /// Writes it, unless somebody else has changed the registry meanwhile.
    pub async fn rotate(&self, rotation: &Rotation) -> Result<(), RegistryError> {
        let (version, now) = (rotation.version, self.clock.now());
        let sealed = secrets::seal(&self.keyring, rotation.owner.id(), &rotation.kept)?;
        let owner = rotation.owner.clone();
        let outcome = self.store.db().transaction("rotate_secrets", move |tx| {
            let (owner, sealed) = (owner.clone(), Some(sealed.clone()));
            Box::pin(async move {
                if write::bump(tx, version).await? == Bumped::Stale {
                    return Ok(Bumped::Stale);
                }
                match owner {
                    Owner::Controller(controller) => {
                        write::upsert_controllers(tx, &[(controller, sealed)], now).await?;
                    }
                    Owner::System(system) => write::upsert_systems(tx, &[(system, sealed)], now).await?,
                }
                Ok(Bumped::Fits)
            })
        });
        match outcome.await? {
            Bumped::Fits => Ok(()),
            Bumped::Stale => Err(RegistryError::Stale),
        }
    }
}

impl Owner {
    fn find(directory: &Directory, name: &str) -> Result<Self, RegistryError> {
        let (controller, system) = name.split_once('/').map_or((name, None), |(one, two)| (one, Some(two)));
        let unknown = || RegistryError::NoSuch(name.to_owned());
        let controller = directory.controller_by_slug(controller).ok_or_else(unknown)?;
        let Some(slug) = system else {
            return Ok(Self::Controller(controller.clone()));
        };
        let systems = directory.systems_of(controller.id);
        let system = systems
            .into_iter()
            .find(|system| system.slug == slug)
            .ok_or_else(unknown)?;
        if system.kind == ConnectorKind::Pull {
            return Err(RegistryError::Unsigned(name.to_owned()));
        }
        Ok(Self::System(system.clone()))
    }

    fn id(&self) -> Uuid {
        match self {
            Self::Controller(controller) => controller.id.uuid(),
            Self::System(system) => system.id.uuid(),
        }
    }

    fn sealed<'d>(&self, directory: &'d Directory) -> Option<&'d SealedSecrets> {
        match self {
            Self::Controller(controller) => directory.controller_secrets(controller.id),
            Self::System(system) => directory.system_secrets(system.id),
        }
    }
}

/// The new one first; what was current ends with the overlap, and what had an end before keeps it.
fn rotated(stored: Vec<Kept>, made: Secret, until: Timestamp, now: Timestamp) -> Result<Vec<Kept>, RegistryError> {
    let ending = stored.into_iter().map(|kept| Kept {
        until: Some(kept.until.map_or(until, |end| end.min(until))),
        ..kept
    });
    let mut kept: Vec<Kept> = std::iter::once(Kept::current(made)).chain(ending).collect();
    let signing = kept.iter().filter(|one| one.signs(now)).count();
    if signing > SIGNING_MAX {
        return Err(RegistryError::StillOverlapping(signing - 1));
    }
    kept.truncate(REMEMBERED_MAX);
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_replaced_signs_until_the_overlap_ends() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let rotate = |stored, made: &str, until, now| rotated(stored, Secret::new(made), at(until), at(now));
        let signing = |kept: &[Kept], now| -> Vec<String> {
            let signing = kept.iter().filter(|one| one.signs(at(now)));
            signing.map(|one| one.secret.expose().to_owned()).collect()
        };
        let first = vec![Kept::current(Secret::new("a"))];
        let second = rotate(first, "b", 100, 0).unwrap();
        assert_eq!(signing(&second, 99), ["b", "a"]);
        assert_eq!(signing(&second, 100), ["b"]);
        let third = rotate(second.clone(), "c", 200, 50).unwrap();
        assert_eq!(signing(&third, 99), ["c", "b", "a"]);
        assert_eq!(signing(&third, 100), ["c", "b"], "an end is never put off");
        let hurried = rotate(third.clone(), "d", 60, 60).unwrap();
        assert_eq!(
            signing(&hurried, 60),
            ["d"],
            "without an overlap, every old one ends at once"
        );
        let fourth = rotate(third, "d", 200, 60).unwrap();
        assert!(matches!(
            rotate(fourth, "e", 200, 60),
            Err(RegistryError::StillOverlapping(4))
        ));
    }
}
