//! Real parts for tests: Apache Kafka and PostgreSQL, each on ports of its own and in a temporary folder.
//!
//! Most tests use the [`shared`](kafka::shared) ones that `./tests/run` starts once. A test that stops, kills or
//! restarts a part starts its own with [`kafka::Kafka::start`] or [`postgres::Postgres::start`]. Nothing outlives
//! the process that started it: each part has a guard that waits on a pipe, and the kernel closes that pipe
//! however the process ends (`process.rs`).

pub mod kafka;
pub mod postgres;

mod port;
mod process;

pub use port::free as free_ports;
pub(crate) use process::Process;
pub use process::quittance;

/// What a part reads to find the ones that are running already, and what `./tests/run` sets.
fn shared(variable: &str) -> &'static str {
    let value = std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run this test with `./tests/run it NAME`, or start the parts with `./tests/run parts` and set what it prints"));
    Box::leak(value.into_boxed_str())
}
