//! The room `completion`: its own sources, but for the thread `sentinel-cb`.

#[path = "../../../src/completion/agenda.rs"]
mod agenda;
#[path = "../../../src/completion/attempt.rs"]
mod attempt;
#[path = "../../../src/completion/begun.rs"]
mod begun;
#[path = "../../../src/completion/book.rs"]
mod book;
#[path = "../callbacks.rs"]
pub mod callbacks;
#[path = "../../../src/completion/calls.rs"]
pub mod calls;
#[path = "../../../src/completion/carried.rs"]
mod carried;
#[path = "../../../src/completion/decisions.rs"]
mod decisions;
#[path = "../../../src/completion/deliveries.rs"]
mod deliveries;
#[path = "../../../src/completion/entry.rs"]
mod entry;
#[path = "../../../src/completion/held.rs"]
mod held;
#[path = "../../../src/completion/hold.rs"]
mod hold;
#[path = "../../../src/completion/large.rs"]
mod large;
#[path = "../../../src/completion/questions.rs"]
mod questions;
#[path = "../../../src/completion/queue.rs"]
pub mod queue;
#[path = "../../../src/completion/queues.rs"]
mod queues;
#[path = "../../../src/completion/subscription/mod.rs"]
pub mod subscription;
#[path = "../../../src/completion/untaken.rs"]
mod untaken;

pub(crate) use begun::{Begun, Stands};
pub use book::Target;
pub use calls::Calls;
pub use entry::{CallId, Entry, EntryKind};
pub use queue::Queue;
pub use subscription::ChannelKind;
pub(crate) use subscription::{Names, Wanted, follow};
