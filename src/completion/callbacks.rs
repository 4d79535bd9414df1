//! The thread `sentinel-cb`: runs the functions that completions are given to, one at a time.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::sync::{Condvar, Mutex};

use super::Entry;
use crate::deadline::Deadline;
use crate::handoff::Latch;
use crate::net::sys;

/// What a completion is given to, once.
pub type Done = Box<dyn FnOnce(Entry) + Send>;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether any thread ever was: where none was, no call looks at its own thread's memory for it.
static EVER: AtomicBool = AtomicBool::new(false);

/// Whether this thread is running a callback.
pub fn is_inside() -> bool {
    EVER.load(Ordering::Relaxed) && INSIDE.get()
}

#[derive(Default)]
struct State {
    due: VecDeque<(Done, Entry)>,
    /// A function is running.
    running: bool,
    /// The thread, once it was started.
    thread: Option<JoinHandle<()>>,
    /// It will look at `due` again.
    alive: bool,
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
        match state.alive || state.closed {
            true => Ok(()),
            false => self.run_on_thread(&mut state),
        }
    }

    fn run_on_thread(self: &Arc<Callbacks>, state: &mut State) -> std::io::Result<()> {
        let own = Arc::clone(self);
        let thread = std::thread::Builder::new().name("sentinel-cb".into());
        state.thread = Some(sys::with_signals_blocked(|| thread.spawn(move || own.run()))?);
        state.alive = true;
        Ok(())
    }

    /// Lets the thread run these, in this order. What was accepted before the deployment was closed may complete after the
    /// thread has ended, where closing had too little time or came between: then it is run by another.
    pub fn add(self: &Arc<Callbacks>, due: impl Iterator<Item = (Done, Entry)>) {
        let mut state = self.state.lock();
        state.due.extend(due);
        if !state.alive && !state.due.is_empty() {
            // Without a thread to be had there is nobody to tell.
            let _ = self.run_on_thread(&mut state);
        }
        drop(state);
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
        EVER.store(true, Ordering::Relaxed);
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
                state.alive = false;
                return None;
            }
            self.added.wait(&mut state);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::completion::EntryKind;
    use crate::error::{Error, ErrorKind};

    fn telling(told: &mpsc::Sender<u64>, tag: u64) -> (Done, Entry) {
        let told = told.clone();
        let result = Err(Error::new(ErrorKind::Closed));
        let kind = EntryKind::Call;
        let done = Box::new(move |entry: Entry| told.send(entry.tag).unwrap());
        (done, Entry { tag, kind, result })
    }

    #[test]
    fn what_completes_after_the_thread_has_ended_is_told_all_the_same() {
        let (told, heard) = mpsc::channel();
        let patience = Duration::from_secs(10);
        let in_time = || Deadline::after(Some(patience));
        let callbacks = Arc::new(Callbacks::default());
        callbacks.start().unwrap();
        callbacks.add([telling(&told, 1)].into_iter());
        assert!(callbacks.close(in_time()));
        callbacks.start().unwrap();
        callbacks.add([telling(&told, 2), telling(&told, 3)].into_iter());
        for tag in 1..=3 {
            assert_eq!(heard.recv_timeout(patience), Ok(tag));
        }
        assert!(callbacks.close(in_time()));
        // Closed before it ever ran.
        let callbacks = Arc::new(Callbacks::default());
        assert!(callbacks.close(in_time()));
        callbacks.start().unwrap();
        callbacks.add([telling(&told, 4)].into_iter());
        assert_eq!(heard.recv_timeout(patience), Ok(4));
    }
}
