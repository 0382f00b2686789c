//! The three services of a deployment, one of them or all in one process.
//!
//! A service is a library that binds and then runs in a lifecycle; here each gets what it works with. All three in one
//! process share the bus, the stores and the registry's picture, and no service knows that the others are there: what
//! one tells the other goes over the bus, whichever that is.

use std::net::SocketAddr;
use std::sync::Arc;

use dispatch::Dispatch;
use intake::Intake;
use keys::KeyStore;
use ledger::{Archive, HeadKeeper, Ledger};
use platform::bus::SharedBus;
use platform::keyring::Keyring;
use platform::lifecycle::{Ended, Lifecycle};
use platform::problem::chain;
use store::Store;
use store::registry::DirectoryCache;

use crate::deployment::{Database, Deployment};
use crate::failure::Failure;
use crate::key_files;

/// Which services a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roles {
    /// Everything: `up`, `demo`, tests.
    All,
    /// The doors.
    Intake,
    /// Planning, delivering, collecting, closing.
    Dispatch,
    /// The log.
    Ledger,
}

/// A process's services, bound and running.
#[derive(Debug)]
pub struct Router {
    /// What it is made of.
    pub deployment: Deployment,
    /// The bus that its services share.
    pub bus: SharedBus,
    /// The router's database, where a service needs it.
    pub store: Option<Store>,
    /// The registry's picture that its services share, where they need it.
    pub directory: Option<DirectoryCache>,
    /// Where intake listens, if it runs here.
    pub intake: Option<SocketAddr>,
    /// Where dispatch listens, if it runs here.
    pub dispatch: Option<SocketAddr>,
    /// Where the ledger listens, if it runs here, and its log.
    pub ledger: Option<(SocketAddr, Archive)>,
}

/// What intake and dispatch share.
struct Parts {
    store: Store,
    keys: KeyStore,
    bus: SharedBus,
    keyring: Arc<Keyring>,
    directory: DirectoryCache,
}

impl Router {
    /// Opens what the services need, binds them, and starts them in the lifecycle.
    pub async fn start(deployment: Deployment, roles: Roles, lifecycle: &Lifecycle) -> Result<Self, Failure> {
        let keyring = deployment.keyring()?;
        let bus = deployment.bus().await?;
        let keys = key_store(&deployment, &keyring).await?;
        let mut router = Self {
            deployment,
            bus,
            store: None,
            directory: None,
            intake: None,
            dispatch: None,
            ledger: None,
        };
        // The ledger first: what the others say finds somebody who holds it.
        if matches!(roles, Roles::All | Roles::Ledger) {
            router.start_ledger(keys.clone(), lifecycle).await?;
        }
        if roles != Roles::Ledger {
            let parts = router.parts(keys, keyring).await?;
            if matches!(roles, Roles::All | Roles::Dispatch) {
                router.start_dispatch(&parts, lifecycle).await?;
            }
            if matches!(roles, Roles::All | Roles::Intake) {
                router.start_intake(&parts, roles, lifecycle).await?;
            }
        }
        Ok(router)
    }

    /// Runs until a signal, a failure or somebody's asking; then lets go of the bus.
    pub async fn until_stopped(&self, lifecycle: &Lifecycle) -> Result<(), Failure> {
        let ended = lifecycle.run_until_stopped().await;
        self.bus.close().await;
        match ended {
            Ok(Ended::Asked) => Ok(()),
            Ok(Ended::Failed) => Err(Failure::no("a task failed or did not end in time; the log says which")),
            Err(error) => Err(Failure::no(format!("signals can't be heard ({error})"))),
        }
    }

    async fn parts(&mut self, keys: KeyStore, keyring: Arc<Keyring>) -> Result<Parts, Failure> {
        let store = Store::new(self.deployment.database(Database::Router).await?);
        let directory = DirectoryCache::new(store.clone());
        directory.refresh().await?;
        self.store = Some(store.clone());
        self.directory = Some(directory.clone());
        Ok(Parts {
            store,
            keys,
            bus: Arc::clone(&self.bus),
            keyring,
            directory,
        })
    }

    async fn start_intake(&mut self, parts: &Parts, roles: Roles, lifecycle: &Lifecycle) -> Result<(), Failure> {
        let deps = intake::Deps {
            store: parts.store.clone(),
            keys: parts.keys.clone(),
            bus: Arc::clone(&parts.bus),
            keyring: Arc::clone(&parts.keyring),
            directory: parts.directory.clone(),
            clock: Arc::clone(&self.deployment.clock),
            rng: Arc::clone(&self.deployment.rng),
        };
        let config = self.deployment.settings.intake();
        let intake: Intake = intake::build(config, deps)
            .await
            .map_err(|error| unbuilt("intake", &error))?;
        self.intake = Some(intake.addr());
        // Dispatch's relay carries everything where both share a process.
        let intake = if roles == Roles::All {
            intake.without_relay()
        } else {
            intake
        };
        intake.run(lifecycle);
        Ok(())
    }

    async fn start_dispatch(&mut self, parts: &Parts, lifecycle: &Lifecycle) -> Result<(), Failure> {
        let deps = dispatch::Deps {
            store: parts.store.clone(),
            keys: parts.keys.clone(),
            bus: Arc::clone(&parts.bus),
            keyring: Arc::clone(&parts.keyring),
            directory: parts.directory.clone(),
            statement_key: Arc::new(key_files::load(&self.deployment.settings.statement_key())?),
            clock: Arc::clone(&self.deployment.clock),
            rng: Arc::clone(&self.deployment.rng),
        };
        let config = self.deployment.settings.dispatch();
        let dispatch: Dispatch = dispatch::build(config, deps)
            .await
            .map_err(|error| unbuilt("dispatch", &error))?;
        self.dispatch = Some(dispatch.addr());
        dispatch.run(lifecycle);
        Ok(())
    }

    async fn start_ledger(&mut self, keys: KeyStore, lifecycle: &Lifecycle) -> Result<(), Failure> {
        let settings = &self.deployment.settings;
        let heads = match settings.databases {
            None => HeadKeeper::File(settings.data.join("head")),
            Some(_) => HeadKeeper::Keys(keys.db().clone()),
        };
        let deps = ledger::Deps {
            db: self.deployment.database(Database::Ledger).await?,
            keys,
            bus: Arc::clone(&self.bus),
            heads,
            clock: Arc::clone(&self.deployment.clock),
            rng: Arc::clone(&self.deployment.rng),
        };
        let ledger: Ledger = ledger::build(settings.ledger(), deps)
            .await
            .map_err(|error| unbuilt("ledger", &error))?;
        self.ledger = Some((ledger.addr(), ledger.archive().clone()));
        ledger.run(lifecycle);
        Ok(())
    }
}

async fn key_store(deployment: &Deployment, keyring: &Arc<Keyring>) -> Result<KeyStore, Failure> {
    let db = deployment.database(Database::Keys).await?;
    let (rng, clock) = (Arc::clone(&deployment.rng), Arc::clone(&deployment.clock));
    Ok(KeyStore::new(db, Arc::clone(keyring), rng, clock))
}

/// Services say in their own words what is wrong with what they were given.
fn unbuilt(service: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::usage(format!("{service} can't start: {}", chain(error)))
}
