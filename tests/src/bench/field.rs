//! A router with client businesses, and how far its work has come.
//!
//! How far is read from its tables, as an operator would: requests planned, tasks still to be sent, receipts with
//! their place in the log. Between two runs everything that the first one left comes to rest.

use std::sync::Arc;
use std::time::Duration;

use domain::id::SystemId;
use platform::db::{Args, DbError, Statement};
use platform::egress::Egress;

use super::receiver::{Mode, Receiver, Signer};
use super::{Deployment, NotMeasured, machine};
use crate::harness::running::egress;
use crate::harness::{Client, Person, Place, Router, key};

use super::flights::Post;

/// Client businesses, each with one system: the fleet's attempts are shared over as many endpoints.
pub(super) const BUSINESSES: usize = 20;

/// Held answers are no failures here: longer than any run.
const PATIENT: &str = "[dispatch.deliver]\nattempt_ms = 300000\n";

/// A run that takes longer than this has stopped getting on.
pub(super) const RUN_ENDS: Duration = Duration::from_mins(3);

/// Between two looks at how far it is: a small part of the shortest run, and little work beside what is measured.
pub(super) const LOOK: Duration = Duration::from_millis(10);

const PLANNED: Statement = Statement::both("bench_planned", "SELECT COUNT(*) FROM plan");

const LOGGED: Statement = Statement::both(
    "bench_logged",
    "SELECT COUNT(*) FROM receipt WHERE log_index IS NOT NULL",
);

/// Read from the small indexes of tasks that are still to be sent.
const TO_SEND: Statement = Statement::both(
    "bench_to_send",
    "SELECT (SELECT COUNT(*) FROM task WHERE stage = 'due') + (SELECT COUNT(*) FROM task WHERE stage = 'sending')",
);

const UNTOLD: Statement = Statement::both(
    "bench_untold",
    "SELECT (SELECT COUNT(*) FROM outbox) + (SELECT COUNT(*) FROM entry)",
);

const SYSTEM: Statement = Statement::both("bench_system", "SELECT id FROM system WHERE controller = $1");

/// How far the router has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Far {
    /// So many requests were ever planned.
    Planned(i64),
    /// No task is to be sent.
    Sent,
    /// So many receipts were ever logged.
    Logged(i64),
    /// The outbox is empty and the ledger holds every entry.
    Told,
}

/// Its businesses borrow it, and it is one of a few in this process's life.
async fn running(deployment: Deployment) -> &'static Router {
    let mut place = match deployment {
        Deployment::Embedded => Place::embedded(),
        Deployment::Cluster => Place::cluster().await,
    };
    PATIENT.clone_into(&mut place.more);
    Box::leak(Box::new(Router::start_processes(place).await))
}

/// A router with businesses.
pub(super) struct Field {
    pub(super) router: &'static Router,
    pub(super) receiver: Arc<Receiver>,
    pub(super) clients: Vec<Client<'static>>,
    pub(super) egress: Egress,
}

