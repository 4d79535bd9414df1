//! How threads wait for each other: one value to one waiter, and a gate that opens once.

use std::sync::Arc;

use crate::base::deadline::Deadline;
use crate::base::sync::{AtomicUsize, Condvar, Mutex, Ordering};

#[derive(Debug)]
enum Slot<T> {
    Empty,
    Given(T),
    /// The waiter took the value or went away at its deadline, or every giver is gone.
    Done,
}

#[derive(Debug)]
struct Shared<T> {
    slot: Mutex<Slot<T>>,
    given: Condvar,
    givers: AtomicUsize,
}

/// The giving end. May be cloned; the first value counts.
#[derive(Debug)]
pub struct Giver<T>(Arc<Shared<T>>);

/// The waiting end.
#[derive(Debug)]
pub struct Taker<T>(Arc<Shared<T>>);

/// A pair of ends.
pub fn handoff<T>() -> (Giver<T>, Taker<T>) {
    let shared = Arc::new(Shared {
        slot: Mutex::new(Slot::Empty),
        given: Condvar::new(),
        givers: AtomicUsize::new(1),
    });
    (Giver(Arc::clone(&shared)), Taker(shared))
}

impl<T> Clone for Giver<T> {
    fn clone(&self) -> Giver<T> {
        self.0.givers.fetch_add(1, Ordering::Relaxed);
        Giver(Arc::clone(&self.0))
    }
}

/// A waiter whose last giver is gone would wait in vain.
impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        // Whatever another giver gave before it went lies behind the lock, which this one takes after it.
        if self.0.givers.fetch_sub(1, Ordering::Relaxed) == 1 {
            let mut slot = self.0.slot.lock();
            if matches!(*slot, Slot::Empty) {
                *slot = Slot::Done;
                drop(slot);
                self.0.given.notify_one();
            }
        }
    }
}

impl<T> Giver<T> {
    /// Gives the value, and gives it back when nobody waits for it any more: nothing is lost at a deadline.
    pub fn give(&self, value: T) -> Result<(), T> {
        let mut slot = self.0.slot.lock();
        if !matches!(*slot, Slot::Empty) {
            return Err(value);
        }
        *slot = Slot::Given(value);
        drop(slot);
        self.0.given.notify_one();
        Ok(())
    }

    /// Whether the waiter has its value or went away.
    pub fn is_done(&self) -> bool {
        !matches!(*self.0.slot.lock(), Slot::Empty)
    }
}

impl<T> Taker<T> {
    /// Waits for the value until the deadline; `None` also when nobody is left to give one.
    pub fn take(&self, deadline: Deadline) -> Option<T> {
        let mut slot = self.0.slot.lock();
        while matches!(*slot, Slot::Empty) {
            if self.0.given.wait_until(&mut slot, deadline.at()) {
                break;
            }
        }
        match std::mem::replace(&mut *slot, Slot::Done) {
            Slot::Given(value) => Some(value),
            Slot::Empty | Slot::Done => None,
        }
    }
}

/// A gate that opens once, for any number of waiters.
#[derive(Debug, Default)]
pub struct Latch {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Latch {
    /// Opens it.
    pub fn open(&self) {
        *self.open.lock() = true;
        self.opened.notify_all();
    }

    /// Waits until it is open; false at the deadline.
    pub fn wait(&self, deadline: Deadline) -> bool {
        let mut open = self.open.lock();
        while !*open {
            if self.opened.wait_until(&mut open, deadline.at()) {
                break;
            }
        }
        *open
    }
}
