//! Requests: how they come in, and how they are read.
//!
//! A request's row is written once, by [`accept()`]; afterwards only its controller, stage, version, outcome,
//! instruction and closing time change, under its lock ([`cases`](crate::cases)). What is about the person lies
//! sealed in it; [`Shown`] holds the rest.

mod accept;
mod read;

use domain::assurance::Assurance;
use domain::id::{BindingId, ControllerId, InstructionId, RequestId};
use domain::new_request::Door;
use domain::request::{Closing, StageName};
use domain::right::{Channel, Right};
use jiff::Timestamp;
use platform::db::{DbError, Row, Statement};

pub use accept::{First, NewRow, Placed, accept, firsts};
pub use read::{Filter, PAGE_MAX, by_status, existing, lock, page, show};

pub(crate) const ALL: &[&[Statement]] = &[accept::ALL, read::ALL];

/// What may be shown of a request to whoever may know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its id.
    pub id: RequestId,
    /// Whose data it is about; the operator's while unmatched.
    pub controller: ControllerId,
    /// Where it is in its life.
    pub stage: StageName,
    /// Grows with every change.
    pub version: i64,
    /// What it came to, once closed.
    pub outcome: Option<Closing>,
    /// What is asked for.
    pub right: Right,
    /// Where the person met the business.
    pub channel: Channel,
    /// The product's slug, where one was named.
    pub product: Option<String>,
    /// The connected account through which it came, where there was one.
    pub binding: Option<BindingId>,
    /// The door that made it.
    pub door: Door,
    /// What was proven about the requester.
    pub assurance: Assurance,
    /// ISO 3166-1 alpha-2, where the caller named one.
    pub jurisdiction: Option<String>,
    /// BCP 47, where known.
    pub locale: Option<String>,
    /// The law that its clock runs under.
    pub regime: String,
    /// The law's version.
    pub regime_version: String,
    /// The zone in which its days end.
    pub zone: String,
    /// The start of its clock.
    pub received_at: Timestamp,
    /// When it became durable.
    pub accepted_at: Timestamp,
    /// When the answer is due.
    pub due_at: Timestamp,
    /// The instruction that covers it, once there is one.
    pub instruction: Option<InstructionId>,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
}

/// The columns of [`Shown`], in the order in which [`shown`] reads them.
macro_rules! shown_columns {
    () => {
        "id, controller, stage, version, outcome, exercised, channel, product, binding, door, assurance, \
         regime, regime_version, zone, received_at, accepted_at, due_at, instruction, closed_at, assured_at, \
         assured_by, jurisdiction, locale"
    };
}
pub(crate) use shown_columns;

/// How many columns [`shown_columns`] names; what a statement adds comes after them.
const SHOWN: usize = 23;

fn shown(row: &Row) -> Result<Shown, DbError> {
    let outcome: Option<String> = row.get(4)?;
    let outcome = outcome.map(|word| word.parse()).transpose();
    let closed_at: Option<i64> = row.get(18)?;
    Ok(Shown {
        id: RequestId::from_uuid(row.get(0)?),
        controller: ControllerId::from_uuid(row.get(1)?),
        stage: row.parse(2, "a request has an unknown stage")?,
        version: row.get(3)?,
        outcome: outcome.map_err(|_| DbError::Inconsistent("a request has an unknown outcome"))?,
        right: row.parse(5, "a request has an unknown right")?,
        channel: row.parse(6, "a request has an unknown channel")?,
        product: row.get(7)?,
        binding: row.get::<Option<_>>(8)?.map(BindingId::from_uuid),
        door: row.parse(9, "a request has an unknown door")?,
        assurance: assurance(row)?,
        jurisdiction: row.get(21)?,
        locale: row.get(22)?,
        regime: row.get(11)?,
        regime_version: row.get(12)?,
        zone: row.get(13)?,
        received_at: instant(row.get(14)?)?,
        accepted_at: instant(row.get(15)?)?,
        due_at: instant(row.get(16)?)?,
        instruction: row.get::<Option<_>>(17)?.map(InstructionId::from_uuid),
        closed_at: closed_at.map(instant).transpose()?,
    })
}

fn assurance(row: &Row) -> Result<Assurance, DbError> {
    let evidence: Option<Vec<u8>> = row.get(20)?;
    let evidence = evidence.map(<[u8; 32]>::try_from).transpose();
    Ok(Assurance {
        level: row.parse(10, "a request has an unknown assurance level")?,
        at: instant(row.get(19)?)?,
        evidence: evidence.map_err(|_| DbError::Inconsistent("an assurance's evidence is not 32 bytes"))?,
    })
}

fn instant(micros: i64) -> Result<Timestamp, DbError> {
    Timestamp::from_microsecond(micros).map_err(|_| DbError::Inconsistent("a request has an instant outside of time"))
}

#[cfg(test)]
mod tests;
