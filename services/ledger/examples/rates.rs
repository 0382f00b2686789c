//! How fast entries are logged, and that a batch costs the same in a large log as in a small one.
//!
//! `cargo run --release -p ledger --example rates [ENTRIES [postgres://…/EMPTY_DATABASE]]`, default 100,000 receipts in
//! batches of 2,000 on SQLite. The figures are of one process that does nothing else.

#![expect(clippy::print_stdout, reason = "its figures are what it is for")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::id::{ControllerId, EntryId, ReceiptId, RequestId, SystemId, TaskId};
use domain::receipt::{EvidenceLevel, Signer};
use evidence::entry::Entry;
use evidence::entry::body::Receipt;
use jiff::Timestamp;
use keys::KeyStore;
use ledger::incoming::Incoming;
use ledger::sequencer::{Parts, Sequencer};
use ledger::{Archive, HeadKeeper, log_key};
use platform::chance::{SharedRng, SystemRng};
use platform::clock::SystemClock;
use platform::db::{Db, DbOptions, connect};
use platform::keyring::{Keyring, Part, generate};
use tempfile::TempDir;
use uuid::Uuid;

/// What a quarter of a second brings at eight thousand a second.
const BATCH: u128 = 2_000;

/// Entries of one request.
const OF_ONE_REQUEST: u128 = 8;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let count: u128 = words.next().map_or(Ok(100_000), |word| word.parse())?;
    let folder = tempfile::tempdir()?;
    let url = words.next().unwrap_or_else(|| sqlite(&folder, "ledger"));
    let parts = parts(&folder, &url).await?;
    let archive = Archive::new(parts.db.clone(), parts.keys.clone(), parts.signer.key().clone());
    let (db, keys) = (parts.db.clone(), parts.keys.clone());
    let mut sequencer = Sequencer::new(parts);
    let (mut waited, mut logged) = (Vec::new(), Vec::new());
    for first in (0..count).step_by(usize::try_from(BATCH)?) {
        let requests: Vec<_> = (first / OF_ONE_REQUEST..(first + BATCH) / OF_ONE_REQUEST)
            .map(|number| (RequestId::from_uuid(Uuid::from_u128(number)), controller(number)))
            .collect();
        keys.create(&requests).await?;
        let entries: Vec<Incoming> = (first..first + BATCH)
            .map(|number| Incoming::new(&receipt(number)))
            .collect();
        waited.push(timed(ledger::incoming::put(&db, &entries)).await?);
        logged.push(timed(sequencer.turn()).await?);
    }
    say("received", &waited);
    say("logged", &logged);
    let proofs = Instant::now();
    for index in (0..u64::try_from(count)?).rev().take(1_000) {
        archive.prove(index, None).await?.ok_or("published")?;
    }
    println!(
        "a proof with its checkpoint {:>8.1} µs",
        proofs.elapsed().as_secs_f64() * 1e3
    );
    Ok(())
}

async fn timed<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<Duration, E> {
    let started = Instant::now();
    work.await.map(|_| started.elapsed())
}

fn say(what: &str, times: &[Duration]) {
    let mean = |times: &[Duration]| {
        times.iter().sum::<Duration>().as_secs_f64() / f64::from(u32::try_from(times.len()).unwrap_or(1))
    };
    let part = (times.len() / 5).max(1);
    let rate = f64::from(u32::try_from(BATCH).unwrap_or(0)) / mean(times);
    let (first, last) = (mean(&times[..part]) * 1e3, mean(&times[times.len() - part..]) * 1e3);
    println!("{what:<10} {rate:>8.0}/s; a batch of {BATCH}: {first:.1} ms at first, {last:.1} ms in the end");
}

fn sqlite(folder: &TempDir, name: &str) -> String {
    format!("sqlite:{}", folder.path().join(format!("{name}.db")).display())
}

async fn parts(folder: &TempDir, url: &str) -> Result<Parts, Box<dyn std::error::Error>> {
    let rng: SharedRng = Arc::new(SystemRng::new());
    let db = open(url).await?;
    db.migrate(&ledger::MIGRATIONS).await?;
    let keys_db = open(&sqlite(folder, "keys")).await?;
    keys_db.migrate(&keys::MIGRATIONS).await?;
    let roots = Arc::new(Keyring::parse(&generate(Part::ALL, &*rng), "ring", rng.clone())?);
    let log_key = folder.path().join("log.key");
    log_key::create(&log_key, &*rng)?;
    Ok(Parts {
        db,
        keys: KeyStore::new(keys_db, roots, rng.clone(), Arc::new(SystemClock)),
        heads: HeadKeeper::File(folder.path().join("head")),
        signer: Arc::new(log_key::load(&log_key, "rates.example/dsr")?),
        clock: Arc::new(SystemClock),
        rng,
        name: "rates".to_owned(),
        batch_max: 5_000,
        hold: Duration::from_mins(1),
    })
}

async fn open(url: &str) -> Result<Db, platform::db::DbError> {
    let options = DbOptions {
        max_connections: 4,
        application: "rates",
    };
    connect(url, &options).await
}

fn controller(number: u128) -> ControllerId {
    ControllerId::from_uuid(Uuid::from_u128(number % 50))
}

/// A receipt of 700 bytes, as they are.
fn receipt(number: u128) -> Entry {
    let id = Uuid::from_u128(number);
    let body = Receipt {
        receipt: ReceiptId::from_uuid(id),
        task: TaskId::from_uuid(id),
        system: SystemId::from_uuid(Uuid::from_u128(number % 100)),
        signer: Signer::Owner,
        level: EvidenceLevel::Declared,
        received_at: Timestamp::UNIX_EPOCH,
        jws: "e30.e30.".to_owned() + &"A".repeat(700),
    };
    Entry {
        id: EntryId::from_uuid(id),
        controller: controller(number / OF_ONE_REQUEST),
        request: Some(RequestId::from_uuid(Uuid::from_u128(number / OF_ONE_REQUEST))),
        at: Timestamp::UNIX_EPOCH,
        body: body.into(),
    }
}
