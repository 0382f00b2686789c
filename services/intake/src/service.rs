//! Putting intake together, and running it.
//!
//! Stopping needs no order of its own: the server takes no new calls and ends those in hand, which are the last to hold
//! the queue of waiting requests; when it is gone the workers have stored everything that they were brought, and end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use actix_web::web::{self, Data, PayloadConfig, ServiceConfig};
use keys::KeyStore;
use platform::bus::SharedBus;
use platform::chance::{self, SharedRng};
use platform::clock::SharedClock;
use platform::db::Db;
use platform::http::{BindError, Check, Pages, Server};
use platform::keyring::{Keyring, KeyringError};
use platform::lifecycle::{Lifecycle, Stop};
use store::Store;
use store::outbox::Relay;
use store::registry::DirectoryCache;
use store::tokens::Finder;
use uuid::Uuid;

use crate::accept::{Worker, accepting};
use crate::channels::meta::Apps;
use crate::channels::telegram::Bots;
use crate::channels::{forward, meta, telegram};
use crate::config::Config;
use crate::doors::Doors;
use crate::phrases::{BookError, PhraseBook};
use crate::{api, status};

/// What intake works with.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the types are the documentation")]
pub struct Deps {
    pub store: Store,
    pub keys: KeyStore,
    pub bus: SharedBus,
    pub keyring: Arc<Keyring>,
    pub directory: DirectoryCache,
    pub clock: SharedClock,
    pub rng: SharedRng,
}

/// Why intake could not be put together. Each text is one line that says how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The address is taken, or not ours.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The key ring lacks the key of digests.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The phrase book is not there.
    #[error("the phrase book {0} can't be read ({1}); correct `phrases`, or leave it out for the built-in one")]
    PhrasesFile(PathBuf, std::io::Error),
    /// The phrase book can't be used.
    #[error("the phrase book {0} can't be used: {1}")]
    Phrases(PathBuf, BookError),
    /// The public address is no address.
    #[error("`public_url` must begin with http:// or https://; it is how the world reaches this deployment")]
    PublicUrl,
}

/// What the `type`s of intake's problems lead to.
const PAGES: Pages = Pages(&[
    (
        "another-body",
        include_str!("../../../schemas/problems/another-body.md"),
    ),
    ("busy", include_str!("../../../schemas/problems/busy.md")),
    ("closed", include_str!("../../../schemas/problems/closed.md")),
    ("forgotten", include_str!("../../../schemas/problems/forgotten.md")),
    ("handshake", include_str!("../../../schemas/problems/handshake.md")),
    (
        "idempotency-key",
        include_str!("../../../schemas/problems/idempotency-key.md"),
    ),
    (
        "invalid-query",
        include_str!("../../../schemas/problems/invalid-query.md"),
    ),
    (
        "notification",
        include_str!("../../../schemas/problems/notification.md"),
    ),
    (
        "out-of-scope",
        include_str!("../../../schemas/problems/out-of-scope.md"),
    ),
    ("signature", include_str!("../../../schemas/problems/signature.md")),
    ("unavailable", include_str!("../../../schemas/problems/unavailable.md")),
    ("unstorable", include_str!("../../../schemas/problems/unstorable.md")),
]);

/// Intake, bound and not running yet.
pub struct Intake {
    server: Server,
    workers: Vec<Worker>,
    relay: Option<Relay>,
    directory: DirectoryCache,
}

