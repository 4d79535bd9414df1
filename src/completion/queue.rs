//! A bounded queue of completions, with a descriptor for event loops.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Waker};

use crate::base::sync::{Condvar, Mutex, MutexGuard};
use tokio::sync::Notify;

use super::untaken::{InOrder, Untaken};
use super::{Entry, EntryKind};
use crate::base::deadline::Deadline;
use crate::base::error::{Error, ErrorKind, Result};
use crate::net::sys::Signal;
use crate::observe::Sink;
use crate::resp::Reply;

/// Entries that are taken out at once: whoever posts meanwhile waits for no more than these to be moved.
const PIECE: usize = 256;

/// Beside the number of places that are taken: the deployment is closed. More than any capacity, so that none is free.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// The room of a queue whose entries may have any size.
const UNCOUNTED: usize = usize::MAX;

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    /// The completions of calls among them, by client, in the same order.
    untaken: InOrder,
    /// Threads that wait for an entry.
    sleepers: usize,
    /// Wake-ups that no poll has taken yet.
    wakes: usize,
    /// The deployment is closed: only calls under way still add something.
    closed: bool,
    /// The program has freed it: what comes is dropped.
    freed: bool,
    /// Bytes of the entries, where they are counted.
    bytes: usize,
}

/// A queue of completions. Any thread, any time.
///
/// The places are counted apart from the entries: a submitted call takes one when it is accepted, so that there is room
/// for its completion whenever it comes.
#[derive(Debug)]
pub struct Queue {
    capacity: usize,
    /// Entries, and calls whose entry is still to come; and `CLOSED`, so that no place is taken once it is.
    taken: AtomicUsize,
    /// Bytes that the entries may not reach without the last one; `UNCOUNTED`: any.
    room: AtomicUsize,
    /// More came than that: it was freed of itself.
    overrun: AtomicBool,
    state: Mutex<State>,
    arrived: Condvar,
    /// Made when a program first asks for it: without one, posting costs no system call.
    signal: OnceLock<Signal>,
    /// A task that takes what comes: woken as the signal is raised.
    taker: OnceLock<Waker>,
    /// A task waits for room.
    crowded: AtomicBool,
    /// Tells tasks that there is room again, or that the queue is closed or freed.
    moved: Notify,
}

/// What [`Queue::poll`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polled {
    /// So many entries were taken, at least one.
    Some(usize),
    /// None came in time, or somebody called [`Queue::wake`].
    Empty,
}

impl Queue {
    /// An empty queue for up to `capacity` entries.
    pub fn new(capacity: usize) -> Queue {
        Queue {
            capacity: capacity.min(CLOSED),
            taken: AtomicUsize::new(0),
            room: AtomicUsize::new(UNCOUNTED),
            overrun: AtomicBool::new(false),
            state: Mutex::default(),
            arrived: Condvar::new(),
            signal: OnceLock::new(),
            taker: OnceLock::new(),
            crowded: AtomicBool::new(false),
            moved: Notify::new(),
        }
    }

