//! What all doors share.

use std::sync::Arc;

use domain::new_request::NewRequest;
use jiff::Timestamp;
use keys::KeyStore;
use platform::chance::SharedRng;
use platform::clock::SharedClock;
use platform::keyring::DedupeKey;
use platform::problem::PointerError;
use store::Store;
use store::registry::{Directory, DirectoryCache};
use store::tokens::Finder;

use crate::accept::{self, Accepted, Accepting, Candidate, How, Origin};
use crate::assess::{AssessError, assess};
use crate::channels::meta::Apps;
use crate::channels::telegram::Bots;
use crate::figures::ACCEPTED;
use crate::phrases::PhraseBook;
use crate::refusal::Refusal;

/// What a door needs to make a request of what it was sent.
pub(crate) struct Doors {
    pub(crate) accepting: Accepting,
    pub(crate) store: Store,
    pub(crate) tokens: Finder,
    pub(crate) keys: KeyStore,
    pub(crate) registry: DirectoryCache,
    pub(crate) phrases: PhraseBook,
    pub(crate) apps: Apps,
    pub(crate) bots: Bots,
    pub(crate) dedupe: DedupeKey,
    pub(crate) public_url: String,
    pub(crate) clock: SharedClock,
    pub(crate) rng: SharedRng,
}

impl Doors {
    /// This instant, to the microsecond, as the database keeps it.
    pub(crate) fn now(&self) -> Timestamp {
        truncated(self.clock.now())
    }

    /// The registry's picture. Before the first one nobody can be told that an account is unknown: they would not come
    /// again.
    pub(crate) fn directory(&self) -> Result<Arc<Directory>, Refusal> {
        let directory = self.registry.current();
        if directory.version() == 0 {
            Err(Refusal::Registry(None))
        } else {
            Ok(directory)
        }
    }

    /// The same, looked at anew if the picture at hand lacks something: a registration of a moment ago counts.
    pub(crate) async fn directory_with(
        &self,
        suffices: impl Fn(&Directory) -> bool,
    ) -> Result<Arc<Directory>, Refusal> {
        let directory = self.directory()?;
        if suffices(&directory) {
            return Ok(directory);
        }
        self.registry.refresh().await?;
        self.directory()
    }

    /// Makes a request durable, and counts it.
    pub(crate) async fn accept(
        &self,
        directory: &Directory,
        request: &NewRequest,
        origin: Origin,
    ) -> Result<Accepted, Refusal> {
        let assessed = assess(directory, request).map_err(refused)?;
        let candidate = Candidate::new(request, assessed, origin, &self.public_url, self.now(), &*self.rng);
        let accepted = self.accepting.accept(candidate).await?;
        let how = match accepted.how {
            How::New => "new",
            How::Repeat => "repeat",
        };
        ACCEPTED.add(1, &[("door", request.facts.door.as_str()), ("how", how)]);
        Ok(accepted)
    }

    /// What was answered when the same was asked before, if it was.
    pub(crate) async fn earlier(&self, origin: Origin) -> Result<Option<Accepted>, Refusal> {
        Ok(accept::earlier(&self.store, &self.keys, origin).await?)
    }
}

/// To the microsecond.
pub(crate) fn truncated(now: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(now.as_microsecond()).expect("a clock shows an instant of the calendar")
}

fn refused(error: AssessError) -> Refusal {
    let place = |pointer: &str, detail: &str| {
        Refusal::Invalid(vec![PointerError {
            pointer: pointer.to_owned(),
            detail: detail.to_owned(),
        }])
    };
    match error {
        AssessError::UnknownController => place("/controller/id", "is not registered"),
        AssessError::NoTerm(_) => place("/right", "has no term under the controller's law and contract"),
        error @ (AssessError::NoOperator | AssessError::Misregistered(_)) => Refusal::Registry(Some(error)),
    }
}
