//! Writing a difference, with the entries that make it count.
//!
//! One transaction holds the rows, the registry's new version and the ledger entries: a set of systems for every
//! controller that is reached by a change, an event for every key, an edition for every instruction. They lie
//! `pending` until the ledger confirms, which [`Registrar::wait`] watches.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::id::{ControllerId, EntryId};
use domain::registration::System;
use evidence::digest::ContentDigest;
use evidence::entry::body::{self, Body, KeyChange};
use evidence::entry::{Entry, Word};
use jiff::Timestamp;
use platform::chance::{self, SharedRng};
use platform::clock::SharedClock;
use platform::db::{DbError, Tx};
use platform::keyring::{Keyring, KeyringError};
use platform::secret::Secret;
use proto::LedgerEntry;
use store::Store;
use store::entries::{self, EntryRow};
use store::registry::secrets::{self, Kept, SecretsError};
use store::registry::write::{self, Bumped, KeyEnd, NewKey, NewSnapshot};
use store::registry::{Directory, DirectoryCache, SealedSecrets};
use uuid::Uuid;

use crate::diff::{Changes, Context, Fault, Key, diff};
use crate::file::File;

/// How often [`Registrar::wait`] looks; the ledger sequences every 250 ms.
const LOOK: Duration = Duration::from_millis(50);

/// Changes the registry.
#[derive(Debug)]
pub struct Registrar {
    /// The router's database.
    pub store: Store,
    /// Seals secrets.
    pub keyring: Arc<Keyring>,
    /// For ids.
    pub clock: SharedClock,
    /// For ids and secrets.
    pub rng: SharedRng,
}

/// What was written.
#[derive(Debug)]
pub struct Applied {
    /// The entries that must be logged before the change counts.
    pub entries: Vec<EntryId>,
    /// Secrets that were made, by `controller-id/system-slug`; shown once.
    pub made: Vec<(String, Secret)>,
}

