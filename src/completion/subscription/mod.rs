//! Subscriptions: channels, patterns and sharded channels that are heard through every failover.
//!
//! [`names`] is what is wanted, [`route`] which node is listened to, [`said`] what its replies are, all pure; a
//! [`session`] is one connection, the [`follower`] the task that keeps there being one, the [`outlet`] the way to the
//! program's queue.

mod follower;
mod gap;
mod names;
mod outlet;
mod route;
mod said;
mod session;

use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;

use crate::base::sync::{Mutex, MutexGuard};
use tokio::sync::Notify;

pub use gap::Gap;
pub use names::ChannelKind;

use super::Queue;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::process::ForkBound;
use crate::pool::{Common, Pool};
use crate::runtime::Runtime;
use follower::Follower;
use names::Names;

#[derive(Debug, Default)]
struct State {
    names: Names,
    /// The program has freed the subscription: nothing is posted any more.
    ended: bool,
}

/// What the program's threads and the task share.
#[derive(Debug)]
struct Shared {
    queue: Arc<Queue>,
    tag: u64,
    state: Mutex<State>,
    /// Names were added or removed.
    changed: Notify,
    /// The subscription was freed.
    ended: Notify,
}

/// The names, locked.
struct Held<'a>(MutexGuard<'a, State>);

impl Deref for Held<'_> {
    type Target = Names;

    fn deref(&self) -> &Names {
        &self.0.names
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Names {
        &mut self.0.names
    }
}

impl Shared {
    fn names(&self) -> Held<'_> {
        Held(self.state.lock())
    }

    /// The names, unless the subscription was freed. While they are held, it is not freed.
    fn open_names(&self) -> Option<Held<'_>> {
        Some(self.state.lock()).filter(|state| !state.ended).map(Held)
    }

    fn end(&self) {
        self.state.lock().ended = true;
        self.ended.notify_one();
    }
}

#[derive(Debug)]
struct Parts {
    shared: Arc<Shared>,
    /// Keeps the deployment alive.
    runtime: Arc<Runtime>,
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.shared.end();
    }
}

/// A set of channels and patterns whose messages go to a queue. Any thread, any time; no call waits.
#[derive(Debug)]
pub struct Subscription {
    parts: ForkBound<Parts>,
}

impl Subscription {
    /// An empty subscription to the nodes of `pool`'s service and role. It connects with the first name.
    pub(crate) fn new(pool: Arc<Pool>, runtime: Arc<Runtime>, queue: Arc<Queue>, tag: u64) -> Subscription {
        let shared = Arc::new(Shared {
            queue,
            tag,
            state: Mutex::default(),
            changed: Notify::new(),
            ended: Notify::new(),
        });
        runtime.follow(pool, Followed(Arc::clone(&shared)));
        Subscription {
            parts: ForkBound::new(Parts { shared, runtime }),
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
            self.parts.shared.end();
        }
    }

    fn change(&self, change: impl FnOnce(&mut Names) -> bool) -> Result<()> {
        let Parts { shared, runtime } = &*self.parts;
        runtime.check()?;
        if shared.queue.is_over() {
            return Err(Error::new(ErrorKind::Closed));
        }
        let mut names = shared.open_names().ok_or_else(|| Error::new(ErrorKind::Closed))?;
        let changed = change(&mut names);
        drop(names);
        if changed {
            shared.changed.notify_one();
        }
        Ok(())
    }
}

/// What the runtime is given to start.
#[derive(Debug)]
pub(crate) struct Followed(Arc<Shared>);

impl Followed {
    /// Follows the service for ever, or until the subscription or its queue ends. Runs on sentinel-io.
    pub(crate) async fn run(self, pool: Arc<Pool>, common: Rc<Common>) {
        Follower::new(self.0, pool, common).run().await;
    }
}
