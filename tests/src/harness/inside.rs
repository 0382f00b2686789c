//! What the router's and the ledger's tables say, read at once for whoever compares them with the outside.

use std::collections::{BTreeMap, HashMap};

use domain::id::{ControllerId, ReceiptId, RequestId, SystemId, TaskId};
use platform::db::{Args, Db, Row, Statement};
use quittance::deployment::Database;
use uuid::Uuid;

use super::router::Router;

const REQUESTS: Statement = Statement::both("inside_requests", "SELECT id, controller, stage FROM request");

const INTAKE: Statement = Statement::both(
    "inside_intake",
    "SELECT intake.controller, COUNT(*), MIN(seq), MAX(seq), MAX(last) FROM intake \
     JOIN intake_counter ON intake_counter.controller = intake.controller GROUP BY intake.controller",
);

const TASKS: Statement = Statement::both(
    "inside_tasks",
    "SELECT id, request, system, stage, digest, (SELECT COUNT(*) FROM attempt WHERE attempt.task = task.id), \
     (SELECT COUNT(*) FROM receipt WHERE receipt.task = task.id AND receipt.standing = 'counted') FROM task",
);

const RECEIPTS: Statement = Statement::both(
    "inside_receipts",
    "SELECT id, request, task, jti, log_index FROM receipt",
);

const ANOMALIES: Statement = Statement::both(
    "inside_anomalies",
    "SELECT kind, COUNT(*) FROM anomaly GROUP BY kind ORDER BY kind",
);

/// What keeps a router from being at rest, each with how much of it there is.
const OPEN: Statement = Statement::both(
    "inside_open",
    "SELECT (SELECT COUNT(*) FROM request WHERE stage <> 'closed'), (SELECT COUNT(*) FROM outbox), \
     (SELECT COUNT(*) FROM entry), (SELECT COUNT(*) FROM receipt WHERE log_index IS NULL)",
);

const LOG: Statement = Statement::both(
    "inside_log",
    "SELECT size, (SELECT COUNT(*) FROM entry), (SELECT COALESCE(MAX(leaf_index), -1) FROM entry) FROM log",
);

const SEQUENCES: Statement = Statement::both(
    "inside_sequences",
    "SELECT entry.controller, COUNT(*), MIN(controller_seq), MAX(controller_seq), MAX(last) FROM entry \
     JOIN sequence ON sequence.controller = entry.controller GROUP BY entry.controller",
);

const ABOUT: Statement = Statement::both(
    "inside_about",
    "SELECT request, type, COUNT(*) FROM entry WHERE request IS NOT NULL GROUP BY request, type",
);

const LOGGED: Statement = Statement::both(
    "inside_logged",
    "SELECT receipt, leaf_index FROM entry WHERE receipt IS NOT NULL",
);

/// Everything that is compared.
#[derive(Debug)]
pub(super) struct Inside {
    pub(super) requests: BTreeMap<RequestId, Request>,
    pub(super) intake: HashMap<ControllerId, Numbers>,
    pub(super) tasks: BTreeMap<TaskId, Task>,
    pub(super) receipts: BTreeMap<ReceiptId, Receipt>,
    pub(super) anomalies: Vec<(String, u64)>,
    pub(super) log: Log,
    pub(super) sequences: HashMap<ControllerId, Numbers>,
    /// How many entries of a kind there are about a request.
    pub(super) about: HashMap<(RequestId, u8), i64>,
    /// Where receipts are in the log.
    pub(super) logged: HashMap<ReceiptId, i64>,
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) controller: ControllerId,
    pub(super) stage: String,
}

#[derive(Debug)]
pub(super) struct Task {
    pub(super) request: RequestId,
    pub(super) system: SystemId,
    pub(super) stage: String,
    pub(super) digest: [u8; 32],
    pub(super) attempts: u64,
    pub(super) counted: i64,
}

#[derive(Debug)]
pub(super) struct Receipt {
    pub(super) request: RequestId,
    pub(super) task: TaskId,
    pub(super) jti: Uuid,
    pub(super) log_index: Option<i64>,
}

#[derive(Debug)]
pub(super) struct Log {
    pub(super) size: i64,
    pub(super) entries: i64,
    pub(super) last: i64,
}

