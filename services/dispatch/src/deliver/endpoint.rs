//! One endpoint: what it has in hand, and how much more it may have. Pure.

use std::collections::VecDeque;

use domain::id::ControllerId;
use jiff::Timestamp;
use store::leases::Freight;

use super::attempt::Freed;
use super::breaker::{Admission, Breaker, Turn};
use super::pace::Pace;
use super::parcel::Parcel;

/// Tasks in hand for each one that may be under way. The fast endpoint never waits for a claim, and the slow one keeps
/// few tasks from other owners.
const AHEAD: usize = 4;

/// Of one endpoint: whose, and what waits in it.
pub(super) type Lane = (ControllerId, Freight);

/// What a registration allows its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// Attempts under way at once.
    pub(super) concurrency: usize,
    /// Attempts a second.
    pub(super) rate: Option<u32>,
}

/// An endpoint.
#[derive(Debug, Default)]
pub(super) struct Endpoint {
    capacity: usize,
    under_way: usize,
    pub(super) pace: Pace,
    pub(super) breaker: Breaker,
    pub(super) waiting: VecDeque<Parcel>,
    pub(super) queued: bool,
    pub(super) paused_until: Option<Timestamp>,
    pub(super) served: Option<Lane>,
}

impl Endpoint {
    /// Takes over what its registration allows now.
    pub(super) fn agree(&mut self, terms: Terms, now: Timestamp) {
        self.capacity = terms.concurrency;
        self.pace.set_rate(terms.rate, now);
    }

    /// How much more may be claimed.
    pub(super) fn room(&self, now: Timestamp) -> usize {
        match self.breaker.admits(now) {
            Admission::All => self.ahead().saturating_sub(self.held()),
            // What was under way when it opened is not in the probe's way.
            Admission::Probe => usize::from(self.waiting.is_empty()),
            Admission::Nothing => 0,
        }
    }

    /// Whether it is worth a claim.
    pub(super) fn wants(&self, now: Timestamp) -> bool {
        match self.breaker.admits(now) {
            Admission::All => self.room(now) * 2 >= self.ahead(),
            Admission::Probe | Admission::Nothing => self.room(now) > 0,
        }
    }

    pub(super) fn is_paused(&self, now: Timestamp) -> bool {
        self.paused_until.is_some_and(|until| until > now)
    }

    pub(super) fn may_start(&self, now: Timestamp) -> bool {
        let admitted = match self.breaker.admits(now) {
            Admission::All => self.under_way < self.places(),
            Admission::Probe => true,
            Admission::Nothing => false,
        };
        admitted && !self.waiting.is_empty()
    }

    /// Begins with what has waited longest.
    pub(super) fn begin(&mut self) -> Option<Parcel> {
        let parcel = self.waiting.pop_front()?;
        self.breaker.begin(parcel.load());
        self.under_way += 1;
        Some(parcel)
    }

    /// An attempt is over.
    pub(super) fn end(&mut self, freed: &Freed, now: Timestamp, chance: f64) -> Option<Turn> {
        self.under_way = self.under_way.saturating_sub(1);
        self.pace.note(freed.health, self.capacity, now);
        self.breaker.end(freed.load, freed.health, now, chance)
    }

    fn places(&self) -> usize {
        self.pace.places(self.capacity)
    }

    fn held(&self) -> usize {
        self.under_way + self.waiting.len()
    }

    /// How much it is worth to have in hand.
    fn ahead(&self) -> usize {
        (self.places() * AHEAD).min(self.pace.ahead())
    }
}
