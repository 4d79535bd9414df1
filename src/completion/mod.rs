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
mod lines;
mod questions;
pub mod queue;
mod queues;
pub mod subscription;
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
