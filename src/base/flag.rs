//! What one thread tells all others by a word of memory, without a lock.
//!
//! Who reads it sees everything that was done before it was written. A processor does not see to that by itself, as x86
//! does: the orderings do, and `tests/model` fails without each of them.

use crate::base::sync::{AtomicBool, AtomicU64, Ordering};

/// Something that has come to pass.
#[derive(Debug, Default)]
pub struct Flag(AtomicBool);

impl Flag {
    /// Whether it is up.
    #[inline]
    pub fn is_up(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Puts it up, for good or until it is taken down.
    pub fn raise(&self) {
        self.set(true);
    }

    /// Puts it up or down.
    pub fn set(&self, up: bool) {
        self.0.store(up, Ordering::Release);
    }

    /// Puts it up; whether this was the first to do so. Who was not has seen nothing of what the first did.
    pub fn raise_first(&self) -> bool {
        !self.0.swap(true, Ordering::Release)
    }

    /// Takes it down; whether it was up.
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Acquire)
    }
}

/// How often something has turned. One thread at a time writes it.
#[derive(Debug, Default)]
pub struct Turns(AtomicU64);

impl Turns {
    /// The number of now.
    #[inline]
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// It has turned so often.
    pub fn set(&self, turns: u64) {
        self.0.store(turns, Ordering::Release);
    }
}
