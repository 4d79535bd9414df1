//! The thread `sentinel-cb`: runs the functions that completions and lines of the log are given to, one at a time.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::base::sync::{Condvar, Mutex};

use super::Entry;
use super::lines::{Line, Lines};
use super::untaken::Untaken;
use crate::base::deadline::Deadline;
use crate::base::handoff::Latch;
use crate::base::thread;
use crate::observe::{Level, Scribe};
use crate::options::LogHook;

/// What a completion is given to, once.
pub type Done = Box<dyn FnOnce(Entry) + Send>;

struct Thread {
    handle: JoinHandle<()>,
    ended: Arc<Latch>,
}

/// What is to be run.
pub(super) enum Due {
    Call(Done, Entry, Untaken),
    Line(Line),
}

/// What the thread has just run.
enum Ran {
    Nothing,
    Call,
    Line,
}

#[derive(Default)]
struct State {
    due: VecDeque<Due>,
    /// Functions of calls that are due, or run.
    calls: usize,
    /// What is known of the lines that are due.
    lines: Lines,
    /// The thread, once it was started: the last, where there were several.
    thread: Option<Thread>,
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
    /// A line has been written.
    written: Condvar,
}

impl std::fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callbacks")
            .field("due", &self.state.lock().due.len())
            .finish_non_exhaustive()
    }
}

/// Gives lines to `sentinel-cb`.
struct ToThread {
    callbacks: Arc<Callbacks>,
    to: LogHook,
}

impl Scribe for ToThread {
    fn write(&self, level: Level, text: String) {
        let to = Arc::clone(&self.to);
        self.callbacks.write(Line { to, level, text });
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
        let ended = Arc::<Latch>::default();
        let ending = Arc::clone(&ended);
        let thread = thread::thread("sentinel-cb");
        let handle = thread::with_signals_blocked(|| thread.spawn(move || own.run(&ending)))?;
        state.thread = Some(Thread { handle, ended });
        state.alive = true;
        Ok(())
    }

    /// Lets the thread run these, in this order. What was accepted before the deployment was closed may complete after the
    /// thread has ended, where closing had too little time or came between: then it is run by another.
    /// Each counts among `untaken` until it has returned.
    pub fn add(self: &Arc<Callbacks>, due: impl Iterator<Item = (Done, Entry)>, mut untaken: Untaken) {
        let mut state = self.state.lock();
        let before = state.due.len();
        let due = due.map(|(done, entry)| Due::Call(done, entry, untaken.split(1)));
        state.due.extend(due);
        state.calls += state.due.len() - before;
        if !state.alive && !state.due.is_empty() {
            // Without a thread to be had there is nobody to tell.
            let _ = self.run_on_thread(&mut state);
        }
        drop(state);
        self.added.notify_one();
    }

    /// Has a line written, unless too many wait already, or the thread has ended with the deployment.
    pub(super) fn write(self: &Arc<Callbacks>, line: Line) {
        let mut state = self.state.lock();
        let over = state.closed && !state.alive;
        if over || !state.lines.may_add(&line) {
            return;
        }
        state.due.push_back(Due::Line(line));
        if !state.alive {
            let _ = self.run_on_thread(&mut state);
        }
        drop(state);
        self.added.notify_one();
    }

    /// What has `hook` called with each line.
    pub fn scribe(self: &Arc<Callbacks>, hook: LogHook) -> Box<dyn Scribe> {
        let callbacks = Arc::clone(self);
        Box::new(ToThread { callbacks, to: hook })
    }

    /// Has no line written any more; waits until the deadline for one that is being written, but not from inside it.
    pub fn end_lines(&self, deadline: Deadline) {
        let mut state = self.state.lock();
        state.lines.end();
        let (lines, calls) = std::mem::take(&mut state.due)
            .into_iter()
            .partition(|due| matches!(due, Due::Line(_)));
        state.due = calls;
        while state.lines.is_writing() && !thread::is_inside() && !deadline.passed() {
            self.written.wait_until(&mut state, deadline.at());
        }
        drop(state);
        drop::<VecDeque<Due>>(lines);
    }

