//! What the tests and the measurements stand on: real parts to run against, started from nothing and stopped with the
//! process.

pub mod bench;
pub mod canary;
pub mod harness;
pub mod parts;
pub mod second_opinion;
