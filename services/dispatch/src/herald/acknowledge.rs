//! `dsr.request.received`: for each numbered request, an acknowledgement that we sign.
//!
//! A controller that keeps them sees a gap in their numbers, also when a request never reached the log (ledger.md §3).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use domain::id::{ControllerId, RequestId, SystemId};
use domain::message::MessageType;
use domain::right::Right;
use evidence::token::Said;
use jiff::Timestamp;
use platform::chance;
use platform::db::{DbError, Tx};
use serde::Serialize;
use store::acknowledgements::{self, Owed};
use store::messages;
use store::registry::Directory;
use uuid::Builder;

use super::body::Notice;
use super::draft::{Draft, Keys, gathered, untold};
use super::{Found, Herald, HeraldError};

/// Controllers of one go, and requests of each: signing so many takes some ten milliseconds.
const CONTROLLERS: i64 = 20;
const EACH: i64 = 50;

/// The registry's version whose notices systems have begun.
#[derive(Debug, Default)]
pub(super) struct Kept(i64);

/// One of `dsr.request.received`.
#[derive(Serialize)]
struct Numbered {
    request: RequestId,
    right: Right,
    intake_seq: i64,
    received_at: Timestamp,
    acknowledgement: String,
}

/// A batch with what its transaction needs.
struct Order {
    herald: Herald,
    owed: Vec<Owed>,
    directory: Arc<Directory>,
    keys: Keys,
    now: Timestamp,
}

impl Herald {
    /// Acknowledges what is owed.
    pub(super) async fn acknowledge(&self, kept: &mut Kept) -> Result<Found, HeraldError> {
        let directory = self.directory.current();
        if !self.keep(kept, &directory).await? {
            return Ok(Found::All);
        }
        let owed = acknowledgements::owed(self.store.db(), CONTROLLERS, EACH).await?;
        if owed.is_empty() {
            return Ok(Found::All);
        }
        let found = found(&owed);
        let keys = self.evidence_keys(owed.iter().map(|one| one.request)).await?;
        let order = Arc::new(Order {
            herald: self.clone(),
            owed,
            directory,
            keys,
            now: self.clock.now(),
        });
        let acknowledging = self.store.db().transaction("acknowledge", move |tx| {
            let order = Arc::clone(&order);
            Box::pin(async move { order.carry_out(tx).await })
        });
        acknowledging.await?;
        self.stored();
        Ok(found)
    }

    /// Begins with those who have a notices system now; returns whether there is anybody.
    async fn keep(&self, kept: &mut Kept, directory: &Directory) -> Result<bool, DbError> {
        let notices = directory.notices();
        let any = !notices.is_empty();
        if kept.0 != directory.version() {
            let notices = Arc::new(notices);
            let keeping = self.store.db().transaction("keep_acknowledgements", move |tx| {
                let notices = Arc::clone(&notices);
                Box::pin(async move { acknowledgements::keep(tx, &notices).await })
            });
            keeping.await?;
            kept.0 = directory.version();
        }
        Ok(any)
    }
}

/// There may be more of a controller that was filled up, and of others when all places were taken.
fn found(owed: &[Owed]) -> Found {
    let mut counts: BTreeMap<ControllerId, i64> = BTreeMap::new();
    for one in owed {
        *counts.entry(one.controller).or_default() += 1;
    }
    let filled = counts.values().any(|count| *count >= EACH);
    if filled {
        Found::Part
    } else {
        Found::of(counts.len(), CONTROLLERS)
    }
}

impl Order {
    async fn carry_out(&self, tx: &mut Tx) -> Result<(), DbError> {
        let mut moves: BTreeMap<ControllerId, (i64, i64)> = BTreeMap::new();
        for one in &self.owed {
            moves.insert(one.controller, (one.before, one.seq));
        }
        let moves: Vec<_> = moves
            .into_iter()
            .map(|(controller, (before, last))| (controller, before, last))
            .collect();
        let mine: HashSet<ControllerId> = acknowledgements::advance(tx, &moves).await?.into_iter().collect();
        let mut drafts = Vec::new();
        for owed in self.owed.chunk_by(|one, next| one.controller == next.controller) {
            let controller = owed[0].controller;
            if let Some(system) = self
                .directory
                .notices_of(controller)
                .filter(|_| mine.contains(&controller))
            {
                drafts.extend(self.drafts(controller, system, owed));
            }
        }
        let sealed = self.herald.seal(drafts, &self.keys, self.now);
        messages::insert(tx, &sealed, self.now).await
    }

    fn drafts(&self, controller: ControllerId, system: SystemId, owed: &[Owed]) -> Vec<Draft> {
        let kind = MessageType::RequestReceived;
        let Some(audience) = self.directory.controller(controller).map(|one| one.issuer.as_str()) else {
            return vec![];
        };
        let notice = |one: &Owed| {
            if !self.keys.contains_key(&one.request) {
                untold(kind, one.request, "shredded");
                return None;
            }
            Some(Notice::new(one.request, &self.received(one, audience)))
        };
        let notices = owed.iter().filter_map(notice).collect();
        gathered(kind, (controller, system), notices, self.now).collect()
    }

    fn received(&self, one: &Owed, audience: &str) -> Numbered {
        let said = Said::Received {
            intake_seq: one.seq.unsigned_abs(),
            received_at: one.received_at,
        };
        let jti = Builder::from_random_bytes(chance::bytes(&*self.herald.rng)).into_uuid();
        Numbered {
            request: one.request,
            right: one.right,
            intake_seq: one.seq,
            received_at: one.received_at,
            acknowledgement: self.herald.signer.sign(&said, one.request, audience, jti, self.now),
        }
    }
}
