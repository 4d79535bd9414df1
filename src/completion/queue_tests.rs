//! What a queue of completions promises.

use super::*;
use crate::completion::EntryKind;
use crate::net::sys::{Ready, wait_ready};
use crate::resp::Builder;
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
    assert_eq!((entries.len(), queue.taken.load(Ordering::Relaxed) & !CLOSED), (1, 1));
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
fn a_closed_queue_takes_no_place_whatever_its_size() {
    for capacity in [1, 4, usize::MAX] {
        let queue = Queue::new(capacity);
        queue.take_place().unwrap();
        queue.close();
        assert_eq!(*queue.take_place().unwrap_err().kind(), ErrorKind::Closed);
        let mut entries = VecDeque::from([entry(1)]);
        queue.post_some(&mut entries);
        assert_eq!(entries.len(), 1);
        for most in [4, 0] {
            assert_eq!(tags(&queue, most, 0).0.unwrap(), Polled::Empty, "a call is under way");
        }
        queue.give_back(1);
        for most in [4, 0] {
            assert_eq!(*tags(&queue, most, 0).0.unwrap_err().kind(), ErrorKind::Closed);
        }
    }
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
#[test]
fn who_posts_waits_for_no_poll_that_goes_on() {
    let queue = Queue::new(10_000);
    (0..5000).for_each(|tag| assert!(queue.post(entry(tag))));
    let mut seen = Vec::new();
    let polled = queue.poll(usize::MAX, Deadline::NEVER, |polled| {
        let state = queue.state.try_lock().expect("the queue is locked meanwhile");
        assert!(state.entries.len() >= 5000 - PIECE, "too many were taken at once");
        drop(state);
        assert!(queue.post(entry(5000 + polled.tag)));
        seen.push(polled.tag);
    });
    assert_eq!(polled, Ok(Polled::Some(5000)), "what came meanwhile is for the next");
    assert_eq!(tags(&queue, usize::MAX, 0).0, Ok(Polled::Some(5000)));
    assert!(seen.into_iter().eq(0..5000));
}

#[test]
fn what_was_not_handed_out_when_a_poll_unwinds_is_there_for_the_next() {
    let (queue, count) = (Queue::new(600), Arc::default());
    for _ in 0..600 {
        queue.take_place().unwrap();
    }
    queue.post_taken(
        (0..600).map(entry).collect::<Vec<_>>().into_iter(),
        Some(Untaken::new(&count, 600)),
    );
    let mut seen = 0;
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        queue.poll(600, Deadline::NEVER, |polled| {
            assert_ne!(polled.tag, 300, "on purpose");
            seen += 1;
        })
    }));
    assert!(unwound.is_err());
    assert_eq!((seen, count.load(Ordering::Relaxed)), (300, 299));
    assert_eq!(queue.taken.load(Ordering::Relaxed), 299);
    assert!(readable(&queue));
    assert!(tags(&queue, 600, 0).1.into_iter().eq(301..600));
    assert_eq!(count.load(Ordering::Relaxed), 0);
    assert!(!readable(&queue));
    assert_eq!(queue.taken.load(Ordering::Relaxed), 0);
}

#[test]
fn entries_that_are_counted_reach_no_further_than_one_beyond_their_room() {
    let large = || {
        let mut made = Builder::new();
        made.string(&[b'x'; 1000]);
        let result = Ok(made.finish().unwrap());
        Entry { result, ..entry(0) }
    };
    let of = large().result.unwrap().memory();
    let queue = Queue::new(100);
    queue.set_room(2 * of + 1);
    assert!(queue.post(large()) && queue.post(large()) && queue.post(large()));
    assert_eq!(tags(&queue, 1, 0).0, Ok(Polled::Some(1)));
    assert!(
        queue.post(large()) && !queue.is_overrun(),
        "what was taken counts no more"
    );
    assert_eq!(queue.state.lock().bytes, 3 * of);
    let untaken = Arc::default();
    queue.take_place().unwrap();
    queue.post_taken(std::iter::once(large()), Some(Untaken::new(&untaken, 1)));
    assert!(queue.is_overrun());
    assert_eq!(untaken.load(Ordering::Relaxed), 0);
    let state = queue.state.lock();
    assert!(state.entries.is_empty() && state.bytes == 0, "nothing of it stays");
    drop(state);
    let shut = Queue::new(100);
    shut.set_room(0);
    shut.post(entry(1));
    assert!(shut.is_overrun(), "not one");
    let any = Queue::new(100);
    assert!((0..50).all(|_| any.post(large())));
    assert_eq!((any.is_overrun(), any.state.lock().bytes), (false, 0));
}
