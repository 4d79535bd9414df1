//! The queues in which the submitted calls of a client end: each is held once, however many calls there are, and only
//! while there are any.

use std::collections::HashMap;
use std::sync::Arc;

use super::Queue;

#[derive(Debug)]
struct Held {
    queue: Arc<Queue>,
    /// Calls that end in it.
    calls: usize,
}

/// Entering a call takes the same time however many queues there are.
#[derive(Debug, Default)]
pub(super) struct Queues {
    held: Vec<Option<Held>>,
    /// Where each queue is held, by its address: that is its own as long as it is held.
    places: HashMap<usize, usize>,
    free: Vec<usize>,
    /// The one that was asked for last: most programs have one.
    last: usize,
}

impl Queues {
    /// Holds a queue for one call. The number under which it is found.
    pub(super) fn hold(&mut self, queue: &Arc<Queue>) -> usize {
        if !self.is_at(self.last, queue) {
            let place = self.places.get(&address(queue)).copied();
            self.last = place.unwrap_or_else(|| self.enter(queue));
        }
        if let Some(Some(held)) = self.held.get_mut(self.last) {
            held.calls += 1;
        }
        self.last
    }

    fn enter(&mut self, queue: &Arc<Queue>) -> usize {
        let place = self.free.pop().unwrap_or(self.held.len());
        let held = Held {
            queue: Arc::clone(queue),
            calls: 0,
        };
        match self.held.get_mut(place) {
            Some(free) => *free = Some(held),
            None => self.held.push(Some(held)),
        }
        self.places.insert(address(queue), place);
        place
    }

    /// The queue of that number.
    pub(super) fn get(&self, number: usize) -> Option<&Arc<Queue>> {
        self.held.get(number)?.as_ref().map(|held| &held.queue)
    }

    /// One of its calls has ended.
    #[inline]
    pub(super) fn release(&mut self, number: usize) {
        let Some(place) = self.held.get_mut(number) else { return };
        if let Some(held) = place {
            held.calls -= 1;
            if held.calls == 0 {
                self.places.remove(&address(&held.queue));
                *place = None;
                self.free.push(number);
            }
        }
    }

    fn is_at(&self, place: usize, queue: &Arc<Queue>) -> bool {
        self.get(place).is_some_and(|held| Arc::ptr_eq(held, queue))
    }
}

fn address(queue: &Arc<Queue>) -> usize {
    Arc::as_ptr(queue).addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_held_as_long_as_a_call_ends_in_it() {
        let [one, other] = [0, 1].map(|_| Arc::new(Queue::new(1)));
        let mut queues = Queues::default();
        let first = queues.hold(&one);
        let second = queues.hold(&other);
        assert_ne!(first, second);
        assert_eq!(queues.hold(&one), first);
        assert_eq!((Arc::strong_count(&one), Arc::strong_count(&other)), (2, 2));
        queues.release(first);
        assert!(Arc::ptr_eq(queues.get(first).unwrap(), &one));
        queues.release(first);
        assert!(queues.get(first).is_none());
        assert_eq!((Arc::strong_count(&one), Arc::strong_count(&other)), (1, 2));
        assert_eq!(queues.hold(&one), first, "its place is taken again");
        assert_eq!(queues.hold(&other), second);
    }
    #[test]
    fn a_queue_that_is_let_go_leaves_nothing_for_the_next_at_its_address() {
        let mut queues = Queues::default();
        let many: Vec<Arc<Queue>> = (0..1000).map(|_| Arc::new(Queue::new(1))).collect();
        for round in 0..3 {
            let numbers: Vec<usize> = many.iter().map(|queue| queues.hold(queue)).collect();
            let again: Vec<usize> = many.iter().rev().map(|queue| queues.hold(queue)).collect();
            assert!(numbers.iter().eq(again.iter().rev()), "round {round}");
            assert_eq!(
                (queues.held.len(), queues.places.len(), queues.free.len()),
                (1000, 1000, 0)
            );
            numbers.iter().chain(&again).for_each(|number| queues.release(*number));
            assert_eq!((queues.places.len(), queues.free.len()), (0, 1000));
            assert!(many.iter().all(|queue| Arc::strong_count(queue) == 1));
        }
    }
}
