//! A deployment that runs: put together by the same code as `quittance up` and the services of a cluster.
//!
//! Embedded, the three services share what they have; in a cluster each is put together as if it had a process of its
//! own, or has one. What listens on the outside — sandboxes and their taps — has a lifecycle of its own and outlives
//! the router.

use std::sync::Arc;

use domain::assurance::AssuranceLevel;
use domain::receipt::{CategoryOutcome, CategoryResult, Outcome};
use evidence::policy::Policy;
use jiff::SignedDuration;
use platform::egress::{Egress, EgressConfig};
use platform::keyring::Keyring;
use platform::lifecycle::{Ended, Lifecycle};
use platform::secret::{self, Secret};
use quittance::deployment::{Database, Deployment};
use quittance::router::{Roles, Router as Services};
use registry::apply::Registrar;
use registry::file::File;
use store::Store;
use store::registry::DirectoryCache;
use store::tokens::{self, Role, Token, TokenScope};

use super::patience::PATIENCE;
use super::place::{ORIGIN, Place, bots};
use super::processes::{self, Processes};
use super::registration;

/// How far an auditor's token reaches into the future.
const TOKEN_LASTS: SignedDuration = SignedDuration::from_hours(24);

/// A deployment that runs.
pub struct Running {
    /// Where it keeps what it has.
    pub place: Place,
    /// What it was told, and how to open its databases.
    pub deployment: Deployment,
    /// `http://…` of intake.
    pub intake: String,
    /// `http://…` of dispatch.
    pub dispatch: String,
    /// `http://…` of the ledger.
    pub ledger: String,
    /// The router's database, by a connection of the test's own in a cluster.
    pub store: Store,
    /// The pictures of the registry that must show what is registered.
    pub directories: Vec<DirectoryCache>,
    /// The root keys.
    pub keyring: Arc<Keyring>,
    /// Trusts its log.
    pub policy: Policy,
    /// A product's token.
    pub product: Secret,
    /// An auditor's token.
    pub auditor: Secret,
    /// The bots that intake knows.
    pub bots: Vec<String>,
    /// The services.
    pub services: Held,
    /// The tasks of what listens on the outside.
    pub outside: Lifecycle,
}

/// What runs the services.
pub enum Held {
    /// This process.
    Here(Lifecycle, Vec<Services>),
    /// Processes of their own.
    Apart(Processes),
}

impl Running {
    /// Prepares the place and starts everything in this process.
    ///
    /// # Panics
    /// When something can't be started.
    pub async fn start(place: Place) -> Self {
        let deployment = place.prepare().await;
        let lifecycle = Lifecycle::new();
        let roles: &[Roles] = if place.cluster.is_some() {
            &[Roles::Ledger, Roles::Dispatch, Roles::Intake]
        } else {
            &[Roles::All]
        };
        let mut services = vec![];
        for roles in roles {
            let started = Services::start(deployment.clone(), *roles, &lifecycle).await;
            services.push(started.unwrap_or_else(|failure| panic!("{roles:?}: {}", failure.line)));
        }
        let directories = services
            .iter()
            .filter_map(|service| service.directory.clone())
            .collect();
        // SQLite has one writer, so there the test looks through the same connection.
        let shared = services[0].store.clone();
        Self::with(place, deployment, shared, directories, Held::Here(lifecycle, services)).await
    }

    /// Prepares the place and starts everything in processes of their own.
    ///
    /// # Panics
    /// When something can't be started.
    pub async fn start_processes(place: Place) -> Self {
        let deployment = processes::prepare(&place);
        let processes = Processes::start(&place).await;
        Self::with(place, deployment, None, vec![], Held::Apart(processes)).await
    }

