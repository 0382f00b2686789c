//! The key of our own statements, in the log like any owner's: a verifier gets it from there.
//!
//! It is registered under the operator with our public URL as its issuer, as soon as there is an operator; like every
//! key it counts once its entry is logged, and until then nothing is stated under it. Two processes that register it
//! at once meet at the unique (issuer, `kid`); the second one's transaction comes to nothing.

use domain::id::{ControllerId, EntryId, KeyId};
use evidence::entry::Entry;
use evidence::entry::body::{KeyChange, KeyEvent};
use jiff::Timestamp;
use platform::chance::{self, SharedRng};
use platform::db::{DbError, Tx};
use store::registry::write::{self, NewKey};
use store::registry::{DirectoryCache, KeyState};
use store::{Store, entries};

use crate::messages::entry_row;
use crate::signing::Signer;

/// Whether what we sign counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The key is in the log.
    Counts,
    /// Not yet, or not any more.
    DoesNot,
}

/// Whether our key counts; a key that nobody knows of is registered.
pub(crate) async fn standing(
    store: &Store,
    directory: &DirectoryCache,
    signer: &Signer,
    rng: &SharedRng,
    now: Timestamp,
) -> Result<Standing, DbError> {
    let directory = directory.current();
    if let Some(known) = directory.key(signer.issuer(), &signer.public_key().thumbprint()) {
        return Ok(match known.state {
            KeyState::Active => Standing::Counts,
            KeyState::Retired | KeyState::Revoked => Standing::DoesNot,
        });
    }
    if let Some(operator) = directory.operator() {
        register(store, operator.id, signer, rng, now).await?;
    }
    Ok(Standing::DoesNot)
}

async fn register(
    store: &Store,
    operator: ControllerId,
    signer: &Signer,
    rng: &SharedRng,
    now: Timestamp,
) -> Result<(), DbError> {
    let entry = EntryId::new(now, chance::bytes(&**rng));
    let (signer, key) = (signer.clone(), KeyId::new(now, chance::bytes(&**rng)));
    let registering = store.db().transaction("register_own_key", move |tx| {
        let signer = signer.clone();
        Box::pin(async move { write_key(tx, operator, &signer, key, entry, now).await })
    });
    match registering.await {
        Ok(()) => store.waker().wake(),
        // Registered before, and not logged yet.
        Err(error) if error.is_refusal() => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

async fn write_key(
    tx: &mut Tx,
    controller: ControllerId,
    signer: &Signer,
    key: KeyId,
    entry: EntryId,
    now: Timestamp,
) -> Result<(), DbError> {
    let jwk = signer.public_key();
    let row = NewKey {
        id: key,
        controller,
        issuer: signer.issuer().to_owned(),
        kid: jwk.thumbprint(),
        jwk: jwk.required_members(),
        entry,
    };
    write::insert_keys(tx, &[row], now).await?;
    let event = KeyEvent {
        key,
        iss: signer.issuer().to_owned(),
        kid: jwk.thumbprint(),
        event: KeyChange::Added,
        jwk,
    };
    let entry = Entry {
        id: entry,
        controller,
        request: None,
        at: now,
        body: event.into(),
    };
    entries::put(tx, &[entry_row(&entry)], now).await
}