/// Why the registry was not changed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The file is wrong; every mistake is told.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Faults(Vec<Fault>),
    /// Somebody else changed the registry meanwhile.
    #[error("the registry was changed by somebody else meanwhile; run it again")]
    Stale,
    /// An earlier change of the same thing has not been logged yet, or two things claim one name.
    #[error("an earlier change of the same registrations is still being logged; wait for the ledger and run it again")]
    InFlight,
    /// The change is written and the ledger has not confirmed it.
    #[error(
        "the change is stored, but the ledger has not confirmed it within {0:?}: is `quittance up`, or `quittance ledger`, running? it \
         counts as soon as it does"
    )]
    NotLogged(Duration),
    /// A word of a registration doesn't fit into an entry.
    #[error("the product `{0}` is not a word of letters, digits and -")]
    Word(String),
    /// Nothing of this name is registered.
    #[error("no controller or system is called `{0}`; `quittance apply` registers them")]
    NoSuch(String),
    /// Nothing is sent to it, so nothing is signed.
    #[error("`{0}` fetches its tasks and has no webhook secret; its token is replaced by `quittance token`")]
    Unsigned(String),
    /// Several rotations within one overlap.
    #[error("{0} replaced secrets still sign; wait until an overlap ends, or rotate with a shorter one")]
    StillOverlapping(usize),
    /// Secrets can't be sealed or opened.
    #[error("the webhook secrets can't be sealed")]
    Keyring(#[from] KeyringError),
    /// Stored secrets don't open.
    #[error("the stored webhook secrets don't open; is this the key ring that they were sealed with?")]
    Unopened(#[source] SecretsError),
    /// The database failed; nothing was written.
    #[error("the registry was not changed")]
    Database(#[from] DbError),
}

impl Registrar {
    /// Compares files with the registry; touches nothing.
    pub async fn propose(&self, file: File) -> Result<(Changes, Arc<Directory>), RegistryError> {
        let cache = DirectoryCache::new(self.store.clone());
        cache.refresh().await?;
        let directory = cache.current();
        let stored = |owner: Uuid| self.stored_secrets(&directory, owner);
        let contact = |owner: ControllerId, slug: &str| {
            secrets::open_contact(&self.keyring, owner, slug, directory.contact(owner, slug)?).ok()
        };
        let context = Context {
            directory: &directory,
            now: self.clock.now(),
            rng: &*self.rng,
            stored_secrets: &stored,
            stored_contact: &contact,
        };
        let changes = diff(file, &context).map_err(RegistryError::Faults)?;
        Ok((changes, directory))
    }

    /// Writes a difference with its entries; everything or nothing.
    pub async fn apply(&self, changes: &Changes, directory: &Directory) -> Result<Applied, RegistryError> {
        let now = self.clock.now();
        let rows = Arc::new(self.rows(changes, directory, now)?);
        let (version, written) = (changes.version, Arc::clone(&rows));
        let outcome = self.store.db().transaction("apply_registry", move |tx| {
            let rows = Arc::clone(&written);
            Box::pin(async move { rows.write(tx, version, now).await })
        });
        match outcome.await {
            Ok(Bumped::Fits) => Ok(Applied {
                entries: rows.entry_ids(),
                made: made(changes),
            }),
            Ok(Bumped::Stale) => Err(RegistryError::Stale),
            Err(error) if error.is_refusal() => Err(RegistryError::InFlight),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns once the ledger has confirmed every entry.
    pub async fn wait(&self, applied: &Applied, at_most: Duration) -> Result<(), RegistryError> {
        let watch = async {
            while write::unlogged(self.store.db(), &applied.entries).await? > 0 {
                tokio::time::sleep(LOOK).await;
            }
            Ok(())
        };
        let timed = tokio::time::timeout(at_most, watch).await;
        timed.unwrap_or(Err(RegistryError::NotLogged(at_most)))
    }

    pub(crate) fn stored_secrets(&self, directory: &Directory, owner: Uuid) -> Option<Vec<Kept>> {
        let of_system = directory.system_secrets(domain::id::SystemId::from_uuid(owner));
        let sealed = of_system.or_else(|| directory.controller_secrets(ControllerId::from_uuid(owner)))?;
        secrets::open(&self.keyring, owner, sealed).ok()
    }

    fn rows(&self, changes: &Changes, directory: &Directory, now: Timestamp) -> Result<Rows, RegistryError> {
        let mut rows = Rows::default();
        for (controller, keys) in &changes.controllers {
            let sealed = self.seal(directory, controller.id.uuid(), keys)?;
            rows.controllers.push((controller.clone(), sealed));
        }
        for (controller, slug, email) in &changes.contacts {
            let sealed = secrets::seal_contact(&self.keyring, *controller, slug, email)?;
            rows.contacts.push((*controller, slug.clone(), sealed));
        }
        for (system, secrets) in &changes.systems {
            let sealed = self.seal(directory, system.id.uuid(), secrets)?;
            rows.systems.push((system.clone(), sealed));
        }
        rows.bindings.clone_from(&changes.bindings);
        self.add_keys(&mut rows, changes, now);
        self.add_instructions(&mut rows, changes, now);
        for controller in reached(changes, directory) {
            self.add_snapshot(&mut rows, controller, scope(changes, directory, controller), now)?;
        }
        Ok(rows)
    }

    /// Given secrets take the place of the current ones; those that a rotation replaced stay what they are.
    fn seal(
        &self,
        directory: &Directory,
        owner: Uuid,
        given: &[Secret],
    ) -> Result<Option<SealedSecrets>, RegistryError> {
        if given.is_empty() {
            return Ok(None);
        }
        let stored = self.stored_secrets(directory, owner).unwrap_or_default();
        let replaced = stored.into_iter().filter(|kept| kept.until.is_some());
        let kept: Vec<Kept> = given.iter().cloned().map(Kept::current).chain(replaced).collect();
        Ok(Some(secrets::seal(&self.keyring, owner, &kept)?))
    }

    fn add_keys(&self, rows: &mut Rows, changes: &Changes, now: Timestamp) {
        for key in &changes.keys {
            let entry = self.entry(rows, key.controller, key_event(key, KeyChange::Added), now);
            rows.keys.push(NewKey {
                id: key.id,
                controller: key.controller,
                issuer: key.issuer.clone(),
                kid: key.jwk.thumbprint(),
                jwk: key.jwk.required_members(),
                entry,
            });
        }
        for (key, end) in &changes.ended {
            let change = match end {
                KeyEnd::Retired => KeyChange::Retired,
                KeyEnd::Revoked => KeyChange::Revoked,
            };
            let entry = self.entry(rows, key.controller, key_event(key, change), now);
            rows.ended.push((key.id, *end, entry));
        }
    }

    fn add_instructions(&self, rows: &mut Rows, changes: &Changes, now: Timestamp) {
        for instruction in &changes.instructions {
            let told = Body::Instruction(body::Instruction {
                instruction: instruction.id,
                version: instruction.version,
                mode: instruction.mode,
                rights: instruction.rights.clone(),
                approver: ContentDigest::of(instruction.approver.as_bytes()),
            });
            let entry = self.entry(rows, instruction.controller, told, now);
            rows.instructions.push((instruction.clone(), entry));
        }
    }

    fn add_snapshot(
        &self,
        rows: &mut Rows,
        controller: ControllerId,
        mut systems: Vec<System>,
        now: Timestamp,
    ) -> Result<(), RegistryError> {
        systems.sort_unstable_by_key(|system| system.id);
        let whole = serde_json::to_string(&systems).expect("registrations are JSON");
        let digest = ContentDigest::of(whole.as_bytes());
        let listed = systems.iter().map(listed).collect::<Result<Vec<_>, _>>()?;
        let told = Body::RegistrySnapshot(body::RegistrySnapshot {
            digest,
            systems: listed,
        });
        let entry = self.entry(rows, controller, told, now);
        rows.snapshots.push(NewSnapshot {
            entry,
            controller,
            digest: digest.0,
            body: whole,
        });
        Ok(())
    }

    fn entry(&self, rows: &mut Rows, controller: ControllerId, told: Body, now: Timestamp) -> EntryId {
        let id = EntryId::new(now, chance::bytes(&*self.rng));
        let entry = Entry {
            id,
            controller,
            request: None,
            at: now,
            body: told,
        };
        let message = LedgerEntry {
            message_id: entries::message_id(id),
            occurred_at: now,
            entry: id,
            entry_type: entry.entry_type() as u8,
            controller,
            request: None,
            content: entry.encode(),
        };
        rows.entries.push(EntryRow {
            id,
            controller,
            request: None,
            kind: i64::from(message.entry_type),
            message: message.encode(),
        });
        id
    }
}

/// Everything that one transaction writes.
#[derive(Debug, Default)]
struct Rows {
    controllers: Vec<(domain::registration::Controller, Option<SealedSecrets>)>,
    contacts: Vec<(ControllerId, String, Vec<u8>)>,
    bindings: Vec<domain::registration::Binding>,
    systems: Vec<(System, Option<SealedSecrets>)>,
    keys: Vec<NewKey>,
    ended: Vec<(domain::id::KeyId, KeyEnd, EntryId)>,
    instructions: Vec<(domain::registration::Instruction, EntryId)>,
    snapshots: Vec<NewSnapshot>,
    entries: Vec<EntryRow>,
}

impl Rows {
    async fn write(&self, tx: &mut Tx, version: i64, now: Timestamp) -> Result<Bumped, DbError> {
        if write::bump(tx, version).await? == Bumped::Stale {
            return Ok(Bumped::Stale);
        }
        write::upsert_controllers(tx, &self.controllers, now).await?;
        write::upsert_contacts(tx, &self.contacts, now).await?;
        write::upsert_bindings(tx, &self.bindings, now).await?;
        write::upsert_systems(tx, &self.systems, now).await?;
        write::insert_keys(tx, &self.keys, now).await?;
        write::end_keys(tx, &self.ended, now).await?;
        write::insert_instructions(tx, &self.instructions, now).await?;
        write::insert_snapshots(tx, &self.snapshots, now).await?;
        entries::put(tx, &self.entries, now).await?;
        Ok(Bumped::Fits)
    }

    fn entry_ids(&self) -> Vec<EntryId> {
        self.entries.iter().map(|entry| entry.id).collect()
    }
}

/// A change of the operator's own systems reaches every controller whose data they may hold.
fn reached(changes: &Changes, directory: &Directory) -> BTreeSet<ControllerId> {
    let new = changes.controllers.iter().map(|(controller, _)| controller);
    let all: BTreeSet<ControllerId> = new.clone().chain(directory.controllers()).map(|one| one.id).collect();
    let operators = operator(changes, directory);
    let mut reached: BTreeSet<ControllerId> = changes.systems.iter().map(|(system, _)| system.controller).collect();
    if operators.is_some_and(|operator| reached.contains(&operator)) {
        return all;
    }
    let without_snapshot = new.filter(|controller| directory.snapshot(controller.id).is_none());
    reached.extend(without_snapshot.map(|controller| controller.id));
    reached
}

/// The systems that hold a controller's data, as they are after the change.
fn scope(changes: &Changes, directory: &Directory, controller: ControllerId) -> Vec<System> {
    use domain::registration::SystemOwner::Operator;
    let operators = operator(changes, directory).filter(|operator| *operator != controller);
    let holds = |system: &System| {
        system.controller == controller || Some(system.controller) == operators && system.owner == Operator
    };
    let replaced: BTreeSet<_> = changes.systems.iter().map(|(system, _)| system.id).collect();
    let kept = directory
        .systems_for(controller)
        .into_iter()
        .filter(|system| !replaced.contains(&system.id));
    let new = changes
        .systems
        .iter()
        .map(|(system, _)| system)
        .filter(|system| holds(system));
    kept.chain(new.cloned()).collect()
}

fn operator(changes: &Changes, directory: &Directory) -> Option<ControllerId> {
    let new = changes
        .controllers
        .iter()
        .map(|(controller, _)| controller)
        .find(|controller| controller.operator);
    new.or(directory.operator()).map(|controller| controller.id)
}

fn listed(system: &System) -> Result<body::RegisteredSystem, RegistryError> {
    let word = |product: &String| {
        product
            .parse::<Word>()
            .map_err(|_| RegistryError::Word(product.clone()))
    };
    Ok(body::RegisteredSystem {
        system: system.id,
        controller: system.controller,
        kind: system.kind,
        owner: system.owner,
        products: system.products.iter().map(word).collect::<Result<_, _>>()?,
        rights: system.rights.clone(),
        channels: system.channels.clone(),
        demand: system.demand,
    })
}

fn key_event(key: &Key, event: KeyChange) -> Body {
    Body::KeyEvent(body::KeyEvent {
        key: key.id,
        iss: key.issuer.clone(),
        kid: key.jwk.thumbprint(),
        event,
        jwk: key.jwk,
    })
}

/// A webhook's first secret was either given or made; both are worth showing once to whoever applies.
fn made(changes: &Changes) -> Vec<(String, Secret)> {
    let named = |(system, secrets): &(System, Vec<Secret>)| {
        let name = format!("{}/{}", system.controller, system.slug);
        secrets.first().map(|secret| (name, secret.clone()))
    };
    changes.systems.iter().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use platform::chance::SeededRng;
    use platform::clock::ManualClock;
    use platform::db::{DbOptions, connect};
    use platform::keyring::{self, Part};

    use super::*;

    const FILE: &str = r#"
        [[controller]]
        slug = "operator"
        name = "The Operator"
        regime = "gdpr"
        zone = "Europe/Berlin"
        country = "DE"
        issuer = "https://operator.example"
        operator = true

        [[system]]
        controller = "operator"
        slug = "smart-reply"
        owner = "operator"
        url = "https://smart-reply.example/dsr"

        [[controller]]
        slug = "nablus-sweets"
        name = "Nablus Sweets"
        regime = "gdpr"
        zone = "Asia/Hebron"
        country = "PS"
        issuer = "https://nablus-sweets.example"

        [[contact]]
        controller = "nablus-sweets"
        slug = "privacy"
        email = "privacy@nablus-sweets.example"

        [[binding]]
        controller = "nablus-sweets"
        product = "smart-reply"
        channel = "whatsapp"
        account = "106540352242922"

        [[key]]
        controller = "nablus-sweets"
        jwk = { kty = "OKP", crv = "Ed25519", x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }
    "#;

    async fn registrar(folder: &Path) -> Registrar {
        let url = format!("sqlite:{}", folder.join("router.db").display());
        let db = connect(
            &url,
            &DbOptions {
                max_connections: 1,
                application: "test",
            },
        )
        .await
        .unwrap();
        db.migrate(&store::MIGRATIONS).await.unwrap();
        let rng: SharedRng = Arc::new(SeededRng::new(1));
        let text = keyring::generate(Part::ALL, &*rng);
        let keyring = Arc::new(Keyring::parse(&text, "test", Arc::clone(&rng)).unwrap());
        let clock = ManualClock::at(Timestamp::from_second(1_800_000_000).unwrap());
        Registrar {
            store: Store::new(db),
            keyring,
            clock,
            rng,
        }
    }

    fn file(text: &str) -> File {
        File::parse(text, Path::new("t.toml")).unwrap()
    }

    #[tokio::test]
    async fn rows_and_entries_are_written_together() {
        let folder = tempfile::tempdir().unwrap();
        let registrar = registrar(folder.path()).await;
        let (changes, directory) = registrar.propose(file(FILE)).await.unwrap();
        let applied = registrar.apply(&changes, &directory).await.unwrap();
        // Two instructions, one key, and a set of systems for each of the two controllers.
        assert_eq!(applied.entries.len(), 5);
        assert_eq!(
            write::unlogged(registrar.store.db(), &applied.entries).await.unwrap(),
            5
        );

        let (changes, directory) = registrar.propose(file(FILE)).await.unwrap();
        assert_eq!(directory.controllers().count(), 2);
        let client = directory.controller_by_slug("nablus-sweets").unwrap().id;
        assert_eq!(
            directory.systems_for(client).len(),
            1,
            "the operator's system holds its data"
        );
        let lines: Vec<String> = changes.lines.iter().map(ToString::to_string).collect();
        // What is not logged yet is not in the picture, so it shows as new; the rest is the same.
        assert!(
            lines
                .iter()
                .all(|line| line.contains("key") || line.contains("contact")),
            "{lines:?}"
        );
        assert!(matches!(
            registrar.apply(&changes, &directory).await,
            Err(RegistryError::InFlight)
        ));
    }

    #[tokio::test]
    async fn a_change_from_an_old_picture_is_refused_whole() {
        let folder = tempfile::tempdir().unwrap();
        let registrar = registrar(folder.path()).await;
        let (first, directory) = registrar.propose(file(FILE)).await.unwrap();
        let (second, _) = registrar.propose(file(FILE)).await.unwrap();
        registrar.apply(&first, &directory).await.unwrap();
        assert!(matches!(
            registrar.apply(&second, &directory).await,
            Err(RegistryError::Stale)
        ));
    }

    #[tokio::test]
    async fn a_file_neither_ends_an_overlap_nor_brings_back_what_was_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let registrar = registrar(folder.path()).await;
        let (changes, directory) = registrar.propose(file(FILE)).await.unwrap();
        let made = registrar.apply(&changes, &directory).await.unwrap().made;
        let first = made[0].1.expose();
        let rotation = registrar
            .propose_rotation("operator/smart-reply", jiff::SignedDuration::from_hours(1))
            .await
            .unwrap();
        registrar.rotate(&rotation).await.unwrap();
        assert!(matches!(registrar.rotate(&rotation).await, Err(RegistryError::Stale)));

        let (operators, _) = FILE.split_once("[[controller]]\n        slug = \"nablus").unwrap();
        let naming = |secret: &str| file(&format!("{operators}secrets = [{secret:?}]\n"));
        let (same, _) = registrar.propose(naming(rotation.made.expose())).await.unwrap();
        assert!(
            same.is_empty(),
            "the new one is what the registry holds: {:?}",
            same.lines
        );
        let brought_back = registrar.propose(naming(first)).await.unwrap_err().to_string();
        assert!(brought_back.contains("was replaced"), "{brought_back}");

        let given = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let (changes, directory) = registrar.propose(naming(given)).await.unwrap();
        registrar.apply(&changes, &directory).await.unwrap();
        let cache = DirectoryCache::new(registrar.store.clone());
        cache.refresh().await.unwrap();
        let kept = registrar
            .stored_secrets(&cache.current(), changes.systems[0].0.id.uuid())
            .unwrap();
        let now = registrar.clock.now();
        let signing: Vec<_> = kept
            .iter()
            .filter(|one| one.signs(now))
            .map(|one| one.secret.expose())
            .collect();
        assert_eq!(signing, [given, first]);
    }
}
