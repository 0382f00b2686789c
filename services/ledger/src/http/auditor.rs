//! Who asks: a handler that takes an [`Auditor`] can't be reached without a token, and what it answers is logged.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use domain::id::{ControllerId, EntryId};
use evidence::digest::ContentDigest;
use evidence::entry::body::AuditorQuery;
use evidence::entry::{Entry, Word};
use platform::chance;
use platform::http::bearer;
use platform::secret::digest;

use super::State;
use super::refusal::Refusal;
use crate::incoming::{self, Incoming};
use crate::tokens::{self, Scope};

/// A token that is known and not over, with what it opens.
#[derive(Debug)]
pub(super) struct Auditor {
    digest: [u8; 32],
    pub(super) scope: Scope,
}

/// What was asked and how much was answered.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// Which question.
    pub(super) query: &'static str,
    /// The id that was asked about; what is no id stands for nothing.
    pub(super) about: Option<&'a str>,
    /// Whose entries were shown.
    pub(super) controller: Option<ControllerId>,
    /// How many.
    pub(super) rows: usize,
}

impl FromRequest for Auditor {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refusal>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let token = bearer(request);
        let state = request.app_data::<Data<State>>().cloned();
        Box::pin(async move {
            let (Some(token), Some(state)) = (token, state) else {
                return Err(Refusal::Unauthorized);
            };
            let digest = digest(&token);
            let scope = tokens::find(state.archive.db(), &digest, state.clock.now()).await?;
            scope.map(|scope| Self { digest, scope }).ok_or(Refusal::Unauthorized)
        })
    }
}

impl Auditor {
    /// Makes the question an entry, before it is answered: without it there is no answer.
    pub(super) async fn note(&self, state: &State, asked: Asked<'_>) -> Result<(), Refusal> {
        let now = state.clock.now();
        let query = asked.query.parse().expect("our questions have names that are words");
        let body = AuditorQuery {
            token: ContentDigest(self.digest),
            query,
            about: asked.about.and_then(|about| about.parse::<Word>().ok()),
            rows: asked.rows as u64,
        };
        let entry = Entry {
            id: EntryId::new(now, chance::bytes(&*state.rng)),
            controller: asked.controller.unwrap_or(self.scope.home),
            request: None,
            at: now,
            body: body.into(),
        };
        Ok(incoming::put(state.archive.db(), &[Incoming::new(&entry)]).await?)
    }
}
