//! From a ready request to its closing: plan, deliver, collect, close.

pub mod collect;

mod messages;
