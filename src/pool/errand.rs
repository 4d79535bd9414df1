//! What is to be told outside of the pool's lock.

use std::collections::VecDeque;
use std::sync::Arc;

use super::flight::Call;
use super::lane::Lane;
use crate::base::error::Error;

/// Something to tell submitted calls, or those that wait for a reply.
#[derive(Debug)]
pub(super) enum Errand {
    /// This lane takes no more: what it has not sent, `unsent` in front, waits again or ends.
    TakeBack {
        lane: Arc<Lane>,
        unsent: VecDeque<Call>,
        /// Why, where its connection was lost.
        lost: Option<Error>,
    },
    /// They may go out on this lane.
    Send(Arc<Lane>, Vec<u64>),
    /// They cannot be sent.
    Fail(Vec<u64>, Error),
}
