//! What a controller's notices system is to be told of a request that closes.

use std::collections::HashMap;

use domain::id::{EventId, ReceiptId, RequestId, TaskId};
use domain::right::Right;
use domain::task::TaskStage;
use jiff::Timestamp;
use platform::chance::{self, Rng};
use proto::Happened;
use store::cases::{Case, CaseTask};
use store::happenings::{Happening, SystemAnswer, Told};
use store::registry::Directory;

/// Of what has happened to these cases: closings, and before that of a request for a person's data, that all is there.
pub(crate) fn told(
    happened: &[(RequestId, i64, Happened)],
    cases: &HashMap<RequestId, Case>,
    directory: &Directory,
    now: Timestamp,
    rng: &dyn Rng,
) -> Vec<Happening> {
    let mut told = Vec::new();
    for (request, _, happened) in happened {
        let (Happened::Closed(outcome), Some(case)) = (happened, cases.get(request)) else {
            continue;
        };
        let Some(system) = directory.notices_of(case.controller) else {
            continue;
        };
        let closed = Told::Closed {
            request: *request,
            outcome: *outcome,
        };
        told.extend(assembled(case).into_iter().chain([closed]).map(|told| Happening {
            id: EventId::new(now, chance::bytes(rng)),
            system,
            controller: case.controller,
            at: now,
            told,
        }));
    }
    told
}

/// Every system's answer to a request for a person's data, if each has given one itself.
fn assembled(case: &Case) -> Option<Told> {
    if !matches!(case.right, Right::Access | Right::Portability) {
        return None;
    }
    let answer = |(task, known): (&TaskId, &CaseTask)| {
        let (TaskStage::Done(outcome), Some(receipt)) = (known.stage, known.last_word) else {
            return None;
        };
        Some(SystemAnswer {
            system: known.system,
            task: *task,
            receipt: ReceiptId::from_uuid(receipt),
            outcome,
        })
    };
    Some(Told::Assembled {
        request: case.request,
        answers: case.tasks.iter().map(answer).collect::<Option<_>>()?,
    })
}
