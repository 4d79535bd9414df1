//! The room `base` with a simulated clock, and with fibers for threads: its own sources for the rest.

pub mod clock;
#[path = "../../../src/base/deadline.rs"]
pub mod deadline;
pub mod elsewhere;
#[path = "../../../src/base/error.rs"]
pub mod error;
#[path = "../../../src/base/flag.rs"]
pub mod flag;
pub mod futex;
#[path = "../../../src/base/handoff.rs"]
pub mod handoff;
#[path = "../../../src/base/heavy.rs"]
pub mod heavy;
#[path = "../../../src/base/once.rs"]
mod once;
#[path = "../../../src/base/process.rs"]
pub mod process;
pub mod sync;
#[path = "../../../src/base/tasks.rs"]
pub mod tasks;
pub mod thread;
