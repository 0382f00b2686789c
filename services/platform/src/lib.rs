//! platform

pub mod bus;
