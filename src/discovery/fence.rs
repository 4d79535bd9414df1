//! Whether a majority of the Sentinels was heard lately: whoever is cut off with a primary on the wrong side of a network
//! cannot know that it is none any more, and what it writes there will be lost. Pure.

use std::time::{Duration, Instant};

/// What was last heard of one Sentinel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heard {
    /// Anything at all.
    pub at: Option<Instant>,
    /// That it names the primary in force.
    pub named: Option<Instant>,
}

/// The fence of one service.
#[derive(Debug)]
pub struct Fence {
    limit: Duration,
    /// When a majority had been heard last.
    heard: Option<Instant>,
    /// Since when no writes are sent.
    closed: Option<Instant>,
    /// When a majority had been heard last by then.
    silent: Option<Instant>,
}

/// How often those that are heard again are asked, while it is closed.
const MOST_STEPS: Duration = Duration::from_millis(250);

/// How often a Sentinel says something, where nothing is to be said and so much silence closes the fence.
pub fn sign_of_life(limit: Duration) -> Duration {
    limit / 4
}

impl Fence {
    /// One that is open. `limit`: so long no majority may be silent.
    pub fn new(limit: Duration) -> Fence {
        Fence {
            limit,
            heard: None,
            closed: None,
            silent: None,
        }
    }

    /// What follows from what was heard of each Sentinel. Whether no writes are to be sent.
    pub fn look(&mut self, sentinels: &[Heard], now: Instant) -> bool {
        let heard = by_majority(sentinels, |one| one.at);
        // What is known from the beginning is the primary, which somebody has named.
        let before = self.heard.unwrap_or(now);
        let heard = heard.map_or(before, |heard| heard.max(before));
        self.heard = Some(heard);
        match self.closed {
            None if now >= heard + self.limit => (self.closed, self.silent) = (Some(now), Some(heard)),
            None => {}
            // Signs of life say nothing of the primary, nor does what was said before.
            Some(since) if by_majority(sentinels, |one| one.named).is_some_and(|named| named > since) => {
                (self.closed, self.heard) = (None, Some(now));
            }
            Some(_) => {}
        }
        self.closed.is_some()
    }

    /// Since when no majority was heard, while no writes are sent.
    pub fn closed(&self) -> Option<Instant> {
        self.closed.and(self.silent)
    }

    /// Whether this Sentinel is to be asked whom it names.
    pub fn asks(&self, one: &Heard) -> bool {
        self.closed
            .is_some_and(|since| one.at > Some(since) && one.named <= Some(since))
    }

    /// When to look again.
    pub fn next_look(&self, now: Instant) -> Option<Instant> {
        match self.closed {
            Some(_) => Some(now + (self.limit / 4).min(MOST_STEPS)),
            None => self.heard.map(|heard| heard + self.limit),
        }
    }
}

/// Since when that is so of more than half of them.
fn by_majority(sentinels: &[Heard], of: impl Fn(&Heard) -> Option<Instant>) -> Option<Instant> {
    let mut times: Vec<Instant> = sentinels.iter().filter_map(of).collect();
    times.sort_unstable_by(|one, other| other.cmp(one));
    times.get(sentinels.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(1000);

    /// Of each Sentinel: milliseconds at which it was heard, and named the primary.
    fn heard(begin: Instant, of: &[(u64, u64)]) -> Vec<Heard> {
        let at = |ms: u64| (ms > 0).then(|| begin + Duration::from_millis(ms));
        of.iter()
            .map(|(heard, named)| Heard {
                at: at(*heard),
                named: at(*named),
            })
            .collect()
    }

    #[test]
    fn it_closes_when_no_majority_was_heard_for_so_long() {
        let begin = Instant::now();
        let after = |ms| begin + Duration::from_millis(ms);
        let mut fence = Fence::new(LIMIT);
        assert!(!fence.look(&heard(begin, &[(10, 10), (10, 10), (10, 10)]), after(20)));
        // Of three one is silent.
        let two = heard(begin, &[(1000, 10), (1100, 10), (10, 10)]);
        assert!(!fence.look(&two, after(1200)));
        assert_eq!(
            fence.next_look(after(1200)),
            Some(after(2000)),
            "when the second is silent too"
        );
        assert!(!fence.look(&two, after(1999)) && fence.look(&two, after(2000)));
        assert_eq!(fence.closed(), Some(after(1000)));
    }

    #[test]
    fn it_opens_when_a_majority_names_the_primary_again() {
        let begin = Instant::now();
        let after = |ms| begin + Duration::from_millis(ms);
        let mut fence = Fence::new(LIMIT);
        fence.look(&[], after(0));
        assert!(fence.look(&heard(begin, &[(10, 10), (10, 10), (10, 10)]), after(3000)));
        // A pong of a Sentinel that has not said yet whom it names.
        let pongs = heard(begin, &[(3100, 10), (3100, 10), (3100, 10)]);
        assert!(fence.look(&pongs, after(3100)));
        assert!(pongs.iter().all(|one| fence.asks(one)));
        let one = heard(begin, &[(3200, 3200), (3100, 10), (3100, 10)]);
        assert!(fence.look(&one, after(3200)), "one is none");
        assert_eq!(
            one.iter().map(|one| fence.asks(one)).collect::<Vec<_>>(),
            [false, true, true]
        );
        let two = heard(begin, &[(3200, 3200), (3210, 3210), (3100, 10)]);
        assert!(!fence.look(&two, after(3210)));
        assert_eq!(fence.next_look(after(3210)), Some(after(4210)));
    }

    #[test]
    fn two_of_four_are_no_majority_and_nobody_is_none() {
        let begin = Instant::now();
        let after = |ms| begin + Duration::from_millis(ms);
        let mut fence = Fence::new(LIMIT);
        fence.look(&[], after(0));
        let half = heard(begin, &[(900, 900), (900, 900), (1, 1), (1, 1)]);
        assert!(!fence.look(&half, after(950)) && fence.look(&half, after(1001)));
        let mut fence = Fence::new(LIMIT);
        fence.look(&[], after(0));
        assert!(!fence.look(&[], after(999)) && fence.look(&[], after(1000)));
        assert!(fence.look(&[], after(9000)));
    }
}