impl Field {
    /// Starts the deployment and registers the businesses, which are in this process.
    pub(super) async fn start(deployment: Deployment) -> Result<Self, NotMeasured> {
        let router = running(deployment).await;
        let (receiver, url) = Receiver::start(&router.running().outside)?;
        let field = Self::with(router, receiver, &url, BUSINESSES).await;
        let signer = |client: &Client<'_>| Signer {
            issuer: client.issuer.clone(),
            key: client.key(),
        };
        field.receiver.sign_for(field.clients.iter().map(signer).collect());
        Ok(field)
    }

    /// The same with businesses that are elsewhere, business `n` at this address with `/n` behind it.
    pub(super) async fn at(deployment: Deployment, url: &str, businesses: usize) -> Result<Self, NotMeasured> {
        let router = running(deployment).await;
        let (receiver, _) = Receiver::start(&router.running().outside)?;
        Ok(Self::with(router, receiver, url, businesses).await)
    }

    async fn with(router: &'static Router, receiver: Arc<Receiver>, url: &str, businesses: usize) -> Self {
        let urls: Vec<_> = (0..businesses).map(|number| format!("{url}/{number}")).collect();
        Self {
            router,
            receiver,
            clients: router.clients_at("business", &urls).await,
            egress: egress(),
        }
    }

    /// Ends everything.
    pub(super) async fn stop(self) {
        self.receiver.set(Mode::Unread);
        self.router.running().stop().await;
        self.router.running().outside.shut_down().await;
    }

    /// Requests of a product's backend, each about somebody else, evenly over the businesses.
    pub(super) fn by_rest(&self, count: usize) -> Vec<Post> {
        self.by_rest_of(count, self.clients.len())
    }

    /// The same, over the first few of the businesses.
    pub(super) fn by_rest_of(&self, count: usize, businesses: usize) -> Vec<Post> {
        let url = format!("{}/v1/requests", self.router.running().intake);
        let token = format!("Bearer {}", self.router.running().product.expose());
        let post = |client: &Client<'_>| Post {
            url: url.clone(),
            headers: vec![
                ("content-type", "application/json".to_owned()),
                ("authorization", token.clone()),
                ("idempotency-key", key()),
            ],
            body: client.rest("deletion", &Person::new()).to_string().into_bytes(),
            expected: 202,
        };
        self.clients[..businesses]
            .iter()
            .cycle()
            .take(count)
            .map(post)
            .collect()
    }

    /// Messages on WhatsApp, each by somebody else, signed by the platform.
    pub(super) fn by_whatsapp(&self, count: usize) -> Vec<Post> {
        let intake = &self.router.running().intake;
        let post = |client: &Client<'_>| {
            let sent = client.whatsapp(&Person::new(), crate::harness::DELETE);
            Post {
                url: format!("{intake}{}", sent.direct),
                headers: vec![("content-type", "application/json".to_owned()), sent.proof],
                body: sent.body,
                expected: 200,
            }
        };
        self.clients.iter().cycle().take(count).map(post).collect()
    }

    /// Requests that were ever planned.
    pub(super) async fn planned(&self) -> Result<i64, DbError> {
        self.number(&PLANNED).await
    }

    /// Receipts that were ever logged.
    pub(super) async fn logged(&self) -> Result<i64, DbError> {
        self.number(&LOGGED).await
    }

    /// Looks until it is there.
    pub(super) async fn until(&self, far: Far) -> Result<(), NotMeasured> {
        let mut seen = 0;
        let there = async {
            loop {
                let (there, at) = self.is(far).await?;
                if there {
                    return Ok(());
                }
                seen = at;
                tokio::time::sleep(LOOK).await;
            }
        };
        match tokio::time::timeout(RUN_ENDS, there).await {
            Ok(came) => came,
            Err(_) => Err(NotMeasured(format!(
                "{far:?} was not reached within {RUN_ENDS:?}, but {seen}"
            ))),
        }
    }

    async fn is(&self, far: Far) -> Result<(bool, i64), NotMeasured> {
        let number = match far {
            Far::Planned(_) => self.planned().await?,
            Far::Sent => self.number(&TO_SEND).await?,
            Far::Logged(_) => self.logged().await?,
            Far::Told => self.number(&UNTOLD).await?,
        };
        let there = match far {
            Far::Planned(count) | Far::Logged(count) => number >= count,
            Far::Sent | Far::Told => number == 0,
        };
        Ok((there, number))
    }

    async fn number(&self, statement: &Statement) -> Result<i64, DbError> {
        let rows = self.router.store().db().fetch(statement, Args::new()).await?;
        rows.first().map_or(Ok(0), |row| row.get(0))
    }

    /// Processor seconds that the router's processes used since they began.
    pub(super) fn cpu_seconds(&self) -> Result<f64, NotMeasured> {
        machine::cpu_seconds(&self.router.processes().ids())
    }

    /// The process that delivers.
    pub(super) fn dispatch_process(&self) -> Result<u32, NotMeasured> {
        let listening = machine::listening_at(&self.router.running().dispatch);
        let first = listening.first().copied();
        first.ok_or_else(|| NotMeasured("nobody listens at dispatch's address".to_owned()))
    }

    /// The first business's system.
    pub(super) async fn first_system(&self) -> Result<SystemId, NotMeasured> {
        let rows = self.router.store().db();
        let args = Args::new().uuid(self.clients[0].id.uuid());
        let row = rows.fetch_optional(&SYSTEM, args).await?;
        let row = row.ok_or_else(|| NotMeasured("the first business has no system".to_owned()))?;
        Ok(SystemId::from_uuid(row.get(0)?))
    }
}
