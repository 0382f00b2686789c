//! What the tests stand on: real parts to run against, started from nothing and stopped with the process.

pub mod canary;
pub mod harness;
pub mod parts;
pub mod second_opinion;
