//! A request on its way into the store: assessed, named, with the answer that its caller will get.

use domain::id::RequestId;
use domain::new_request::{Facts, NewRequest};
use domain::person::Identity;
use jiff::Timestamp;
use platform::chance::{self, Rng};
use platform::secret::{self, Secret};
use serde::Serialize;
use store::sealed;
use tracing::Span;

use crate::assess::Assessed;

/// By what a repeat is known: HMACs, because a provider's message id may hold a telephone number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Of the caller's scope and its key, or of the account and the provider's message id.
    pub(crate) digest: [u8; 32],
    /// Of what was asked under it.
    pub(crate) body_digest: [u8; 32],
}

/// A request that only has to be stored.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(super) id: RequestId,
    /// From which the ids of everything that is told about it are made.
    pub(super) seed: [u8; 10],
    pub(super) origin: Origin,
    pub(super) facts: Facts,
    pub(super) identities: Vec<Identity>,
    /// The details' bytes, not sealed yet.
    pub(super) details: Vec<u8>,
    pub(super) assessed: Assessed,
    pub(super) status_digest: [u8; 32],
    pub(super) answer: Vec<u8>,
    /// The work that it belongs to; its messages carry the trace on.
    pub(super) span: Span,
}

/// What the caller is told. Always `accepted`: a later stage would tell whether a business is a client.
#[derive(Serialize)]
struct Answer<'a> {
    request: RequestId,
    stage: &'static str,
    status_url: String,
    due_at: Timestamp,
    due_reason: &'a str,
}

impl Candidate {
    /// Names the request and words its answer. `public_url` is where its status page will be.
    pub(crate) fn new(
        request: &NewRequest,
        assessed: Assessed,
        origin: Origin,
        public_url: &str,
        now: Timestamp,
        rng: &dyn Rng,
    ) -> Self {
        let id = RequestId::new(now, chance::bytes(rng));
        let token = secret::random_token(rng);
        let answer = answer(id, &token, public_url, &assessed);
        Self {
            id,
            seed: chance::bytes(rng),
            origin,
            facts: request.facts.clone(),
            identities: request.details.subject.identities.clone(),
            details: sealed::to_bytes(&request.details),
            assessed,
            status_digest: secret::digest(&token),
            answer,
            span: Span::current(),
        }
    }
}

fn answer(request: RequestId, token: &Secret, public_url: &str, assessed: &Assessed) -> Vec<u8> {
    let answer = Answer {
        request,
        stage: "accepted",
        status_url: format!("{public_url}/status/{}", token.expose()),
        due_at: assessed.due_at,
        due_reason: &assessed.due_reason,
    };
    serde_json::to_vec(&answer).expect("texts and instants are JSON")
}
