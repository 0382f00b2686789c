//! One batch: keys first, then one transaction, then its members' answers.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use domain::id::RequestId;
use jiff::Timestamp;
use keys::{Class, DataKey, KeyError, KeyStore, RequestKeys};
use platform::db::{DbError, Tx};
use platform::problem::chain;
use store::requests::{self, First, NewRow, Placed};
use store::{Store, entries, outbox, sealed};
use tracing::{error, info, warn};

use super::candidate::{Candidate, Origin};
use super::tell::{ASSESSED, Telling};
use super::{Accepted, How, NotAccepted, Outcome, Worker};
use crate::doors::truncated;

/// Members with their keys, and what is told about each once it is stored.
struct Sealed {
    rows: Vec<NewRow>,
    tellings: Vec<Telling>,
    now: Timestamp,
}

/// Why a batch is not stored.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the router's database failed")]
    Store(#[from] DbError),
    #[error("the key store failed")]
    Keys(#[from] KeyError),
}

/// What was answered under a digest, if anything was.
pub(crate) async fn earlier(store: &Store, keys: &KeyStore, origin: Origin) -> Result<Option<Accepted>, NotAccepted> {
    let find = async || -> Result<Option<Outcome>, Failure> {
        let found = requests::firsts(store.db(), &[origin.digest]).await?;
        let Some(first) = found.get(&origin.digest) else {
            return Ok(None);
        };
        let keys = keys.load(Class::Evidence, &[first.request]).await?;
        Ok(Some(repeat(origin, first, keys.get(&first.request))))
    };
    let found = find().await.map_err(|failure| {
        error!(error = %chain(&failure), "an earlier answer could not be looked up");
        NotAccepted::Unavailable
    })?;
    found.transpose()
}

impl Worker {
    /// The outcomes, in the order of the candidates.
    pub(super) async fn accept(&self, candidates: &[Candidate]) -> Vec<Outcome> {
        match self.attempt(candidates).await {
            Ok(outcomes) => outcomes,
            Err(failure) => {
                // Here, once: the callers get a problem without particulars.
                error!(members = candidates.len(), error = %chain(&failure), "a batch was not stored");
                vec![Err(NotAccepted::Unavailable); candidates.len()]
            }
        }
    }

    async fn attempt(&self, candidates: &[Candidate]) -> Result<Vec<Outcome>, Failure> {
        // Providers repeat themselves a lot, and a repeat needs no keys of its own.
        let known = self.known(candidates).await?;
        let new: Vec<&Candidate> = candidates
            .iter()
            .filter(|candidate| !known.contains_key(&candidate.origin.digest))
            .collect();
        let placed = self.store_new(&new).await?;
        let mut placed: HashMap<RequestId, Result<Placed, NotAccepted>> =
            new.iter().map(|candidate| candidate.id).zip(placed).collect();
        let all: Vec<_> = candidates
            .iter()
            .map(|candidate| match known.get(&candidate.origin.digest) {
                Some(first) => Ok(Placed::Before(first.clone())),
                None => placed.remove(&candidate.id).unwrap_or(Err(NotAccepted::Unavailable)),
            })
            .collect();
        self.answers(candidates, all).await
    }

    async fn known(&self, candidates: &[Candidate]) -> Result<HashMap<[u8; 32], First>, DbError> {
        let digests: Vec<[u8; 32]> = candidates.iter().map(|candidate| candidate.origin.digest).collect();
        requests::firsts(self.store.db(), &digests).await
    }

    /// Stores together; if the database refuses one of them, singly.
    async fn store_new(&self, candidates: &[&Candidate]) -> Result<Vec<Result<Placed, NotAccepted>>, Failure> {
        if candidates.is_empty() {
            return Ok(vec![]);
        }
        let sealed = Arc::new(self.seal(candidates).await?);
        match self.commit(&sealed, 0..candidates.len()).await {
            Ok(placed) => Ok(placed.into_iter().map(Ok).collect()),
            Err(error) if error.is_of_content() => {
                info!(members = candidates.len(), error = %chain(&error), "a batch was refused; storing singly");
                Ok(self.singly(&sealed).await)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn seal(&self, candidates: &[&Candidate]) -> Result<Sealed, KeyError> {
        // To the microsecond, because an entry must name the very instant that its row does.
        let now = truncated(self.clock.now());
        let owners: Vec<_> = candidates
            .iter()
            .map(|candidate| (candidate.id, candidate.assessed.controller))
            .collect();
        let keys = self.keys.create(&owners).await?;
        let members = || candidates.iter().zip(&keys);
        Ok(Sealed {
            rows: members().map(|(candidate, keys)| row(candidate, keys)).collect(),
            tellings: members()
                .map(|(candidate, keys)| Telling::new(candidate, &keys.evidence, now))
                .collect(),
            now,
        })
    }

    /// Once the database is away the rest is not tried: each try could take as long as that one.
    async fn singly(&self, sealed: &Arc<Sealed>) -> Vec<Result<Placed, NotAccepted>> {
        let mut all = Vec::with_capacity(sealed.rows.len());
        for (place, row) in sealed.rows.iter().enumerate() {
            let outcome = self.commit(sealed, place..place + 1).await;
            let away = outcome.as_ref().is_err_and(|error| !error.is_of_content());
            all.push(single(row.id, outcome));
            if away {
                break;
            }
        }
        all.resize(sealed.rows.len(), Err(NotAccepted::Unavailable));
        all
    }

    /// One transaction for some members. If its outcome is unknown because the connection was cut, the same rows are
    /// sent once more: those that are stored already are found by their digests, under their own ids.
    async fn commit(&self, sealed: &Arc<Sealed>, which: Range<usize>) -> Result<Vec<Placed>, DbError> {
        let placed = match self.transact(sealed, which.clone()).await {
            Err(error) if is_unknown(&error) => {
                warn!(error = %chain(&error), "the outcome of a batch is unknown; sending it again");
                self.transact(sealed, which).await?
            }
            outcome => outcome?,
        };
        self.store.waker().wake();
        Ok(placed)
    }

    async fn transact(&self, sealed: &Arc<Sealed>, which: Range<usize>) -> Result<Vec<Placed>, DbError> {
        let sealed = Arc::clone(sealed);
        let work = self.store.db().transaction("accept_requests", move |tx| {
            let (sealed, which) = (Arc::clone(&sealed), which.clone());
            Box::pin(async move { write(tx, &sealed, which).await })
        });
        work.await
    }

    async fn answers(
        &self,
        candidates: &[Candidate],
        placed: Vec<Result<Placed, NotAccepted>>,
    ) -> Result<Vec<Outcome>, Failure> {
        let repeated = candidates
            .iter()
            .zip(&placed)
            .filter_map(|(candidate, placed)| match placed {
                Ok(Placed::Before(first)) if first.request != candidate.id => Some(first.request),
                _ => None,
            });
        let keys = self.keys.load(Class::Evidence, &repeated.collect::<Vec<_>>()).await?;
        let told = candidates.iter().zip(placed).map(|(candidate, placed)| match placed? {
            Placed::Before(first) if first.request != candidate.id => {
                repeat(candidate.origin, &first, keys.get(&first.request))
            }
            // Under its own id it is the very one, stored by a COMMIT whose answer was lost.
            Placed::New { .. } | Placed::Before(_) => Ok(Accepted {
                request: candidate.id,
                answer: candidate.answer.clone(),
                how: How::New,
            }),
        });
        Ok(told.collect())
    }
}

fn row(candidate: &Candidate, keys: &RequestKeys) -> NewRow {
    let (facts, assessed) = (&candidate.facts, &candidate.assessed);
    NewRow {
        id: candidate.id,
        digest: candidate.origin.digest,
        body_digest: candidate.origin.body_digest,
        controller: assessed.controller,
        stage: assessed.stage,
        version: ASSESSED,
        right: facts.right,
        channel: facts.channel,
        product: facts.product.clone(),
        binding: facts.binding,
        door: facts.door,
        assurance: facts.assurance.clone(),
        jurisdiction: facts.jurisdiction.clone(),
        locale: facts.locale.clone(),
        regime: assessed.clock.tables.regime.to_owned(),
        regime_version: assessed.clock.tables.regime_version.to_owned(),
        zone: assessed.clock.zone.clone(),
        received_at: facts.received_at,
        due_at: assessed.due_at,
        instruction: assessed.instruction.as_ref().map(|instruction| instruction.id),
        status_digest: candidate.status_digest,
        answer: keys.evidence.seal(sealed::ANSWER, &candidate.answer),
        sealed: keys.subject.seal(sealed::DETAILS, &candidate.details),
    }
}

/// Seven statements, however large the batch: requests, numbers and their counters, the firsts of repeats, entries
/// and their messages, the other messages.
async fn write(tx: &mut Tx, sealed: &Sealed, which: Range<usize>) -> Result<Vec<Placed>, DbError> {
    let placed = requests::accept(tx, &sealed.rows[which.clone()], sealed.now).await?;
    let mut new_entries = Vec::with_capacity(3 * placed.len());
    let mut messages = Vec::with_capacity(2 * placed.len());
    for (placed, telling) in placed.iter().zip(&sealed.tellings[which]) {
        if let Placed::New { intake_seq } = placed {
            new_entries.extend(telling.entries(*intake_seq));
            messages.extend_from_slice(&telling.messages);
        }
    }
    entries::put(tx, &new_entries, sealed.now).await?;
    outbox::put(tx, &messages).await?;
    Ok(placed)
}

fn repeat(origin: Origin, first: &First, key: Option<&DataKey>) -> Outcome {
    if first.body_digest != origin.body_digest {
        return Err(NotAccepted::AnotherBody);
    }
    let answer = key.ok_or(NotAccepted::Forgotten)?.open(sealed::ANSWER, &first.answer);
    let answer = answer.map_err(|damaged| {
        error!(request = %first.request, error = %damaged, "a stored answer does not open");
        NotAccepted::Forgotten
    })?;
    Ok(Accepted {
        request: first.request,
        answer,
        how: How::Repeat,
    })
}

fn single(request: RequestId, outcome: Result<Vec<Placed>, DbError>) -> Result<Placed, NotAccepted> {
    match outcome {
        Ok(placed) => placed.into_iter().next().ok_or(NotAccepted::Unavailable),
        Err(error) if error.is_refusal() => {
            warn!(%request, error = %chain(&error), "a request can't be stored");
            Err(NotAccepted::Unstorable)
        }
        Err(error) => {
            error!(%request, error = %chain(&error), "a request was not stored");
            Err(NotAccepted::Unavailable)
        }
    }
}

/// Whether the COMMIT may have happened although an error came back: anything but the engine's own word.
fn is_unknown(error: &DbError) -> bool {
    !error.is_collision() && !error.is_of_content()
}
