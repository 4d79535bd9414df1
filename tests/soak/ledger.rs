//! What one caller's counter may be, if nothing was executed twice.
//!
//! Only this caller increments the key. A failover may lose increments (replication is asynchronous), it never adds one:
//! no node can hold more than the highest value that was ever acknowledged, and what became of the unknown ones. These
//! may be executed later than what followed them: bytes that were held by a partition arrive when it heals.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Nothing is held longer than this: neither a partition nor a stopped server lasts half of it.
const HELD: Duration = Duration::from_secs(60);

const REMEMBERED: usize = 4;

/// The book of one key.
#[derive(Debug, Default, Clone)]
pub(crate) struct Ledger {
    pub(crate) acknowledged: u64,
    pub(crate) unknown: u64,
    /// Values that were lost with an old primary.
    pub(crate) lost: u64,
    pub(crate) violations: Vec<String>,
    /// Increments that are under way while others are acknowledged: they may have been executed before these.
    pub(crate) in_flight: i64,
    highest: i64,
    last: i64,
    /// When each increment became unknown that may still be executed.
    pending: VecDeque<Instant>,
    /// The last failures, for the message of a violation.
    recent: VecDeque<String>,
}

impl Ledger {
    /// The most that any node can hold.
    fn most(&mut self, now: Instant) -> i64 {
        while self
            .pending
            .front()
            .is_some_and(|since| now.duration_since(*since) > HELD)
        {
            self.pending.pop_front();
            // Whether it was executed is not known; if it was, what was acknowledged since holds it.
        }
        self.highest + i64::try_from(self.pending.len()).unwrap_or(i64::MAX) + self.in_flight
    }

    /// INCR answered `value`.
    pub(crate) fn acknowledge(&mut self, value: i64, now: Instant) {
        self.acknowledged += 1;
        let most = self.most(now) + 1;
        if value > most {
            let recent = &self.recent;
            self.violations
                .push(format!("INCR gave {value} where {most} is the most, after {recent:#?}"));
        }
        self.lost += u64::try_from(self.last + 1 - value).unwrap_or(0);
        self.last = value;
        self.highest = self.highest.max(value);
    }

    /// INCR failed with outcome UNKNOWN.
    pub(crate) fn leave_unknown(&mut self, now: Instant) {
        self.unknown += 1;
        self.pending.push_back(now);
    }

    /// A failure, whatever it counts.
    pub(crate) fn remember(&mut self, failure: String) {
        self.recent
            .push_back(format!("{failure} (last {}, highest {})", self.last, self.highest));
        if self.recent.len() > REMEMBERED {
            self.recent.pop_front();
        }
    }

    /// The value at the very end.
    pub(crate) fn close(&mut self, value: i64, now: Instant) {
        let most = self.most(now);
        if value > most {
            self.violations
                .push(format!("the last value is {value}, {most} is the most"));
        }
        let excess = value - i64::try_from(self.acknowledged).unwrap_or(i64::MAX);
        if excess > i64::try_from(self.unknown).unwrap_or(i64::MAX) {
            self.violations.push(format!(
                "{value} at the end, {} acknowledged, {} unknown",
                self.acknowledged, self.unknown
            ));
        }
    }
}

#[test]
fn a_second_execution_is_noticed_and_a_loss_is_not_one() {
    let (mut book, now) = (Ledger::default(), Instant::now());
    (1..=3).for_each(|value| book.acknowledge(value, now));
    book.leave_unknown(now);
    // Executed after the call behind it.
    book.acknowledge(4, now);
    book.acknowledge(6, now);
    book.acknowledge(3, now);
    assert!(book.violations.is_empty() && book.lost == 4, "{book:?}");
    book.acknowledge(4, now);
    book.close(7, now);
    assert!(book.violations.is_empty(), "{book:?}");
    book.acknowledge(9, now);
    assert_eq!(book.violations.len(), 1, "{book:?}");
    book.acknowledge(11, now + 2 * HELD);
    assert_eq!(book.violations.len(), 2, "{book:?}");
    book.close(14, now);
    assert_eq!(book.violations.len(), 4, "{book:?}");
}