    /// Lets the thread end once it has run what is due, and waits for that until the deadline. True when it has ended
    /// or never ran; from inside a callback it is not waited for.
    pub fn close(&self, deadline: Deadline) -> bool {
        self.state.lock().closed = true;
        self.added.notify_one();
        // Another thread may have been started meanwhile, for what completed behind this one's end.
        while let Some(ended) = self.running() {
            if thread::is_inside() || !ended.wait(deadline) {
                return false;
            }
            let mut state = self.state.lock();
            let thread = state.thread.take_if(|thread| Arc::ptr_eq(&thread.ended, &ended));
            drop(state);
            if let Some(thread) = thread {
                // It has run everything: this waits for its last instructions only.
                let _ = thread.handle.join();
            }
        }
        true
    }

    /// What tells the end of the thread, where one was started.
    fn running(&self) -> Option<Arc<Latch>> {
        let state = self.state.lock();
        state.thread.as_ref().map(|thread| Arc::clone(&thread.ended))
    }

    /// Whether no call's function is due, or runs.
    pub fn is_idle(&self) -> bool {
        self.state.lock().calls == 0
    }

    fn run(&self, ended: &Latch) {
        thread::be_inside();
        let mut ran = Ran::Nothing;
        while let Some(due) = self.next(ran) {
            // The function is the host's: whatever it does must not end the callbacks of the others.
            let (kind, untaken) = match due {
                Due::Call(done, entry, untaken) => {
                    let _ = catch_unwind(AssertUnwindSafe(|| done(entry)));
                    (Ran::Call, Some(untaken))
                }
                Due::Line(line) => {
                    let _ = catch_unwind(AssertUnwindSafe(|| line.write()));
                    (Ran::Line, None)
                }
            };
            if !thread::is_inside() {
                // It has forked, and this is the child, to which nothing here belongs.
                return;
            }
            drop(untaken);
            ran = kind;
        }
        ended.open();
    }

    fn next(&self, ran: Ran) -> Option<Due> {
        let mut state = self.state.lock();
        match ran {
            Ran::Nothing => {}
            Ran::Call => state.calls -= 1,
            Ran::Line => {
                state.lines.wrote();
                self.written.notify_all();
            }
        }
        loop {
            if let Some(due) = state.due.pop_front() {
                if let Due::Line(line) = &due {
                    let lost = state.lines.begin(line);
                    state.due.extend(lost.map(Due::Line));
                }
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
    use crate::base::error::{Error, ErrorKind};
    use crate::completion::EntryKind;

    fn telling(told: &mpsc::Sender<u64>, tag: u64) -> (Done, Entry) {
        let told = told.clone();
        let result = Err(Error::new(ErrorKind::Closed));
        let kind = EntryKind::Call;
        let done = Box::new(move |entry: Entry| told.send(entry.tag).unwrap());
        (done, Entry { tag, kind, result })
    }

    fn counted(count: usize) -> Untaken {
        Untaken::new(&Arc::default(), count)
    }

    #[test]
    fn what_completes_after_the_thread_has_ended_is_told_all_the_same() {
        let (told, heard) = mpsc::channel();
        let patience = Duration::from_secs(10);
        let in_time = || Deadline::after(Some(patience));
        let callbacks = Arc::new(Callbacks::default());
        callbacks.start().unwrap();
        callbacks.add([telling(&told, 1)].into_iter(), counted(1));
        assert!(callbacks.close(in_time()));
        callbacks.start().unwrap();
        callbacks.add([telling(&told, 2), telling(&told, 3)].into_iter(), counted(2));
        for tag in 1..=3 {
            assert_eq!(heard.recv_timeout(patience), Ok(tag));
        }
        assert!(callbacks.close(in_time()));
        // Again, and the second thread is waited for no longer than the first.
        let (release, released) = mpsc::channel::<()>();
        let (_, entry) = telling(&told, 0);
        let blocking: Done = Box::new(move |_| released.recv_timeout(patience).unwrap());
        callbacks.add([(blocking, entry)].into_iter(), counted(1));
        assert!(!callbacks.close(Deadline::after(Some(Duration::from_millis(20)))));
        release.send(()).unwrap();
        assert!(callbacks.close(in_time()));
        // Closed before it ever ran.
        let callbacks = Arc::new(Callbacks::default());
        assert!(callbacks.close(in_time()));
        callbacks.start().unwrap();
        callbacks.add([telling(&told, 4)].into_iter(), counted(1));
        assert_eq!(heard.recv_timeout(patience), Ok(4));
    }
}
