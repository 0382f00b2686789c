//! One process of dispatch: it binds, and then runs until the stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{self, Data, PayloadConfig};
use evidence::jwk::TokenKey;
use evidence::token::TOKEN_BYTES_MAX;
use keys::KeyStore;
use platform::bus::SharedBus;
use platform::chance::{self, SharedRng};
use platform::clock::SharedClock;
use platform::egress::{self, Egress};
use platform::http::{BindError, Check, Pages, Server};
use platform::keyring::Keyring;
use platform::lifecycle::{Lifecycle, Stop};
use platform::problem::Problem;
use proto::Group;
use store::Store;
use store::outbox::Relay;
use store::registry::DirectoryCache;
use store::tokens::Finder;
use uuid::Uuid;

use crate::bell::Bell;
use crate::collect::{self, Collector};
use crate::config::Config;
use crate::deadlines::Deadlines;
use crate::herald::Herald;
use crate::logged::Logged;
use crate::orders::Orders;
use crate::plan::{Grounds, Planner};
use crate::pull::{Pull, Room};
use crate::reconcile::Reconciler;
use crate::signing::Signer;
use crate::{consume, deliver, pages, pull};

/// How webhooks call themselves.
const USER_AGENT: &str = concat!("Quittance/", env!("CARGO_PKG_VERSION"));

/// Workers that commit receipts: one gathers while the other waits for its commit.
const COLLECTORS: usize = 2;

/// What dispatch works with.
#[derive(Clone)]
pub struct Deps {
    /// The router's database, migrated or checked.
    pub store: Store,
    /// The key store with both classes.
    pub keys: KeyStore,
    /// The bus.
    pub bus: SharedBus,
    /// Opens webhook secrets.
    pub keyring: Arc<Keyring>,
    /// The registry's picture.
    pub directory: DirectoryCache,
    /// Signs what we say ourselves.
    pub statement_key: Arc<TokenKey>,
    /// Time.
    pub clock: SharedClock,
    /// Chance.
    pub rng: SharedRng,
}

/// Every problem that dispatch answers beside those of every server.
pub const PROBLEMS: &[Problem] = pull::PROBLEMS;

/// What their `type`s lead to.
const PAGES: Pages = Pages(&[("not-fetched", include_str!("../../../schemas/problems/not-fetched.md"))]);

/// Every task's body holds it three times, and has 20 kB.
pub(crate) const PUBLIC_URL_LENGTH_MAX: usize = 200;

/// Why dispatch can't be put together. Each text is one line that says how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The address is taken, or not ours.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The way out can't be built.
    #[error(transparent)]
    Egress(#[from] egress::BuildError),
    /// The public address is no address.
    #[error(
        "`public_url` must be http:// or https:// and a host, in at most {PUBLIC_URL_LENGTH_MAX} letters; receipts are \
         addressed to it"
    )]
    PublicUrl,
}

/// Dispatch, bound and not running yet.
pub struct Dispatch {
    server: Server,
    relay: Relay,
    planner: Planner,
    logged: Logged,
    reconciler: Reconciler,
    herald: Herald,
    deadlines: Deadlines,
    orders: Orders,
    deliver: deliver::Bench,
    room: Room,
    collect: (collect::batch::Bench, collect::Queue),
    deps: Deps,
}

/// Binds. The databases and the bus need not answer yet.
pub async fn build(config: Config, deps: Deps) -> Result<Dispatch, BuildError> {
    let public_url: Arc<str> = Arc::from(public_url(&config.public_url)?);
    let (collector, queue) = Collector::new(deps.directory.clone(), &public_url);
    let bell = Bell::default();
    let planner = planner(&deps, &public_url, &bell);
    if let Err(error) = deps.directory.refresh().await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the registry could not be read yet"
        );
    }
    let pull = puller(&deps, &collector, &bell);
    Ok(Dispatch {
        room: pull.room.clone(),
        server: server(&config, &deps, &collector, pull)?,
        relay: relay(&deps),
        logged: Logged {
            store: deps.store.clone(),
            directory: deps.directory.clone(),
            clock: Arc::clone(&deps.clock),
            rng: Arc::clone(&deps.rng),
        },
        reconciler: Reconciler {
            store: deps.store.clone(),
            keys: deps.keys.clone(),
            planner: planner.clone(),
            clock: Arc::clone(&deps.clock),
            pause: Duration::from_secs(config.reconcile_seconds.max(1)),
        },
        herald: herald(&config, &deps, &public_url, &bell),
        deadlines: deadlines(&config, &deps, &public_url),
        orders: orders(&deps, &public_url, &bell),
        planner,
        deliver: deliverer(config, &deps, collector, bell)?,
        collect: (collecting(&deps), queue),
        deps,
    })
}

