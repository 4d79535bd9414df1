//! Moments as the kernel counts them.

use std::time::{Duration, Instant};

use super::kernel;
use super::process::PerProcess;
use super::ticks;

/// A moment on the kernel's monotonic clock, in nanoseconds: one word, where an [`Instant`] has seconds and a rest that
/// each sum must carry between. For what is read and compared once a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// Later than any other, and never reached.
    pub const NEVER: Moment = Moment(u64::MAX);

    /// Now.
    pub fn now() -> Moment {
        Moment(ticks::now())
    }

    /// The moment of the kernel's next tick: now or up to 10 ms from now, for a quarter of the price of the exact time.
    pub fn next_tick() -> Moment {
        Moment(kernel::next_tick())
    }

    /// The moment as a number above 0 and below that of [`Moment::NEVER`], unless it is that one.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The moment whose number it is.
    pub fn of(number: u64) -> Moment {
        Moment(number)
    }

    /// So much later; [`Moment::NEVER`] when no number is left for it.
    pub fn plus(self, time: Duration) -> Moment {
        let seconds = time.as_secs().saturating_mul(ticks::SECOND);
        Moment(
            self.0
                .saturating_add(seconds)
                .saturating_add(time.subsec_nanos().into()),
        )
    }

    /// So many milliseconds later.
    pub fn plus_ms(self, ms: u64) -> Moment {
        Moment(self.0.saturating_add(ms.saturating_mul(1_000_000)))
    }

    /// The time since `earlier`; zero when it is later.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Whether it is further from `earlier` than that.
    pub fn is_beyond(self, earlier: Moment, distance: Duration) -> bool {
        self > earlier.plus(distance)
    }

    /// The same moment of the standard library; `None` of [`Moment::NEVER`].
    pub fn instant(self) -> Option<Instant> {
        let (instant, number) = *EPOCH.get();
        if self == Moment::NEVER {
            return None;
        }
        match self.0.checked_sub(number) {
            Some(later) => instant.checked_add(Duration::from_nanos(later)),
            None => instant.checked_sub(Duration::from_nanos(number - self.0)),
        }
    }

    /// The moment of an instant.
    pub fn from_instant(at: Instant) -> Moment {
        let (instant, number) = *EPOCH.get();
        match at.checked_duration_since(instant) {
            Some(later) => Moment(number).plus(later),
            None => Moment(number - nanos_of(instant.saturating_duration_since(at)).min(number - 1)),
        }
    }
}

/// Now, on the clock of the standard library: where a timer of tokio is set by it.
pub fn now() -> Instant {
    Instant::now()
}

/// The same moment on both clocks.
static EPOCH: PerProcess<(Instant, u64)> = PerProcess::new(|| (Instant::now(), ticks::now()));

fn nanos_of(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_tick_is_a_few_milliseconds_away_at_most() {
        let most = Duration::from_millis(11);
        for _ in 0..1000 {
            let (before, tick, after) = (Moment::now(), Moment::next_tick(), Moment::now());
            assert!(tick.plus(most) > before && tick < after.plus(most));
        }
    }

    #[test]
    fn both_clocks_tell_the_same_time() {
        let near = Duration::from_millis(50);
        let (before, moment, after) = (Instant::now(), Moment::now(), Instant::now());
        let instant = moment.instant().unwrap();
        assert!(instant + near > before && instant < after + near);
        let long_ago = before.checked_sub(Duration::from_secs(1)).unwrap();
        for at in [before, after, before + Duration::from_secs(1), long_ago] {
            assert_eq!(Moment::from_instant(at).instant(), Some(at));
        }
    }

    #[test]
    fn no_sum_overflows() {
        let now = Moment::now();
        assert_eq!(now.plus(Duration::MAX), Moment::NEVER);
        assert_eq!(now.plus_ms(u64::MAX), Moment::NEVER);
        assert_eq!(Moment::NEVER.instant(), None);
        assert_eq!(now.since(now.plus_ms(1)), Duration::ZERO);
    }
}
