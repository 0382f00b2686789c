//! Checking evidence with nothing but files: what `quittance verify` runs.
//!
//! [`files`] finds what is there, [`claims`] says of each thing what holds. Neither opens a database, a socket or a
//! configuration, and neither knows a clock: whether a receipt counted is decided by its place in the log and by
//! nothing that this machine says. The functions that decide are `evidence`'s own, the same that the router runs.

pub mod claims;
pub mod files;
