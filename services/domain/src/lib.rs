//! What a request is, how it may change, and what its words mean. Pure: no async, no wall clock, no I/O, no SQL.
//!
//! Read in this order: the names ([`id`], [`right`], [`person`]), what a door hands on ([`new_request`]), the life of a
//! request and of its tasks ([`request`], [`task`], [`plan`], [`message`]), what a person decides about it
//! ([`decision`]), what an owner may answer ([`receipt`]), what stands in the registry ([`registration`]), and when an
//! answer is due ([`regime`]).

pub mod id;
pub mod person;
pub mod right;

pub mod decision;
pub mod message;
pub mod new_request;
pub mod plan;
pub mod request;
pub mod task;

pub mod receipt;
pub mod regime;

pub mod assurance;
pub mod registration;

mod word;

pub use word::UnknownWord;