    async fn with(
        place: Place,
        deployment: Deployment,
        store: Option<Store>,
        mut directories: Vec<DirectoryCache>,
        services: Held,
    ) -> Self {
        let store = match store {
            Some(store) => store,
            None => Store::new(
                deployment
                    .database(Database::Router)
                    .await
                    .expect("the router's database"),
            ),
        };
        if directories.is_empty() {
            directories.push(DirectoryCache::new(store.clone()));
        }
        let keyring = deployment.keyring().expect("the key ring opens");
        let log_key = ledger::log_key::load(&place.file("log.key"), ORIGIN).expect("the log key is there");
        let product = product_token(&deployment, &store).await;
        let auditor = operator_and_auditor(&deployment, &store, &keyring).await;
        let [intake, dispatch, ledger] = place.urls();
        Self {
            place,
            deployment,
            intake,
            dispatch,
            ledger,
            store,
            directories,
            keyring,
            policy: Policy::of_log(log_key.key().clone()),
            product,
            auditor,
            bots: bots().collect(),
            services,
            outside: Lifecycle::new(),
        }
    }

    /// Stops the router's services as SIGTERM does.
    pub async fn stop(&self) -> Ended {
        match &self.services {
            Held::Here(lifecycle, services) => {
                let ended = lifecycle.shut_down().await;
                for service in services {
                    service.bus.close().await;
                }
                ended
            }
            Held::Apart(processes) => processes.stop(),
        }
    }

    /// Stops the services, and then what listens on the outside.
    pub async fn shut_down(self) -> Ended {
        let ended = self.stop().await;
        self.outside.shut_down().await;
        ended
    }
}

async fn product_token(deployment: &Deployment, store: &Store) -> Secret {
    let presented = secret::random_token(&*deployment.rng);
    let token = Token {
        digest: secret::digest(&presented),
        role: Role::Product,
        label: "tests".to_owned(),
        scope: TokenScope {
            assurance: AssuranceLevel::AccountSession,
            ..TokenScope::everything()
        },
        created_at: deployment.clock.now(),
        expires_at: None,
        revoked_at: None,
    };
    tokens::insert(store.db(), &token).await.expect("the token is kept");
    presented
}

/// Registers the operator, which is at home in the log, and gives its auditor a token.
async fn operator_and_auditor(deployment: &Deployment, store: &Store, keyring: &Arc<Keyring>) -> Secret {
    let registrar = Registrar {
        store: store.clone(),
        keyring: Arc::clone(keyring),
        clock: Arc::clone(&deployment.clock),
        rng: Arc::clone(&deployment.rng),
    };
    let file = File::parse(&registration::operator(), "operator.toml".as_ref()).expect("well formed");
    let (changes, directory) = registrar.propose(file).await.expect("the operator is right");
    let applied = registrar
        .apply(&changes, &directory)
        .await
        .expect("the operator is registered");
    registrar
        .wait(&applied, PATIENCE)
        .await
        .expect("the ledger confirms the operator");
    let scope = ledger::tokens::Scope {
        home: changes.controllers[0].0.id,
        controllers: ledger::tokens::Controllers::All,
        from: None,
        until: None,
    };
    let (presented, now) = (secret::random_token(&*deployment.rng), deployment.clock.now());
    let db = deployment
        .database(Database::Ledger)
        .await
        .expect("the ledger's database");
    let digest = secret::digest(&presented);
    let added = ledger::tokens::add(&db, &digest, &scope, now + TOKEN_LASTS, now).await;
    added.expect("the token is kept");
    db.close().await;
    presented
}

/// The way out of a sandbox: to this machine.
pub(crate) fn egress() -> Egress {
    let config = EgressConfig {
        trusted: vec!["127.0.0.0/8".parse().expect("a network")],
        ..EgressConfig::default()
    };
    Egress::new(&config, "tests").expect("an egress for tests")
}

/// Results that add up to an outcome.
pub(crate) fn results(outcome: Outcome) -> Vec<CategoryResult> {
    let result = |category: &str, became, basis: Option<&str>| CategoryResult {
        category: category.to_owned(),
        outcome: became,
        count: None,
        basis: basis.map(ToOwned::to_owned),
        citation: None,
        erase_after: None,
    };
    let done = result("conversations", CategoryOutcome::Erased, None);
    match outcome {
        Outcome::Completed => vec![done],
        Outcome::Partial => vec![done, result("invoices", CategoryOutcome::Retained, Some("tax_law"))],
        Outcome::NotFound => vec![],
        Outcome::Refused => vec![result("profile", CategoryOutcome::Refused, Some("legal_claims"))],
        Outcome::Failed => vec![result("profile", CategoryOutcome::Failed, Some("system_unavailable"))],
    }
}
