//! What the seed decides.

use super::Kernel;

impl Kernel {
    /// A number below `end`, which is above 0.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.rng.borrow_mut().u64(..end)
    }

    /// The same for an index.
    pub(crate) fn index(&self, end: usize) -> usize {
        self.rng.borrow_mut().usize(..end)
    }

    /// A number from `from` to `to`, both included.
    pub(crate) fn between(&self, from: u64, to: u64) -> u64 {
        self.rng.borrow_mut().u64(from..=to)
    }

    /// Any byte.
    pub(crate) fn byte(&self) -> u8 {
        self.rng.borrow_mut().u8(..)
    }

    /// True in one of so many.
    pub(crate) fn one_in(&self, many: u64) -> bool {
        self.below(many) == 0
    }

    /// One of them.
    pub(crate) fn pick<T: Copy>(&self, all: &[T]) -> T {
        all[self.index(all.len())]
    }
}
