//! From a ready request to its closing: plan, deliver, collect, close.

pub mod collect;
pub mod deliver;

mod messages;
