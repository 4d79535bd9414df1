//! Calls that no thread waits for, and what comes of its own accord: messages and events.
//!
//! Everything ends as an [`Entry`]: in a [`Queue`] that the program polls, or in a function that `sentinel-cb` runs.

mod agenda;
mod attempt;
mod begun;
mod book;
pub mod callbacks;
pub mod calls;
mod carried;
mod decisions;
mod deliveries;
mod entry;
mod held;
mod hold;
mod large;
mod lines;
mod questions;
pub mod queue;
mod queues;
pub mod subscription;
mod untaken;

pub(crate) use begun::{Begun, Stands};
pub use book::Target;
pub use calls::Calls;
pub use entry::{CallId, Entry, EntryKind};
pub(crate) use hold::Hold;
pub use queue::Queue;
pub use subscription::ChannelKind;
pub(crate) use subscription::{Names, Wanted, follow};
