//! Completions on their way to queues and functions.

use std::collections::HashMap;
use std::sync::Arc;

use super::callbacks::{Callbacks, Done};
use super::untaken::Untaken;
use super::{Entry, EntryKind, Queue};
use crate::base::error::Error;
use crate::resp::Reply;

/// Where a completion goes.
pub(super) enum Destination {
    /// Into a queue, under a tag.
    Queue(Arc<Queue>, u64),
    /// To a function on sentinel-cb.
    Done(Done),
}

/// Completions that are handed out together: each queue is locked once for all of its own. Whatever number of queues
/// they are for, each is looked at once.
#[derive(Default)]
pub(super) struct Deliveries {
    /// Those for queues, in the order in which these came first.
    queues: Vec<(Arc<Queue>, Vec<Entry>)>,
    /// The place of each queue there, by its address, from the second on.
    places: HashMap<*const Queue, usize>,
    /// The one that was added to last: most programs have one.
    last: usize,
    done: Vec<(Done, Entry)>,
}

impl Deliveries {
    /// Adds one. The order is kept for each queue, and for all functions.
    pub(super) fn add(&mut self, to: Destination, result: Result<Reply, Error>) {
        let kind = EntryKind::Call;
        match to {
            Destination::Queue(queue, tag) => self.add_to(&queue, tag, result),
            Destination::Done(function) => self.done.push((function, Entry { tag: 0, kind, result })),
        }
    }

    /// The same for a queue.
    #[inline]
    pub(super) fn add_to(&mut self, queue: &Arc<Queue>, tag: u64, result: Result<Reply, Error>) {
        let last = self.queues.get(self.last);
        if !last.is_some_and(|(last, _)| Arc::ptr_eq(last, queue)) {
            self.last = self.place(queue);
        }
        if let Some((_, entries)) = self.queues.get_mut(self.last) {
            let kind = EntryKind::Call;
            entries.push(Entry { tag, kind, result });
        }
    }

    /// The place of a queue that is not the last.
    fn place(&mut self, queue: &Arc<Queue>) -> usize {
        let next = self.queues.len();
        if next == 1 {
            let first = self.queues.first().map(|(first, _)| (Arc::as_ptr(first), 0));
            self.places.extend(first);
        }
        let place = match next {
            0 => 0,
            _ => *self.places.entry(Arc::as_ptr(queue)).or_insert(next),
        };
        if place == next {
            self.queues.push((Arc::clone(queue), Vec::new()));
        }
        place
    }

    /// Hands all of them out, with what counts them.
    pub(super) fn send(self, callbacks: &Arc<Callbacks>, mut untaken: Untaken) {
        for (queue, entries) in self.queues {
            let own = untaken.split(entries.len());
            queue.post_taken(entries.into_iter(), Some(own));
        }
        if !self.done.is_empty() {
            callbacks.add(self.done.into_iter(), untaken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::deadline::Deadline;
    use crate::base::error::ErrorKind;
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
    #[test]
    fn a_queue_is_held_once_for_all_of_its_own_however_many_there_are() {
        let queues: Vec<Arc<Queue>> = (0..1000).map(|_| Arc::new(Queue::new(3))).collect();
        let mut all = Deliveries::default();
        for (queue, tag) in (0..3).flat_map(|tag| queues.iter().map(move |queue| (queue, tag))) {
            queue.take_place().unwrap();
            all.add_to(queue, tag, Err(Error::new(ErrorKind::Cancelled)));
        }
        assert_eq!(all.queues.len(), 1000);
        assert!(queues.iter().all(|queue| Arc::strong_count(queue) == 2));
        all.send(&Arc::default(), Untaken::new(&Arc::default(), 3000));
        for queue in &queues {
            let mut tags = Vec::new();
            queue.poll(9, Deadline::NEVER, |entry| tags.push(entry.tag)).unwrap();
            assert_eq!(tags, [0, 1, 2]);
        }
    }
}
