//! What a program wants to hear.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use tokio::sync::Notify;

use super::names::Names;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::sync::{Mutex, MutexGuard};
use crate::completion::queue::Queue;

#[derive(Debug, Default)]
struct State {
    names: Names,
    /// The program has freed the subscription: nothing is posted any more.
    ended: bool,
}

/// What the program's threads and the task share.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(super) queue: Arc<Queue>,
    pub(super) tag: u64,
    state: Mutex<State>,
    /// Names were added or removed.
    pub(super) changed: Notify,
    /// The subscription was freed.
    pub(super) ended: Notify,
}

/// The names, locked.
pub(super) struct Held<'a>(MutexGuard<'a, State>);

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

impl Wanted {
    /// Nothing yet; what comes of it goes to `queue` with `tag`.
    pub(crate) fn new(queue: Arc<Queue>, tag: u64) -> Wanted {
        Wanted {
            queue,
            tag,
            state: Mutex::default(),
            changed: Notify::new(),
            ended: Notify::new(),
        }
    }

    /// Changes the names; whether they were, is what `change` says.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Names) -> bool) -> Result<()> {
        if self.queue.is_over() {
            return Err(Error::new(ErrorKind::Closed));
        }
        let mut names = self.open_names().ok_or_else(|| Error::new(ErrorKind::Closed))?;
        let changed = change(&mut names);
        drop(names);
        if changed {
            self.changed.notify_one();
        }
        Ok(())
    }

    pub(super) fn names(&self) -> Held<'_> {
        Held(self.state.lock())
    }

    /// The names, unless the subscription was freed. While they are held, it is not freed.
    pub(super) fn open_names(&self) -> Option<Held<'_>> {
        Some(self.state.lock()).filter(|state| !state.ended).map(Held)
    }

    /// Nothing is posted from now on.
    pub(crate) fn end(&self) {
        self.state.lock().ended = true;
        self.ended.notify_one();
    }
}
