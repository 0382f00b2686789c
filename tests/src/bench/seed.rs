//! Very many tasks at once, without a request posted for each.

use std::sync::Arc;
use std::time::Duration;

use domain::id::{RequestId, SystemId, TaskId};
use domain::receipt::EvidenceLevel;
use domain::task::TaskStage;
use evidence::digest::sha256;
use keys::KeyStore;
use platform::chance::{self, SharedRng, SystemRng};
use platform::clock::{Clock as _, SharedClock, SystemClock};
use platform::db::{Args, Statement};
use quittance::deployment::Database;
use store::leases;
use store::tasks::{self, NewTask};

use super::NotMeasured;
use super::field::Field;

/// Tasks in one transaction: a few megabytes.
const BATCH: usize = 2_000;

/// As many bytes as a task about a person with a phone number and a mail address has.
const BODY_BYTES: usize = 1_300;

/// No request is due earlier.
const DUE_IN: Duration = Duration::from_hours(24 * 30);

/// Copies of a task that was handed over, each of a request of its own, and its attempt.
const DELIVERED: Statement = Statement {
    name: "bench_seed_delivered",
    pg: "WITH copy AS (INSERT INTO task (id, request, controller, system, stage, demand, fence, steps, rejections, \
         deadline_at, digest, sealed, created_at, dispatched_at) \
         SELECT gen_random_uuid(), gen_random_uuid(), controller, system, 'awaiting_receipt', demand, fence, steps, \
         rejections, deadline_at, digest, sealed, created_at, dispatched_at \
         FROM (SELECT * FROM task WHERE dispatched_at IS NOT NULL LIMIT 100) AS model, generate_series(1, $1) \
         RETURNING id, fence, created_at) \
         INSERT INTO attempt (id, task, fence, started_at, ended_at, status, result) \
         SELECT gen_random_uuid(), id, fence, created_at, created_at, 202, 'delivered' FROM copy",
    lite: "INSERT INTO task (id, request, controller, system, stage, demand, fence, steps, rejections, deadline_at, \
           digest, sealed, created_at, dispatched_at) \
           SELECT randomblob(16), randomblob(16), controller, system, 'awaiting_receipt', demand, fence, steps, \
           rejections, deadline_at, digest, sealed, created_at, dispatched_at \
           FROM (SELECT * FROM task WHERE dispatched_at IS NOT NULL LIMIT 100), \
           (WITH RECURSIVE many (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < $1) SELECT n FROM many)",
};

/// The engine's picture of its tables, which a large load makes old.
const ANALYZE: Statement = Statement::both("bench_analyze", "ANALYZE");

/// Stores tasks that were delivered long ago, a hundred at a time for each number of copies.
pub(super) async fn delivered(field: &Field, count: usize) -> Result<(), NotMeasured> {
    let db = field.router.store().db();
    for _ in 0..count.div_ceil(BATCH) {
        let copies = i64::try_from(BATCH / 100).unwrap_or(i64::MAX);
        db.execute(&DELIVERED, Args::new().int(copies)).await?;
    }
    db.execute(&ANALYZE, Args::new()).await?;
    Ok(())
}

/// Stores tasks for the first business's system that are due now and can be opened, and wakes its lane.
pub(super) async fn due(field: &Field, count: usize) -> Result<(), NotMeasured> {
    let running = field.router.running();
    let clock: SharedClock = Arc::new(SystemClock);
    let rng: SharedRng = Arc::new(SystemRng::new());
    let db = running
        .deployment
        .database(Database::Keys)
        .await
        .map_err(|failure| NotMeasured(failure.line))?;
    let keys = KeyStore::new(db, Arc::clone(&running.keyring), Arc::clone(&rng), clock);
    let system = field.first_system().await?;
    for _ in 0..count.div_ceil(BATCH) {
        batch(field, &keys, &*rng, system).await?;
    }
    Ok(())
}

async fn batch(field: &Field, keys: &KeyStore, rng: &dyn chance::Rng, system: SystemId) -> Result<(), NotMeasured> {
    let (now, controller) = (SystemClock.now(), field.clients[0].id);
    let requests: Vec<_> = (0..BATCH)
        .map(|_| (RequestId::new(now, chance::bytes(rng)), controller))
        .collect();
    let body = vec![b'x'; BODY_BYTES];
    let task = |keys: keys::RequestKeys| NewTask {
        id: TaskId::new(now, chance::bytes(rng)),
        request: keys.request,
        controller,
        system,
        stage: TaskStage::Due(now),
        demand: EvidenceLevel::Declared,
        deadline: now + DUE_IN,
        digest: sha256(&body),
        sealed: keys.subject.seal(tasks::BODY, &body),
    };
    let tasks: Arc<Vec<NewTask>> = Arc::new(keys.create(&requests).await?.into_iter().map(task).collect());
    let db = field.router.store().db();
    db.transaction("bench_seed", move |tx| {
        let tasks = Arc::clone(&tasks);
        Box::pin(async move {
            tasks::insert(tx, &tasks, now).await?;
            leases::wake(tx, [(system, controller, now)]).await
        })
    })
    .await?;
    Ok(())
}
