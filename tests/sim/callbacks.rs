//! The thread `sentinel-cb`, as a fiber: the names of `src/completion/callbacks.rs`.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::Entry;
use super::untaken::Untaken;
use crate::base::deadline::Deadline;
use crate::base::sync::{Condvar, Mutex};
use crate::kernel::kernel;

pub type Done = Box<dyn FnOnce(Entry) + Send>;

#[derive(Default)]
struct State {
    due: VecDeque<(Done, Entry, Untaken)>,
    started: bool,
    closed: bool,
}

#[derive(Default)]
pub struct Callbacks {
    state: Mutex<State>,
    added: Condvar,
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callbacks")
    }
}

impl Callbacks {
    pub fn start(self: &Arc<Callbacks>) -> std::io::Result<()> {
        let mut state = self.state.lock();
        if !std::mem::replace(&mut state.started, true) {
            let own = Arc::clone(self);
            kernel().fibers.spawn("cb", move || own.run());
        }
        Ok(())
    }

    pub fn add(self: &Arc<Callbacks>, due: impl Iterator<Item = (Done, Entry)>, mut untaken: Untaken) {
        let mut state = self.state.lock();
        state
            .due
            .extend(due.map(|(done, entry)| (done, entry, untaken.split(1))));
        drop(state);
        self.added.notify_one();
    }

    pub fn close(&self, _: Deadline) -> bool {
        self.state.lock().closed = true;
        self.added.notify_one();
        true
    }

    fn run(&self) {
        loop {
            let (done, entry, untaken) = {
                let mut state = self.state.lock();
                loop {
                    if let Some(due) = state.due.pop_front() {
                        break due;
                    }
                    if state.closed {
                        return;
                    }
                    self.added.wait(&mut state);
                }
            };
            done(entry);
            drop(untaken);
        }
    }
}
