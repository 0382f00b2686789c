//! What each kind of entry says.
//!
//! The members stand in the order in which they are written, since the bytes are hashed; a new member is a new
//! version of the shape. An absent value is written as `null`, so that each kind has one set of members.

use std::collections::BTreeMap;

use domain::assurance::AssuranceLevel;
use domain::decision::Stated;
use domain::id::{AttemptId, ControllerId, EntryId, InstructionId, KeyId, ReceiptId, SystemId, TaskId, UserId};
use domain::person::IdentityKind;
use domain::receipt::{EvidenceLevel, Signer};
use domain::regime::{ExtendReason, PauseReason};
use domain::registration::{ConnectorKind, InstructionMode, SystemOwner};
use domain::request::{Answer, Closing, StageName};
use domain::right::{Channel, Right};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{Edition, EntryType, Word};
use crate::digest::ContentDigest;
use crate::jwk::Jwk;
use crate::merkle::Hash;
use crate::written::{base64, text};

macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What happened, by kind.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
        #[serde(untagged)]
        pub enum Body {$(
            $(#[$doc])*
            $name($name),
        )*}

        impl Body {
            /// The kind.
            #[must_use]
            pub fn entry_type(&self) -> EntryType {
                match self { $(Self::$name(_) => EntryType::$name),* }
            }

            pub(super) fn decode(entry_type: EntryType, json: &str) -> Result<Self, serde_json::Error> {
                match entry_type { $(EntryType::$name => serde_json::from_str(json).map(Self::$name)),* }
            }
        }

        $(impl From<$name> for Body {
            fn from(body: $name) -> Self {
                Self::$name(body)
            }
        })*
    };
}

bodies! {
    /// See [`Intake`].
    Intake,
    /// See [`Matched`].
    Matched,
    /// See [`Stage`].
    Stage,
    /// See [`Clock`].
    Clock,
    /// See [`Plan`].
    Plan,
    /// See [`Dispatch`].
    Dispatch,
    /// See [`Receipt`].
    Receipt,
    /// See [`Statement`].
    Statement,
    /// See [`Closure`].
    Closure,
    /// See [`RegistrySnapshot`].
    RegistrySnapshot,
    /// See [`KeyEvent`].
    KeyEvent,
    /// See [`Instruction`].
    Instruction,
    /// See [`AuditorQuery`].
    AuditorQuery,
    /// See [`Shred`].
    Shred,
    /// See [`DailySummary`].
    DailySummary,
}

/// A request was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intake {
    /// Its number among the controller's requests, from 1 without gaps.
    pub intake_seq: u64,
    /// What is asked for.
    pub right: Right,
    /// The product's slug, where one was named.
    pub product: Option<Word>,
    /// Where the person met the business.
    pub channel: Channel,
    /// When the person asked.
    pub received_at: Timestamp,
    /// Which identifiers came, so that a request can be told again from its subject's own words and in no other way.
    pub identities: Vec<IdentityMark>,
    /// What was proven about the requester at that moment.
    pub assurance: AssuranceLevel,
}

/// One identifier of the person, unreadable: an HMAC under the request's evidence key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityMark {
    /// What kind of identifier it is.
    #[serde(with = "text")]
    pub kind: IdentityKind,
    /// HMAC-SHA256 of its normalised value.
    #[serde(with = "base64")]
    pub hmac: [u8; 32],
}

/// A request was matched to a controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matched {
    /// In whose sequence its `intake` stands.
    pub from_controller: ControllerId,
    /// Whose it is now. An entry stands in each of the two sequences, told apart by the entry's own controller.
    pub to_controller: ControllerId,
    /// Its number among the new controller's requests.
    pub intake_seq: u64,
}

/// A request changed in a way that no other entry implies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Before.
    pub from: StageName,
    /// After.
    pub to: StageName,
    /// The request's version after the change.
    pub version: u64,
    /// Why, where the stages alone don't say it.
    pub reason: Option<Word>,
}

/// Something happened to a request's clock, and when its answer is due since: with the registration, an auditor
/// recomputes that date from these facts. A closure ends the clock, and is not told twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// What happened to it.
    pub event: ClockChange,
    /// The instant that days are counted from.
    pub start: Timestamp,
    /// When the answer is due, as of this event.
    pub due_at: Timestamp,
    /// The zone in which its days end.
    pub zone: Word,
    /// The regime that says how many.
    pub regime: Word,
    /// Which edition of that regime.
    pub regime_version: Edition,
    /// Which edition of the tables of free days.
    pub calendar_version: Edition,
    /// Which edition of the time zone database; `null` where the build doesn't say.
    pub tzdb_version: Option<Edition>,
}

/// What can happen to a clock that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockChange {
    /// The request was received.
    Start,
    /// It stands still.
    Pause(PauseReason),
    /// It runs again.
    Resume,
    /// More time is taken.
    Extend {
        /// Why, as the person was told.
        reason: ExtendReason,
        /// When the person was told.
        notice_sent_at: Timestamp,
    },
}

/// The systems that a request must reach, fixed before any answer is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The `registry_snapshot` entry that it was computed from.
    pub snapshot: EntryId,
    /// The instruction that was applied.
    pub instruction: InstructionId,
    /// Every system, with the task for it.
    pub systems: Vec<PlannedSystem>,
}

/// One system of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedSystem {
    /// The system.
    pub system: SystemId,
    /// Its task.
    pub task: TaskId,
    /// Of the bytes that it will be sent, on every attempt.
    pub task_digest: ContentDigest,
    /// The evidence that closes the task.
    pub level: EvidenceLevel,
}

