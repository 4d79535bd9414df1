//! A walk in a program's hands.

use std::sync::Arc;

use super::parts::Parts;
use crate::base::error::Result;
use crate::base::process::ForkBound;
use crate::call::CallOptions;
use crate::call::walk::Walk;
use crate::resp::Reply;

/// A walk. One thread at a time.
#[derive(Debug)]
pub struct Scan {
    inner: ForkBound<Inner>,
}

#[derive(Debug)]
struct Inner {
    walk: Walk,
    parts: Arc<Parts>,
}

impl Scan {
    pub(super) fn new(walk: Walk, parts: Arc<Parts>) -> Scan {
        Scan {
            inner: ForkBound::new(Inner { walk, parts }),
        }
    }

    /// The next page, which may be empty; `None` at the end. After `WrongState` the walk must be started anew.
    pub fn next(&mut self, call: &CallOptions) -> Result<Option<Reply>> {
        self.inner.parts.runtime.check_to_wait()?;
        let Inner { walk, parts } = &mut *self.inner;
        walk.next(&parts.pool, call, &parts.learnt)
    }

    /// Back to the beginning, on whatever node serves then.
    pub fn restart(&mut self) {
        // A forked child's is of no more use, and the way back of its connection leads over its parent's locks.
        if !self.inner.is_forked() {
            self.inner.walk.restart();
        }
    }
}
