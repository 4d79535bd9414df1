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
const FAR_MS: u64 = 4_000;

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
        let now = if ms < FAR_MS {
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

    /// Whether it is further away than that: exact but for a tick of the kernel.
    pub fn is_beyond(self, distance: Duration) -> bool {
        self.at == Moment::NEVER || self.at.is_beyond(Moment::next_tick(), distance)
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
    fn is_beyond_what_is_nearer() {
        let deadline = Deadline::after(Some(Duration::from_secs(10)));
        assert!(deadline.is_beyond(Duration::from_secs(9)));
        assert!(!deadline.is_beyond(Duration::from_secs(11)));
        assert!(Deadline::NEVER.is_beyond(Duration::MAX));
    }
}
