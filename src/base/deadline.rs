//! The hard end of a call.

use std::time::{Duration, Instant};

use super::clock::Moment;
use super::error::{Error, Result};

/// The moment by which a call must have returned, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    at: Moment,
    /// When it was set, which is when the call began, or a tick of the kernel later; never where there is no limit, since
    /// nobody has looked.
    since: Moment,
}

/// From here on a deadline may be a tick of the kernel late, on a stalled machine early: a quarter of one per cent.
const COARSE_MS: u64 = 4_000;

/// How often sentinel-io looks at those who wait without a timer of the kernel's.
pub const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Who waits for a deadline that is further than this does it without such a timer, and `pool::watchdog` sees to the end.
/// A nearer one is the waiter's own affair, for a look may come as late as the next one.
const FAR: Duration = LOOK_EVERY.saturating_mul(2);

impl Deadline {
    /// A call without a limit.
    pub const NEVER: Deadline = Deadline {
        at: Moment::NEVER,
        since: Moment::NEVER,
    };

    /// The deadline `after` from now; `None` is no limit.
    pub fn after(after: Option<Duration>) -> Deadline {
        let Some(after) = after else { return Deadline::NEVER };
        let now = Moment::now();
        Deadline {
            at: now.plus(after),
            since: now,
        }
    }

    /// The deadline of a call that gave `timeout_ms` under the rule of the C contract: 0 takes `default_ms`, -1 has
    /// no limit.
    #[inline]
    pub fn of_call(timeout_ms: i64, default_ms: i64) -> Result<Deadline> {
        let ms = if timeout_ms == 0 { default_ms } else { timeout_ms };
        if ms == -1 {
            return Ok(Deadline::NEVER);
        }
        let ms = u64::try_from(ms).map_err(|_| unreadable(timeout_ms))?;
        let now = if ms < COARSE_MS {
            Moment::now()
        } else {
            Moment::next_tick()
        };
        Ok(Deadline {
            at: now.plus_ms(ms),
            since: now,
        })
    }

    /// The moment; never without a limit.
    pub fn at(self) -> Moment {
        self.at
    }

    /// The same moment of the standard library, or `None` without a limit.
    pub fn instant(self) -> Option<Instant> {
        self.at.instant()
    }

    /// When it was set, or a tick of the kernel later, without another look at the clock; `None` without a limit.
    pub fn since(self) -> Option<Moment> {
        (self.since != Moment::NEVER).then_some(self.since)
    }

    /// Whether who waits for it from `now` on needs no timer. One without a limit is the furthest.
    pub fn is_far(self, now: Moment) -> bool {
        self.at.is_beyond(now, FAR)
    }

    /// What is left of it now: zero when it has passed, `None` without a limit.
    pub fn left(self) -> Option<Duration> {
        (self.at != Moment::NEVER).then(|| self.at.since(Moment::now()))
    }

    /// Whether it has passed.
    pub fn passed(self) -> bool {
        self.at != Moment::NEVER && self.at <= Moment::now()
    }

    /// The earlier of this deadline and `limit` from now.
    pub fn within(self, limit: Duration) -> Deadline {
        Deadline {
            at: self.at.min(Moment::now().plus(limit)),
            since: self.since,
        }
    }
}

#[cold]
fn unreadable(timeout_ms: i64) -> Error {
    let problem = format!("{timeout_ms} is neither -1 (no limit), 0 (the default), nor more");
    Error::invalid("timeout_ms", problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_numbers_of_the_contract() {
        assert_eq!(Deadline::of_call(-1, 5000), Ok(Deadline::NEVER));
        assert_eq!(Deadline::of_call(0, -1), Ok(Deadline::NEVER));
        let refused = Deadline::of_call(-2, 5000).unwrap_err();
        assert!(refused.to_string().contains("timeout_ms"), "{refused}");
        let default = Deadline::of_call(0, 5000).unwrap().left();
        assert!(default.is_some_and(|left| left > Duration::from_millis(4900)));
        let given = Deadline::of_call(100, 5000).unwrap().left();
        assert!(given.is_some_and(|left| left <= Duration::from_millis(100)));
    }

    #[test]
    fn an_absurd_timeout_is_no_limit_instead_of_an_overflow() {
        assert_eq!(Deadline::of_call(i64::MAX, 1).map(Deadline::passed), Ok(false));
        let absurd = Deadline::after(Some(Duration::MAX));
        assert_eq!((absurd.left(), absurd.instant(), absurd.passed()), (None, None, false));
    }

    #[test]
    fn a_deadline_is_far_when_two_looks_come_before_it() {
        let (now, deadline) = (Moment::now(), Deadline::after(Some(LOOK_EVERY * 3)));
        assert!(deadline.is_far(now));
        assert!(!deadline.is_far(now.plus(LOOK_EVERY * 2)));
        assert!(Deadline::NEVER.is_far(now));
    }
}
