//! What a request is, how it may change, and what its words mean. Pure: no async, no wall clock, no I/O, no SQL.

pub mod id;
