//! One round of a relay: read what is present, publish it, delete what was acknowledged.

use std::time::Duration;

use jiff::Timestamp;
use platform::bus::{Message, PublishError, SharedBus};
use platform::db::{Args, Db, DbError, Row, Statement};
use platform::metrics::{Counter, Gauge};
use uuid::Uuid;

/// Messages of one shard in one round: two thousand in all, which at a usual half kilobyte is a megabyte in memory,
/// and even one busy shard makes some thousands a second.
const PER_SHARD: i64 = 128;

/// A round of so many has most likely left some of a shard behind. If a single busy shard was cut earlier, the rest
/// comes with the next round.
const FULL: usize = 1_000;

/// Rows beyond this are not counted: an operator who sees it knows enough.
const COUNTED_MAX: i64 = 10_000;

/// Each shard's oldest rows, found in the index on (shard, id). Nothing is remembered from round to round: an id that
/// was committed late would be skipped.
const PRESENT: Statement = Statement {
    name: "outbox_present",
    pg: "SELECT present.id, present.topic, present.key, present.headers, present.value FROM relay_lease \
         CROSS JOIN LATERAL (SELECT * FROM outbox WHERE outbox.shard = relay_lease.shard ORDER BY id LIMIT $3) AS present \
         WHERE relay_lease.worker = $1 AND relay_lease.until > $2 ORDER BY present.id",
    lite: "SELECT present.id, present.topic, present.key, present.headers, present.value FROM relay_lease \
           CROSS JOIN outbox AS present WHERE relay_lease.worker = $1 AND relay_lease.until > $2 AND present.id IN \
           (SELECT id FROM outbox WHERE outbox.shard = relay_lease.shard ORDER BY id LIMIT $3) ORDER BY present.id",
};

const DELETE: Statement = Statement {
    name: "outbox_delete",
    pg: "DELETE FROM outbox WHERE id = ANY($1)",
    lite: "DELETE FROM outbox WHERE id IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))",
};

/// No relay has this shard.
const SET_ASIDE: Statement = Statement {
    name: "outbox_set_aside",
    pg: "UPDATE outbox SET shard = -1 WHERE id = ANY($1)",
    lite: "UPDATE outbox SET shard = -1 WHERE id IN (SELECT unhex(value ->> 0) FROM jsonb_each($1))",
};

/// The plus signs keep the engines from sorting all rows of all shards for the sake of one.
const MEASURE: Statement = Statement::both(
    "outbox_measure",
    "SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM outbox WHERE shard >= 0 LIMIT $1) AS waiting), \
     (SELECT COUNT(*) FROM outbox WHERE shard = -1), \
     (SELECT id FROM outbox WHERE +shard >= 0 ORDER BY id LIMIT 1)",
);

pub(super) const ALL: &[Statement] = &[PRESENT, DELETE, SET_ASIDE, MEASURE];

static RELAYED: Counter = Counter::new(
    "quittance_outbox_relayed_total",
    "Messages that the bus has acknowledged.",
);
static WAITING: Gauge = Gauge::new(
    "quittance_outbox_waiting",
    "Messages that wait for the bus, counted up to 10000.",
);
static REFUSED: Gauge = Gauge::new(
    "quittance_outbox_refused",
    "Messages that the bus will never take, and that wait for a person.",
);
static OLDEST: Gauge = Gauge::new(
    "quittance_outbox_oldest_seconds",
    "How long the oldest waiting message has been waiting.",
);

/// How a round went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// There was nothing to do.
    Nothing,
    /// What was present, so many messages, is on the bus.
    Done(usize),
    /// The same, and there is probably more.
    More,
    /// Some messages were not acknowledged, and stay.
    Unconfirmed,
}

