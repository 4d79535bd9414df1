//! What `handoff` and `pool::seat` synchronise with: `tests/model` compiles these two with loom's in their place, to run
//! every order in which their threads can meet.

pub use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

pub use parking_lot::{Condvar, MappedMutexGuard, Mutex, MutexGuard};
