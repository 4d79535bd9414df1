//! Taking turns by one word of memory, and waiting for a change that another makes in its turn.
//!
//! What is known of who waits lies in the word and in the kernel, in no table of the process: a forked child that makes
//! locks of its own finds nothing of its parent's threads in them.

use super::clock::Moment;
use super::futex;
use crate::base::sync::{AtomicU32, Ordering, SPINS};

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and others may sleep until it is free.
const CROWDED: u32 = 2;

/// Takes the turn if nobody has it.
#[inline]
pub fn try_take(word: &AtomicU32) -> bool {
    word.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
        .is_ok()
}

/// Takes the turn, and waits until it is free.
#[inline]
pub fn take(word: &AtomicU32) {
    if !try_take(word) {
        take_late(word);
    }
}

#[cold]
fn take_late(word: &AtomicU32) {
    // Turns are short: on another processor this one may be over sooner than a system call is.
    for _ in 0..SPINS {
        std::hint::spin_loop();
        match word.load(Ordering::Relaxed) {
            FREE if try_take(word) => return,
            CROWDED => break,
            _ => {}
        }
    }
    // Taken as crowded: whether somebody else sleeps, who comes here does not know.
    while word.swap(CROWDED, Ordering::Acquire) != FREE {
        futex::wait(word, CROWDED, futex::ANY, None);
    }
}

/// Ends the turn.
#[inline]
pub fn give(word: &AtomicU32) {
    if word.swap(FREE, Ordering::Release) == CROWDED {
        give_on(word);
    }
}

#[cold]
fn give_on(word: &AtomicU32) {
    futex::wake_one(word);
}

/// What those who wait for a change and those who make it have in common.
#[derive(Debug)]
pub struct Signal {
    /// Changes with each call to those who wait.
    calls: AtomicU32,
    /// Those who wait, or are about to: counted in their turn.
    sleepers: AtomicU32,
}

impl Signal {
    /// Of these two words, both 0.
    pub const fn of(calls: AtomicU32, sleepers: AtomicU32) -> Signal {
        Signal { calls, sleepers }
    }

    /// Ends the turn, sleeps until a call, `until`, or for no reason at all, and takes the turn again.
    pub fn wait(&self, turn: &AtomicU32, until: Option<Moment>) {
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        // Read before the turn ends: a call to this thread comes later, and is not slept over.
        let seen = self.calls.load(Ordering::Relaxed);
        give(turn);
        futex::wait(&self.calls, seen, futex::ANY, until);
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
        take(turn);
    }

    /// Calls one of those who wait.
    pub fn call_one(&self) {
        if self.call() {
            futex::wake_one(&self.calls);
        }
    }

    /// Calls all who wait.
    pub fn call_all(&self) {
        if self.call() {
            futex::wake(&self.calls, futex::ANY);
        }
    }

    /// Whether anybody is there to be woken. Who made the change in its turn sees all who looked before: they counted
    /// themselves in theirs.
    fn call(&self) -> bool {
        if self.sleepers.load(Ordering::Relaxed) == 0 {
            return false;
        }
        self.calls.fetch_add(1, Ordering::Relaxed);
        true
    }
}
