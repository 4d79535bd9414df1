//! Moments of the simulated clock: the names of `src/base/clock.rs`.

use std::time::{Duration, Instant};

use crate::kernel::kernel;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

/// What the kernel's coarse clock counts in.
const TICK: u64 = 4_000_000;

impl Moment {
    pub const NEVER: Moment = Moment(u64::MAX);

    pub fn now() -> Moment {
        Moment(kernel().now())
    }

    pub fn next_tick() -> Moment {
        Moment((kernel().now() / TICK + 1) * TICK)
    }

    pub fn number(self) -> u64 {
        self.0
    }

    pub fn of(number: u64) -> Moment {
        Moment(number)
    }

    pub fn plus(self, time: Duration) -> Moment {
        Moment(
            self.0
                .saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    pub fn plus_ms(self, ms: u64) -> Moment {
        Moment(self.0.saturating_add(ms.saturating_mul(1_000_000)))
    }

    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub fn is_beyond(self, earlier: Moment, distance: Duration) -> bool {
        self > earlier.plus(distance)
    }

    pub fn instant(self) -> Option<Instant> {
        (self != Moment::NEVER).then(|| kernel().instant(self.0))
    }

    pub fn from_instant(at: Instant) -> Moment {
        Moment(kernel().nanos(at))
    }
}

pub fn now() -> Instant {
    kernel().instant(kernel().now())
}