/// Numbers that were given one after the other.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Numbers {
    count: i64,
    first: i64,
    last: i64,
    /// The last one that was given, as the counter has it.
    given: i64,
}

impl Numbers {
    /// Whether they are 1, 2, 3, … without a gap.
    pub(super) fn is_dense(&self) -> bool {
        self.first == 1 && self.last == self.count && self.given == self.count
    }

    /// Whether they are 1, 2, 3, … up to this.
    pub(super) fn is_dense_to(&self, last: i64) -> bool {
        self.is_dense() && self.count == last
    }
}

impl Inside {
    /// Reads the tables of a router that is at rest.
    pub(super) async fn read(router: &Router) -> Self {
        let db = router.store().db();
        let ledger = router.running().deployment.database(Database::Ledger).await;
        let ledger = ledger.expect("the ledger's database");
        let inside = Self {
            requests: rows(db, &REQUESTS, request).await,
            intake: rows(db, &INTAKE, numbers).await,
            tasks: rows(db, &TASKS, task).await,
            receipts: rows(db, &RECEIPTS, receipt).await,
            anomalies: rows(db, &ANOMALIES, |row| (get(row, 0), get::<i64>(row, 1).unsigned_abs())).await,
            log: rows::<Vec<_>, _>(&ledger, &LOG, log).await.remove(0),
            sequences: rows(&ledger, &SEQUENCES, numbers).await,
            about: rows(&ledger, &ABOUT, about).await,
            logged: rows(&ledger, &LOGGED, |row| (ReceiptId::from_uuid(get(row, 0)), get(row, 1))).await,
        };
        ledger.close().await;
        inside
    }
}

/// What is still on its way: open requests, messages, entries without a place, receipts without one.
///
/// # Panics
/// When the database doesn't answer.
pub async fn open(router: &Router) -> [i64; 4] {
    let open: Vec<[i64; 4]> = rows(router.store().db(), &OPEN, |row| {
        [0, 1, 2, 3].map(|place| get(row, place))
    })
    .await;
    open[0]
}

async fn rows<C: FromIterator<T>, T>(db: &Db, statement: &Statement, read: impl Fn(&Row) -> T) -> C {
    let rows = db.fetch(statement, Args::new()).await.expect("the database answers");
    rows.iter().map(read).collect()
}

fn get<'r, T: platform::db::Readable<'r>>(row: &'r Row, place: usize) -> T {
    row.get(place).expect("a column is what the schema says")
}

fn request(row: &Row) -> (RequestId, Request) {
    let controller = ControllerId::from_uuid(get(row, 1));
    (
        RequestId::from_uuid(get(row, 0)),
        Request {
            controller,
            stage: get(row, 2),
        },
    )
}

fn numbers(row: &Row) -> (ControllerId, Numbers) {
    let [count, first, last, given] = [1, 2, 3, 4].map(|place| get(row, place));
    (
        ControllerId::from_uuid(get(row, 0)),
        Numbers {
            count,
            first,
            last,
            given,
        },
    )
}

fn task(row: &Row) -> (TaskId, Task) {
    let task = Task {
        request: RequestId::from_uuid(get(row, 1)),
        system: SystemId::from_uuid(get(row, 2)),
        stage: get(row, 3),
        digest: row.bytes(4, "a digest").expect("a digest has 32 bytes"),
        attempts: get::<i64>(row, 5).unsigned_abs(),
        counted: get(row, 6),
    };
    (TaskId::from_uuid(get(row, 0)), task)
}

fn receipt(row: &Row) -> (ReceiptId, Receipt) {
    let receipt = Receipt {
        request: RequestId::from_uuid(get(row, 1)),
        task: TaskId::from_uuid(get(row, 2)),
        jti: get(row, 3),
        log_index: get(row, 4),
    };
    (ReceiptId::from_uuid(get(row, 0)), receipt)
}

fn log(row: &Row) -> Log {
    let [size, entries, last] = [0, 1, 2].map(|place| get(row, place));
    Log { size, entries, last }
}

fn about(row: &Row) -> ((RequestId, u8), i64) {
    let kind = u8::try_from(get::<i64>(row, 1)).expect("a type is a byte");
    ((RequestId::from_uuid(get(row, 0)), kind), get(row, 2))
}
