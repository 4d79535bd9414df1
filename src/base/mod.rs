//! What everything rests on: errors, deadlines, the clock, locks, threads and processes.

pub mod clock;
pub mod deadline;
pub mod elsewhere;
pub mod error;
pub mod flag;
pub mod futex;
pub(crate) mod handoff;
#[cfg(test)]
mod handoff_tests;
pub(crate) mod heavy;
pub mod io_thread;
#[cfg_attr(all(target_os = "linux", not(feature = "portable")), path = "linux.rs")]
#[cfg_attr(any(not(target_os = "linux"), feature = "portable"), path = "portable.rs")]
mod kernel;
mod lock;
mod once;
pub mod process;
pub mod sync;
pub(crate) mod tasks;
pub mod thread;
mod ticks;
mod turn;
