//! A subscription in a program's hands.

use std::sync::Arc;

use super::runtime::Runtime;
use crate::base::error::Result;
use crate::base::process::ForkBound;
use crate::completion::{ChannelKind, Names, Queue, Wanted};
use crate::pool::Pool;

#[derive(Debug)]
struct Parts {
    wanted: Arc<Wanted>,
    /// Keeps the deployment alive.
    runtime: Arc<Runtime>,
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.wanted.end();
    }
}

/// A set of channels and patterns whose messages go to a queue. Any thread, any time; no call waits.
#[derive(Debug)]
pub struct Subscription {
    parts: ForkBound<Parts>,
}

impl Subscription {
    /// An empty subscription to the nodes of `pool`'s service and role. It connects with the first name.
    pub(super) fn new(pool: Arc<Pool>, runtime: Arc<Runtime>, queue: Arc<Queue>, tag: u64) -> Subscription {
        let wanted = Arc::new(Wanted::new(queue, tag));
        runtime.follow(pool, Arc::clone(&wanted));
        Subscription {
            parts: ForkBound::new(Parts { wanted, runtime }),
        }
    }

    /// Adds a name; one that is there already changes nothing.
    pub fn add(&self, kind: ChannelKind, name: &[u8]) -> Result<()> {
        self.change(|names| names.add(kind, name, false))
    }

    /// The same, with an event when it is in force for the first time.
    pub fn add_confirmed(&self, kind: ChannelKind, name: &[u8]) -> Result<()> {
        self.change(|names| names.add(kind, name, true))
    }

    /// Removes a name; one that is not there changes nothing. None of its messages is posted after this.
    pub fn remove(&self, kind: ChannelKind, name: &[u8]) -> Result<()> {
        self.change(|names| names.remove(kind, name))
    }

    /// Ends the subscription: nothing is posted after this.
    pub fn end(&self) {
        if !self.parts.is_forked() {
            self.parts.wanted.end();
        }
    }

    fn change(&self, change: impl FnOnce(&mut Names) -> bool) -> Result<()> {
        let Parts { wanted, runtime } = &*self.parts;
        runtime.check()?;
        wanted.change(change)
    }
}
