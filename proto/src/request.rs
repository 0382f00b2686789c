//! A request that may be planned.

use domain::id::{BindingId, ControllerId, InstructionId, MessageId, RequestId};
use domain::registration::InstructionMode;
use domain::right::{Channel, Right};
use jiff::Timestamp;
use prost::Message as _;

use crate::convert::{Malformed, Numbered as _, decode, id, instant, optional_id, word};
use crate::{Envelope, Topic, wire};

/// Written only by the transaction that makes a request `ready`: matched, assurance met, an instruction found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPublished {
    /// Names this message on every sending.
    pub message_id: MessageId,
    /// When the request became ready.
    pub occurred_at: Timestamp,
    /// The request.
    pub request: RequestId,
    /// Whose data it is about.
    pub controller: ControllerId,
    /// The request's version, so that a stale message is seen.
    pub request_version: i64,
    /// What is asked for.
    pub right: Right,
    /// The product's slug, where one was named.
    pub product: Option<String>,
    /// Where the person met the business.
    pub channel: Channel,
    /// The connected account through which it came, where there was one.
    pub binding: Option<BindingId>,
    /// The instruction that covers it.
    pub instruction: InstructionId,
    /// What the instruction lets us do.
    pub mode: InstructionMode,
    /// When the person asked.
    pub received_at: Timestamp,
    /// When the answer is due.
    pub due_at: Timestamp,
    /// The rules that the due date was reckoned with.
    pub regime: String,
}

impl RequestPublished {
    /// The bytes for the topic.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let wire = wire::RequestPublished {
            message_id: self.message_id.bytes().to_vec(),
            occurred_at: self.occurred_at.as_microsecond(),
            request: self.request.bytes().to_vec(),
            controller: self.controller.bytes().to_vec(),
            request_version: self.request_version,
            right: self.right.number(),
            product: self.product.clone(),
            channel: self.channel.number(),
            binding: self.binding.map(|binding| binding.bytes().to_vec()),
            instruction: self.instruction.bytes().to_vec(),
            mode: self.mode.number(),
            received_at: self.received_at.as_microsecond(),
            due_at: self.due_at.as_microsecond(),
            regime: self.regime.clone(),
        };
        wire.encode_to_vec()
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let wire: wire::RequestPublished = decode(bytes)?;
        Ok(Self {
            message_id: id("message_id", &wire.message_id)?,
            occurred_at: instant("occurred_at", wire.occurred_at)?,
            request: id("request", &wire.request)?,
            controller: id("controller", &wire.controller)?,
            request_version: wire.request_version,
            right: word("right", wire.right)?,
            product: wire.product,
            channel: word("channel", wire.channel)?,
            binding: optional_id("binding", wire.binding.as_deref())?,
            instruction: id("instruction", &wire.instruction)?,
            mode: word("mode", wire.mode)?,
            received_at: instant("received_at", wire.received_at)?,
            due_at: instant("due_at", wire.due_at)?,
            regime: wire.regime,
        })
    }

    /// The message on its topic, keyed by request.
    #[must_use]
    pub fn envelope(&self) -> Envelope {
        Envelope::new(
            Topic::Requests(self.right),
            &self.request,
            self.message_id,
            self.encode(),
        )
    }
}
