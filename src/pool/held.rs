//! The writes of a pool that wait while reads go on. No I/O, no lock.

use super::line::WaitingLine;
use super::waiters::Queue;
use crate::base::error::Error;
use crate::base::handoff::Giver;

/// The writes of a pool that wait.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Submitted ones.
    pub(super) calls: WaitingLine,
    /// Threads with theirs.
    pub(super) threads: Queue<Giver<Result<(), Error>>>,
}

impl Held {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.calls.len() + self.threads.len()
    }

    /// A submitted call waits no more.
    pub(super) fn remove(&mut self, order: u64) {
        self.calls.remove(order);
    }

    /// All threads look again.
    pub(super) fn wake(&mut self) {
        for thread in self.threads.drain() {
            let _ = thread.give(Ok(()));
        }
    }

    /// Ends the waits of all threads with `error`. The submitted calls, which are to be told.
    pub(super) fn refuse(&mut self, error: &Error) -> Vec<u64> {
        for thread in self.threads.drain() {
            let _ = thread.give(Err(error.clone()));
        }
        self.calls.take(usize::MAX)
    }
}
