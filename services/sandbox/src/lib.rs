//! The other side: a client business that verifies webhooks and signs receipts.
//!
//! It knows what an integrator knows and no more: the webhook contract, its own keys, and the address that the task
//! names for receipts. It checks everything that contracts.md §4 promises and keeps a record ([`record`]) of what it
//! was sent, so that a test can ask whether a task came once, always with the same bytes. How it answers is its
//! [`Manner`]: well-behaved, or hostile by seed. It keeps no personal data: what it was sent is counted and dropped.

pub mod manner;
pub mod record;

mod hook;
mod receipt;
mod task;

use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::web;
use evidence::jwk::TokenKey;
use platform::chance::SharedRng;
use platform::clock::SharedClock;
use platform::egress::Egress;
use platform::http::{BindError, Http, Server};
use platform::lifecycle::Stop;
use platform::webhook::VerifyingKey;

pub use manner::{Answering, Manner, Trouble, Verdict};
pub use record::{Delivery, Heard, Record};
pub use task::Task;

/// A client business before it listens.
#[derive(Debug)]
pub struct Client {
    /// The `iss` of its receipts.
    pub issuer: String,
    /// Signs its receipts.
    pub key: TokenKey,
    /// What it knows of the router: `whsec_` secrets and `whpk_` keys.
    pub trusts: Vec<VerifyingKey>,
    /// How it behaves; can be changed while it runs.
    pub manner: Arc<Manner>,
    /// What it was sent.
    pub record: Arc<Record>,
}

/// What it needs of the process around it.
#[derive(Debug, Clone)]
pub struct Deps {
    /// Posts receipts.
    pub egress: Egress,
    /// For `iat`.
    pub clock: SharedClock,
    /// For `jti`.
    pub rng: SharedRng,
}

/// A client business that listens.
pub struct Sandbox {
    server: Server,
}

/// What a request handler works with.
#[derive(Debug)]
struct Shared {
    client: Client,
    deps: Deps,
}

impl Sandbox {
    /// Binds; port 0 takes a free one. Webhooks go to `POST /hook`.
    pub fn build(http: &Http, client: Client, deps: Deps) -> Result<Self, BindError> {
        let shared = web::Data::new(Shared { client, deps });
        let routes = move |config: &mut web::ServiceConfig| {
            config
                .app_data(shared.clone())
                .route("/hook", web::post().to(hook::receive));
        };
        let server = Server::build(http, "sandbox", vec![], routes)?;
        Ok(Self { server })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// The address to register for its system.
    #[must_use]
    pub fn hook_url(&self) -> String {
        format!("{}/hook", self.server.url())
    }

    /// Serves until the stop.
    pub async fn run(self, stop: Stop) -> std::io::Result<()> {
        self.server.run(stop).await
    }
}
