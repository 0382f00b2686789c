//! What a client business was sent: ids, digests and counts, no person.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::id::{RequestId, TaskId};

use crate::manner::Verdict;
use crate::task::Task;

/// What is known of one task's deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The request.
    pub request: RequestId,
    /// SHA-256 of the body of the first delivery.
    pub digest: [u8; 32],
    /// How often it came with a good signature.
    pub times: u32,
    /// How often the work was done: never more than once.
    pub effects: u32,
    /// How many receipts were accepted by the router or given in an answer's body.
    pub receipts: u32,
    /// Whether the work is done, from the second delivery on.
    pub done: bool,
}

/// What is known of one message beside the tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Its type.
    pub kind: String,
    /// SHA-256 of the body of the first delivery.
    pub digest: [u8; 32],
    /// How often it came with a good signature.
    pub times: u32,
}

/// Everything that it was sent.
#[derive(Debug, Default)]
pub struct Record {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    deliveries: HashMap<TaskId, Delivery>,
    tasks: HashMap<TaskId, (Task, [u8; 32])>,
    messages: HashMap<String, Heard>,
    withdrawn: HashSet<TaskId>,
    receipts: HashMap<TaskId, (Verdict, String)>,
    refused: u32,
    altered: u32,
    refused_receipts: u32,
}

/// Whether a delivery is the first of its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noted {
    First,
    Again { done: bool },
}

impl Record {
    /// What is known of a task.
    #[must_use]
    pub fn delivery(&self, task: TaskId) -> Option<Delivery> {
        self.lock().deliveries.get(&task).cloned()
    }

    /// All tasks that came, with what is known of them.
    #[must_use]
    pub fn deliveries(&self) -> Vec<(TaskId, Delivery)> {
        self.lock()
            .deliveries
            .iter()
            .map(|(task, delivery)| (*task, delivery.clone()))
            .collect()
    }

    /// Webhooks whose signature, time or digest was wrong.
    #[must_use]
    pub fn refused(&self) -> u32 {
        self.lock().refused
    }

    /// All messages beside the tasks, by their ids.
    #[must_use]
    pub fn messages(&self) -> Vec<(String, Heard)> {
        let seen = self.lock();
        let messages = seen.messages.iter();
        messages.map(|(id, heard)| (id.clone(), heard.clone())).collect()
    }

    /// Whether a task need not be done any more, as far as was said.
    #[must_use]
    pub fn is_withdrawn(&self, task: TaskId) -> bool {
        self.lock().withdrawn.contains(&task)
    }

    /// Deliveries whose bytes were not those of the first delivery of their task or message.
    #[must_use]
    pub fn altered(&self) -> u32 {
        self.lock().altered
    }

    /// Receipts that the router did not accept.
    #[must_use]
    pub fn refused_receipts(&self) -> u32 {
        self.lock().refused_receipts
    }

    pub(crate) fn hear(&self, id: &str, kind: &str, digest: [u8; 32]) {
        let mut seen = self.lock();
        let new = Heard {
            kind: kind.to_owned(),
            digest,
            times: 0,
        };
        let heard = seen.messages.entry(id.to_owned()).or_insert(new);
        heard.times += 1;
        if heard.digest != digest {
            seen.altered += 1;
        }
    }

    pub(crate) fn withdraw(&self, task: TaskId) {
        self.lock().withdrawn.insert(task);
    }

    /// A task that came and is wanted still, with the digest of its body.
    pub(crate) fn task(&self, task: TaskId) -> Option<(Task, [u8; 32])> {
        let seen = self.lock();
        seen.tasks
            .get(&task)
            .filter(|_| !seen.withdrawn.contains(&task))
            .cloned()
    }

    pub(crate) fn note(&self, task: &Task, digest: [u8; 32]) -> Noted {
        let mut seen = self.lock();
        seen.tasks.entry(task.task).or_insert_with(|| (task.clone(), digest));
        let new = Delivery {
            request: task.request,
            digest,
            times: 0,
            effects: 0,
            receipts: 0,
            done: false,
        };
        let delivery = seen.deliveries.entry(task.task).or_insert(new);
        delivery.times += 1;
        let noted = if delivery.times == 1 {
            Noted::First
        } else {
            Noted::Again { done: delivery.done }
        };
        if delivery.digest != digest {
            seen.altered += 1;
        }
        noted
    }

    /// The work itself: done once however often the task comes.
    pub(crate) fn work(&self, task: TaskId) {
        if let Some(delivery) = self.lock().deliveries.get_mut(&task).filter(|delivery| !delivery.done) {
            delivery.done = true;
            delivery.effects += 1;
        }
    }

    /// The receipt of a task: what was signed once is given again when the task comes again, since a second signature
    /// over the same work would be a second receipt.
    pub(crate) fn signed(
        &self,
        task: TaskId,
        verdict: Verdict,
        sign: impl FnOnce() -> Option<String>,
    ) -> Option<String> {
        let mut seen = self.lock();
        if let Some((_, token)) = seen.receipts.get(&task).filter(|(said, _)| *said == verdict) {
            return Some(token.clone());
        }
        let token = sign()?;
        seen.receipts.insert(task, (verdict, token.clone()));
        Some(token)
    }

    pub(crate) fn receipt(&self, task: TaskId) {
        if let Some(delivery) = self.lock().deliveries.get_mut(&task) {
            delivery.receipts += 1;
        }
    }

    pub(crate) fn refuse(&self) {
        self.lock().refused += 1;
    }

    pub(crate) fn refuse_receipt(&self) {
        self.lock().refused_receipts += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_task_that_comes_again_gets_the_receipt_that_it_got() {
        let record = Record::default();
        let task = TaskId::from_uuid(Uuid::from_u128(1));
        let sign = |token: &str| Some(token.to_owned());
        assert_eq!(record.signed(task, Verdict::Silent, || None), None);
        let first = record.signed(task, Verdict::Failed, || sign("first"));
        assert_eq!(record.signed(task, Verdict::Failed, || sign("second")), first);
        let changed = record.signed(task, Verdict::Completed, || sign("third"));
        assert_eq!(changed.as_deref(), Some("third"), "another verdict is another receipt");
    }
}
