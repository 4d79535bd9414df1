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
pub use book::{CallId, Target};
pub use calls::Calls;
pub use queue::Queue;
pub use subscription::{ChannelKind, Subscription};

use crate::base::error::Error;
use crate::resp::Reply;

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// The end of a submitted call.
    Call,
    /// A message of a subscription.
    Message,
    /// Something that happened to the deployment.
    Event,
}

/// A completion.
#[derive(Debug)]
pub struct Entry {
    /// As given with the submission, subscription or watch.
    pub tag: u64,
    /// What it is about.
    pub kind: EntryKind,
    /// The reply, message or event; or why the call failed.
    pub result: Result<Reply, Error>,
}
