//! One process of the ledger: it binds, looks whether the log is sound, and then runs until the stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;
use keys::KeyStore;
use platform::bus::SharedBus;
use platform::chance::{self, SharedRng};
use platform::clock::SharedClock;
use platform::db::Db;
use platform::http::{BindError, Check, Server};
use platform::lifecycle::Lifecycle;
use platform::problem::chain;
use tracing::warn;

use crate::announce::Announcer;
use crate::archive::Archive;
use crate::config::Config;
use crate::consume::Consumer;
use crate::fault::Fault;
use crate::heads::HeadKeeper;
use crate::hold;
use crate::http::{self, State};
use crate::log_key::{self, LogKeyError};
use crate::sequencer::{Parts, Sequencer};

/// What a ledger works with.
#[derive(Debug, Clone)]
pub struct Deps {
    /// The ledger's own database, migrated or checked.
    pub db: Db,
    /// The key store, with the evidence class at least.
    pub keys: KeyStore,
    /// Where entries come from and announcements go.
    pub bus: SharedBus,
    /// Where signed heads are kept, outside that database.
    pub heads: HeadKeeper,
    /// Time.
    pub clock: SharedClock,
    /// Chance.
    pub rng: SharedRng,
}

/// Why a ledger does not start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The log key.
    #[error(transparent)]
    Key(#[from] LogKeyError),
    /// The log is not in order.
    #[error(transparent)]
    Log(#[from] Fault),
    /// The address.
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// A ledger that is bound and not yet running.
pub struct Ledger {
    server: Server,
    archive: Archive,
    sequencer: Sequencer,
    announcer: Announcer,
    consumer: Consumer,
    interval: Duration,
}

/// Binds, and refuses a log that must not be appended to. A database that is away now is waited for later.
pub async fn build(config: Config, deps: Deps) -> Result<Ledger, BuildError> {
    let signer = Arc::new(log_key::load(&config.log_key, &config.origin)?);
    look(&deps, &signer).await?;
    let archive = Archive::new(deps.db.clone(), deps.keys.clone(), signer.key().clone());
    let state = Data::new(State {
        archive: archive.clone(),
        clock: deps.clock.clone(),
        rng: deps.rng.clone(),
    });
    let server = Server::build(&config.http, "ledger", checks(&deps.db), move |routes| {
        http::routes(routes, state.clone());
    })?;
    let interval = config.interval_duration();
    Ok(Ledger {
        server,
        archive,
        announcer: announcer(&deps),
        consumer: consumer(&deps),
        sequencer: Sequencer::new(parts(config, deps, signer)),
        interval,
    })
}

impl Ledger {
    /// Where it listens, with the real port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// The log as readers see it.
    #[must_use]
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// Starts its tasks; they end with the lifecycle's stop.
    pub fn run(self, lifecycle: &Lifecycle) {
        let stop = lifecycle.stop();
        let news = self.sequencer.news();
        lifecycle.spawn("ledger http", self.server.run(stop.clone()));
        lifecycle.spawn("ledger consumer", self.consumer.run(stop.clone()));
        lifecycle.spawn("ledger announcer", self.announcer.run(news, stop.clone()));
        lifecycle.spawn("ledger sequencer", self.sequencer.run(self.interval, stop));
    }
}

/// What can be seen wrong now should be said now, and not when the first entry comes.
async fn look(deps: &Deps, signer: &evidence::note::NoteSigner) -> Result<(), Fault> {
    let look = async {
        hold::begin(&deps.db, signer.key()).await?;
        hold::check(&deps.db, &deps.heads, signer.key()).await.map(drop)
    };
    match look.await {
        Err(fault) if !fault.is_fatal() => {
            warn!(error = %chain(&fault), "the log can't be looked at yet");
            Ok(())
        }
        looked => looked,
    }
}

fn parts(config: Config, deps: Deps, signer: Arc<evidence::note::NoteSigner>) -> Parts {
    let drawn = || format!("{:032x}", u128::from_be_bytes(chance::bytes(&*deps.rng)));
    Parts {
        name: config.name.unwrap_or_else(drawn),
        db: deps.db,
        keys: deps.keys,
        heads: deps.heads,
        signer,
        clock: deps.clock,
        rng: deps.rng,
        batch_max: config.batch_max.max(1),
        hold: Duration::from_millis(config.hold_ms.max(1)),
    }
}

fn announcer(deps: &Deps) -> Announcer {
    Announcer {
        db: deps.db.clone(),
        bus: deps.bus.clone(),
        clock: deps.clock.clone(),
        rng: deps.rng.clone(),
    }
}

fn consumer(deps: &Deps) -> Consumer {
    Consumer {
        db: deps.db.clone(),
        bus: deps.bus.clone(),
        clock: deps.clock.clone(),
        rng: deps.rng.clone(),
    }
}

/// A standby is as ready as the holder: both answer auditors.
fn checks(db: &Db) -> Vec<Check> {
    let db = db.clone();
    let probe = move || {
        let db = db.clone();
        async move { db.ping().await }
    };
    vec![Check::new("database", probe)]
}
