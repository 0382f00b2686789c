//! What `registry` writes: whole registrations, found again by their ids.

use domain::id::{ControllerId, EntryId, KeyId};
use domain::registration::{Binding, Controller, Instruction, System};
use jiff::Timestamp;
use platform::db::{Args, DbError, Statement, Tx};
use serde::Serialize;

use super::SealedSecrets;

/// Grows the version, if it still is the one that the change was computed from.
const BUMP: Statement = Statement::both(
    "registry_bump",
    "UPDATE registry_version SET version = version + 1 WHERE version = $1",
);

const UPSERT_CONTROLLERS: Statement = Statement {
    name: "registry_upsert_controllers",
    pg: "INSERT INTO controller (id, slug, operator, body, secrets, changed_at) \
         SELECT *, $6 FROM UNNEST($1::uuid[], $2::text[], $3::int8[], $4::text[], $5::bytea[]) \
         ON CONFLICT (id) DO UPDATE SET slug = excluded.slug, operator = excluded.operator, body = excluded.body, \
         secrets = COALESCE(excluded.secrets, controller.secrets), changed_at = excluded.changed_at",
    lite: "INSERT INTO controller (id, slug, operator, body, secrets, changed_at) \
           SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, unhex(value ->> 4), $2 \
           FROM jsonb_each($1) WHERE true \
           ON CONFLICT (id) DO UPDATE SET slug = excluded.slug, operator = excluded.operator, body = excluded.body, \
           secrets = COALESCE(excluded.secrets, controller.secrets), changed_at = excluded.changed_at",
};

const UPSERT_CONTACTS: Statement = Statement {
    name: "registry_upsert_contacts",
    pg: "INSERT INTO contact (controller, slug, sealed, changed_at) \
         SELECT *, $4 FROM UNNEST($1::uuid[], $2::text[], $3::bytea[]) \
         ON CONFLICT (controller, slug) DO UPDATE SET sealed = excluded.sealed, changed_at = excluded.changed_at",
    lite: "INSERT INTO contact (controller, slug, sealed, changed_at) \
           SELECT unhex(value ->> 0), value ->> 1, unhex(value ->> 2), $2 FROM jsonb_each($1) WHERE true \
           ON CONFLICT (controller, slug) DO UPDATE SET sealed = excluded.sealed, changed_at = excluded.changed_at",
};

const UPSERT_BINDINGS: Statement = Statement {
    name: "registry_upsert_bindings",
    pg: "INSERT INTO binding (id, controller, channel, account, body, changed_at) \
         SELECT *, $6 FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[]) \
         ON CONFLICT (id) DO UPDATE SET controller = excluded.controller, body = excluded.body, \
         changed_at = excluded.changed_at",
    lite: "INSERT INTO binding (id, controller, channel, account, body, changed_at) \
           SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4, $2 \
           FROM jsonb_each($1) WHERE true \
           ON CONFLICT (id) DO UPDATE SET controller = excluded.controller, body = excluded.body, \
           changed_at = excluded.changed_at",
};

const UPSERT_SYSTEMS: Statement = Statement {
    name: "registry_upsert_systems",
    pg: "INSERT INTO system (id, controller, slug, body, secrets, changed_at) \
         SELECT *, $6 FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bytea[]) \
         ON CONFLICT (id) DO UPDATE SET slug = excluded.slug, body = excluded.body, \
         secrets = COALESCE(excluded.secrets, system.secrets), changed_at = excluded.changed_at",
    lite: "INSERT INTO system (id, controller, slug, body, secrets, changed_at) \
           SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3, unhex(value ->> 4), $2 \
           FROM jsonb_each($1) WHERE true \
           ON CONFLICT (id) DO UPDATE SET slug = excluded.slug, body = excluded.body, \
           secrets = COALESCE(excluded.secrets, system.secrets), changed_at = excluded.changed_at",
};

const INSERT_KEYS: Statement = Statement {
    name: "registry_insert_keys",
    pg: "INSERT INTO signing_key (id, controller, issuer, kid, jwk, entry, state, changed_at) \
         SELECT *, 'pending', $7 \
         FROM UNNEST($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[])",
    lite: "INSERT INTO signing_key (id, controller, issuer, kid, jwk, entry, state, changed_at) \
           SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4, unhex(value ->> 5), \
           'pending', $2 FROM jsonb_each($1)",
};

/// Acceptance stops with this statement; the entry follows it.
const END_KEYS: Statement = Statement {
    name: "registry_end_keys",
    pg: "UPDATE signing_key SET state = ended.state, entry = ended.entry, changed_at = $4 \
         FROM UNNEST($1::uuid[], $2::text[], $3::uuid[]) AS ended (id, state, entry) WHERE signing_key.id = ended.id",
    lite: "UPDATE signing_key SET state = ended.value ->> 1, entry = unhex(ended.value ->> 2), changed_at = $2 \
           FROM jsonb_each($1) AS ended WHERE signing_key.id = unhex(ended.value ->> 0)",
};

