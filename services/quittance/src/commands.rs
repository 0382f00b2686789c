//! One module a command: its words for `--help`, and a few lines that call a library.

pub mod apply;
pub mod decide;
pub mod demo;
pub mod doctor;
pub mod keys;
pub mod migrate;
pub mod orders;
pub mod requests;
pub mod sandbox;
pub mod serve;
pub mod tasks;
pub mod token;
pub mod topics;
pub mod verify;
