//! What the library synchronises with: `tests/model` compiles what uses it with loom's parts in their place, to run
//! every order in which the threads can meet.

pub use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

pub use crate::base::lock::{Condvar, Mutex, MutexGuard};

/// How often a thread looks whether a lock is free before it sleeps: under a microsecond.
pub const SPINS: u32 = 40;