const INSERT_INSTRUCTIONS: Statement = Statement {
    name: "registry_insert_instructions",
    pg: "INSERT INTO instruction (id, controller, version, body, entry, state, changed_at) \
         SELECT *, 'pending', $6 FROM UNNEST($1::uuid[], $2::uuid[], $3::int8[], $4::text[], $5::uuid[])",
    lite: "INSERT INTO instruction (id, controller, version, body, entry, state, changed_at) \
           SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3, unhex(value ->> 4), 'pending', $2 \
           FROM jsonb_each($1)",
};

const INSERT_SNAPSHOTS: Statement = Statement {
    name: "registry_insert_snapshots",
    pg: "INSERT INTO registry_snapshot (id, controller, digest, body, entry, state, changed_at) \
         SELECT id, controller, digest, body, id, 'pending', $5 \
         FROM UNNEST($1::uuid[], $2::uuid[], $3::bytea[], $4::text[]) AS new (id, controller, digest, body)",
    lite: "INSERT INTO registry_snapshot (id, controller, digest, body, entry, state, changed_at) \
           SELECT unhex(value ->> 0), unhex(value ->> 1), unhex(value ->> 2), value ->> 3, unhex(value ->> 0), \
           'pending', $2 FROM jsonb_each($1)",
};

const UNLOGGED: Statement = Statement {
    name: "registry_unlogged",
    pg: "SELECT COUNT(*) FROM entry WHERE id = ANY($1)",
    lite: "SELECT COUNT(*) FROM entry WHERE id IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))",
};

pub(super) const ALL: &[Statement] = &[
    BUMP,
    UPSERT_CONTROLLERS,
    UPSERT_CONTACTS,
    UPSERT_BINDINGS,
    UPSERT_SYSTEMS,
    INSERT_KEYS,
    END_KEYS,
    INSERT_INSTRUCTIONS,
    INSERT_SNAPSHOTS,
    UNLOGGED,
];

/// Whether a change still fits the registry that it was computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bumped {
    /// It does; the version has grown.
    Fits,
    /// Somebody else changed the registry meanwhile.
    Stale,
}

/// Takes the registry's lock and grows its version.
pub async fn bump(tx: &mut Tx, from: i64) -> Result<Bumped, DbError> {
    let touched = tx.execute(&BUMP, Args::new().int(from)).await?;
    Ok(if touched == 1 { Bumped::Fits } else { Bumped::Stale })
}

/// Controllers with their sealed `whsk_` keys; `None` leaves the stored ones.
pub async fn upsert_controllers(
    tx: &mut Tx,
    rows: &[(Controller, Option<SealedSecrets>)],
    now: Timestamp,
) -> Result<(), DbError> {
    let bodies = bodies(rows.iter().map(|(controller, _)| controller));
    let args = Args::new()
        .uuids(rows.iter().map(|(controller, _)| controller.id.uuid()))
        .texts(rows.iter().map(|(controller, _)| controller.slug.as_str()))
        .ints(rows.iter().map(|(controller, _)| i64::from(controller.operator)))
        .texts(bodies.iter().map(String::as_str))
        .maybe_blobs(rows.iter().map(|(_, secrets)| secrets.as_deref()));
    tx.execute(&UPSERT_CONTROLLERS, args.int(now.as_microsecond()))
        .await
        .map(drop)
}

/// Contacts: whose, under which slug, and the sealed rest.
pub async fn upsert_contacts(
    tx: &mut Tx,
    rows: &[(ControllerId, String, Vec<u8>)],
    now: Timestamp,
) -> Result<(), DbError> {
    let args = Args::new()
        .uuids(rows.iter().map(|(controller, ..)| controller.uuid()))
        .texts(rows.iter().map(|(_, slug, _)| slug.as_str()))
        .blobs(rows.iter().map(|(.., sealed)| sealed.as_slice()));
    tx.execute(&UPSERT_CONTACTS, args.int(now.as_microsecond()))
        .await
        .map(drop)
}

/// Bindings; an account of a channel belongs to one binding.
pub async fn upsert_bindings(tx: &mut Tx, rows: &[Binding], now: Timestamp) -> Result<(), DbError> {
    let bodies = bodies(rows);
    let args = Args::new()
        .uuids(rows.iter().map(|binding| binding.id.uuid()))
        .uuids(rows.iter().map(|binding| binding.controller.uuid()))
        .texts(rows.iter().map(|binding| binding.channel.as_str()))
        .texts(rows.iter().map(|binding| binding.account.as_str()))
        .texts(bodies.iter().map(String::as_str));
    tx.execute(&UPSERT_BINDINGS, args.int(now.as_microsecond()))
        .await
        .map(drop)
}

