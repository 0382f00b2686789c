//! Holding the log: which process may append, and what it must know before it does.
//!
//! A process takes the log for a while and renews that with each append. The time only decides who works; what makes
//! it safe is the fence, a number that grows with each holder and that every append names. Whoever takes the log reads
//! the head that is kept outside first and the database second, so a holder that works meanwhile looks newer and never
//! older, and refuses a database that is behind, beside or at odds with what was signed.

use std::time::Duration;

use evidence::merkle::grow::Edge;
use evidence::merkle::prove;
use evidence::merkle::tile::TileId;
use evidence::merkle::{EMPTY_ROOT, Hash};
use evidence::note::{Checkpoint, NoteKey};
use jiff::Timestamp;
use platform::db::{Args, Db, DbError, Row, Statement};

use crate::archive;
use crate::fault::Fault;
use crate::heads::HeadKeeper;

const BEGIN: Statement = Statement::both(
    "hold_begin",
    "INSERT INTO log (only_row, origin, vkey, size, root, announced, fence, holder, held_until) \
     VALUES (1, $1, $2, 0, $3, 0, 0, '', 0) ON CONFLICT (only_row) DO NOTHING",
);

const READ: Statement = Statement::both(
    "hold_read",
    "SELECT origin, vkey, size, root, announced, \
     COALESCE((SELECT MAX(leaf_index) + 1 FROM entry), 0) FROM log",
);

/// The log is free if its holder was not heard of in time, or is the one that asks.
const TAKE: Statement = Statement::both(
    "hold_take",
    "UPDATE log SET fence = fence + 1, holder = $1, held_until = $2 WHERE held_until < $3 OR holder = $1 \
     RETURNING fence",
);

const RENEW: Statement = Statement::both("hold_renew", "UPDATE log SET held_until = $1 WHERE fence = $2");

pub(crate) const ALL: &[Statement] = &[BEGIN, READ, TAKE, RENEW];

/// The log as its row has it.
#[derive(Debug, Clone)]
pub(crate) struct LogRow {
    pub(crate) origin: String,
    pub(crate) vkey: String,
    pub(crate) size: u64,
    pub(crate) root: Hash,
    pub(crate) announced: u64,
    entries: u64,
}

/// The right to append, and the right edge to append to.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    pub(crate) fence: i64,
    pub(crate) until: Timestamp,
    pub(crate) edge: Edge,
}

/// Writes the log's identity at the first start, and refuses another one later.
pub(crate) async fn begin(db: &Db, key: &NoteKey) -> Result<(), Fault> {
    let (origin, vkey) = (key.name(), key.to_string());
    let args = Args::new().text(origin).text(&vkey).blob(EMPTY_ROOT.as_ref());
    db.execute(&BEGIN, args).await?;
    let log = read(db).await?;
    if log.origin != origin {
        let (stored, configured) = (log.origin, origin.to_owned());
        return Err(Fault::Origin { stored, configured });
    }
    if log.vkey != vkey {
        let stored = log.vkey;
        return Err(Fault::Key { stored, given: vkey });
    }
    Ok(())
}

/// Reads and checks the whole picture: the head outside, the row, the right edge, and that they agree.
pub(crate) async fn check(db: &Db, heads: &HeadKeeper, key: &NoteKey) -> Result<(LogRow, Edge), Fault> {
    let kept = heads.read(key).await?;
    let log = read(db).await?;
    if log.entries != log.size {
        let (tree, entries) = (log.size, log.entries);
        return Err(Fault::Uneven { tree, entries });
    }
    let tiles = archive::tiles(db, &TileId::right_edge(log.size)).await?;
    let edge = Edge::load(log.size, log.root, &tiles)?;
    match kept {
        Some(kept) => begins_with(db, &log, kept.checkpoint()).await?,
        None if log.size > 0 => return Err(Fault::NoHead { size: log.size }),
        None => {}
    }
    Ok((log, edge))
}

/// Whether the stored tree begins with the one that was signed.
async fn begins_with(db: &Db, log: &LogRow, signed: &Checkpoint) -> Result<(), Fault> {
    if signed.size > log.size {
        let (kept, stored) = (signed.size, log.size);
        return Err(Fault::Older { kept, stored });
    }
    let tiles = archive::tiles(db, &prove::root_needs(signed.size)?).await?;
    if prove::root(signed.size, &tiles)? == signed.root {
        Ok(())
    } else {
        Err(Fault::Forked { size: signed.size })
    }
}

/// Takes the log if it is free; the fence of the new hold.
pub(crate) async fn take(db: &Db, holder: &str, now: Timestamp, hold: Duration) -> Result<Option<i64>, DbError> {
    let until = (now + hold).as_microsecond();
    // On SQLite only a transaction reaches the writing connection.
    let mut tx = db.begin().await?;
    let args = Args::new().text(holder).int(until).int(now.as_microsecond());
    let fence = tx
        .fetch_optional(&TAKE, args)
        .await?
        .map(|row| row.get(0))
        .transpose()?;
    tx.commit().await?;
    Ok(fence)
}

/// Says that the holder is alive until then; whether it still is the holder.
pub(crate) async fn renew(db: &Db, fence: i64, until: Timestamp) -> Result<bool, DbError> {
    let args = Args::new().int(until.as_microsecond()).int(fence);
    Ok(db.execute(&RENEW, args).await? == 1)
}

/// The log's row.
pub(crate) async fn read(db: &Db) -> Result<LogRow, DbError> {
    let row = db.fetch_optional(&READ, Args::new()).await?;
    log(&row.ok_or(DbError::Inconsistent("there is no log in the ledger's database"))?)
}

fn log(row: &Row) -> Result<LogRow, DbError> {
    Ok(LogRow {
        origin: row.get(0)?,
        vkey: row.get(1)?,
        size: row.get::<i64>(2)?.unsigned_abs(),
        root: Hash(row.bytes(3, "the log's root is no hash")?),
        announced: row.get::<i64>(4)?.unsigned_abs(),
        entries: row.get::<i64>(5)?.unsigned_abs(),
    })
}
