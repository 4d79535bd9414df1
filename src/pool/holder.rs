//! A pool, as those see it who watch over its connections.

use std::sync::Arc;
use std::time::Duration;

use super::generation::ConnectionId;
use crate::base::clock::Moment;
use crate::net::{Endpoint, Part};
use crate::resp::Limits;

/// Who has connections that are watched. Not to be shown: with a `dyn` all that a pool holds would be in the shared object
/// to be so.
pub(super) trait Holder: Send + Sync {
    /// The peers of these connections have hung up: the idle ones are dropped before a command is written to them.
    fn hung_up(&self, endpoint: &Endpoint, gone: &[ConnectionId]);

    /// Whether it has a connection to `endpoint`, be it one of a node that it does not ask any more.
    fn uses(&self, endpoint: &Endpoint) -> bool;

    /// A node answered a PING.
    fn answered(&self, at: Moment);

    /// `endpoint` does not answer: what is idle there is of no use any more.
    fn lost_touch(self: Arc<Self>, endpoint: &Endpoint);

    /// Whether it reads from `endpoint` as from a replica.
    fn reads_replica(&self, endpoint: &Endpoint) -> bool;

    /// What a replica says of itself.
    fn told(&self, endpoint: &Endpoint, part: &Part);

    /// The limits of replies, and of one connection attempt.
    fn terms(&self) -> (Limits, Duration);
}