/// One round over the shards that `worker` holds.
pub(super) async fn round(db: &Db, bus: &SharedBus, worker: Uuid, now: Timestamp) -> Result<Round, DbError> {
    let args = Args::new().uuid(worker).int(now.as_microsecond()).int(PER_SHARD);
    let rows = db.fetch(&PRESENT, args).await?;
    if rows.is_empty() {
        return Ok(Round::Nothing);
    }
    let (ids, messages) = rows.iter().map(message).collect::<Result<(Vec<_>, Vec<_>), _>>()?;
    let outcomes = bus.publish(messages).await;
    let full = ids.len() >= FULL;
    let confirmed = settle(db, &ids, &outcomes).await?;
    Ok(match (confirmed, full) {
        (false, _) => Round::Unconfirmed,
        (true, true) => Round::More,
        (true, false) => Round::Done(ids.len()),
    })
}

/// Deletes what was acknowledged and sets aside what never will be. Says whether every message met one or the other.
async fn settle(db: &Db, ids: &[Uuid], outcomes: &[Result<(), PublishError>]) -> Result<bool, DbError> {
    let with = |wanted: fn(&Result<(), PublishError>) -> bool| -> Vec<Uuid> {
        let pairs = ids.iter().zip(outcomes);
        pairs
            .filter(|(_, outcome)| wanted(outcome))
            .map(|(id, _)| *id)
            .collect()
    };
    let acknowledged = with(Result::is_ok);
    let refused = with(|outcome| matches!(outcome, Err(PublishError::Refused(_))));
    let settled = acknowledged.len() + refused.len();
    if !refused.is_empty() {
        tracing::error!(count = refused.len(), reason = ?first_error(outcomes), "the bus refuses messages; they were set aside");
        db.execute(&SET_ASIDE, Args::new().uuids(refused)).await?;
    }
    if !acknowledged.is_empty() {
        RELAYED.add(acknowledged.len() as u64, &[]);
        db.execute(&DELETE, Args::new().uuids(acknowledged)).await?;
    }
    Ok(settled == ids.len())
}

fn first_error(outcomes: &[Result<(), PublishError>]) -> Option<String> {
    let refusal = |outcome: &Result<(), PublishError>| match outcome {
        Err(PublishError::Refused(reason)) => Some(reason.clone()),
        _ => None,
    };
    outcomes.iter().find_map(refusal)
}

/// Notes how much is waiting, and since when.
pub(super) async fn measure(db: &Db, now: Timestamp) -> Result<(), DbError> {
    let row = db.fetch_optional(&MEASURE, Args::new().int(COUNTED_MAX)).await?;
    let row = row.ok_or(DbError::Inconsistent("a count has no row"))?;
    let (waiting, refused): (i64, i64) = (row.get(0)?, row.get(1)?);
    let oldest: Option<Uuid> = row.get(2)?;
    WAITING.set(figure(waiting), &[]);
    REFUSED.set(figure(refused), &[]);
    OLDEST.set(oldest.map_or(0.0, |id| age(id, now).as_secs_f64()), &[]);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a count of rows is far below 2^53")]
fn figure(count: i64) -> f64 {
    count as f64
}

/// Since a `UUIDv7` was made.
fn age(id: Uuid, now: Timestamp) -> Duration {
    let made = id.get_timestamp().map_or((0, 0), |made| made.to_unix());
    let made = Duration::new(made.0, made.1);
    let now = Duration::from_micros(now.as_microsecond().unsigned_abs());
    now.saturating_sub(made)
}

fn message(row: &Row) -> Result<(Uuid, Message), DbError> {
    let headers: String = row.get(3)?;
    let headers: Vec<(String, String)> =
        serde_json::from_str(&headers).map_err(|_| DbError::Inconsistent("a message's headers can't be read"))?;
    let message = Message {
        topic: row.get(1)?,
        key: row.get(2)?,
        headers: headers
            .into_iter()
            .map(|(name, value)| (name, value.into_bytes()))
            .collect(),
        value: row.get(4)?,
    };
    Ok((row.get(0)?, message))
}
