//! The task as the webhook's body names it: what an integrator needs to act and to sign.

use domain::id::{RequestId, TaskId};
use domain::right::Right;
use serde::Deserialize;

/// A task.
#[derive(Debug, Clone, Deserialize)]
pub struct Task {
    /// The task.
    pub task: TaskId,
    /// The request.
    pub request: RequestId,
    /// What is asked for.
    pub right: Right,
    /// Where the receipt goes and what it must say.
    pub receipt: Wanted,
    /// Who it is about; only counted here.
    subject: Subject,
}

/// What the router wants in a receipt.
#[derive(Debug, Clone, Deserialize)]
pub struct Wanted {
    /// Where to post it.
    pub deliver_to: String,
    /// Its `aud`.
    pub audience: String,
    /// The event's URI.
    pub event: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Subject {
    #[serde(default)]
    identities: Vec<serde::de::IgnoredAny>,
}

/// A webhook's body.
#[derive(Debug, Deserialize)]
pub(crate) struct Message {
    pub(crate) r#type: String,
    pub(crate) data: serde_json::Value,
}

/// The task that a message is about.
#[derive(Debug, Deserialize)]
pub(crate) struct About {
    pub(crate) task: TaskId,
}

impl Task {
    /// How many identities the task names.
    #[must_use]
    pub fn identities(&self) -> usize {
        self.subject.identities.len()
    }
}
