//! What everything ends as that no thread waits for.

use crate::base::error::Error;
use crate::resp::Reply;

/// The number of a call: its slot, and how often the slot was used before. Never 0.
pub type CallId = u64;

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
