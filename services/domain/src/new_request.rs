//! What a door makes of what it was sent: a request that can't be wrong any more.
//!
//! [`Facts`] may be stored in plain columns, logged and published; [`Details`] say who the person is and what they
//! wrote, and are sealed before they are stored.

use jiff::Timestamp;
use jiff::civil::Date;

use crate::assurance::Assurance;
use crate::id::{BindingId, ControllerId};
use crate::person::{Identity, Personal, Relation, Subject};
use crate::right::{Channel, Right};
use crate::word::vocabulary;

vocabulary! {
    /// Through which door a request came in.
    Door ("door") {
        /// `POST /v1/requests`.
        Rest = "rest",
        /// WhatsApp's webhook, direct or forwarded.
        Whatsapp = "whatsapp",
        /// Messenger's webhook, direct or forwarded.
        Messenger = "messenger",
        /// Instagram's webhook, direct or forwarded.
        Instagram = "instagram",
        /// Telegram's webhook, direct or forwarded.
        Telegram = "telegram",
    }
}

/// What may be known outside the sealed blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What is asked for.
    pub right: Right,
    /// Whom it is meant for.
    pub target: Target,
    /// The product's slug.
    pub product: Option<String>,
    /// Where the person met the business.
    pub channel: Channel,
    /// The connected account that it came through.
    pub binding: Option<BindingId>,
    /// The door that made it.
    pub door: Door,
    /// What was proven about the requester.
    pub assurance: Assurance,
    /// ISO 3166-1 alpha-2, where the caller named one.
    pub jurisdiction: Option<String>,
    /// BCP 47, where known.
    pub locale: Option<String>,
    /// When the person asked: this starts the clock and never changes.
    pub received_at: Timestamp,
}

/// Which business is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Through a binding of its own, or by its id.
    Certain(ControllerId),
    /// The person named it, or not even that; the name lies in [`Details::business`].
    ToBeMatched,
}

/// Who the person is and what they wrote. Sealed as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// Whose data it is.
    pub subject: Subject,
    /// Who is asking.
    pub requester: Requester,
    /// The business as the person named it.
    pub business: Option<Personal>,
    /// When they last dealt with it, roughly.
    pub interaction: Option<Interaction>,
    /// Their own words; at most [`DESCRIPTION_LENGTH_MAX`] characters.
    pub description: Option<Personal>,
}

/// Room for a page of text; a task's whole body may have 20 kB.
pub const DESCRIPTION_LENGTH_MAX: usize = 4_000;

/// More identities than anybody has; it bounds the sealed blob and the work of every system.
pub const IDENTITIES_MAX: usize = 50;

/// What [`Details::whole_length`] may be, so that every request fits into the 20 kB of a task's body: the rest of it,
/// ids, instants and addresses, takes less than 4 kB.
pub const WHOLE_BYTES_MAX: usize = 16_000;

/// What JSON has around an identity: `{"kind":"","value":"","verified":false},`.
const IDENTITY_FRAME: usize = 41;

/// Who is asking, and on what authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    /// Their relation to the person.
    pub relation: Relation,
    /// The authority that somebody else claims; needed unless the relation is `self`.
    pub authority: Option<Personal>,
}

/// Roughly when the person dealt with the business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interaction {
    /// On that day.
    Day(Date),
    /// In that month; the day is the first.
    Month(Date),
    /// Between two days, both included.
    Between(Date, Date),
}

impl Details {
    /// The bytes that JSON needs for what a task's body has to hold whole: name, identities and authority. Only the
    /// description may be cut.
    #[must_use]
    pub fn whole_length(&self) -> usize {
        let text = |text: &Option<Personal>| text.as_ref().map_or(0, |text| json_length(text.expose()));
        let identity = |identity: &Identity| {
            IDENTITY_FRAME + identity.kind.to_string().len() + json_length(identity.value.expose())
        };
        let identities: usize = self.subject.identities.iter().map(identity).sum();
        text(&self.subject.name) + identities + text(&self.requester.authority)
    }
}

/// The bytes that JSON needs for a text (RFC 8259 §7), without its quotes.
#[must_use]
pub fn json_length(text: &str) -> usize {
    let length = |letter| match letter {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => letter.len_utf8(),
    };
    text.chars().map(length).sum()
}

impl Facts {
    /// The controller, where it is certain.
    #[must_use]
    pub fn controller(&self) -> Option<ControllerId> {
        match self.target {
            Target::Certain(controller) => Some(controller),
            Target::ToBeMatched => None,
        }
    }
}

/// A request as a door hands it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRequest {
    /// For plain columns.
    pub facts: Facts,
    /// For the sealed blob.
    pub details: Details,
}
