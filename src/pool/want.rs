//! What a connection is wanted for, and what its caller gets.

use std::sync::Arc;

use super::direct::Direct;
use super::lane::Lane;
use crate::base::error::Error;

/// A connection for a call.
#[derive(Debug)]
pub(super) enum Line {
    /// The caller's own for the time of the call.
    Direct(Box<Direct>),
    /// Shared with others.
    Lane(Arc<Lane>),
}

/// What a waiting caller gets in the end.
pub(super) type Grant = Result<Line, Error>;

/// What a connection is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// One call, on whatever connection is best.
    Shared,
    /// One large call, on a connection whose caller sends from its own memory and delays nobody.
    Bulk,
    /// The caller keeps it for itself: a blocking command, a transaction by hand.
    Lease,
}
