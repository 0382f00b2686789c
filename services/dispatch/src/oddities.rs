//! Anomalies under ids that follow from what they are about, so that a fault which comes back each minute is one row.

use aws_lc_rs::digest::{Context, SHA256};
use domain::id::{EventId, RequestId, SystemId, TaskId};
use platform::metrics::Counter;
use store::receipts::{AnomalyKind, AnomalyRow};
use uuid::Uuid;

static ANOMALIES: Counter = Counter::new(
    "quittance_anomalies_total",
    "What should not have happened and was survived, each time that it was seen.",
);

/// Something odd about a request.
pub(crate) fn of_request(kind: AnomalyKind, request: RequestId) -> AnomalyRow {
    let row = row(kind, mark(&[kind.as_str().as_bytes(), &request.bytes()]));
    AnomalyRow {
        request: Some(request),
        ..row
    }
}

/// Something odd about a task on its way to a system.
pub(crate) fn of_task(kind: AnomalyKind, request: RequestId, task: TaskId, system: SystemId) -> AnomalyRow {
    let row = row(kind, mark(&[kind.as_str().as_bytes(), &task.bytes()]));
    AnomalyRow {
        request: Some(request),
        task: Some(task),
        system: Some(system),
        ..row
    }
}

/// Something odd that is known by a mark alone.
pub(crate) fn row(kind: AnomalyKind, mark: Uuid) -> AnomalyRow {
    ANOMALIES.add(1, &[("kind", kind.as_str())]);
    AnomalyRow {
        id: EventId::from_uuid(mark),
        kind,
        request: None,
        task: None,
        system: None,
        sealed: None,
    }
}

/// Half a SHA-256 over the parts, which are of fixed lengths or come last.
pub(crate) fn mark(parts: &[&[u8]]) -> Uuid {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let digest = context.finish();
    let half = digest.as_ref()[..16].try_into().expect("a SHA-256 digest has 32 bytes");
    uuid::Builder::from_custom_bytes(half).into_uuid()
}
