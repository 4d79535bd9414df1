//! The moments at which calls are to be looked at: their deadlines, the ends of pauses. No clock.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::entry::CallId;
use crate::base::clock::Moment;

/// Entries that are kept for calls that have completed, besides one for each that has not.
const STALE: usize = 1024;

/// Calls that complete leave their entries here until those come first, their moment comes, or there are too many.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    /// In order of time: most calls of a program have the same limit, and so the order in which they come.
    line: VecDeque<(Moment, CallId)>,
    /// Those that are due before one that came sooner.
    others: BinaryHeap<Reverse<(Moment, CallId)>>,
    /// When somebody looks in any case.
    armed: Option<Moment>,
}

impl Agenda {
    /// Enters a call. True when nobody looks sooner. There are `live` calls; `is_live` tells which.
    pub(super) fn add(&mut self, at: Moment, id: CallId, live: usize, is_live: impl Fn(CallId) -> bool) -> bool {
        while self.line.front().is_some_and(|(_, first)| !is_live(*first)) {
            self.line.pop_front();
        }
        if self.line.back().is_none_or(|(last, _)| *last <= at) {
            self.line.push_back((at, id));
        } else {
            self.others.push(Reverse((at, id)));
        }
        if self.len() > 2 * live + STALE {
            self.line.retain(|(_, id)| is_live(*id));
            self.others.retain(|Reverse((_, id))| is_live(*id));
        }
        let first = self.armed.is_none_or(|armed| at < armed);
        if first {
            self.armed = Some(at);
        }
        first
    }

    /// The next moment; whoever asks looks then.
    pub(super) fn next(&mut self) -> Option<Moment> {
        let line = self.line.front().map(|(at, _)| *at);
        let other = self.others.peek().map(|Reverse((at, _))| *at);
        self.armed = line.into_iter().chain(other).min();
        self.armed
    }

    /// Takes up to `most` of what is due now. Some may have completed.
    pub(super) fn due(&mut self, now: Moment, most: usize) -> Vec<CallId> {
        let mut due = Vec::new();
        let passed = self.line.partition_point(|(at, _)| *at <= now).min(most);
        due.extend(self.line.drain(..passed).map(|(_, id)| id));
        while due.len() < most {
            let other = self.others.peek().filter(|Reverse((at, _))| *at <= now);
            let Some(Reverse((_, id))) = other else { break };
            due.push(*id);
            self.others.pop();
        }
        due
    }

    fn len(&self) -> usize {
        self.line.len() + self.others.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_is_due_comes_out_whatever_order_it_was_entered_in() {
        let (mut agenda, now) = (Agenda::default(), Moment::now());
        let after = |seconds| now.plus(Duration::from_secs(seconds));
        let add = |agenda: &mut Agenda, seconds, id| agenda.add(after(seconds), id, 9, |_| true);
        assert!(add(&mut agenda, 5, 1));
        assert!(!add(&mut agenda, 5, 2) && !add(&mut agenda, 9, 3));
        assert!(add(&mut agenda, 3, 4));
        assert!(!add(&mut agenda, 4, 5));
        assert_eq!(agenda.next(), Some(after(3)));
        assert!(agenda.due(after(2), 9).is_empty());
        assert_eq!(agenda.due(after(4), 9), [4, 5]);
        assert_eq!(agenda.next(), Some(after(5)));
        assert_eq!(agenda.due(after(9), 9), [1, 2, 3]);
        assert_eq!(agenda.next(), None);
        assert!(add(&mut agenda, 20, 6), "nobody looks any more");
    }

    #[test]
    fn it_stays_in_proportion_to_the_calls_under_way() {
        let (mut agenda, now) = (Agenda::default(), Moment::now());
        agenda.add(now.plus(Duration::from_secs(5)), 0, 1, |_| true);
        for id in 1..100_000 {
            // All but the first have completed when the next one comes, some with a limit of their own.
            let at = now.plus(Duration::from_secs(5 + id % 3));
            agenda.add(at, id, 2, |other| other == 0 || other == id);
        }
        assert!(agenda.len() <= 2 * 2 + STALE, "{}", agenda.len());
        assert!(agenda.due(now.plus(Duration::from_secs(5)), 9).contains(&0));
    }

    #[test]
    fn calls_in_a_row_wake_the_keeper_once() {
        let (mut agenda, now) = (Agenda::default(), Moment::now());
        let woken = (0..1000).filter(|id| {
            let at = now.plus(Duration::from_micros(*id));
            agenda.add(at, *id, 1, |other| other == *id)
        });
        assert_eq!(woken.count(), 1);
    }
}
