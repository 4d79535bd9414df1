//! What a client and what came from it share.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use super::runtime::Runtime;
use crate::call::Learnt;
use crate::completion::Calls;
use crate::pool::Pool;

/// The pool, closed when its client is gone, and the runtime that serves it.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) pool: Arc<Pool>,
    pub(super) calls: OnceLock<Arc<Calls>>,
    /// What the servers said of commands that the table does not know.
    pub(super) learnt: Arc<Learnt>,
    pub(super) runtime: Arc<Runtime>,
    /// The client is closed: what serves on its behalf ends.
    pub(super) ended: watch::Sender<bool>,
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.pool.close();
    }
}
