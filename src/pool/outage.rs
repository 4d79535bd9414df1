//! Since when no node can be had, and whether calls still wait for one. Pure.

use std::time::{Duration, Instant};

/// What was known of the nodes is true for so long after somebody asked for one last: so long they are tried.
const WANTED: Duration = Duration::from_secs(10);

/// No node has served since a moment, as far as somebody asked for one.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// How long calls wait, from its beginning on; none: until their deadlines.
    limit: Option<Duration>,
    /// When a node was asked for in vain, for the first and the last time.
    since: Option<Instant>,
    wanted: Option<Instant>,
    /// A node was tried in it and could not be had, or none is named.
    is_known: bool,
}

impl Outage {
    /// None so far.
    pub(super) fn new(limit: Option<Duration>) -> Outage {
        Outage {
            limit,
            ..Outage::default()
        }
    }

    /// Whether calls may end before their deadlines for it.
    pub(super) fn matters(&self) -> bool {
        self.limit.is_some()
    }

    /// Somebody asks for a node, and none serves.
    pub(super) fn is_met(&mut self, now: Instant) {
        if self.wanted.is_none_or(|wanted| now >= wanted + WANTED) {
            // Nobody has looked meanwhile.
            (self.since, self.is_known) = (Some(now), false);
        }
        self.since.get_or_insert(now);
        self.wanted = Some(now);
    }

    /// A node was tried and could not be had, or none is named.
    pub(super) fn is_known(&mut self) {
        self.is_known |= self.since.is_some();
    }

    /// Whoever tried the nodes has done so in vain since then.
    pub(super) fn is_known_since(&mut self, at: Instant) {
        if let Some(since) = &mut self.since {
            *since = at.min(*since);
            self.is_known = true;
        }
    }

    /// A node serves.
    pub(super) fn is_over(&mut self) {
        (self.since, self.wanted, self.is_known) = (None, None, false);
    }

    /// Whether nodes are tried for those who were turned away.
    pub(super) fn is_wanted(&self, now: Instant) -> bool {
        self.limit.is_some() && self.is_known && self.wanted.is_some_and(|wanted| now < wanted + WANTED)
    }

    /// How long it has lasted, where calls do not wait any more.
    #[inline]
    pub(super) fn turns_away(&self, now: Instant) -> Option<Duration> {
        let lasts = now.saturating_duration_since(self.since?);
        (self.is_wanted(now) && lasts >= self.limit?).then_some(lasts)
    }

    /// When that will be so.
    pub(super) fn next_look(&self) -> Option<Instant> {
        Some(self.since? + self.limit?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(limit: Option<u64>) -> (Outage, impl Fn(u64) -> Instant) {
        let begin = Instant::now();
        (Outage::new(limit.map(Duration::from_millis)), move |ms| {
            begin + Duration::from_millis(ms)
        })
    }

    #[test]
    fn calls_are_turned_away_once_it_has_lasted_so_long() {
        let (mut outage, at) = begin(Some(500));
        assert_eq!((outage.turns_away(at(9000)), outage.next_look()), (None, None));
        outage.is_met(at(100));
        assert_eq!(outage.next_look(), Some(at(600)));
        outage.is_known();
        assert_eq!(outage.turns_away(at(599)), None);
        assert_eq!(outage.turns_away(at(600)), Some(Duration::from_millis(500)));
        outage.is_met(at(5000));
        assert_eq!(
            outage.turns_away(at(7000)),
            Some(Duration::from_millis(6900)),
            "it goes on"
        );
        outage.is_over();
        assert_eq!((outage.turns_away(at(7000)), outage.is_wanted(at(7000))), (None, false));
    }

    #[test]
    fn what_nobody_has_looked_for_may_be_there() {
        let (mut outage, at) = begin(Some(0));
        outage.is_known();
        outage.is_met(at(0));
        assert_eq!(outage.turns_away(at(300)), None, "it was not tried yet");
        outage.is_known();
        assert!(outage.turns_away(at(300)).is_some() && outage.is_wanted(at(9999)));
        assert!(outage.turns_away(at(10_000)).is_none() && !outage.is_wanted(at(10_000)));
        outage.is_met(at(20_000));
        assert_eq!(outage.turns_away(at(20_001)), None, "nobody has looked meanwhile");
        outage.is_known();
        assert_eq!(outage.turns_away(at(20_001)), Some(Duration::from_millis(1)));
    }

    #[test]
    fn without_a_limit_calls_wait() {
        let (mut outage, at) = begin(None);
        outage.is_met(at(0));
        outage.is_known();
        assert!(outage.turns_away(at(100_000)).is_none() && !outage.is_wanted(at(1)) && !outage.matters());
        assert_eq!(outage.next_look(), None);
    }
}