/// A task was handed over for the first time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dispatch {
    /// The task.
    pub task: TaskId,
    /// To which system.
    pub system: SystemId,
    /// When its 2xx came.
    pub at: Timestamp,
    /// Which attempt it was.
    pub attempt: AttemptId,
}

/// An owner said something about a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Its id, by which a closure names it.
    pub receipt: ReceiptId,
    /// The task.
    pub task: TaskId,
    /// Whose task it is.
    pub system: SystemId,
    /// Whose signature it carries.
    pub signer: Signer,
    /// What it shows.
    pub level: EvidenceLevel,
    /// When it reached us.
    pub received_at: Timestamp,
    /// The token, byte for byte.
    pub jws: String,
}

/// We said something about a request or task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The task, if it is about one.
    pub task: Option<TaskId>,
    /// What it says.
    pub kind: StatementKind,
    /// The named person who approved it; `null` where no approval is asked for.
    pub approver: Option<UserId>,
    /// The token, byte for byte.
    pub jws: String,
}

/// What we can say ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatementKind {
    /// The task could not be handed over.
    Undeliverable,
    /// It was handed over and never answered.
    NoReceipt,
    /// The controller did not instruct us to act in that system.
    NotInstructed,
    /// The request was taken back.
    Withdrawn,
    /// What we held about the request is gone.
    Shredded,
}

impl From<Stated> for StatementKind {
    fn from(stated: Stated) -> Self {
        match stated {
            Stated::Undeliverable => Self::Undeliverable,
            Stated::NoReceipt => Self::NoReceipt,
            Stated::NotInstructed => Self::NotInstructed,
        }
    }
}

impl StatementKind {
    /// The last word that it is about a task, once it is approved; none, if it is about a whole request.
    #[must_use]
    pub const fn answer(self) -> Option<Answer> {
        match self {
            Self::Undeliverable => Some(Answer::Undeliverable),
            Self::NoReceipt => Some(Answer::NoReceipt),
            Self::NotInstructed => Some(Answer::NotInstructed),
            Self::Withdrawn | Self::Shredded => None,
        }
    }
}

/// A request was closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closure {
    /// What it came to.
    pub outcome: Closing,
    /// Every system of the plan.
    pub systems: Vec<ClosedSystem>,
}

/// One system of a closure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClosedSystem {
    /// The system.
    pub system: SystemId,
    /// Its task.
    pub task: TaskId,
    /// What the outcome rests on; `null` only under a withdrawal.
    pub by: Option<LastWord>,
    /// The last word; `null` only under a withdrawal.
    pub outcome: Option<Answer>,
}

/// What a system's outcome rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastWord {
    /// Its owner's receipt.
    Receipt(ReceiptId),
    /// Our statement, by the id of its entry.
    Statement(EntryId),
}

/// The systems that are registered for a controller, named by its plans until the next snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrySnapshot {
    /// Of the whole registration, with the parts that are not listed here.
    pub digest: ContentDigest,
    /// The controller's systems and the operator's own, in the order of their ids.
    pub systems: Vec<RegisteredSystem>,
}

/// One system of a snapshot: what of it decides whether a plan must hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisteredSystem {
    /// The system.
    pub system: SystemId,
    /// Whose it is.
    pub controller: ControllerId,
    /// How it is reached.
    pub kind: ConnectorKind,
    /// Whose data it holds.
    pub owner: SystemOwner,
    /// Products that it serves; empty for all.
    pub products: Vec<Word>,
    /// Rights that it handles; empty for all.
    pub rights: Vec<Right>,
    /// Channels that it serves; empty for all.
    pub channels: Vec<Channel>,
    /// The evidence that closes its tasks.
    pub demand: EvidenceLevel,
}

/// A public key was added, retired or revoked: with these, an old receipt verifies with no server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEvent {
    /// The key.
    pub key: KeyId,
    /// The `iss` that may use it.
    pub iss: String,
    /// Its RFC 7638 thumbprint.
    pub kid: String,
    /// What happened to it.
    pub event: KeyChange,
    /// The public key.
    pub jwk: Jwk,
}

/// What can happen to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyChange {
    /// Its signatures count from here on.
    Added,
    /// They count no longer; those before stay good.
    Retired,
    /// It was stolen or lost; those before must be looked at.
    Revoked,
}

/// A controller instructed us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instruction {
    /// The instruction.
    pub instruction: InstructionId,
    /// Which edition of it.
    pub version: u32,
    /// What it says.
    pub mode: InstructionMode,
    /// Rights that it covers; empty for all.
    pub rights: Vec<Right>,
    /// SHA-256 of the approver's name as the registration has it: the name itself may be a person's.
    pub approver: ContentDigest,
}

/// An auditor asked something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditorQuery {
    /// SHA-256 of the token that asked, as the ledger stores it.
    pub token: ContentDigest,
    /// Which question.
    pub query: Word,
    /// The request or receipt that was asked about, if it was one.
    pub about: Option<Word>,
    /// How many rows the answer had.
    pub rows: u64,
}

/// Evidence keys were destroyed; explains openings that are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shred {
    /// Under which retention rule.
    pub rule: Word,
    /// The places in the controller's sequence that can't be opened any more.
    pub seqs: Vec<u64>,
}

/// What a day's entries of a controller come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DailySummary {
    /// The day, in UTC.
    pub day: Date,
    /// The first place of the day in the controller's sequence.
    pub from_seq: u64,
    /// The last one.
    pub to_seq: u64,
    /// Entries by kind.
    pub entries: BTreeMap<EntryType, u64>,
    /// Closed requests by outcome.
    pub closures: BTreeMap<Closing, u64>,
    /// Merkle root over the leaves of those entries, in the order of the sequence.
    pub root: Hash,
}