impl Dispatch {
    /// Where it listens, with the real port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Runs its tasks in the lifecycle until the stop.
    pub fn run(self, lifecycle: &Lifecycle) {
        let stop = lifecycle.stop();
        let bus = || Arc::clone(&self.deps.bus);
        lifecycle.spawn("dispatch relay", self.relay.run(stop.clone()));
        lifecycle.spawn(
            "dispatch registry",
            keep_fresh(self.deps.directory.clone(), stop.clone()),
        );
        lifecycle.spawn(
            "dispatch plan",
            consume::run(bus(), Group::Plan, self.planner, stop.clone()),
        );
        lifecycle.spawn(
            "dispatch logged",
            consume::run(bus(), Group::Logged, self.logged, stop.clone()),
        );
        lifecycle.spawn("dispatch reconcile", self.reconciler.run(stop.clone()));
        lifecycle.spawn("dispatch deadlines", self.deadlines.run(stop.clone()));
        lifecycle.spawn("dispatch orders", self.orders.run(stop.clone()));
        lifecycle.spawn("dispatch herald", self.herald.run(stop.clone()));
        lifecycle.spawn("dispatch deliver", deliver::run(self.deliver, stop.clone()));
        lifecycle.spawn("dispatch pull", self.room.close_at(stop.clone()));
        let (bench, queue) = self.collect;
        for _ in 0..COLLECTORS {
            lifecycle.spawn(
                "dispatch collect",
                collect::batch::run(bench.clone(), queue.clone(), stop.clone()),
            );
        }
        lifecycle.spawn("dispatch http", self.server.run(stop));
    }
}

async fn keep_fresh(directory: DirectoryCache, stop: Stop) -> Result<(), std::convert::Infallible> {
    tokio::select! {
        () = directory.keep_fresh() => {}
        () = stop.soft() => {}
    }
    Ok(())
}

fn server(config: &Config, deps: &Deps, collector: &Collector, pull: Pull) -> Result<Server, BindError> {
    let (collector, pull) = (Data::new(collector.clone()), Data::new(pull));
    let store = deps.store.clone();
    let ready = Check::new("router database", move || {
        let store = store.clone();
        async move { store.db().ping().await }
    });
    Server::build(&config.http, "dispatch", vec![ready], move |routes| {
        let receipts = web::resource("/v1/receipts")
            // One byte more than a token may have, so that the token's own rule refuses it in the standard's words.
            .app_data(PayloadConfig::new(TOKEN_BYTES_MAX + 1))
            .route(web::post().to(collect::door::receive));
        let receipt = web::resource("/v1/tasks/{id}/receipt")
            .app_data(PayloadConfig::new(TOKEN_BYTES_MAX + 1))
            .route(web::post().to(pull::door::receipt));
        routes
            .app_data(collector.clone())
            .app_data(pull.clone())
            .app_data(Data::new(PAGES))
            .service(receipts)
            .service(web::resource("/v1/tasks/lease").route(web::post().to(pull::door::lease)))
            .service(receipt)
            .service(web::resource("/schemas/events/{name}").route(web::get().to(pages::event)));
    })
}

