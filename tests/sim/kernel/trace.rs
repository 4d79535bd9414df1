//! What a run did: a number that differs where two runs do, and the story when it is asked for.

use std::cell::Cell;

use super::{is_running, kernel};

pub(crate) struct Trace {
    tells: bool,
    hash: Cell<u64>,
    steps: Cell<u64>,
}

impl Trace {
    pub(super) fn new(tells: bool) -> Trace {
        Trace {
            tells,
            hash: Cell::new(0xcbf2_9ce4_8422_2325),
            steps: Cell::new(0),
        }
    }

    /// What was noted, as a number.
    pub(crate) fn hash(&self) -> u64 {
        self.hash.get()
    }

    /// How much was noted.
    pub(crate) fn steps(&self) -> u64 {
        self.steps.get()
    }

    fn mix(&self, number: u64) {
        let mixed = (self.hash.get() ^ number).wrapping_mul(0x0000_0100_0000_01b3);
        self.hash.set(mixed ^ (mixed >> 29));
    }
}

/// Notes something that happened.
pub(crate) fn note(what: &'static str, one: u64, other: u64) {
    if !is_running() {
        return;
    }
    let kernel = kernel();
    let trace = &kernel.trace;
    trace.steps.set(trace.steps.get() + 1);
    let now = kernel.now();
    trace.mix(now);
    what.bytes().for_each(|byte| trace.mix(byte.into()));
    trace.mix(one);
    trace.mix(other);
    tell(|| format!("{what} {one} {other}"));
}

/// Tells something when the story is asked for.
pub(crate) fn tell(what: impl FnOnce() -> String) {
    if !is_running() {
        return;
    }
    let kernel = kernel();
    if kernel.trace.tells {
        let now = kernel.now();
        let who = kernel.fibers.name();
        eprintln!("{:>12.6} {who:<10} {}", now as f64 / 1e9 - 1.0, what());
    }
}
