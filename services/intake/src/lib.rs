//! How people's requests arrive and become one normal form.
//!
//! Read in this order: the doors of chat platforms (`channels`) and of programs (`api`), what a chat text asks for
//! ([`phrases`]), what a request waits for and until when (`assess`), how it becomes durable (`accept`), and how
//! no is said (`refusal`). [`build`] binds, [`Intake::run`] serves until the stop.
//!
//! Nobody is told 2xx before the COMMIT. What is committed with a request — its ledger entries, its message to the
//! planner — leaves through the outbox, so that intake accepts while Kafka is away.

mod accept;
mod api;
mod assess;
mod channels;
mod config;
mod doors;
mod figures;
#[cfg(test)]
mod fixture;
mod locale;
mod messages;
pub mod phrases;
mod refusal;
mod service;
mod status;

pub use config::{App, Bot, Config};
pub use refusal::PROBLEMS;
pub use service::{BuildError, Deps, Intake, build};
