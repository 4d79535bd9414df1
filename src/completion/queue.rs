//! A bounded queue of completions, with a descriptor for event loops.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::sync::{Condvar, Mutex};
use tokio::sync::Notify;

use super::untaken::{InOrder, Untaken};
use super::{Entry, EntryKind};
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Result};
use crate::net::sys::EventFd;

/// Entries of an empty queue that it keeps room for.
const KEEP: usize = 4096;

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
}

/// A queue of completions. Any thread, any time.
///
/// The places are counted apart from the entries: a submitted call takes one when it is accepted, so that there is room
/// for its completion whenever it comes.
#[derive(Debug)]
pub struct Queue {
    capacity: usize,
    /// Entries, and calls whose entry is still to come.
    taken: AtomicUsize,
    state: Mutex<State>,
    arrived: Condvar,
    /// Made when a program first asks for it: without one, posting costs no system call.
    signal: OnceLock<EventFd>,
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
            capacity,
            taken: AtomicUsize::new(0),
            state: Mutex::default(),
            arrived: Condvar::new(),
            signal: OnceLock::new(),
            crowded: AtomicBool::new(false),
            moved: Notify::new(),
        }
    }

    /// Takes a place for an entry that will come by [`Queue::post_taken`]; `QueueFull` when there is none left.
    pub fn take_place(&self) -> Result<()> {
        // Never taken and given back: meanwhile another would find no room where there is some.
        let room = |taken: usize| (taken < self.capacity).then_some(taken + 1);
        match self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(ErrorKind::QueueFull { limit: self.capacity })),
        }
    }

    /// Gives places back for which no entry will come.
    pub fn give_back(&self, places: usize) {
        let taken = self.taken.fetch_sub(places, Ordering::SeqCst) - places;
        if self.crowded.load(Ordering::SeqCst) && self.crowded.swap(false, Ordering::SeqCst) {
            self.moved.notify_waiters();
        }
        if taken == 0 && self.state.lock().closed {
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
        state.entries.extend(entries);
        state.untaken.add(untaken);
        if was_empty {
            self.raise();
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
    pub fn poll(&self, most: usize, deadline: Deadline, mut take: impl FnMut(Entry)) -> Result<Polled> {
        if most == 0 {
            return Ok(Polled::Empty);
        }
        let mut state = self.state.lock();
        loop {
            let count = most.min(state.entries.len());
            if count > 0 {
                let mut calls = 0;
                for entry in state.entries.drain(..count) {
                    calls += usize::from(entry.kind == EntryKind::Call);
                    take(entry);
                }
                state.untaken.take(calls);
                if state.entries.is_empty() {
                    state.entries.shrink_to(KEEP);
                    self.lower();
                }
                drop(state);
                self.give_back(count);
                return Ok(Polled::Some(count));
            }
            let late = deadline.passed();
            if state.wakes > 0 && !late {
                state.wakes -= 1;
                return Ok(Polled::Empty);
            }
            if state.freed || (state.closed && self.taken.load(Ordering::Acquire) == 0) {
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
        let new = EventFd::new()?;
        let state = self.state.lock();
        let signal = self.signal.get_or_init(|| new);
        if !state.entries.is_empty() {
            signal.raise();
        }
        Ok(signal.raw())
    }

    /// The deployment is closed: what waits here can still be taken.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.notify_all();
        self.moved.notify_waiters();
    }

    /// The program gives the queue up: what waits here is dropped, and who waits is sent away.
    pub fn free(&self) {
        let dropped = {
            let mut state = self.state.lock();
            state.freed = true;
            state.untaken = InOrder::default();
            self.lower();
            std::mem::take(&mut state.entries)
        };
        self.arrived.notify_all();
        self.moved.notify_waiters();
        drop(dropped);
    }

    fn raise(&self) {
        if let Some(signal) = self.signal.get() {
            signal.raise();
        }
    }

    fn lower(&self) {
        if let Some(signal) = self.signal.get() {
            signal.lower();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::completion::EntryKind;
    use crate::net::sys::{Ready, wait_ready};
    use std::os::fd::BorrowedFd;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    fn entry(tag: u64) -> Entry {
        Entry {
            tag,
            kind: EntryKind::Call,
            result: Err(Error::new(ErrorKind::Cancelled)),
        }
    }

    fn tags(queue: &Queue, most: usize, ms: u64) -> (Result<Polled>, Vec<u64>) {
        let mut tags = Vec::new();
        let deadline = Deadline::after(Some(Duration::from_millis(ms)));
        let polled = queue.poll(most, deadline, |entry| tags.push(entry.tag));
        (polled, tags)
    }

    fn readable(queue: &Queue) -> bool {
        let fd = queue.fd().unwrap();
        // SAFETY: the descriptor is open as long as the queue is.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        wait_ready(fd, Ready::Read, Some(Instant::now())).unwrap()
    }

    #[test]
    fn entries_come_out_in_order_and_the_descriptor_tells_exactly_when() {
        let queue = Queue::new(8);
        queue.post(entry(1));
        assert!(readable(&queue), "made after the entry came");
        queue.post(entry(2));
        queue.post(entry(3));
        assert_eq!(tags(&queue, 2, 0), (Ok(Polled::Some(2)), vec![1, 2]));
        assert!(readable(&queue));
        assert_eq!(tags(&queue, 8, 0), (Ok(Polled::Some(1)), vec![3]));
        assert!(!readable(&queue));
        queue.post(entry(4));
        assert!(readable(&queue));
        assert_eq!(tags(&queue, 8, 0).1, [4]);
        assert!(!readable(&queue));
    }

    #[test]
    fn a_full_queue_takes_nothing_more_until_it_is_polled() {
        let queue = Queue::new(2);
        queue.take_place().unwrap();
        assert!(queue.post(entry(1)));
        assert!(!queue.post(entry(2)));
        let full = queue.take_place().unwrap_err();
        assert_eq!(*full.kind(), ErrorKind::QueueFull { limit: 2 });
        assert_eq!(tags(&queue, 8, 0).1, [1]);
        assert!(queue.post(entry(3)));
        queue.post_taken(std::iter::once(entry(4)), None);
        assert_eq!(tags(&queue, 8, 0).1, [3, 4]);
    }

    #[test]
    fn who_finds_no_place_takes_none_from_another() {
        let queue = Queue::new(1);
        queue.take_place().unwrap();
        let tries = || {
            for _ in 0..20_000 {
                queue.take_place().unwrap_err();
                assert!(queue.taken.load(Ordering::Relaxed) <= 1);
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(tries))));
    }

    #[test]
    fn as_many_are_posted_as_there_is_room_for_and_the_others_stay() {
        let queue = Queue::new(3);
        queue.take_place().unwrap();
        let mut entries: VecDeque<Entry> = (1..=5).map(entry).collect();
        queue.post_some(&mut entries);
        assert_eq!(entries.iter().map(|entry| entry.tag).collect::<Vec<_>>(), [3, 4, 5]);
        queue.post_some(&mut entries);
        assert_eq!(entries.len(), 3);
        assert_eq!(tags(&queue, 8, 0).1, [1, 2]);
        queue.post_some(&mut entries);
        assert_eq!(tags(&queue, 8, 0).1, [3, 4]);
        queue.close();
        queue.post_some(&mut entries);
        assert_eq!((entries.len(), queue.taken.load(Ordering::Relaxed)), (1, 1));
    }

    #[test]
    fn a_task_is_told_of_room_and_of_the_end() {
        use std::pin::pin;
        use std::task::{Context, Poll, Waker};
        let queue = Queue::new(1);
        queue.post(entry(1));
        let mut context = Context::from_waker(Waker::noop());
        let (mut room, mut over) = (pin!(queue.room()), pin!(queue.over()));
        assert_eq!(room.as_mut().poll(&mut context), Poll::Pending);
        assert_eq!(over.as_mut().poll(&mut context), Poll::Pending);
        assert_eq!(tags(&queue, 1, 0).1, [1]);
        assert_eq!(room.as_mut().poll(&mut context), Poll::Ready(()));
        assert_eq!(over.as_mut().poll(&mut context), Poll::Pending);
        queue.free();
        assert_eq!(over.as_mut().poll(&mut context), Poll::Ready(()));
        let mut room = pin!(queue.room());
        assert_eq!(
            room.as_mut().poll(&mut context),
            Poll::Pending,
            "nothing is posted any more"
        );
    }

    #[test]
    fn a_wake_ends_one_wait_and_is_not_lost() {
        let queue = Arc::new(Queue::new(2));
        queue.wake();
        queue.wake();
        let start = Instant::now();
        assert_eq!(tags(&queue, 1, 10_000).0, Ok(Polled::Empty));
        assert!(start.elapsed() < Duration::from_secs(5));
        assert_eq!(tags(&queue, 1, 20).0, Ok(Polled::Empty));
        assert!(
            start.elapsed() >= Duration::from_millis(20),
            "two wakes nobody waited for are one"
        );
        let waiter = {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || tags(&queue, 1, 10_000))
        };
        while queue.state.lock().sleepers == 0 {
            std::thread::yield_now();
        }
        queue.wake();
        assert_eq!(waiter.join().unwrap(), (Ok(Polled::Empty), vec![]));
    }

    #[test]
    fn a_closed_queue_gives_what_it_has_and_waits_for_what_was_promised() {
        let queue = Arc::new(Queue::new(4));
        queue.post(entry(1));
        queue.take_place().unwrap();
        queue.close();
        assert!(!queue.post(entry(9)));
        assert_eq!(tags(&queue, 4, 0).1, [1]);
        let waiter = {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || tags(&queue, 4, 10_000))
        };
        queue.post_taken(std::iter::once(entry(2)), None);
        assert_eq!(waiter.join().unwrap().1, [2]);
        assert_eq!(*tags(&queue, 4, 10_000).0.unwrap_err().kind(), ErrorKind::Closed);
    }

    #[test]
    fn who_waits_on_a_freed_queue_is_sent_away() {
        let queue = Arc::new(Queue::new(4));
        let waiter = {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || tags(&queue, 4, 10_000).0)
        };
        while queue.state.lock().sleepers == 0 {
            std::thread::yield_now();
        }
        queue.free();
        assert_eq!(*waiter.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    }

    #[test]
    fn several_pollers_share_what_comes() {
        let queue = Arc::new(Queue::new(10_000));
        let pollers: Vec<_> = (0..4)
            .map(|_| {
                let queue = Arc::clone(&queue);
                std::thread::spawn(move || {
                    let mut mine = Vec::new();
                    while queue.poll(7, Deadline::NEVER, |entry| mine.push(entry.tag)).is_ok() {}
                    mine
                })
            })
            .collect();
        for tag in 0..1000 {
            assert!(queue.post(entry(tag)));
        }
        queue.close();
        let mut all: Vec<u64> = pollers.into_iter().flat_map(|poller| poller.join().unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
    }
}
