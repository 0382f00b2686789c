//! Which process relays which shards.
//!
//! A lease spares duplicates and nothing else: a process that stalls beyond its lease, or whose clock is wrong, may
//! send messages that another sends too, and consumers know them by their ids. A shard whose relay died is taken over
//! when its lease is over; one whose relay stopped in order, at the next look.

use std::time::Duration;

use jiff::Timestamp;
use platform::db::{Args, Db, DbError, Statement};
use uuid::Uuid;

use super::SHARDS;

/// Three renewals; so long waits what a process that was killed would have relayed.
const LEASE: Duration = Duration::from_secs(6);

/// Between two renewals; each is one small write.
pub(super) const RENEW: Duration = Duration::from_secs(2);

/// Takes what is free, over, or held already; in the order of shards, so that two relays wait for each other in one
/// order.
const HOLD: Statement = Statement {
    name: "outbox_hold",
    pg: "INSERT INTO relay_lease (shard, worker, until) \
         SELECT wanted.shard, $2, $3 FROM UNNEST($1::int8[]) AS wanted (shard) \
         ON CONFLICT (shard) DO UPDATE SET worker = excluded.worker, until = excluded.until \
         WHERE relay_lease.worker = excluded.worker OR relay_lease.until <= $4",
    lite: "INSERT INTO relay_lease (shard, worker, until) SELECT value ->> 0, $2, $3 FROM jsonb_each($1) WHERE true \
           ON CONFLICT (shard) DO UPDATE SET worker = excluded.worker, until = excluded.until \
           WHERE relay_lease.worker = excluded.worker OR relay_lease.until <= $4",
};

const RELEASE: Statement = Statement::both("outbox_release", "DELETE FROM relay_lease WHERE worker = $1");

pub(super) const ALL: &[Statement] = &[HOLD, RELEASE];

/// Renews what the worker holds and takes what nobody does; returns how many shards it holds now.
pub(super) async fn hold(db: &Db, worker: Uuid, now: Timestamp) -> Result<u64, DbError> {
    let until = (now + LEASE).as_microsecond();
    let args = Args::new().ints(0..SHARDS).uuid(worker).int(until);
    db.execute(&HOLD, args.int(now.as_microsecond())).await
}

/// Lets the next worker take over at once.
pub(super) async fn release(db: &Db, worker: Uuid) -> Result<(), DbError> {
    db.execute(&RELEASE, Args::new().uuid(worker)).await.map(drop)
}
