//! The hard end of a call.

use std::time::{Duration, Instant};

use crate::net::futex::next_tick;

/// The instant by which a call must have returned, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    at: Option<Instant>,
    /// When it was set, which is when the call began, or a tick of the kernel later; nobody has looked where there is no
    /// limit.
    since: Option<Instant>,
}

/// From here on a deadline may be a tick of the kernel late, on a stalled machine early: a quarter of one per cent.
const FAR: Duration = Duration::from_secs(4);

impl Deadline {
    /// A call without a limit.
    pub const NEVER: Deadline = Deadline { at: None, since: None };

    /// The deadline `after` from now; `None` is no limit.
    pub fn after(after: Option<Duration>) -> Deadline {
        let Some(after) = after else { return Deadline::NEVER };
        let now = Instant::now();
        Deadline {
            at: now.checked_add(after),
            since: Some(now),
        }
    }

    /// The deadline of a call that gave `timeout_ms` under the rule of the C contract: 0 takes `default_ms`, -1 has
    /// no limit. `None` when the number is neither.
    pub fn from_ms(timeout_ms: i64, default_ms: i64) -> Option<Deadline> {
        let ms = if timeout_ms == 0 { default_ms } else { timeout_ms };
        if ms == -1 {
            return Some(Deadline::NEVER);
        }
        let after = Duration::from_millis(u64::try_from(ms).ok()?);
        let now = if after < FAR { Instant::now() } else { next_tick() };
        Some(Deadline {
            at: now.checked_add(after),
            since: Some(now),
        })
    }

    /// The instant, or `None` without a limit.
    pub fn instant(self) -> Option<Instant> {
        self.at
    }

    /// When it was set, or a tick of the kernel later, without another look at the clock; `None` without a limit.
    pub fn since(self) -> Option<Instant> {
        self.since
    }

    /// What is left of it now: zero when it has passed, `None` without a limit.
    pub fn left(self) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Whether it has passed.
    pub fn passed(self) -> bool {
        self.at.is_some_and(|at| at <= Instant::now())
    }

    /// The earlier of this deadline and `limit` from now.
    pub fn within(self, limit: Duration) -> Deadline {
        let Some(other) = Instant::now().checked_add(limit) else {
            return self;
        };
        Deadline {
            at: Some(self.at.map_or(other, |at| at.min(other))),
            since: self.since,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_numbers_of_the_contract() {
        assert_eq!(Deadline::from_ms(-1, 5000), Some(Deadline::NEVER));
        assert_eq!(Deadline::from_ms(0, -1), Some(Deadline::NEVER));
        assert_eq!(Deadline::from_ms(-2, 5000), None);
        let default = Deadline::from_ms(0, 5000).and_then(Deadline::left);
        assert!(default.is_some_and(|left| left > Duration::from_millis(4900)));
        let given = Deadline::from_ms(100, 5000).and_then(Deadline::left);
        assert!(given.is_some_and(|left| left <= Duration::from_millis(100)));
    }

    #[test]
    fn an_absurd_timeout_is_no_limit_instead_of_an_overflow() {
        assert_eq!(Deadline::from_ms(i64::MAX, 1).map(Deadline::passed), Some(false));
    }
}