    /// Takes a place for an entry that will come by [`Queue::post_taken`]; `QueueFull` when there is none left, `Closed`
    /// once the deployment is.
    #[inline]
    pub fn take_place(&self) -> Result<()> {
        // Never taken and given back: meanwhile another would find no room where there is some.
        let room = |taken: usize| (taken < self.capacity).then_some(taken + 1);
        match self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) {
            Ok(_) => Ok(()),
            Err(taken) if taken & CLOSED != 0 => Err(Error::new(ErrorKind::Closed)),
            Err(_) => Err(Error::new(ErrorKind::QueueFull { limit: self.capacity })),
        }
    }

    /// Gives places back for which no entry will come.
    pub fn give_back(&self, places: usize) {
        let taken = self.taken.fetch_sub(places, Ordering::SeqCst) - places;
        if self.crowded.load(Ordering::SeqCst) && self.crowded.swap(false, Ordering::SeqCst) {
            self.moved.notify_waiters();
        }
        if taken == CLOSED {
            // Whoever has looked before waits by now.
            drop(self.state.lock());
            self.arrived.notify_all();
        }
    }

    /// Posts entries whose places were taken before, all at once, and what counts the calls among them.
    pub fn post_taken(&self, entries: impl ExactSizeIterator<Item = Entry>, untaken: Option<Untaken>) {
        let count = entries.len();
        if count == 0 {
            return;
        }
        let mut state = self.state.lock();
        if state.freed {
            drop(state);
            // Dropped outside of the lock.
            entries.for_each(drop);
            return;
        }
        let was_empty = state.entries.is_empty();
        let overrun = self.add(&mut state, entries);
        state.untaken.add(untaken);
        if was_empty {
            self.raise();
        }
        if overrun {
            self.overrun.store(true, Ordering::Relaxed);
            drop(state);
            return self.free();
        }
        let sleepers = state.sleepers;
        // Who wakes shall find the lock free.
        drop(state);
        match sleepers {
            0 => {}
            _ if count == 1 => self.arrived.notify_one(),
            _ => self.arrived.notify_all(),
        }
    }

    /// Adds entries. Whether there was no room for them.
    #[inline]
    fn add(&self, state: &mut State, entries: impl Iterator<Item = Entry>) -> bool {
        let room = self.room.load(Ordering::Relaxed);
        if room == UNCOUNTED {
            state.entries.extend(entries);
            return false;
        }
        let (mut bytes, mut last) = (state.bytes, 0);
        let weighed = entries.inspect(|entry| {
            last = weight(entry);
            bytes += last;
        });
        state.entries.extend(weighed);
        state.bytes = bytes;
        bytes - last >= room
    }

    /// Posts an entry that nobody took a place for; false when the queue is full, closed or freed, and the entry is
    /// dropped.
    pub fn post(&self, entry: Entry) -> bool {
        if self.take_place().is_err() {
            return false;
        }
        if self.is_over() {
            self.give_back(1);
            return false;
        }
        self.post_taken(std::iter::once(entry), None);
        true
    }

    /// Posts as many of `entries` as there is room for, from the front, and leaves the others there; none once it is
    /// closed or freed.
    pub fn post_some(&self, entries: &mut VecDeque<Entry>) {
        let mut places = 0;
        let room = |taken: usize| {
            places = entries.len().min(self.capacity.saturating_sub(taken));
            (places > 0).then_some(taken + places)
        };
        let taken = self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room);
        if taken.is_err() {
            return;
        }
        if self.is_over() {
            self.give_back(places);
            return;
        }
        self.post_taken(entries.drain(..places), None);
    }

    /// Returns when there is room for an entry, as far as anybody can know before it is posted; never once the queue is
    /// closed or freed.
    pub async fn room(&self) {
        loop {
            let moved = self.moved.notified();
            // Before the look: whoever makes room after it sees this.
            self.crowded.store(true, Ordering::SeqCst);
            if self.taken.load(Ordering::SeqCst) < self.capacity && !self.is_over() {
                return;
            }
            moved.await;
        }
    }

    /// Returns when nothing but the calls under way will be added any more.
    pub async fn over(&self) {
        loop {
            let moved = self.moved.notified();
            if self.is_over() {
                return;
            }
            moved.await;
        }
    }

    /// Whether nothing but the calls under way will be added any more.
    pub fn is_over(&self) -> bool {
        let state = self.state.lock();
        state.closed || state.freed
    }

    /// Hands up to `most` entries to `take`, waiting for the first one until the deadline. `Closed` when the deployment
    /// is closed and everything has been taken.
    pub fn poll(&self, most: usize, deadline: Deadline, take: impl FnMut(Entry)) -> Result<Polled> {
        let mut state = self.state.lock();
        // Who takes nothing asks whether anything can come.
        if most == 0 && !self.is_at_its_end(&state) {
            return Ok(Polled::Empty);
        }
        loop {
            if !state.entries.is_empty() {
                return Ok(Polled::Some(self.hand_out(state, most, take)));
            }
            let late = deadline.passed();
            if state.wakes > 0 && !late {
                state.wakes -= 1;
                return Ok(Polled::Empty);
            }
            if self.is_at_its_end(&state) {
                return Err(Error::new(ErrorKind::Closed));
            }
            if late {
                return Ok(Polled::Empty);
            }
            state.sleepers += 1;
            self.arrived.wait_until(&mut state, deadline.at());
            state.sleepers -= 1;
        }
    }

    /// Whether nothing waits and nothing can come any more.
    fn is_at_its_end(&self, state: &State) -> bool {
        // What is behind the number lies behind the lock, which is held.
        state.freed || self.taken.load(Ordering::Relaxed) == CLOSED
    }

    /// Hands out what is there, up to `most`, and waits for nothing. How many were handed out.
    pub(crate) fn take_some(&self, most: usize, take: impl FnMut(Entry)) -> usize {
        self.hand_out(self.state.lock(), most, take)
    }

    /// Hands out what is there, up to `most`. Without the lock, for `take` takes its time. How many were handed out.
    fn hand_out<'a>(&'a self, mut state: MutexGuard<'a, State>, most: usize, mut take: impl FnMut(Entry)) -> usize {
        let (mut left, mut handed) = (most.min(state.entries.len()), 0);
        loop {
            let piece = self.take_piece(&mut state, left.min(PIECE));
            drop(state);
            let count = piece.entries.len();
            piece.for_each(&mut take);
            handed += count;
            left -= count;
            // Other threads take as well.
            if left == 0 || count == 0 {
                return handed;
            }
            state = self.state.lock();
        }
    }

    #[inline]
    fn take_piece(&self, state: &mut State, most: usize) -> Piece<'_> {
        let count = most.min(state.entries.len());
        let entries: VecDeque<Entry> = match count == state.entries.len() {
            true => std::mem::take(&mut state.entries),
            false => state.entries.drain(..count).collect(),
        };
        // Nothing, where they are not counted.
        state.bytes = match state.entries.is_empty() || state.bytes == 0 {
            true => 0,
            false => state.bytes.saturating_sub(entries.iter().map(weight).sum()),
        };
        let calls = entries.iter().filter(|entry| entry.kind == EntryKind::Call);
        let untaken = state.untaken.split(calls.count());
        if count > 0 && state.entries.is_empty() {
            self.lower();
        }
        Piece {
            queue: self,
            entries,
            untaken,
            handed: 0,
            calls: 0,
        }
    }

    /// Puts entries that were not handed out back in front.
    #[cold]
    fn put_back(&self, mut entries: VecDeque<Entry>, untaken: InOrder) {
        let mut state = self.state.lock();
        if state.freed {
            // Dropped outside of the lock.
            return drop(state);
        }
        if state.entries.is_empty() {
            self.raise();
        }
        if self.room.load(Ordering::Relaxed) != UNCOUNTED {
            state.bytes += entries.iter().map(weight).sum::<usize>();
        }
        entries.append(&mut state.entries);
        state.entries = entries;
        state.untaken.put_back(untaken);
        drop(state);
        self.arrived.notify_all();
    }

    /// Lets one waiting poll return, or the next one that would wait.
    pub fn wake(&self) {
        let mut state = self.state.lock();
        if state.wakes < state.sleepers.max(1) {
            state.wakes += 1;
        }
        self.arrived.notify_all();
    }

    /// A descriptor that is readable exactly while entries wait.
    pub fn fd(&self) -> io::Result<RawFd> {
        if let Some(signal) = self.signal.get() {
            return Ok(signal.raw());
        }
        let new = Signal::new()?;
        let state = self.state.lock();
        let signal = self.signal.get_or_init(|| new);
        if !state.entries.is_empty() {
            signal.raise();
        }
        Ok(signal.raw())
    }

    /// The deployment is closed: what waits here can still be taken, and so can the calls under way when they end.
    ///
    /// Before they are ended: who watches the descriptor looks once more after the last of them, and never again.
    pub fn close(&self) {
        {
            let mut state = self.state.lock();
            state.closed = true;
            self.taken.fetch_or(CLOSED, Ordering::SeqCst);
        }
        self.arrived.notify_all();
        self.moved.notify_waiters();
    }

    /// The program gives the queue up: what waits here is dropped, and who waits is sent away.
    pub fn free(&self) {
        let dropped = {
            let mut state = self.state.lock();
            state.freed = true;
            state.untaken = InOrder::default();
            state.bytes = 0;
            self.lower();
            std::mem::take(&mut state.entries)
        };
        self.arrived.notify_all();
        self.moved.notify_waiters();
        drop(dropped);
    }

    /// From here on its entries have fewer bytes than this, but for the last one, which may have any: where more comes, it is
    /// freed, so that memory ends there and not when somebody looks. First before anything comes.
    pub(crate) fn set_room(&self, bytes: usize) {
        self.room.store(bytes.min(UNCOUNTED - 1), Ordering::Relaxed);
    }

    /// Whether more came than there was room for.
    pub(crate) fn is_overrun(&self) -> bool {
        self.overrun.load(Ordering::Relaxed)
    }

    /// Has this task woken, and no other, when something is there again.
    pub(crate) fn wake_with(&self, cx: &Context<'_>) {
        self.taker.get_or_init(|| cx.waker().clone());
    }

    fn raise(&self) {
        if let Some(signal) = self.signal.get() {
            signal.raise();
        }
        if let Some(taker) = self.taker.get() {
            taker.wake_by_ref();
        }
    }

    fn lower(&self) {
        if let Some(signal) = self.signal.get() {
            signal.lower();
        }
    }
}