/// Binds. The databases need not answer yet: until they do, doors say 503.
pub async fn build(config: Config, deps: Deps) -> Result<Intake, BuildError> {
    let (accepting, workers) = accepting(&deps.store, &deps.keys, &deps.clock);
    let checks = vec![
        answers("router database", deps.store.db()),
        answers("key store", deps.keys.db()),
    ];
    let doors = Data::new(Doors {
        accepting,
        store: deps.store.clone(),
        tokens: Finder::new(deps.store.db().clone()),
        keys: deps.keys,
        registry: deps.directory.clone(),
        phrases: phrases(config.phrases)?,
        apps: Apps::new(config.apps),
        bots: Bots::new(config.telegram),
        dedupe: deps.keyring.dedupe()?,
        public_url: public_url(&config.public_url)?,
        clock: deps.clock.clone(),
        rng: Arc::clone(&deps.rng),
    });
    if let Err(error) = deps.directory.refresh().await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the registry could not be read yet"
        );
    }
    let server = Server::build(&config.http, "intake", checks, move |config| {
        routes(config, &doors);
    })?;
    let relay = Relay {
        store: deps.store,
        bus: deps.bus,
        worker: Uuid::from_bytes(chance::bytes(&*deps.rng)),
        clock: deps.clock,
        rng: deps.rng,
    };
    Ok(Intake {
        server,
        workers,
        relay: Some(relay),
        directory: deps.directory,
    })
}

impl Intake {
    /// Where it listens, with the real port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Leaves the carrying of messages to another service of the same process: two relays of one store would make twice
    /// as many rounds of the same rows.
    #[must_use]
    pub fn without_relay(mut self) -> Self {
        self.relay = None;
        self
    }

    /// Runs its tasks in the lifecycle until the stop.
    pub fn run(self, lifecycle: &Lifecycle) {
        let stop = lifecycle.stop();
        if let Some(relay) = self.relay {
            lifecycle.spawn("intake relay", relay.run(stop.clone()));
        }
        lifecycle.spawn("intake registry", keep_fresh(self.directory, stop.clone()));
        for worker in self.workers {
            lifecycle.spawn("intake worker", worker.run(stop.clone()));
        }
        lifecycle.spawn("intake http", self.server.run(stop));
    }
}

async fn keep_fresh(directory: DirectoryCache, stop: Stop) -> Result<(), std::convert::Infallible> {
    tokio::select! {
        () = directory.keep_fresh() => {}
        () = stop.soft() => {}
    }
    Ok(())
}

/// Whether a database answers. Kafka is not asked: what is accepted waits for it in the outbox.
fn answers(name: &'static str, db: &Db) -> Check {
    let db = db.clone();
    Check::new(name, move || {
        let db = db.clone();
        async move { db.ping().await }
    })
}

pub(crate) fn routes(config: &mut ServiceConfig, doors: &Data<Doors>) {
    const META: &str = "/channels/{channel:whatsapp|messenger|instagram}/{app}";
    const FORWARD: &str = "/forward/{channel:whatsapp|messenger|instagram|telegram}";
    let requests = web::resource("/v1/requests")
        .app_data(PayloadConfig::new(api::BODY_MAX))
        .route(web::post().to(api::create))
        .route(web::get().to(api::list));
    config
        .app_data(doors.clone())
        .app_data(Data::new(PAGES))
        .service(
            web::resource(META)
                .route(web::get().to(meta::handshake))
                .route(web::post().to(meta::notify)),
        )
        .service(web::resource("/channels/telegram/{binding}").route(web::post().to(telegram::notify)))
        .service(web::resource(FORWARD).route(web::post().to(forward::forward)))
        .service(requests)
        .service(web::resource("/v1/requests/{id}").route(web::get().to(api::show)))
        .service(web::resource("/v1/requests/{id}/withdraw").route(web::post().to(api::withdraw)))
        .service(web::resource("/status/{token}").route(web::get().to(status::status)));
}

fn phrases(file: Option<PathBuf>) -> Result<PhraseBook, BuildError> {
    let Some(file) = file else {
        return Ok(PhraseBook::default());
    };
    match std::fs::read_to_string(&file) {
        Ok(text) => PhraseBook::parse(&text).map_err(|error| BuildError::Phrases(file, error)),
        Err(error) => Err(BuildError::PhrasesFile(file, error)),
    }
}

/// Without a slash at its end, so that paths can be put behind it.
fn public_url(url: &str) -> Result<String, BuildError> {
    let url = url.trim_end_matches('/');
    let known = ["http://", "https://"]
        .iter()
        .any(|scheme| url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
    if known {
        Ok(url.to_owned())
    } else {
        Err(BuildError::PublicUrl)
    }
}
