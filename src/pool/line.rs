//! Submitted calls that wait for a lane, in the order of their submission whatever way they came here. No lock.

use std::collections::VecDeque;

/// A submitted call that waits for a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiter {
    /// The place in the order of submissions, which no way round changes.
    pub order: u64,
    /// The call.
    pub id: u64,
    /// It waits for a connection of its own.
    pub own: bool,
    /// It is a write that waits until writes go out again.
    pub writes: bool,
    /// While writes are held: the thread that submitted it, for it stands behind that thread's own. 0: behind nobody's.
    pub thread: u64,
}

/// The line. Whoever goes away leaves an empty place, found by its order; the places are swept when they are most.
#[derive(Debug, Default)]
pub(super) struct WaitingLine {
    /// In their order; 0 in place of the number of a call that went away.
    places: VecDeque<Waiter>,
    gone: usize,
}

/// In place of a call that went away.
const GONE: u64 = 0;

impl WaitingLine {
    /// Calls that wait.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.gone
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Enters a call at its place.
    pub(super) fn enter(&mut self, waiter: Waiter) {
        if self.places.back().is_none_or(|last| last.order < waiter.order) {
            return self.places.push_back(waiter);
        }
        let place = self.places.partition_point(|other| other.order < waiter.order);
        self.places.insert(place, waiter);
    }

    /// Enters many that are in order among themselves.
    pub(super) fn enter_all(&mut self, waiters: impl Iterator<Item = Waiter>) {
        let before = self.places.len();
        self.places.extend(waiters);
        if before > 0 && self.places.len() > before {
            // Two runs in order: a sort that merges takes one pass.
            self.places.make_contiguous().sort_by_key(|waiter| waiter.order);
        }
    }

    /// A call goes away, if it is there.
    pub(super) fn remove(&mut self, order: u64) -> Option<Waiter> {
        let place = self.places.partition_point(|other| other.order < order);
        let found = self.places.get_mut(place);
        let waiter = found.filter(|waiter| waiter.order == order && waiter.id != GONE)?;
        let removed = *waiter;
        waiter.id = GONE;
        self.gone += 1;
        if self.gone * 2 > self.places.len() {
            self.places.retain(|waiter| waiter.id != GONE);
            self.gone = 0;
        }
        Some(removed)
    }

    /// Takes all of them out.
    pub(super) fn drain(&mut self) -> Vec<Waiter> {
        self.gone = 0;
        let places = std::mem::take(&mut self.places).into_iter();
        places.filter(|waiter| waiter.id != GONE).collect()
    }

    /// Takes up to `most` out, from the front.
    pub(super) fn take(&mut self, most: usize) -> Vec<u64> {
        let mut taken = Vec::with_capacity(most.min(self.len()));
        while taken.len() < most {
            match self.places.pop_front() {
                Some(waiter) if waiter.id == GONE => self.gone -= 1,
                Some(waiter) => taken.push(waiter.id),
                None => break,
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn waiter(order: u64) -> Waiter {
        Waiter {
            order,
            id: order + 1,
            own: false,
            writes: false,
            thread: 0,
        }
    }

    #[test]
    fn whoever_comes_and_goes_the_others_are_served_in_their_order() {
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut line, mut model) = (WaitingLine::default(), BTreeMap::new());
            let (mut next, mut left) = (0, Vec::new());
            for _ in 0..200 {
                match random.u8(..8) {
                    0..=3 => {
                        line.enter(waiter(next));
                        model.insert(next, next + 1);
                        next += 1 + random.u64(..3);
                    }
                    4 => {
                        let mut back: Vec<u64> = (0..random.u64(..20)).map(|_| random.u64(..next + 1)).collect();
                        back.sort_unstable();
                        back.dedup();
                        // Who went away never comes again.
                        back.retain(|order| !model.contains_key(order) && !left.contains(order));
                        line.enter_all(back.iter().map(|order| waiter(*order)));
                        model.extend(back.into_iter().map(|order| (order, order + 1)));
                        next += 1;
                    }
                    5 | 6 => {
                        let order = random.u64(..next + 1);
                        line.remove(order);
                        left.extend(model.remove(&order).map(|_| order));
                    }
                    _ => {
                        let most = random.usize(..5);
                        let wanted: Vec<u64> = model.values().take(most).copied().collect();
                        assert_eq!(line.take(most), wanted, "seed {seed}");
                        model.retain(|_, id| !wanted.contains(id));
                    }
                }
                assert_eq!(line.len(), model.len(), "seed {seed}");
            }
            assert_eq!(
                line.take(usize::MAX),
                model.into_values().collect::<Vec<_>>(),
                "seed {seed}"
            );
            assert!(line.is_empty());
        }
    }
}
