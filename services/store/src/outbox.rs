//! What goes out on the bus, written with the change that it tells of.
//!
//! A transaction that changes something puts its messages here, so that both are committed or neither; a [`Relay`]
//! carries them to the bus and deletes what the bus has acknowledged. Each row belongs to a shard, a stable hash of
//! its key, so that the messages of one key keep their order whichever process relays them.
//!
//! What carries correctness is that a row is deleted only after its acknowledgement: what *may* have been written is
//! sent again under the same message id, and consumers know what they have seen.

mod lease;
mod relay;
mod round;
mod waker;

use aws_lc_rs::digest::{SHA256, digest};
use domain::id::MessageId;
use platform::db::{Args, DbError, Statement, Tx};
use platform::propagation;

pub use relay::Relay;
pub use waker::Waker;

/// Sixteen shards: each is relayed by one process at a time, and sixteen processes are more than one database feeds.
pub const SHARDS: i64 = 16;

/// The header that names a message for whoever can't read its value.
pub const MESSAGE_ID: &str = "message-id";

/// A message that was put already, and may have been relayed since, is not put twice at the same time.
const PUT: Statement = Statement {
    name: "outbox_put",
    pg: "INSERT INTO outbox (id, shard, topic, key, headers, value) \
         SELECT * FROM UNNEST($1::uuid[], $2::int8[], $3::text[], $4::bytea[], $5::text[], $6::bytea[]) \
         ON CONFLICT (id) DO NOTHING",
    lite: "INSERT INTO outbox (id, shard, topic, key, headers, value) \
           SELECT unhex(value ->> 0), value ->> 1, value ->> 2, unhex(value ->> 3), value ->> 4, unhex(value ->> 5) \
           FROM jsonb_each($1) WHERE true ON CONFLICT (id) DO NOTHING",
};

pub(crate) const ALL: &[&[Statement]] = &[&[PUT], lease::ALL, round::ALL];

/// One message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Names the message on every sending.
    pub id: MessageId,
    /// See [`shard`].
    pub shard: i64,
    /// The topic without the deployment's prefix.
    pub topic: String,
    /// What keeps its order; empty where there is none to keep.
    pub key: Vec<u8>,
    /// Its id, the trace that it belongs to, and facts about the value; no personal data.
    pub headers: Vec<(String, String)>,
    /// The bytes; no personal data.
    pub value: Vec<u8>,
}

impl OutboxRow {
    /// A message with its shard, its id among the headers, and the current span's trace.
    #[must_use]
    pub fn new(
        id: MessageId,
        topic: impl Into<String>,
        key: Vec<u8>,
        headers: Vec<(String, String)>,
        value: Vec<u8>,
    ) -> Self {
        let named = headers.iter().any(|(name, _)| name == MESSAGE_ID);
        let name = (!named).then(|| (MESSAGE_ID.to_owned(), id.to_string()));
        Self {
            id,
            // A message without a key keeps no order, and is spread by its id.
            shard: if key.is_empty() {
                shard(&id.bytes())
            } else {
                shard(&key)
            },
            topic: topic.into(),
            key,
            headers: headers.into_iter().chain(name).chain(propagation::current()).collect(),
            value,
        }
    }
}

/// The shard of a key: by the first byte of its SHA-256, which is even, and the same in every release.
#[must_use]
pub fn shard(key: &[u8]) -> i64 {
    i64::from(digest(&SHA256, key).as_ref()[0]) % SHARDS
}

/// Puts messages into the transaction of the change that they tell of. After its COMMIT, [`Waker::wake`]
/// the relays.
pub async fn put(tx: &mut Tx, rows: &[OutboxRow]) -> Result<(), DbError> {
    if rows.is_empty() {
        return Ok(());
    }
    let headers: Vec<String> = rows.iter().map(|row| json(&row.headers)).collect();
    let args = Args::new()
        .uuids(rows.iter().map(|row| row.id.uuid()))
        .ints(rows.iter().map(|row| row.shard))
        .texts(rows.iter().map(|row| row.topic.as_str()))
        .blobs(rows.iter().map(|row| row.key.as_slice()))
        .texts(headers.iter().map(String::as_str))
        .blobs(rows.iter().map(|row| row.value.as_slice()));
    tx.execute(&PUT, args).await.map(drop)
}

fn json(headers: &[(String, String)]) -> String {
    serde_json::to_string(headers).expect("pairs of texts are JSON")
}

#[cfg(test)]
mod tests;
