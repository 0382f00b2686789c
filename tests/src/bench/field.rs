//! A router with client businesses, and how far its work has come.
//!
//! How far is read from its tables, as an operator would: requests planned, tasks still to be sent, receipts with
//! their place in the log. Between two runs everything that the first one left comes to rest.

use std::sync::Arc;
use std::time::Duration;

use platform::db::{Args, DbError, Statement};
use platform::egress::Egress;

use super::receiver::{Mode, Receiver, Signer};
use super::{Deployment, NotMeasured};
use crate::harness::{Client, Person, Place, Router, key, running};
use crate::parts::quittance;

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

/// A router with businesses.
pub(super) struct Field {
    pub(super) router: &'static Router,
    pub(super) receiver: Arc<Receiver>,
    pub(super) clients: Vec<Client<'static>>,
    pub(super) egress: Egress,
}

impl Field {
    /// Starts the deployment and registers the businesses.
    pub(super) async fn start(deployment: Deployment) -> Result<Self, NotMeasured> {
        let mut place = match deployment {
            Deployment::Embedded => Place::embedded(),
            Deployment::Cluster => Place::cluster().await,
        };
        PATIENT.clone_into(&mut place.more);
        // Its businesses borrow it, and it is one of two in this process's life.
        let router: &'static Router = Box::leak(Box::new(Router::start_processes(place).await));
        let (receiver, url) = Receiver::start(&router.running().outside)?;
        let urls: Vec<_> = (0..BUSINESSES).map(|number| format!("{url}/{number}")).collect();
        let clients = router.clients_at("business", &urls).await;
        let signer = |client: &Client<'_>| Signer {
            issuer: client.issuer.clone(),
            key: client.key(),
        };
        receiver.sign_for(clients.iter().map(signer).collect());
        Ok(Self {
            router,
            receiver,
            clients,
            egress: running::egress(),
        })
    }

    /// Ends everything.
    pub(super) async fn stop(self) {
        self.receiver.set(Mode::Unread);
        self.router.running().stop().await;
        self.router.running().outside.shut_down().await;
    }

    /// Requests of a product's backend, each about somebody else, evenly over the businesses.
    pub(super) fn by_rest(&self, count: usize) -> Vec<Post> {
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
        self.clients.iter().cycle().take(count).map(post).collect()
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
        let mut ticks = 0;
        for process in self.router.processes().ids() {
            ticks += used(process)?;
        }
        Ok(f64::from(ticks) / TICKS_PER_SECOND)
    }
}

/// Linux counts them in these, on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// Ticks in user and in kernel mode: the 14th and 15th field of `/proc/…/stat`.
fn used(process: u32) -> Result<u32, NotMeasured> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field, the program's name, is in parentheses and may hold anything.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let field = |place: usize| fields.get(place).and_then(|text| text.parse::<u32>().ok());
    let (Some(user), Some(kernel)) = (field(11), field(12)) else {
        return Err(NotMeasured(format!(
            "the system does not say what {} used",
            quittance().display()
        )));
    };
    Ok(user + kernel)
}
