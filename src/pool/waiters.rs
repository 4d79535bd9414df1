//! Who waits, in the order of asking. Whoever gives up leaves by itself, in the same time however many there are: what
//! nobody waits for any more is never looked at twice.

use std::collections::{BTreeMap, HashMap};

use super::want::{Grant, Want};
use crate::base::handoff::Giver;

/// The place of a waiter, by which it leaves.
pub(super) type Place = u64;

/// Places in front of this one are for those who come again.
const FIRST: Place = 1 << 32;

/// Waiters of one kind.
#[derive(Debug)]
pub(super) struct Queue<T> {
    all: BTreeMap<Place, T>,
    next: Place,
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue {
            all: BTreeMap::new(),
            next: FIRST,
        }
    }
}

impl<T> Queue<T> {
    pub(super) fn push(&mut self, waiter: T) -> Place {
        self.next += 1;
        self.all.insert(self.next, waiter);
        self.next
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<T> {
        self.all.remove(&place)
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        self.all.pop_first().map(|(_, waiter)| waiter)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// All of them, in order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::take(&mut self.all).into_values()
    }

    fn front(&self) -> Option<&T> {
        self.all.first_key_value().map(|(_, waiter)| waiter)
    }
}

/// Threads that wait for a connection of shared use.
#[derive(Debug, Default)]
pub(super) struct Callers {
    queue: Queue<(Want, Giver<Grant>)>,
    /// Those who take a lane as well.
    of_lanes: usize,
}

impl Callers {
    pub(super) fn push(&mut self, want: Want, giver: Giver<Grant>) -> Place {
        self.of_lanes += usize::from(want == Want::Shared);
        self.queue.push((want, giver))
    }

