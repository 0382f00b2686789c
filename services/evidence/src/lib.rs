//! What an auditor needs to check us, and nothing else: no Kafka, no SQL, no HTTP, no clock, no chance.
//!
//! The ledger and the offline verifier run the same functions, so what we claim and what a stranger checks can't
//! drift apart.

pub mod digest;
pub mod merkle;
