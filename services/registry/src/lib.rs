//! Registrations: from files to rows that count.
//!
//! A registration file names what stands in the registry ([`mod@file`]); [`mod@diff`] compares it with the picture that
//! the database holds and says what changes, without touching anything; [`apply`] writes the changes with their ledger
//! entries in one transaction and waits until they are logged, because a key, an instruction or a set of systems
//! counts only from its entry on. Applying is additive: what a file doesn't name stays as it is, and a key ends only
//! by saying so; [`mod@rotate`] replaces webhook secrets. Who does something with a request is named by [`staff`]. What
//! carries correctness is the registry's version: a change that was computed from an older picture
//! is refused whole.

pub mod file;

pub mod diff;

pub mod apply;

pub mod rotate;

pub mod staff;
