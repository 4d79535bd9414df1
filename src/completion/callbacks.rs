//! The thread `sentinel-cb`: runs the functions that completions are given to, one at a time.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use super::Entry;
use crate::deadline::Deadline;
use crate::handoff::Latch;
use crate::net::sys;

/// What a completion is given to, once.
pub type Done = Box<dyn FnOnce(Entry) + Send>;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is running a callback.
pub fn is_inside() -> bool {
    INSIDE.with(Cell::get)
}

#[derive(Default)]
struct State {
    due: VecDeque<(Done, Entry)>,
    /// A function is running.
    running: bool,
    /// The thread, once it was started.
    thread: Option<JoinHandle<()>>,
    /// Nothing is added any more: the thread ends when it has run what is due.
    closed: bool,
}

/// The callbacks of a deployment. Any thread.
#[derive(Default)]
pub struct Callbacks {
    state: Mutex<State>,
    added: Condvar,
    ended: Latch,
}

impl std::fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callbacks")
            .field("due", &self.state.lock().due.len())
            .finish_non_exhaustive()
    }
}

impl Callbacks {
    /// Starts the thread where it does not run yet: before a callback is accepted, so that none is accepted in vain.
    pub fn start(self: &Arc<Callbacks>) -> std::io::Result<()> {
        let mut state = self.state.lock();
        if state.thread.is_none() && !state.closed {
            let own = Arc::clone(self);
            let thread = std::thread::Builder::new().name("sentinel-cb".into());
            state.thread = Some(sys::with_signals_blocked(|| thread.spawn(move || own.run()))?);
        }
        Ok(())
    }

    /// Lets the thread run these, in this order.
    pub fn add(&self, due: impl Iterator<Item = (Done, Entry)>) {
        self.state.lock().due.extend(due);
        self.added.notify_one();
    }

    /// Lets the thread end once it has run what is due, and waits for that until the deadline. True when it has ended
    /// or never ran; from inside a callback it is not waited for.
    pub fn close(&self, deadline: Deadline) -> bool {
        let running = {
            let mut state = self.state.lock();
            state.closed = true;
            state.thread.is_some()
        };
        self.added.notify_one();
        if !running {
            return true;
        }
        if is_inside() || !self.ended.wait(deadline) {
            return false;
        }
        let thread = self.state.lock().thread.take();
        if let Some(thread) = thread {
            // It has run everything: this waits for its last instructions only.
            let _ = thread.join();
        }
        true
    }

    /// Whether the thread has nothing to run.
    pub fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.due.is_empty() && !state.running
    }

    fn run(&self) {
        INSIDE.set(true);
        while let Some((done, entry)) = self.next() {
            // The function is the host's: whatever it does must not end the callbacks of the others.
            let _ = catch_unwind(AssertUnwindSafe(|| done(entry)));
        }
        self.ended.open();
    }

    fn next(&self) -> Option<(Done, Entry)> {
        let mut state = self.state.lock();
        state.running = false;
        loop {
            if let Some(due) = state.due.pop_front() {
                state.running = true;
                return Some(due);
            }
            if state.closed {
                return None;
            }
            self.added.wait(&mut state);
        }
    }
}
