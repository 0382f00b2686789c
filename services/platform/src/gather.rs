//! Many callers, one piece of work: group commit.
//!
//! Callers [`submit`](Callers::submit) one item each and wait; the worker takes whatever is waiting when it is free
//! ([`Work::next`]), does it as one, and answers each. Under load batches grow by themselves while a commit is under
//! way; when idle an item waits for nobody. The queue is bounded: a caller who finds it full is told so at once, and
//! can say 503 while there is still time to come again.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot};

/// An item, and where its caller waits.
type Waiting<I, O> = (I, oneshot::Sender<O>);

/// Where callers bring their items; cheap to clone.
#[derive(Debug)]
pub struct Callers<I, O> {
    queue: mpsc::Sender<Waiting<I, O>>,
}

/// Where the worker takes them from; clones share the queue, so that one batch can be gathered while another commits.
#[derive(Debug)]
pub struct Work<I, O> {
    queue: Arc<Mutex<mpsc::Receiver<Waiting<I, O>>>>,
    batch_max: usize,
}

/// Items that are done as one, and whom to answer.
#[derive(Debug)]
pub struct Batch<I, O> {
    /// In the order in which they came.
    pub items: Vec<I>,
    answers: Vec<oneshot::Sender<O>>,
}

/// Why an item was not done; nobody has seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    /// Too many are waiting.
    #[error("too many are waiting; come again")]
    Full,
    /// The worker has stopped, perhaps with the item in hand: what became of it is not known.
    #[error("the worker has stopped")]
    Stopped,
}

/// A queue for `capacity` waiting callers, from which at most `batch_max` are taken at once.
#[must_use]
pub fn gather<I, O>(capacity: usize, batch_max: usize) -> (Callers<I, O>, Work<I, O>) {
    let (sender, receiver) = mpsc::channel(capacity);
    let work = Work {
        queue: Arc::new(Mutex::new(receiver)),
        batch_max,
    };
    (Callers { queue: sender }, work)
}

impl<I, O> Callers<I, O> {
    /// Brings an item and waits for its answer.
    pub async fn submit(&self, item: I) -> Result<O, NotDone> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send((item, answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotDone::Full,
            mpsc::error::TrySendError::Closed(_) => NotDone::Stopped,
        })?;
        answered.await.map_err(|_| NotDone::Stopped)
    }
}

impl<I, O> Work<I, O> {
    /// Waits for the first item and takes what is there with it; `None` once all callers are gone.
    /// Cancelling it loses nothing.
    pub async fn next(&self) -> Option<Batch<I, O>> {
        let mut waiting = Vec::with_capacity(self.batch_max);
        let mut queue = self.queue.lock().await;
        if queue.recv_many(&mut waiting, self.batch_max).await == 0 {
            return None;
        }
        let (items, answers) = waiting.into_iter().unzip();
        Some(Batch { items, answers })
    }

    /// Takes no more callers; those that wait already are still given out.
    pub async fn close(&self) {
        self.queue.lock().await.close();
    }
}

impl<I, O> Batch<I, O> {
    /// Answers everybody, in the order of the items. Who has gone meanwhile is not waited for.
    ///
    /// # Panics
    /// If there are not as many answers as items: somebody would wait for ever.
    pub fn answer(self, answers: Vec<O>) {
        assert_eq!(self.answers.len(), answers.len(), "each caller gets an answer");
        for (caller, answer) in self.answers.into_iter().zip(answers) {
            // A caller that hung up has lost interest in its answer, not in what was done.
            drop(caller.send(answer));
        }
    }
}

impl<I, O> Clone for Callers<I, O> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
        }
    }
}

impl<I, O> Clone for Work<I, O> {
    fn clone(&self) -> Self {
        Self {
            queue: Arc::clone(&self.queue),
            batch_max: self.batch_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_together_is_done_together() {
        let (callers, work) = gather::<u32, u32>(8, 3);
        let waiting: Vec<_> = (1..=4)
            .map(|item| {
                let callers = callers.clone();
                tokio::spawn(async move { callers.submit(item).await })
            })
            .collect();
        while callers.queue.capacity() > 4 {
            tokio::task::yield_now().await;
        }
        let batch = work.next().await.unwrap();
        assert_eq!(batch.items, [1, 2, 3]);
        batch.answer(vec![10, 20, 30]);
        let last = work.next().await.unwrap();
        assert_eq!(last.items, [4]);
        last.answer(vec![40]);
        for (place, caller) in waiting.into_iter().enumerate() {
            assert_eq!(caller.await.unwrap(), Ok(10 * (u32::try_from(place).unwrap() + 1)));
        }
    }

    #[tokio::test]
    async fn a_full_queue_says_so_at_once() {
        let (callers, work) = gather::<(), ()>(1, 1);
        let first = tokio::spawn({
            let callers = callers.clone();
            async move { callers.submit(()).await }
        });
        while callers.queue.capacity() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(callers.submit(()).await, Err(NotDone::Full));
        drop(work);
        assert_eq!(first.await.unwrap(), Err(NotDone::Stopped));
    }
}
