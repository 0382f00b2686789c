//! A router to send people's requests to, and everything around it that a journey needs.
//!
//! [`Router`] is a whole deployment in this process, embedded or on Kafka and PostgreSQL, behind the same methods, so
//! that a journey is written once and run on both. A journey registers a client business of its own
//! ([`Router::client`]), has a [`Person`] write to it through a door, and waits for what must come of it ([`Case`]):
//! every wait looks again until it is there, and nothing sleeps to be right. The two routers that most tests share
//! live on one runtime of their own ([`run`]), because what a router has open must outlive the test that began it.

pub mod callers;
pub mod invariants;
pub mod patience;
pub mod person;
pub mod provider;
pub mod torn;

mod case;
mod client;
mod fetching;
mod folder;
mod inside;
mod place;
mod processes;
mod registration;
mod router;
pub(crate) mod running;
pub(crate) mod tap;

use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};

pub use case::{Case, Proved, TaskRow};
pub use client::{ACCESS, Business, Client, DELETE, key};
pub use fetching::Fetching;
pub use folder::Folder;
pub use inside::open;
pub use person::Person;
pub use place::{APP, APP_SECRET, BOT_SECRET, Cluster, Place, VERIFY_TOKEN};
pub use processes::{Processes, Service, command, prepare};
pub use provider::Sent;
pub use router::{Answer, Router};
pub use running::{Held, Running};
pub use tap::{Heard, Tap};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime starts")
});

/// Runs a journey where the shared routers live.
pub fn run<T>(journey: impl Future<Output = T>) -> T {
    RUNTIME.block_on(journey)
}

/// Runs each journey on both deployments: `NAME::embedded` and `NAME::cluster`.
#[macro_export]
macro_rules! on_both {
    ($($(#[$about:meta])* $journey:ident),* $(,)?) => {
        mod embedded {
            $($(#[$about])* #[test] fn $journey() {
                $crate::harness::run(async { super::$journey($crate::harness::Router::embedded().await).await });
            })*
        }
        mod cluster {
            $($(#[$about])* #[test] fn $journey() {
                $crate::harness::run(async { super::$journey($crate::harness::Router::cluster().await).await });
            })*
        }
    };
}
