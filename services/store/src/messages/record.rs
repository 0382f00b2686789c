//! What attempts to send messages came to, and making due again what nobody is sending.
//!
//! As with tasks, a result is believed only under the fence of the message's last claim, and only while the message is
//! being sent: the same result twice changes nothing the second time.

use std::time::Duration;

use domain::id::{ControllerId, MessageId, SystemId};
use domain::task::{Fence, ParkReason};
use jiff::Timestamp;
use platform::db::{Args, DbError, Row, Statement, Tx};

use crate::leases;

const RECORD: Statement = Statement {
    name: "messages_record",
    pg: "UPDATE message SET stage = result.stage, reason = result.reason, due_at = result.due_at, \
         ended_at = result.ended_at, steps = result.steps, rejections = result.rejections \
         FROM UNNEST($1::uuid[], $2::int8[], $3::text[], $4::text[], $5::int8[], $6::int8[], $7::int8[], $8::int8[]) \
         AS result (id, fence, stage, reason, due_at, ended_at, steps, rejections) \
         WHERE message.id = result.id AND message.fence = result.fence AND message.stage = 'sending' \
         RETURNING message.id, message.system, message.controller, message.due_at",
    lite: "UPDATE message SET stage = result.value ->> 2, reason = result.value ->> 3, due_at = result.value ->> 4, \
           ended_at = result.value ->> 5, steps = result.value ->> 6, rejections = result.value ->> 7 \
           FROM jsonb_each($1) AS result \
           WHERE message.id = unhex(result.value ->> 0) AND message.fence = (result.value ->> 1) \
           AND message.stage = 'sending' \
           RETURNING message.id, message.system, message.controller, message.due_at",
};

const RELEASE_CLAIM: Statement = Statement {
    name: "messages_release_claim",
    pg: "UPDATE message SET stage = 'due', due_at = $2 \
         WHERE stage = 'sending' AND started_at = $2 AND system = ANY($1) RETURNING id, system, controller, due_at",
    lite: "UPDATE message SET stage = 'due', due_at = $2 WHERE stage = 'sending' AND started_at = $2 \
           AND system IN (SELECT unhex(value ->> 0) FROM jsonb_each($1)) RETURNING id, system, controller, due_at",
};

/// As with tasks: stale if claimed before `$2` by somebody who no longer holds the endpoint, or before `$3` in any case.
macro_rules! stale {
    ($skip:literal) => {
        concat!(
            "UPDATE message SET stage = 'due', due_at = $1 WHERE id IN (SELECT id FROM message \
             WHERE stage = 'sending' AND started_at < $2 AND (started_at < $3 OR NOT EXISTS \
             (SELECT 1 FROM endpoint_lease AS lease JOIN worker ON worker.id = lease.worker \
             WHERE lease.system = message.system AND lease.fence = message.fence AND worker.until >= $1)) \
             ORDER BY started_at LIMIT $4",
            $skip,
            ") RETURNING id, system, controller, due_at"
        )
    };
}

const RELEASE_STALE: Statement = Statement {
    name: "messages_release_stale",
    pg: stale!(" FOR UPDATE SKIP LOCKED"),
    lite: stale!(""),
};

pub(super) const ALL: &[Statement] = &[RECORD, RELEASE_CLAIM, RELEASE_STALE];

/// What a message's attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageStep {
    /// The message.
    pub message: MessageId,
    /// The fence that it was claimed under.
    pub fence: Fence,
    /// Where it goes from here.
    pub next: MessageNext,
    /// Steps of the retry schedule that are used up now.
    pub steps: i64,
    /// Answers 401, 403 or 404 in a row by now.
    pub rejections: i64,
}

/// Where a message goes after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageNext {
    /// A 2xx came then.
    Delivered(Timestamp),
    /// It is tried again then.
    Due(Timestamp),
    /// It is not tried again, since then.
    GivenUp(ParkReason, Timestamp),
}

impl MessageNext {
    const fn stage(self) -> &'static str {
        match self {
            Self::Delivered(_) => "delivered",
            Self::Due(_) => "due",
            Self::GivenUp(..) => "given_up",
        }
    }

    const fn reason(self) -> Option<&'static str> {
        match self {
            Self::GivenUp(reason, _) => Some(reason.as_str()),
            Self::Delivered(_) | Self::Due(_) => None,
        }
    }

    fn due_at(self) -> Option<i64> {
        match self {
            Self::Due(at) => Some(at.as_microsecond()),
            Self::Delivered(_) | Self::GivenUp(..) => None,
        }
    }

    fn ended_at(self) -> Option<i64> {
        match self {
            Self::Delivered(at) | Self::GivenUp(_, at) => Some(at.as_microsecond()),
            Self::Due(_) => None,
        }
    }
}

/// Writes results and wakes the lanes of what is due again; returns the messages that they were written for.
pub async fn record(tx: &mut Tx, steps: &[MessageStep]) -> Result<Vec<MessageId>, DbError> {
    if steps.is_empty() {
        return Ok(vec![]);
    }
    let args = Args::new()
        .uuids(steps.iter().map(|step| step.message.uuid()))
        .ints(steps.iter().map(|step| step.fence))
        .texts(steps.iter().map(|step| step.next.stage()))
        .maybe_texts(steps.iter().map(|step| step.next.reason()))
        .maybe_ints(steps.iter().map(|step| step.next.due_at()))
        .maybe_ints(steps.iter().map(|step| step.next.ended_at()))
        .ints(steps.iter().map(|step| step.steps))
        .ints(steps.iter().map(|step| step.rejections));
    let rows = tx.fetch(&RECORD, args).await?;
    woken(tx, &rows).await
}

/// Makes the messages of a claim due again, if it was written after all; `claimed_at` is its instant.
pub async fn release_claim(
    tx: &mut Tx,
    systems: &[SystemId],
    claimed_at: Timestamp,
) -> Result<Vec<MessageId>, DbError> {
    let args = Args::new()
        .uuids(systems.iter().map(|system| system.uuid()))
        .int(claimed_at.as_microsecond());
    let rows = tx.fetch(&RELEASE_CLAIM, args).await?;
    woken(tx, &rows).await
}

/// Makes messages due again whose holder is gone and whose attempt must be over, `over` after it was claimed; at most
/// `limit` of them.
pub async fn release_stale(tx: &mut Tx, now: Timestamp, over: Duration, limit: i64) -> Result<Vec<MessageId>, DbError> {
    let args = Args::new()
        .int(now.as_microsecond())
        .int((now - over).as_microsecond())
        .int((now - crate::tasks::release::LOST_AFTER).as_microsecond())
        .int(limit);
    let rows = tx.fetch(&RELEASE_STALE, args).await?;
    woken(tx, &rows).await
}

/// Every statement here answers with the message, its lane, and when it is due, if it is.
async fn woken(tx: &mut Tx, rows: &[Row]) -> Result<Vec<MessageId>, DbError> {
    let (mut messages, mut lanes) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        messages.push(MessageId::from_uuid(row.get(0)?));
        let due: Option<i64> = row.get(3)?;
        if let Some(due) = due {
            let lane = (SystemId::from_uuid(row.get(1)?), ControllerId::from_uuid(row.get(2)?));
            lanes.push((lane.0, lane.1, crate::instant(due)?));
        }
    }
    leases::wake_messages(tx, lanes).await?;
    Ok(messages)
}
