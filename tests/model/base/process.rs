//! One process that never forks. What `PerProcess` is made of has its model in `told`.

use std::sync::OnceLock;

pub(crate) fn fork_count() -> u64 {
    1
}

pub(crate) struct PerProcess<T> {
    made: OnceLock<T>,
    make: fn() -> T,
}

impl<T> PerProcess<T> {
    pub(crate) const fn new(make: fn() -> T) -> PerProcess<T> {
        PerProcess {
            made: OnceLock::new(),
            make,
        }
    }

    pub(crate) fn get(&self) -> &T {
        self.made.get_or_init(self.make)
    }
}
