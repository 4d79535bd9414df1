//! What one caller's counter may be, if nothing was executed twice.
//!
//! Only this caller increments the key. A failover may lose increments (replication is asynchronous), it never adds one:
//! no node can hold more than the highest value that was ever acknowledged and what was unknown since.

/// The book of one key.
#[derive(Debug, Default, Clone)]
pub(crate) struct Ledger {
    pub(crate) acknowledged: u64,
    pub(crate) unknown: u64,
    /// The most that any node can hold.
    most: i64,
    /// Values that were lost with an old primary.
    pub(crate) lost: u64,
    last: i64,
    pub(crate) violations: Vec<String>,
}

impl Ledger {
    /// INCR answered `value`.
    pub(crate) fn acknowledge(&mut self, value: i64) {
        self.acknowledged += 1;
        if value > self.most + 1 {
            self.violations
                .push(format!("INCR gave {value} where {} is the most", self.most + 1));
        }
        self.lost += u64::try_from(self.last + 1 - value).unwrap_or(0);
        self.last = value;
        self.most = self.most.max(value);
    }

    /// INCR failed with outcome UNKNOWN.
    pub(crate) fn leave_unknown(&mut self) {
        self.unknown += 1;
        self.most += 1;
    }

    /// The value at the very end.
    pub(crate) fn close(&mut self, value: i64) {
        if value > self.most {
            self.violations
                .push(format!("the last value is {value}, {} is the most", self.most));
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
    let mut book = Ledger::default();
    (1..=3).for_each(|value| book.acknowledge(value));
    book.leave_unknown();
    book.acknowledge(5);
    book.acknowledge(3);
    assert!(book.violations.is_empty() && book.lost == 3, "{book:?}");
    book.acknowledge(4);
    book.close(6);
    assert!(book.violations.is_empty(), "{book:?}");
    book.acknowledge(8);
    assert_eq!(book.violations.len(), 1, "{book:?}");
    book.close(10);
    assert_eq!(book.violations.len(), 3, "{book:?}");
}
