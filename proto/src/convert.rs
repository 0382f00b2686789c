//! From the wire to the domain and back.
//!
//! Going out can't fail. Coming in, everything is checked here and named by its field, never by its content.

use domain::decision::Stated;
use domain::id::{BindingId, ControllerId, EntryId, InstructionId, MessageId, RequestId, SystemId, TaskId};
use domain::registration::InstructionMode;
use domain::request::{Closing, StageName};
use domain::right::{Channel, Right};
use domain::task::ParkReason;
use jiff::Timestamp;
use uuid::Uuid;

use crate::wire;

/// Why bytes are not the message that their topic carries. The field is named, its content is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not Protobuf, or fields of other types.
    #[error("the bytes are not the Protobuf message that the topic carries")]
    Encoding,
    /// A field that every message of the kind has is not there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// An id that is not 16 bytes, or not an id's text.
    #[error("`{0}` is not an id")]
    Id(&'static str),
    /// An instant outside the calendar.
    #[error("`{0}` is not an instant")]
    Instant(&'static str),
    /// A number out of its range.
    #[error("`{0}` is out of range")]
    Range(&'static str),
    /// A word that this version doesn't know.
    #[error("`{0}` is not known to this version")]
    Unknown(&'static str),
}

/// A type that travels as the 16 bytes of a UUID.
pub(crate) trait Id: Sized {
    fn of(uuid: Uuid) -> Self;
}

macro_rules! ids {
    ($($id:ty),*) => {$(
        impl Id for $id {
            fn of(uuid: Uuid) -> Self {
                Self::from_uuid(uuid)
            }
        }
    )*};
}
ids!(
    BindingId,
    ControllerId,
    EntryId,
    InstructionId,
    MessageId,
    RequestId,
    SystemId,
    TaskId
);

pub(crate) fn id<I: Id>(field: &'static str, bytes: &[u8]) -> Result<I, Malformed> {
    Uuid::from_slice(bytes).map(I::of).map_err(|_| Malformed::Id(field))
}

pub(crate) fn optional_id<I: Id>(field: &'static str, bytes: Option<&[u8]>) -> Result<Option<I>, Malformed> {
    bytes.map(|bytes| id(field, bytes)).transpose()
}

pub(crate) fn instant(field: &'static str, micros: i64) -> Result<Timestamp, Malformed> {
    Timestamp::from_microsecond(micros).map_err(|_| Malformed::Instant(field))
}

pub(crate) fn decode<M: prost::Message + Default>(bytes: &[u8]) -> Result<M, Malformed> {
    M::decode(bytes).map_err(|_| Malformed::Encoding)
}

/// An enumeration of the domain that has numbers on the wire.
pub(crate) trait Numbered: Sized {
    fn number(self) -> i32;
    fn numbered(number: i32) -> Option<Self>;
}

pub(crate) fn word<W: Numbered>(field: &'static str, number: i32) -> Result<W, Malformed> {
    W::numbered(number).ok_or(Malformed::Unknown(field))
}

/// Both enumerations call a thing by the same name; what is added to the domain must be added here to compile.
macro_rules! numbered {
    ($($ours:ty = $wire:ident { $($variant:ident),* $(,)? })*) => {$(
        impl $crate::convert::Numbered for $ours {
            fn number(self) -> i32 {
                match self { $(Self::$variant => wire::$wire::$variant as i32),* }
            }

            fn numbered(number: i32) -> Option<Self> {
                match wire::$wire::try_from(number).ok()? {
                    wire::$wire::Unspecified => None,
                    $(wire::$wire::$variant => Some(Self::$variant)),*
                }
            }
        }
    )*};
}
pub(crate) use numbered;

numbered! {
    Right = Right {
        Deletion, Access, Correction, Portability, Restriction, Objection, ConsentWithdrawal, OptOut, Offboarding,
    }
    Channel = Channel { Whatsapp, Instagram, Messenger, Telegram, Web, Email, Api, Other }
    InstructionMode = InstructionMode { ForwardOnly, ActOnInstruction, DeclineWithNotice }
    StageName = Stage { Accepted, Unmatched, Unverified, AwaitingController, Ready, Planned, Closed }
    Closing = Closing { Fulfilled, Partly, Refused, Declined, Withdrawn, Undeliverable }
    Stated = Statement { Undeliverable, NoReceipt, NotInstructed }
    ParkReason = ParkReason { Gone, Rejected, Corrupt, Exhausted, Misregistered, Operator, Withdrawn }
}
