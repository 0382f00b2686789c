//! The REST door, for products and clients' programs (contracts.md §2).
//!
//! A handler that takes a [`Caller`] can only be reached with a token, and everything that it reads or makes stays
//! within the token's scope: what lies outside answers like what isn't there.

mod caller;
mod create;
mod posted;
mod show;
mod withdraw;

pub(crate) use caller::Caller;
pub(crate) use create::create;
pub(crate) use show::{list, show};
pub(crate) use withdraw::withdraw;

/// Fifty identities and a page of text, in JSON that escapes every letter, and room.
pub(crate) const BODY_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests;