/// The memory of what an entry brings.
fn weight(entry: &Entry) -> usize {
    entry.result.as_ref().map_or(0, Reply::memory)
}

/// Entries on their way from a queue to who polls it, with what counts the calls among them. What was not handed out
/// when it is dropped, for `take` unwound, is in the queue again.
struct Piece<'a> {
    queue: &'a Queue,
    entries: VecDeque<Entry>,
    untaken: InOrder,
    handed: usize,
    /// Calls among those.
    calls: usize,
}

impl Piece<'_> {
    fn for_each(mut self, take: &mut impl FnMut(Entry)) {
        while let Some(entry) = self.entries.pop_front() {
            self.handed += 1;
            self.calls += usize::from(entry.kind == EntryKind::Call);
            take(entry);
        }
    }
}

impl Drop for Piece<'_> {
    fn drop(&mut self) {
        self.untaken.take(self.calls);
        if !self.entries.is_empty() {
            let untaken = std::mem::take(&mut self.untaken);
            self.queue.put_back(std::mem::take(&mut self.entries), untaken);
        }
        if self.handed > 0 {
            self.queue.give_back(self.handed);
        }
    }
}

impl Sink for Queue {
    fn take(&self, tag: u64, event: Reply) -> bool {
        self.post(Entry {
            tag,
            kind: EntryKind::Event,
            result: Ok(event),
        })
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
