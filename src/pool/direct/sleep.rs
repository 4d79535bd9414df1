//! How a thread waits for its reply.

use std::time::Duration;

use crate::base::clock::Moment;

/// The kernel ends a timed receive at one of its ticks, the longest of which are this long.
const TICK: Duration = Duration::from_millis(4);

/// How a caller waits for its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sleep {
    /// Until something comes, or sentinel-io ends it.
    Watched,
    /// Until then, by the kernel's timer; two system calls.
    Polls,
    /// The same in one, as nearly as the kernel's ticks are.
    Within(Duration),
}

impl Sleep {
    /// For one who is to be awake then: in ticks, so that calls with the same wait ask the kernel for the same.
    pub(super) fn until(at: Moment, now: Moment) -> Sleep {
        let ticks = at.since(now).as_nanos().div_ceil(TICK.as_nanos());
        match u32::try_from(ticks) {
            // Some ticks more or less would matter.
            Ok(ticks @ 4..) => Sleep::Within(TICK * ticks),
            _ => Sleep::Polls,
        }
    }
}
