//! What a closure tells the ledger: every system of the plan, with what its outcome rests on.

use domain::id::{EntryId, ReceiptId, TaskId};
use domain::request::Closing;
use domain::task::TaskStage;
use evidence::entry::body::{self, ClosedSystem, LastWord};
use store::cases::{Case, CaseTask};

/// The closure of a case whose tasks have their last words.
pub(crate) fn closure(case: &Case, outcome: Closing) -> body::Closure {
    let system = |(task, known): (&TaskId, &CaseTask)| {
        let (answer, by) = match known.stage {
            TaskStage::Done(answer) => (
                Some(answer),
                known.last_word.map(ReceiptId::from_uuid).map(LastWord::Receipt),
            ),
            TaskStage::Stated(answer) => (
                Some(answer),
                known.last_word.map(EntryId::from_uuid).map(LastWord::Statement),
            ),
            _ => (None, None),
        };
        ClosedSystem {
            system: known.system,
            task: *task,
            by,
            outcome: answer,
        }
    };
    let mut systems: Vec<ClosedSystem> = case.tasks.iter().map(system).collect();
    systems.sort_unstable_by_key(|closed| closed.system);
    body::Closure { outcome, systems }
}
