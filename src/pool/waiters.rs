//! Who waits, in the order of asking. Whoever gives up leaves by itself, in the same time however many there are: what
//! nobody waits for any more is never looked at twice.

use std::collections::{BTreeMap, HashMap};

use super::state::{Grant, Want};
use crate::handoff::Giver;

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

    /// In front of all others.
    fn push_first(&mut self, waiter: T) -> Place {
        let first = self.all.first_key_value().map_or(self.next, |(place, _)| *place);
        let place = first.saturating_sub(1);
        self.all.insert(place, waiter);
        place
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

/// Who waits for one of `pool.max_connections`.
#[derive(Debug)]
enum Claimant {
    /// A thread: an acquired connection, a command that waits in the server, a scan.
    Thread(Giver<Grant>),
    /// A submitted call.
    Call(u64),
}

/// What the waiter at a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    Thread,
    Call(u64),
}

/// All of them in one queue.
#[derive(Debug, Default)]
pub(super) struct Claims {
    queue: Queue<Claimant>,
    /// The places of the calls.
    calls: HashMap<u64, Place>,
}

impl Claims {
    pub(super) fn push(&mut self, giver: Giver<Grant>) -> Place {
        self.queue.push(Claimant::Thread(giver))
    }

    pub(super) fn push_call(&mut self, id: u64) {
        let place = self.queue.push(Claimant::Call(id));
        self.calls.insert(id, place);
    }

    /// A call that had its turn, and lost its connection before anything of it was sent.
    pub(super) fn push_call_first(&mut self, id: u64) {
        let place = self.queue.push_first(Claimant::Call(id));
        self.calls.insert(id, place);
    }

    /// The first waiter at `from` or behind it. Threads that have given up are dropped on the way.
    pub(super) fn next(&mut self, from: Place) -> Option<(Place, Claim)> {
        loop {
            let (place, claimant) = self.queue.all.range(from..).next()?;
            let place = *place;
            match claimant {
                Claimant::Call(id) => return Some((place, Claim::Call(*id))),
                Claimant::Thread(giver) if !giver.is_done() => return Some((place, Claim::Thread)),
                Claimant::Thread(_) => self.queue.remove(place),
            };
        }
    }

    /// Takes a waiter out: a thread has given up, or is served.
    pub(super) fn remove(&mut self, place: Place) -> Option<Giver<Grant>> {
        match self.queue.remove(place)? {
            Claimant::Thread(giver) => Some(giver),
            Claimant::Call(id) => {
                self.calls.remove(&id);
                None
            }
        }
    }

    /// A call waits no more.
    pub(super) fn remove_call(&mut self, id: u64) {
        if let Some(place) = self.calls.remove(&id) {
            self.queue.remove(place);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// All of them: the threads, and the numbers of the calls.
    pub(super) fn drain(&mut self) -> (Vec<Giver<Grant>>, Vec<u64>) {
        self.calls.clear();
        let (mut threads, mut calls) = (Vec::new(), Vec::new());
        for claimant in self.queue.drain() {
            match claimant {
                Claimant::Thread(giver) => threads.push(giver),
                Claimant::Call(id) => calls.push(id),
            }
        }
        (threads, calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::Deadline;
    use crate::error::{Error, ErrorKind};
    use crate::handoff::{Taker, handoff};
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