/// Systems with their sealed `whsec_` secrets; `None` leaves the stored ones.
pub async fn upsert_systems(
    tx: &mut Tx,
    rows: &[(System, Option<SealedSecrets>)],
    now: Timestamp,
) -> Result<(), DbError> {
    let bodies = bodies(rows.iter().map(|(system, _)| system));
    let args = Args::new()
        .uuids(rows.iter().map(|(system, _)| system.id.uuid()))
        .uuids(rows.iter().map(|(system, _)| system.controller.uuid()))
        .texts(rows.iter().map(|(system, _)| system.slug.as_str()))
        .texts(bodies.iter().map(String::as_str))
        .maybe_blobs(rows.iter().map(|(_, secrets)| secrets.as_deref()));
    tx.execute(&UPSERT_SYSTEMS, args.int(now.as_microsecond()))
        .await
        .map(drop)
}

/// A public key to be registered; it counts once its entry is logged.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its id.
    pub id: KeyId,
    /// Whose it is.
    pub controller: ControllerId,
    /// The `iss` that may use it.
    pub issuer: String,
    /// Its thumbprint.
    pub kid: String,
    /// The JWK.
    pub jwk: String,
    /// The entry that tells of it.
    pub entry: EntryId,
}

/// Registers keys.
pub async fn insert_keys(tx: &mut Tx, rows: &[NewKey], now: Timestamp) -> Result<(), DbError> {
    let args = Args::new()
        .uuids(rows.iter().map(|key| key.id.uuid()))
        .uuids(rows.iter().map(|key| key.controller.uuid()))
        .texts(rows.iter().map(|key| key.issuer.as_str()))
        .texts(rows.iter().map(|key| key.kid.as_str()))
        .texts(rows.iter().map(|key| key.jwk.as_str()))
        .uuids(rows.iter().map(|key| key.entry.uuid()));
    tx.execute(&INSERT_KEYS, args.int(now.as_microsecond())).await.map(drop)
}

/// How a key ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyEnd {
    /// It is not used any more.
    Retired,
    /// It is not trusted any more.
    Revoked,
}

/// Ends keys: new receipts under them are refused from this commit on.
pub async fn end_keys(tx: &mut Tx, rows: &[(KeyId, KeyEnd, EntryId)], now: Timestamp) -> Result<(), DbError> {
    let word = |end: KeyEnd| match end {
        KeyEnd::Retired => "retired",
        KeyEnd::Revoked => "revoked",
    };
    let args = Args::new()
        .uuids(rows.iter().map(|(key, ..)| key.uuid()))
        .texts(rows.iter().map(|(_, end, _)| word(*end)))
        .uuids(rows.iter().map(|(.., entry)| entry.uuid()));
    tx.execute(&END_KEYS, args.int(now.as_microsecond())).await.map(drop)
}

/// New editions of instructions; each takes effect once its entry is logged.
pub async fn insert_instructions(tx: &mut Tx, rows: &[(Instruction, EntryId)], now: Timestamp) -> Result<(), DbError> {
    let bodies = bodies(rows.iter().map(|(instruction, _)| instruction));
    let args = Args::new()
        .uuids(rows.iter().map(|(instruction, _)| instruction.id.uuid()))
        .uuids(rows.iter().map(|(instruction, _)| instruction.controller.uuid()))
        .ints(rows.iter().map(|(instruction, _)| i64::from(instruction.version)))
        .texts(bodies.iter().map(String::as_str))
        .uuids(rows.iter().map(|(_, entry)| entry.uuid()));
    tx.execute(&INSERT_INSTRUCTIONS, args.int(now.as_microsecond()))
        .await
        .map(drop)
}

/// A set of systems, named by the entry that logs it.
#[derive(Debug, Clone)]
pub struct NewSnapshot {
    /// The entry, and the snapshot's own name.
    pub entry: EntryId,
    /// For whom.
    pub controller: ControllerId,
    /// SHA-256 of the body.
    pub digest: [u8; 32],
    /// The systems as JSON.
    pub body: String,
}

/// New snapshots; plans name them once they are logged.
pub async fn insert_snapshots(tx: &mut Tx, rows: &[NewSnapshot], now: Timestamp) -> Result<(), DbError> {
    let args = Args::new()
        .uuids(rows.iter().map(|snapshot| snapshot.entry.uuid()))
        .uuids(rows.iter().map(|snapshot| snapshot.controller.uuid()))
        .blobs(rows.iter().map(|snapshot| &snapshot.digest[..]))
        .texts(rows.iter().map(|snapshot| snapshot.body.as_str()));
    tx.execute(&INSERT_SNAPSHOTS, args.int(now.as_microsecond()))
        .await
        .map(drop)
}

/// How many of these entries the ledger has not confirmed yet.
pub async fn unlogged(db: &platform::db::Db, entries: &[EntryId]) -> Result<i64, DbError> {
    let args = Args::new().uuids(entries.iter().map(|entry| entry.uuid()));
    let row = db.fetch_optional(&UNLOGGED, args).await?;
    row.ok_or(DbError::Inconsistent("a count has a row"))?.get(0)
}

fn bodies<'r, T: Serialize + 'r>(rows: impl IntoIterator<Item = &'r T>) -> Vec<String> {
    let body = |row: &T| serde_json::to_string(row).expect("a registration is JSON");
    rows.into_iter().map(body).collect()
}
