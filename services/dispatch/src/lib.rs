//! From a ready request to its closing: plan, deliver, collect, close.
//!
//! Read in this order: what a process is made of (`service`); how a request's systems are fixed (`plan`), how its
//! tasks reach them (`deliver`) or are fetched (`pull`), how their receipts come back and close it (`collect`); what
//! else clients' systems are told (`herald`); what is said and done when nobody answers (`deadlines`, `orders`); what
//! the ledger confirms (`logged`), and what is found when something was left behind (`reconcile`).

mod config;
mod service;

mod plan;

mod deliver;

mod pull;

mod collect;

mod herald;

mod deadlines;
mod orders;

mod logged;
mod reconcile;

mod bell;
mod closing;
mod consume;
mod dead_letters;
mod messages;
mod oddities;
mod own_key;
mod pages;
mod signing;

pub use config::Config;
pub use deadlines::Config as DeadlinesConfig;
pub use deliver::Config as DeliverConfig;
pub use deliver::policy::Schedule;
pub use herald::Config as HeraldConfig;
pub use service::{BuildError, Deps, Dispatch, PROBLEMS, build};

#[cfg(test)]
mod tests;