    pub(super) fn remove(&mut self, place: Place) {
        if let Some((want, _)) = self.queue.remove(place) {
            self.of_lanes -= usize::from(want == Want::Shared);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Giver<Grant>> {
        let (want, giver) = self.queue.pop()?;
        self.of_lanes -= usize::from(want == Want::Shared);
        Some(giver)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn of_lanes(&self) -> usize {
        self.of_lanes
    }

    /// Whether one waits. A thread that has given up and did not come to leave yet is none.
    pub(super) fn any(&mut self) -> bool {
        while self.queue.front().is_some_and(|(_, giver)| giver.is_done()) {
            self.pop();
        }
        self.len() > 0
    }

    /// Those who take a lane, out of the queue.
    pub(super) fn take_for_lane(&mut self) -> Vec<Giver<Grant>> {
        let mut taken = Vec::with_capacity(self.of_lanes);
        for (place, (want, giver)) in std::mem::take(&mut self.queue.all) {
            match want {
                Want::Shared => taken.push(giver),
                _ => _ = self.queue.all.insert(place, (want, giver)),
            }
        }
        self.of_lanes = 0;
        taken
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Giver<Grant>> + use<> {
        self.of_lanes = 0;
        self.queue.drain().map(|(_, giver)| giver)
    }
}

/// What the waiter at a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// A thread: an acquired connection, a command that waits in the server, a scan.
    Thread,
    /// A submitted call.
    Call(u64),
}

/// Who waits for one of `pool.max_connections`: one queue, in which the next of either kind is found at once.
#[derive(Debug)]
pub(super) struct Claims {
    threads: BTreeMap<Place, Giver<Grant>>,
    calls: BTreeMap<Place, u64>,
    /// The places of the calls.
    places: HashMap<u64, Place>,
    next: Place,
    /// How often one was looked for.
    #[cfg(test)]
    pub(super) looks: std::cell::Cell<usize>,
}

impl Default for Claims {
    fn default() -> Claims {
        Claims {
            threads: BTreeMap::new(),
            calls: BTreeMap::new(),
            places: HashMap::new(),
            next: FIRST,
            #[cfg(test)]
            looks: std::cell::Cell::default(),
        }
    }
}

impl Claims {
    pub(super) fn push(&mut self, giver: Giver<Grant>) -> Place {
        self.next += 1;
        self.threads.insert(self.next, giver);
        self.next
    }

    pub(super) fn push_call(&mut self, id: u64) {
        self.next += 1;
        self.enter_call(self.next, id);
    }

    /// A call that had its turn, and lost its connection before anything of it was sent.
    pub(super) fn push_call_first(&mut self, id: u64) {
        let thread = self.threads.first_key_value().map(|(place, _)| *place);
        let call = self.calls.first_key_value().map(|(place, _)| *place);
        let first = thread.into_iter().chain(call).min().unwrap_or(self.next);
        self.enter_call(first.saturating_sub(1), id);
    }

    fn enter_call(&mut self, place: Place, id: u64) {
        self.remove_call(id);
        self.calls.insert(place, id);
        self.places.insert(id, place);
    }

    /// The first waiter at `from` or behind it. Threads that have given up are dropped on the way.
    pub(super) fn next(&mut self, from: Place) -> Option<(Place, Claim)> {
        let (thread, call) = (self.next_thread(from), self.next_call(from));
        match (thread, call) {
            (Some(thread), Some((place, _))) if thread < place => Some((thread, Claim::Thread)),
            (_, Some((place, id))) => Some((place, Claim::Call(id))),
            (thread, None) => thread.map(|place| (place, Claim::Thread)),
        }
    }

    /// The same for threads alone.
    pub(super) fn next_thread(&mut self, from: Place) -> Option<Place> {
        #[cfg(test)]
        self.looks.update(|looks| looks + 1);
        loop {
            let (place, giver) = self.threads.range(from..).next()?;
            let (place, gone) = (*place, giver.is_done());
            if !gone {
                return Some(place);
            }
            self.threads.remove(&place);
        }
    }

    /// The same for calls alone.
    pub(super) fn next_call(&self, from: Place) -> Option<(Place, u64)> {
        #[cfg(test)]
        self.looks.update(|looks| looks + 1);
        let (place, id) = self.calls.range(from..).next()?;
        Some((*place, *id))
    }

    /// Takes a thread out: it has given up, or is served.
    pub(super) fn remove(&mut self, place: Place) -> Option<Giver<Grant>> {
        self.threads.remove(&place)
    }

    /// A call waits no more.
    pub(super) fn remove_call(&mut self, id: u64) {
        if let Some(place) = self.places.remove(&id) {
            self.calls.remove(&place);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.threads.len() + self.calls.len()
    }

    /// All of them: the threads, and the numbers of the calls.
    pub(super) fn drain(&mut self) -> (Vec<Giver<Grant>>, Vec<u64>) {
        self.places.clear();
        let threads = std::mem::take(&mut self.threads);
        let calls = std::mem::take(&mut self.calls);
        (threads.into_values().collect(), calls.into_values().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::deadline::Deadline;
    use crate::base::error::{Error, ErrorKind};
    use crate::base::handoff::{Taker, handoff};
    use std::time::Duration;

    fn gone() -> Giver<Grant> {
        let (giver, taker) = handoff();
        assert!(taker.take(Deadline::after(Some(Duration::ZERO))).is_none());
        giver
    }

    fn closed() -> Grant {
        Err(Error::new(ErrorKind::Closed))
    }

    #[test]
    fn who_has_given_up_is_nobody_and_is_looked_at_once() {
        let mut callers = Callers::default();
        for _ in 0..1000 {
            callers.push(Want::Shared, gone());
        }
        assert_eq!(callers.of_lanes(), 1000);
        assert!(!callers.any());
        assert_eq!((callers.len(), callers.of_lanes()), (0, 0));
        let (giver, _taker): (_, Taker<Grant>) = handoff();
        let place = callers.push(Want::Bulk, giver);
        callers.push(Want::Shared, gone());
        assert!(callers.any());
        callers.remove(place);
        assert!(!callers.any());
    }

    #[test]
    fn a_lane_is_for_all_but_those_who_send_much() {
        let mut callers = Callers::default();
        let (giver, taker) = handoff();
        callers.push(Want::Shared, giver);
        let (bulk, of_bulk) = handoff();
        callers.push(Want::Bulk, bulk);
        let taken = callers.take_for_lane();
        assert_eq!((taken.len(), callers.len(), callers.of_lanes()), (1, 1, 0));
        taken.iter().for_each(|giver| assert!(giver.give(closed()).is_ok()));
        assert!(taker.take(Deadline::NEVER).is_some());
        assert!(callers.pop().is_some_and(|giver| giver.give(closed()).is_ok()));
        assert!(of_bulk.take(Deadline::NEVER).is_some());
    }

    #[test]
    fn claims_are_served_in_the_order_of_asking_whoever_asks() {
        let mut claims = Claims::default();
        let (giver, _taker): (_, Taker<Grant>) = handoff();
        claims.push_call(7);
        claims.push(gone());
        let thread = claims.push(giver);
        claims.push_call(8);
        claims.push_call(9);
        claims.remove_call(8);
        let (mut from, mut seen) = (0, Vec::new());
        while let Some((place, claim)) = claims.next(from) {
            seen.push(claim);
            from = place + 1;
        }
        assert_eq!(seen, [Claim::Call(7), Claim::Thread, Claim::Call(9)]);
        assert!(claims.remove(thread).is_some());
        assert_eq!(claims.len(), 2);
        assert_eq!(claims.drain().1, [7, 9]);
    }
}
