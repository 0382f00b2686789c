//! Entries: what the ledger holds, in bytes that are written once and never again.
//!
//! An entry is JSON of a fixed shape, `{"v":1,"entry","type","controller","request","at","body"}`, whose bytes are
//! made here, travel as they are, and are hashed into the log. Auditors are answered from these bytes alone, so
//! reading them is strict: a member that this version does not know is refused rather than skipped.
//! No entry holds personal data: bodies are made of ids, digests, instants, numbers and closed words, and where a
//! word comes from a registration it is a [`Word`], which has no room for a name, a number or an address.

use std::fmt;

use domain::id::{ControllerId, EntryId, RequestId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub mod body;

pub use body::Body;

/// The version of the shape; a reader refuses every other.
const VERSION: u8 = 1;

/// The longest entry that is read or written. A registry snapshot of a thousand systems fits; a message on Kafka
/// (1 MiB by default) has room for it and its headers.
pub const ENTRY_BYTES_MAX: usize = 512 * 1024;

/// One thing that the ledger must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id: appending is idempotent by it.
    pub id: EntryId,
    /// In whose sequence it stands; the operator's while a request is unmatched.
    pub controller: ControllerId,
    /// The request that it is about, if it is about one.
    pub request: Option<RequestId>,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub body: Body,
}

macro_rules! entry_types {
    ($($(#[$doc:meta])* $name:ident = $byte:literal, $word:literal;)*) => {
        /// The kinds of entry. Numbers and words are for ever: leaves and stored bytes hold them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum EntryType {$(
            $(#[$doc])*
            #[serde(rename = $word)]
            $name = $byte,
        )*}

        impl EntryType {
            /// Every kind, in the order of its numbers.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word in the entry's bytes.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }
        }
    };
}

entry_types! {
    /// A request was accepted.
    Intake = 1, "intake";
    /// A request was matched to a controller; stands in both sequences.
    Matched = 2, "matched";
    /// A request changed in a way that no other entry implies.
    Stage = 3, "stage";
    /// A clock started, paused, ran on or was extended.
    Clock = 4, "clock";
    /// The systems that a request must reach were fixed.
    Plan = 5, "plan";
    /// A task was handed over for the first time.
    Dispatch = 6, "dispatch";
    /// An owner said something about a task.
    Receipt = 7, "receipt";
    /// We said something about a request or task.
    Statement = 8, "statement";
    /// A request was closed.
    Closure = 9, "closure";
    /// The systems that are registered for a controller.
    RegistrySnapshot = 10, "registry_snapshot";
    /// A public key was added, retired or revoked.
    KeyEvent = 11, "key_event";
    /// A controller instructed us.
    Instruction = 12, "instruction";
    /// An auditor asked something.
    AuditorQuery = 13, "auditor_query";
    /// Evidence keys were destroyed.
    Shred = 14, "shred";
    /// What a day's entries of a controller come to.
    DailySummary = 15, "daily_summary";
}

impl EntryType {
    /// The byte in a leaf and its opening.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// The kind behind a byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte.checked_sub(1)?)).copied()
    }
}

impl fmt::Display for EntryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Bytes that are not an entry of this version.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// More than [`ENTRY_BYTES_MAX`].
    #[error("an entry has at most {ENTRY_BYTES_MAX} bytes")]
    TooLong,
    /// Another `v`.
    #[error("entries of version {VERSION} are understood, this is version {0}")]
    Version(u8),
    /// Not the shape of an entry, or not the body of its type.
    #[error("not an entry")]
    Shape(#[from] serde_json::Error),
    /// The same entry would be written otherwise: white space, another order, another spelling of a value.
    #[error("not the bytes that this entry is written as")]
    Spelling,
}

#[derive(Serialize)]
struct Written<'a> {
    v: u8,
    entry: EntryId,
    r#type: EntryType,
    controller: ControllerId,
    request: Option<RequestId>,
    at: Timestamp,
    body: &'a Body,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read<'a> {
    v: u8,
    entry: EntryId,
    r#type: EntryType,
    controller: ControllerId,
    request: Option<RequestId>,
    at: Timestamp,
    #[serde(borrow)]
    body: &'a RawValue,
}

impl Entry {
    /// What kind it is.
    #[must_use]
    pub fn entry_type(&self) -> EntryType {
        self.body.entry_type()
    }

    /// Its bytes: the same for the same entry, on every run of every release that writes this version.
    ///
    /// # Panics
    /// Never: no part of an entry refuses to be written as JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self {
            id,
            controller,
            request,
            at,
            ref body,
        } = *self;
        let written = Written {
            v: VERSION,
            entry: id,
            r#type: body.entry_type(),
            controller,
            request,
            at,
            body,
        };
        serde_json::to_vec(&written).expect("ids, instants, numbers and words are JSON")
    }

    /// Reads an entry's bytes; unknown, missing and repeated members are refused, and so is every other spelling of
    /// the same entry, since an entry has one digest.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(EntryError::TooLong);
        }
        let read: Read<'_> = serde_json::from_slice(bytes)?;
        if read.v != VERSION {
            return Err(EntryError::Version(read.v));
        }
        let Read {
            entry: id,
            controller,
            request,
            at,
            ..
        } = read;
        let entry = Self {
            id,
            controller,
            request,
            at,
            body: Body::decode(read.r#type, read.body.get())?,
        };
        if entry.encode() == bytes {
            Ok(entry)
        } else {
            Err(EntryError::Spelling)
        }
    }
}

/// A word for machines, from a registration or a rule: a slug, a zone, an error class. It starts with a letter and
/// has 1 to 64 of `A–Z a–z 0–9 _ . + - / :`, so a person's words, numbers and addresses don't fit into it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Word(String);

/// A text that is not a [`Word`]; it is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a word of 1 to 64 letters, digits, `_.+-/:` that starts with a letter was expected")]
pub struct NotAWord;

/// The longest word; IANA's longest zone name has 32 characters, our ids 31.
const WORD_LENGTH_MAX: usize = 64;

impl Word {
    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Word {
    type Err = NotAWord;
    fn from_str(text: &str) -> Result<Self, NotAWord> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_.+-/:".contains(&byte);
        let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        if starts && text.len() <= WORD_LENGTH_MAX && text.bytes().all(legal) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAWord)
        }
    }
}

impl TryFrom<String> for Word {
    type Error = NotAWord;
    fn try_from(text: String) -> Result<Self, NotAWord> {
        text.parse()
    }
}

impl From<Word> for String {
    fn from(word: Word) -> Self {
        word.0
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// An edition of rules or tables, such as `2026.1` or `2026a`: a year of this century and up to twelve more of
/// `a–z 0–9 . -`, which is no telephone number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Edition(String);

/// A text that is not an [`Edition`]; it is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an edition such as 2026.1 was expected")]
pub struct NotAnEdition;

/// Room for a year and a date.
const EDITION_LENGTH_MAX: usize = 16;

impl std::str::FromStr for Edition {
    type Err = NotAnEdition;
    fn from_str(text: &str) -> Result<Self, NotAnEdition> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 4 && text.starts_with("20") && text.len() <= EDITION_LENGTH_MAX && text.bytes().all(legal) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAnEdition)
        }
    }
}

impl TryFrom<String> for Edition {
    type Error = NotAnEdition;
    fn try_from(text: String) -> Result<Self, NotAnEdition> {
        text.parse()
    }
}

impl From<Edition> for String {
    fn from(edition: Edition) -> Self {
        edition.0
    }
}

#[cfg(test)]
pub(crate) mod tests;
