//! A receipt as it was signed.
//!
//! The value is the compact JWS and nothing else, so that a reader verifies the bytes that the signer wrote; what one
//! wants to know without parsing it stands in headers.

use domain::id::{ControllerId, MessageId, RequestId, SystemId, TaskId};
use domain::receipt::Signer;
use jiff::Timestamp;

use crate::convert::Malformed;
use crate::envelope::{find, header};
use crate::{Envelope, Topic, message_id};

/// A receipt that was verified and stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptPublished {
    /// Names this message on every sending.
    pub message_id: MessageId,
    /// When it was stored.
    pub occurred_at: Timestamp,
    /// The request that its task belongs to.
    pub request: RequestId,
    /// Whose data it is about.
    pub controller: ControllerId,
    /// The task.
    pub task: TaskId,
    /// The system that the task went to.
    pub system: SystemId,
    /// Whose signature it carries.
    pub signer: Signer,
    /// The exact bytes.
    pub jws: Vec<u8>,
}

impl ReceiptPublished {
    /// The message on its topic, keyed by request.
    #[must_use]
    pub fn envelope(&self) -> Envelope {
        let mut envelope = Envelope::new(Topic::Receipts, &self.request, self.message_id, self.jws.clone());
        envelope.headers.extend([
            header("occurred-at", &self.occurred_at),
            header("request", &self.request),
            header("controller", &self.controller),
            header("task", &self.task),
            header("system", &self.system),
            header("signer", &self.signer),
        ]);
        envelope
    }

    /// Reads what [`envelope`](Self::envelope) wrote; the token itself is not looked at.
    pub fn read(headers: &[(String, Vec<u8>)], value: &[u8]) -> Result<Self, Malformed> {
        let text = |name| find(headers, name).ok_or(Malformed::Missing(name));
        Ok(Self {
            message_id: message_id(headers).ok_or(Malformed::Id("message-id"))?,
            occurred_at: text("occurred-at")?
                .parse()
                .map_err(|_| Malformed::Instant("occurred-at"))?,
            request: text("request")?.parse().map_err(|_| Malformed::Id("request"))?,
            controller: text("controller")?.parse().map_err(|_| Malformed::Id("controller"))?,
            task: text("task")?.parse().map_err(|_| Malformed::Id("task"))?,
            system: text("system")?.parse().map_err(|_| Malformed::Id("system"))?,
            signer: text("signer")?.parse().map_err(|_| Malformed::Unknown("signer"))?,
            jws: value.to_vec(),
        })
    }
}