fn puller(deps: &Deps, collector: &Collector, bell: &Bell) -> Pull {
    Pull {
        store: deps.store.clone(),
        keys: deps.keys.clone(),
        directory: deps.directory.clone(),
        collector: collector.clone(),
        tokens: Finder::new(deps.store.db().clone()),
        bell: bell.clone(),
        clock: Arc::clone(&deps.clock),
        rng: Arc::clone(&deps.rng),
        room: Room::default(),
    }
}

fn relay(deps: &Deps) -> Relay {
    Relay {
        store: deps.store.clone(),
        bus: Arc::clone(&deps.bus),
        worker: Uuid::from_bytes(chance::bytes(&*deps.rng)),
        clock: Arc::clone(&deps.clock),
        rng: Arc::clone(&deps.rng),
    }
}

fn planner(deps: &Deps, public_url: &Arc<str>, bell: &Bell) -> Planner {
    Planner {
        store: deps.store.clone(),
        keys: deps.keys.clone(),
        directory: deps.directory.clone(),
        grounds: Grounds::default(),
        public_url: Arc::clone(public_url),
        clock: Arc::clone(&deps.clock),
        rng: Arc::clone(&deps.rng),
        bell: bell.clone(),
    }
}

fn herald(config: &Config, deps: &Deps, public_url: &Arc<str>, bell: &Bell) -> Herald {
    Herald {
        store: deps.store.clone(),
        keys: deps.keys.clone(),
        directory: deps.directory.clone(),
        bell: bell.clone(),
        clock: Arc::clone(&deps.clock),
        rng: Arc::clone(&deps.rng),
        signer: Signer::new(Arc::clone(&deps.statement_key), Arc::clone(public_url)),
        public_url: Arc::clone(public_url),
        config: config.messages.clone(),
        over: config.deliver.over(),
    }
}

fn deadlines(config: &Config, deps: &Deps, public_url: &Arc<str>) -> Deadlines {
    Deadlines {
        store: deps.store.clone(),
        keys: deps.keys.clone(),
        directory: deps.directory.clone(),
        signer: Signer::new(Arc::clone(&deps.statement_key), Arc::clone(public_url)),
        clock: Arc::clone(&deps.clock),
        rng: Arc::clone(&deps.rng),
        config: config.deadlines.clone(),
        pause: Duration::from_secs(config.reconcile_seconds.max(1)),
    }
}

fn orders(deps: &Deps, public_url: &Arc<str>, bell: &Bell) -> Orders {
    Orders {
        store: deps.store.clone(),
        keys: deps.keys.clone(),
        directory: deps.directory.clone(),
        signer: Signer::new(Arc::clone(&deps.statement_key), Arc::clone(public_url)),
        bell: bell.clone(),
        clock: Arc::clone(&deps.clock),
        rng: Arc::clone(&deps.rng),
    }
}

fn collecting(deps: &Deps) -> collect::batch::Bench {
    collect::batch::Bench {
        store: deps.store.clone(),
        keys: deps.keys.clone(),
        directory: deps.directory.clone(),
        clock: Arc::clone(&deps.clock),
        rng: Arc::clone(&deps.rng),
    }
}

fn deliverer(
    config: Config,
    deps: &Deps,
    collector: Collector,
    bell: Bell,
) -> Result<deliver::Bench, egress::BuildError> {
    Ok(deliver::Bench {
        store: deps.store.clone(),
        keys: deps.keys.clone(),
        directory: deps.directory.clone(),
        keyring: Arc::clone(&deps.keyring),
        egress: Egress::new(&config.egress, USER_AGENT)?,
        collector,
        clock: Arc::clone(&deps.clock),
        rng: Arc::clone(&deps.rng),
        bell,
        config: Arc::new(config.deliver),
    })
}

/// Without a slash at its end, so that paths can be put behind it.
fn public_url(url: &str) -> Result<&str, BuildError> {
    let url = url.trim_end_matches('/');
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'?' | b'#');
    host.filter(|host| !host.is_empty() && url.len() <= PUBLIC_URL_LENGTH_MAX && host.bytes().all(plain))
        .map(|_| url)
        .ok_or(BuildError::PublicUrl)
}
