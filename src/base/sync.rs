//! What the library synchronises with: `tests/model` compiles `handoff`, `pool::seat` and what the locks themselves are
//! made of with loom's parts in their place, to run every order in which their threads can meet.

pub use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

pub use crate::base::lock::{Condvar, Mutex, MutexGuard};

/// How often a thread looks whether a lock is free before it sleeps: under a microsecond.
pub const SPINS: u32 = 40;
