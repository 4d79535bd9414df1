//! Completions that the program has not taken yet: each counts against the `max_pending` of its client.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Some of a client's, counted as long as this lives.
#[derive(Debug)]
pub struct Untaken {
    all: Arc<AtomicUsize>,
    count: usize,
}

impl Untaken {
    /// So many more, of the client that counts by `all`.
    pub fn new(all: &Arc<AtomicUsize>, count: usize) -> Untaken {
        all.fetch_add(count, Ordering::Relaxed);
        Untaken {
            all: Arc::clone(all),
            count,
        }
    }

    /// So many of them, or all there are, apart.
    pub(super) fn split(&mut self, count: usize) -> Untaken {
        let count = count.min(self.count);
        self.count -= count;
        Untaken {
            all: Arc::clone(&self.all),
            count,
        }
    }

    /// Takes those of the same client in; gives others back.
    fn join(&mut self, mut others: Untaken) -> Option<Untaken> {
        if !Arc::ptr_eq(&self.all, &others.all) {
            return Some(others);
        }
        self.count += std::mem::take(&mut others.count);
        None
    }

    /// The first `count` are taken; how many of those were not among these.
    fn take(&mut self, count: usize) -> usize {
        let taken = count.min(self.count);
        self.count -= taken;
        self.all.fetch_sub(taken, Ordering::Relaxed);
        count - taken
    }

    /// Whether none is left.
    fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Drop for Untaken {
    fn drop(&mut self) {
        self.all.fetch_sub(self.count, Ordering::Relaxed);
    }
}

/// Those of several clients, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct InOrder(VecDeque<Untaken>);

impl InOrder {
    /// Some more.
    pub(super) fn add(&mut self, more: Option<Untaken>) {
        let more = match (self.0.back_mut(), more) {
            (Some(last), Some(more)) => last.join(more),
            (_, more) => more,
        };
        self.0.extend(more);
    }

    /// The first `count` are taken.
    pub(super) fn take(&mut self, mut count: usize) {
        while let Some(first) = self.0.front_mut() {
            count = first.take(count);
            if !first.is_empty() {
                return;
            }
            self.0.pop_front();
        }
    }

    /// The first `count` apart.
    pub(super) fn split(&mut self, mut count: usize) -> InOrder {
        let mut apart = InOrder::default();
        while count > 0 {
            let Some(first) = self.0.front_mut() else { break };
            let some = first.split(count);
            count -= some.count;
            if first.is_empty() {
                self.0.pop_front();
            }
            apart.0.push_back(some);
        }
        apart
    }

    /// Those that were apart come first again.
    pub(super) fn put_back(&mut self, mut apart: InOrder) {
        apart.0.append(&mut self.0);
        *self = apart;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counts_until_it_is_taken_or_dropped_wherever_it_went() {
        let (all, other) = (Arc::new(AtomicUsize::new(0)), Arc::default());
        let count = || all.load(Ordering::Relaxed);
        let mut some = Untaken::new(&all, 7);
        let apart = some.split(2);
        assert_eq!(count(), 7);
        drop(apart);
        assert_eq!(count(), 5);
        assert!(some.join(Untaken::new(&all, 3)).is_none());
        assert!(some.join(Untaken::new(&other, 1)).is_some());
        assert_eq!((count(), other.load(Ordering::Relaxed)), (8, 0));
        assert_eq!((some.take(6), count(), some.is_empty()), (0, 2, false));
        assert_eq!((some.take(3), count(), some.is_empty()), (1, 0, true));
        drop(some);
        assert_eq!(count(), 0);
    }
    #[test]
    fn those_of_several_are_parted_and_joined_in_their_order() {
        let clients = [0, 1].map(|_| Arc::new(AtomicUsize::new(0)));
        let counts = || [0, 1].map(|client: usize| clients[client].load(Ordering::Relaxed));
        let mut all = InOrder::default();
        for (client, count) in [(0, 3), (1, 2), (0, 4)] {
            all.add(Some(Untaken::new(&clients[client], count)));
        }
        let mut apart = all.split(4);
        assert_eq!((counts(), apart.0.len(), all.0.len()), ([7, 2], 2, 2));
        apart.take(2);
        assert_eq!(counts(), [5, 2]);
        all.put_back(apart);
        all.take(2);
        assert_eq!(counts(), [4, 1]);
        drop(all.split(9));
        assert_eq!(counts(), [0, 0]);
    }
}
