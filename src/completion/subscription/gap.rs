//! The event of messages that may be missing.

use std::sync::Arc;
use std::time::Instant;

use crate::net::Endpoint;
use crate::resp::{Builder, Reply};

/// A time in which messages may have been missed: a connection was lost, or the program's queue was full.
#[derive(Debug, Clone)]
pub struct Gap {
    /// The service.
    pub service: Arc<str>,
    /// The node that the last message before it came from.
    pub from: Endpoint,
    /// The node that the first message after it comes from.
    pub to: Endpoint,
    /// The last sign of life of the old connection, or the first message that was dropped.
    pub since: Instant,
    /// Messages that were received and dropped.
    pub dropped: u64,
}

impl Gap {
    /// Adds what was missed later.
    pub(super) fn merge(&mut self, later: Gap) {
        self.to = later.to;
        self.since = self.since.min(later.since);
        self.dropped = self.dropped.saturating_add(later.dropped);
    }

    /// How long it has been until now, rounded up: a gap is never of no time.
    pub fn milliseconds(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
    }

    /// The event as the program gets it.
    pub fn reply(&self) -> Option<Reply> {
        let integer = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let mut map = Builder::new();
        map.map(6);
        map.string(b"event").string(b"subscription_gap");
        map.string(b"service").string(self.service.as_bytes());
        map.string(b"from").string(self.from.to_string().as_bytes());
        map.string(b"to").string(self.to.to_string().as_bytes());
        map.string(b"milliseconds").integer(integer(self.milliseconds()));
        map.string(b"dropped").integer(integer(self.dropped));
        map.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn gaps_that_nobody_was_told_of_make_one() {
        let now = Instant::now();
        let gap = |from: u16, to: u16, ago: u64, dropped| Gap {
            service: "s".into(),
            from: Endpoint::new("h", from),
            to: Endpoint::new("h", to),
            since: now - Duration::from_millis(ago),
            dropped,
        };
        let mut all = gap(1, 1, 100, 7);
        all.merge(gap(1, 2, 300, 0));
        all.merge(gap(2, 3, 10, 5));
        let reply = all.reply().unwrap();
        let text = |key: &str| reply.get(key.as_bytes()).unwrap().text().into_owned();
        let number = |key: &str| reply.get(key.as_bytes()).unwrap().integer();
        assert_eq!(
            (text("event"), text("service")),
            ("subscription_gap".into(), "s".into())
        );
        assert_eq!((text("from"), text("to")), ("h:1".into(), "h:3".into()));
        assert_eq!(number("dropped"), 12);
        assert!((300..10_000).contains(&number("milliseconds")));
    }
}
