//! What an auditor needs to check us, and nothing else: no Kafka, no SQL, no HTTP, no clock, no chance.
//!
//! The ledger and the offline verifier run the same functions, so what we claim and what a stranger checks can't
//! drift apart. Read in this order: what is logged ([`entry`]), what the log holds of it ([`leaf`]), how leaves become
//! a tree and its proofs ([`merkle`]), how a head is signed ([`note`]), by whom it must be signed ([`policy`]), and
//! the file that proves one entry ([`proof`]). Beside them: the tokens that owners sign ([`token`]), their keys
//! ([`jwk`]), and which key counted when ([`history`]).

pub mod digest;
pub mod entry;
pub mod history;
pub mod jwk;
pub mod leaf;
pub mod merkle;
pub mod note;
pub mod policy;
pub mod proof;
pub mod token;

mod written;
