//! The queues in which the submitted calls of a client end: each is held once, however many calls there are, and only
//! while there are any.

use std::sync::Arc;

use super::Queue;

#[derive(Debug)]
struct Held {
    queue: Arc<Queue>,
    /// Calls that end in it.
    calls: usize,
}

#[derive(Debug, Default)]
pub(super) struct Queues {
    held: Vec<Option<Held>>,
    /// The one that was asked for last: most programs have one.
    last: usize,
}

impl Queues {
    /// Holds a queue for one call. The number under which it is found.
    pub(super) fn hold(&mut self, queue: &Arc<Queue>) -> usize {
        if !self.is_at(self.last, queue) {
            let known = (0..self.held.len()).find(|place| self.is_at(*place, queue));
            let place = known.or_else(|| self.held.iter().position(Option::is_none));
            self.last = place.unwrap_or(self.held.len());
        }
        if self.last == self.held.len() {
            self.held.push(None);
        }
        if let Some(place) = self.held.get_mut(self.last) {
            let held = place.get_or_insert_with(|| Held {
                queue: Arc::clone(queue),
                calls: 0,
            });
            held.calls += 1;
        }
        self.last
    }

    /// The queue of that number.
    pub(super) fn get(&self, number: usize) -> Option<&Arc<Queue>> {
        self.held.get(number)?.as_ref().map(|held| &held.queue)
    }

    /// One of its calls has ended.
    pub(super) fn release(&mut self, number: usize) {
        let Some(place) = self.held.get_mut(number) else { return };
        if let Some(held) = place {
            held.calls -= 1;
            if held.calls == 0 {
                *place = None;
            }
        }
    }

    fn is_at(&self, place: usize, queue: &Arc<Queue>) -> bool {
        self.get(place).is_some_and(|held| Arc::ptr_eq(held, queue))
    }
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
}
