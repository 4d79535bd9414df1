//! Calls of many commands, about which is decided elsewhere.

use std::sync::Arc;

use tokio::sync::Notify;

use super::book::Stored;
use super::entry::CallId;
use crate::base::sync::Mutex;
use crate::call::life::{Ended, Life};
use crate::pool::Lane;
use crate::topology::Role;

/// A call that is decided about outside of the book, for that may take time.
pub(super) struct Case {
    pub(super) id: CallId,
    pub(super) life: Life,
    pub(super) request: Stored,
    pub(super) lane: Arc<Lane>,
    pub(super) came: Ended,
    pub(super) wanted: Role,
    pub(super) closed: bool,
    pub(super) late: bool,
}

/// Cases that are decided elsewhere.
#[derive(Default)]
pub(super) struct Large {
    pub(super) waiting: Mutex<Vec<Case>>,
    pub(super) more: Notify,
}
