//! The writes of a pool that wait while reads go on. No I/O, no lock.

use std::collections::{HashMap, HashSet};

use super::line::{Waiter, WaitingLine};
use super::waiters::Queue;
use crate::base::error::Error;
use crate::base::handoff::Giver;

/// The writes of a pool that wait.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Submitted ones, and what the same threads submitted behind them.
    calls: WaitingLine,
    /// How many of those each thread has.
    submitters: HashMap<u64, usize>,
    /// Threads with theirs.
    pub(super) threads: Queue<Giver<Result<(), Error>>>,
}

impl Held {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.calls.len() + self.threads.len()
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a submitted call waits.
    pub(super) fn has_calls(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Whether something that the thread submitted waits.
    pub(super) fn has_of(&self, thread: u64) -> bool {
        self.submitters.contains_key(&thread)
    }

    /// The threads of which something waits.
    pub(super) fn submitters(&self) -> HashSet<u64> {
        self.submitters.keys().copied().collect()
    }

    /// Submitted calls wait, in their order.
    pub(super) fn enter_all(&mut self, waiters: Vec<Waiter>) {
        for waiter in waiters.iter().filter(|waiter| waiter.thread != 0) {
            *self.submitters.entry(waiter.thread).or_default() += 1;
        }
        match waiters.as_slice() {
            [waiter] => self.calls.enter(*waiter),
            _ => self.calls.enter_all(waiters.into_iter()),
        }
    }

    /// A submitted call waits no more.
    pub(super) fn remove(&mut self, order: u64) {
        let Some(waiter) = self.calls.remove(order) else {
            return;
        };
        if let Some(count) = self.submitters.get_mut(&waiter.thread) {
            *count -= 1;
            if *count == 0 {
                self.submitters.remove(&waiter.thread);
            }
        }
    }

    /// Takes all submitted calls out.
    pub(super) fn drain(&mut self) -> Vec<Waiter> {
        self.submitters.clear();
        self.calls.drain()
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
        self.submitters.clear();
        self.calls.take(usize::MAX)
    }
}
