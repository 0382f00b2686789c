//! Process plumbing that would suit another product unchanged.
//!
//! Read in this order: what is passed in instead of being taken from the air ([`clock`], [`chance`]); what can't
//! be printed ([`secret`], [`keyring`]) and how a message says who sent it ([`webhook`]); how a process is
//! configured ([`config`]), starts and stops ([`lifecycle`]); how it serves ([`http`]), refuses ([`problem`]) and
//! calls others ([`egress`]); where it keeps things ([`db`]) and hands them on ([`bus`]); what it says about itself
//! ([`telemetry`], [`metrics`], [`propagation`]).

pub mod chance;
pub mod clock;
pub mod keyring;
pub mod secret;
pub mod webhook;

pub mod bus;
pub mod config;
pub mod db;
pub mod gather;
pub mod lifecycle;

pub mod egress;
pub mod http;
pub mod problem;

pub mod metrics;
pub mod propagation;
pub mod telemetry;

mod crypto;
mod shape;

pub use crypto::install_crypto;
