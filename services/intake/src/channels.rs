//! The doors of chat platforms.
//!
//! Each reads the platform's own words, in this order: the signature over the raw bytes ([`meta`], [`telegram`]), the
//! shape, its parts ([`split`]), and then what the parts have in common ([`take`]): which binding the account is, which
//! rights the text asks for, and one request for each of them. A platform gets 200 for everything that it may
//! forget, because one strange part must not make it repeat everybody's batch; it gets 503 if a request of the batch is
//! not durable, and the repeat finds the others done.
//!
//! Shapes are read leniently ([`lenient`]): what a platform signed is what it meant, whether a number comes as text or
//! a member is missing. What can't be understood is counted.

pub(crate) mod forward;
pub(crate) mod meta;
pub(crate) mod telegram;

mod lenient;
mod messenger;
mod split;
mod take;
mod whatsapp;

use actix_web::HttpResponse;

/// What platforms are told: they read nothing of it.
fn received() -> HttpResponse {
    HttpResponse::Ok().finish()
}

#[cfg(test)]
mod tests;
