//! Loading the whole registry.

use domain::id::{ControllerId, EntryId, KeyId};
use domain::registration::{Binding, Controller, Instruction, System};
use platform::db::{Args, Db, DbError, Row, Statement};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::directory::{Directory, KeyState, SigningKey, Snapshot};

const CONTROLLERS: Statement = Statement::both("registry_controllers", "SELECT body, secrets FROM controller");

const CONTACTS: Statement = Statement::both("registry_contacts", "SELECT controller, slug, sealed FROM contact");

const BINDINGS: Statement = Statement::both("registry_bindings", "SELECT body FROM binding");

const SYSTEMS: Statement = Statement::both("registry_systems", "SELECT body, secrets FROM system ORDER BY id");

const KEYS: Statement = Statement::both(
    "registry_keys",
    "SELECT issuer, kid, id, controller, jwk, state FROM signing_key WHERE state <> 'pending'",
);

const INSTRUCTIONS: Statement = Statement::both(
    "registry_instructions",
    "SELECT body FROM instruction WHERE state = 'active'",
);

const SNAPSHOTS: Statement = Statement::both(
    "registry_snapshots",
    "SELECT controller, id, digest, entry FROM registry_snapshot WHERE state = 'active'",
);

pub(super) const ALL: &[Statement] = &[CONTROLLERS, CONTACTS, BINDINGS, SYSTEMS, KEYS, INSTRUCTIONS, SNAPSHOTS];

/// Reads everything. A change between two of the statements shows in the version that the next look compares.
pub(super) async fn load(db: &Db, version: i64) -> Result<Directory, DbError> {
    let mut directory = Directory {
        version,
        ..Directory::default()
    };
    for row in db.fetch(&CONTROLLERS, Args::new()).await? {
        directory.add_controller(body(&row)?, row.get(1)?);
    }
    for row in db.fetch(&CONTACTS, Args::new()).await? {
        let controller = ControllerId::from_uuid(row.get(0)?);
        directory.contacts.insert((controller, row.get(1)?), row.get(2)?);
    }
    for row in db.fetch(&BINDINGS, Args::new()).await? {
        directory.add_binding(body(&row)?);
    }
    for row in db.fetch(&SYSTEMS, Args::new()).await? {
        directory.add_system(body(&row)?, row.get(1)?);
    }
    for row in db.fetch(&INSTRUCTIONS, Args::new()).await? {
        directory.add_instruction(body(&row)?);
    }
    for row in db.fetch(&KEYS, Args::new()).await? {
        directory.keys.insert((row.get(0)?, row.get(1)?), key(&row)?);
    }
    for row in db.fetch(&SNAPSHOTS, Args::new()).await? {
        directory
            .snapshots
            .insert(ControllerId::from_uuid(row.get(0)?), snapshot(&row)?);
    }
    Ok(directory)
}

impl Directory {
    fn add_controller(&mut self, controller: Controller, secrets: Option<Vec<u8>>) {
        if controller.operator {
            self.operator = Some(controller.id);
        }
        if let Some(secrets) = secrets {
            self.controller_secrets.insert(controller.id, secrets);
        }
        self.controllers.insert(controller.id, controller);
    }

    fn add_binding(&mut self, binding: Binding) {
        self.accounts
            .insert((binding.channel, binding.account.clone()), binding.id);
        self.bindings.insert(binding.id, binding);
    }

    fn add_system(&mut self, system: System, secrets: Option<Vec<u8>>) {
        if let Some(secrets) = secrets {
            self.system_secrets.insert(system.id, secrets);
        }
        self.by_controller.entry(system.controller).or_default().push(system.id);
        self.systems.insert(system.id, system);
    }

    fn add_instruction(&mut self, instruction: Instruction) {
        self.instructions
            .entry(instruction.controller)
            .or_default()
            .push(instruction);
    }
}

fn body<T: DeserializeOwned>(row: &Row) -> Result<T, DbError> {
    let text: String = row.get(0)?;
    serde_json::from_str(&text).map_err(|_| DbError::Inconsistent("a registration can't be read"))
}

fn key(row: &Row) -> Result<SigningKey, DbError> {
    let state = match row.get::<String>(5)?.as_str() {
        "active" => KeyState::Active,
        "retired" => KeyState::Retired,
        "revoked" => KeyState::Revoked,
        _ => return Err(DbError::Inconsistent("a key has an unknown state")),
    };
    let controller = ControllerId::from_uuid(row.get(3)?);
    Ok(SigningKey {
        id: KeyId::from_uuid(row.get(2)?),
        controller,
        jwk: row.get(4)?,
        state,
    })
}

fn snapshot(row: &Row) -> Result<Snapshot, DbError> {
    let id: Uuid = row.get(1)?;
    let digest = row.bytes(2, "a snapshot's digest is not 32 bytes")?;
    Ok(Snapshot {
        id,
        digest,
        entry: EntryId::from_uuid(row.get(3)?),
    })
}
