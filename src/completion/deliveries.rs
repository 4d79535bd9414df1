//! Completions on their way to queues and functions.

use std::sync::Arc;

use super::callbacks::{Callbacks, Done};
use super::untaken::Untaken;
use super::{Entry, EntryKind, Queue};
use crate::error::Error;
use crate::resp::Reply;

/// Where a completion goes.
pub(super) enum Destination {
    /// Into a queue, under a tag.
    Queue(Arc<Queue>, u64),
    /// To a function on sentinel-cb.
    Done(Done),
}

/// Completions that are handed out together: a queue is locked once for all of its own.
#[derive(Default)]
pub(super) struct Deliveries {
    queue: Option<Arc<Queue>>,
    /// Those for that queue.
    entries: Vec<Entry>,
    /// Those for other queues, and for functions.
    others: Vec<(Destination, Result<Reply, Error>)>,
}

impl Deliveries {
    /// Adds one. The order is kept for each queue, and for all functions.
    pub(super) fn add(&mut self, to: Destination, result: Result<Reply, Error>) {
        match to {
            Destination::Queue(queue, tag) => self.add_to(&queue, tag, result),
            to @ Destination::Done(_) => self.others.push((to, result)),
        }
    }

    /// The same for a queue.
    #[inline]
    pub(super) fn add_to(&mut self, queue: &Arc<Queue>, tag: u64, result: Result<Reply, Error>) {
        let own = self.queue.get_or_insert_with(|| Arc::clone(queue));
        if Arc::ptr_eq(own, queue) {
            let kind = EntryKind::Call;
            self.entries.push(Entry { tag, kind, result });
        } else {
            self.others.push((Destination::Queue(Arc::clone(queue), tag), result));
        }
    }

    /// Hands all of them out, with what counts them.
    pub(super) fn send(mut self, callbacks: &Arc<Callbacks>, mut untaken: Untaken) {
        let mut done = Vec::new();
        loop {
            if let Some(queue) = self.queue.take() {
                let own = untaken.split(self.entries.len());
                queue.post_taken(self.entries.into_iter(), Some(own));
            }
            if self.others.is_empty() {
                break;
            }
            let mut next = Deliveries::default();
            for (to, result) in self.others {
                match to {
                    Destination::Done(function) => {
                        let kind = EntryKind::Call;
                        done.push((function, Entry { tag: 0, kind, result }));
                    }
                    Destination::Queue(queue, tag) => next.add_to(&queue, tag, result),
                }
            }
            self = next;
        }
        if !done.is_empty() {
            callbacks.add(done.into_iter(), untaken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::Deadline;
    use crate::error::ErrorKind;
    use std::sync::atomic::Ordering;

    #[test]
    fn each_queue_gets_its_own_in_order() {
        let queues = [0, 1, 2].map(|_| Arc::new(Queue::new(100)));
        let mut all = Deliveries::default();
        for (number, place) in (0..30).zip([0, 1, 0, 2, 2].into_iter().cycle()) {
            queues[place].take_place().unwrap();
            let to = Destination::Queue(Arc::clone(&queues[place]), number);
            all.add(to, Err(Error::new(ErrorKind::Cancelled)));
        }
        let count = Arc::default();
        all.send(&Arc::default(), Untaken::new(&count, 30));
        assert_eq!(count.load(Ordering::Relaxed), 30);
        let tags = |queue: &Queue| {
            let mut tags = Vec::new();
            queue
                .poll(100, Deadline::NEVER, |entry| tags.push(entry.tag))
                .map(|_| tags)
        };
        let of = |places: &[u64]| (0..30).filter(|n| places.contains(&(n % 5))).collect::<Vec<_>>();
        assert_eq!(tags(&queues[0]), Ok(of(&[0, 2])));
        assert_eq!(count.load(Ordering::Relaxed), 18);
        assert_eq!(tags(&queues[1]), Ok(of(&[1])));
        let first = |queue: &Queue| {
            let mut tags = Vec::new();
            queue
                .poll(5, Deadline::NEVER, |entry| tags.push(entry.tag))
                .map(|_| tags)
        };
        assert_eq!(first(&queues[2]), Ok(of(&[3, 4])[..5].to_vec()));
        assert_eq!(count.load(Ordering::Relaxed), 7);
        queues[2].free();
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }
}
