//! The parts of a notification: what a person wrote to a business, and what is no such thing.

use domain::person::{KnownKind, Personal};
use domain::right::Channel;
use jiff::Timestamp;

/// Something that a person wrote to a business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Where.
    pub(super) channel: Channel,
    /// The business's account, as the channel names it.
    pub(super) account: String,
    /// The channel's name of the message. Personal, since it may hold a telephone number.
    pub(super) id: Personal,
    /// When, as the channel says.
    pub(super) at: Option<Timestamp>,
    /// Who.
    pub(super) sender: Sender,
    /// What.
    pub(super) text: Personal,
}

/// Whoever wrote, as the channel shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sender {
    /// The name that they show.
    pub(super) name: Option<Personal>,
    /// What the signed channel proves about them.
    pub(super) identities: Vec<(KnownKind, Personal)>,
    /// The language of their app (BCP 47).
    pub(super) language: Option<String>,
}

/// Why a part is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Skipped {
    /// The business's own words.
    Echo,
    /// A group, a channel: not between the person and the business alone.
    NotPrivate,
    /// Somebody else's words.
    Forwarded,
    /// A picture, a voice, a place.
    NoText,
    /// A status, a reaction, a change of settings.
    OtherEvent,
    /// Nobody, or no account, or no name of the message.
    Incomplete,
    /// A text that asks for no right.
    NotARequest,
    /// For a controller that the forwarding product has nothing to do with.
    OutOfScope,
    /// For an account that no binding names.
    UnknownAccount,
    /// For a right for which the controller has no term.
    NoTerm,
    /// The database takes it under no circumstances.
    Unstorable,
}

/// A notification's parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Split {
    /// Whose notification it is.
    pub(super) channel: Channel,
    pub(super) messages: Vec<Message>,
    pub(super) skipped: Vec<Skipped>,
}

impl Split {
    /// Without parts yet.
    pub(super) fn of(channel: Channel) -> Self {
        Self {
            channel,
            messages: vec![],
            skipped: vec![],
        }
    }

    /// Takes a part in.
    pub(super) fn add(&mut self, part: Result<Message, Skipped>) {
        match part {
            Ok(message) => self.messages.push(message),
            Err(skipped) => self.skipped.push(skipped),
        }
    }
}

impl Sender {
    /// Adds what identifies them, if it is there.
    pub(super) fn identify(&mut self, kind: KnownKind, value: Option<String>) {
        self.identities.extend(value.map(|value| (kind, Personal::new(value))));
    }

    /// Refuses a sender without any identity: nobody could act for them.
    pub(super) fn known(self) -> Result<Self, Skipped> {
        if self.identities.is_empty() {
            Err(Skipped::Incomplete)
        } else {
            Ok(self)
        }
    }
}

impl Skipped {
    /// The label of the figure.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::NotPrivate => "not_private",
            Self::Forwarded => "forwarded",
            Self::NoText => "no_text",
            Self::OtherEvent => "other_event",
            Self::Incomplete => "incomplete",
            Self::NotARequest => "not_a_request",
            Self::OutOfScope => "out_of_scope",
            Self::UnknownAccount => "unknown_account",
            Self::NoTerm => "no_term",
            Self::Unstorable => "unstorable",
        }
    }
}
