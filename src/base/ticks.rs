//! The kernel's monotonic clock, in nanoseconds.
#![allow(unsafe_code)]

/// Nanoseconds.
pub(super) const SECOND: u64 = 1_000_000_000;

/// Now. Never 0.
pub(super) fn now() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// What a clock that exists tells. Never 0.
pub(super) fn read(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is valid for the write; the caller names a clock that the system has.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    nanos(now).max(1)
}

/// The number of what the kernel gives.
pub(super) fn nanos(time: libc::timespec) -> u64 {
    // Neither is ever negative on these clocks.
    u64::try_from(time.tv_sec).unwrap_or(0) * SECOND + u64::try_from(time.tv_nsec).unwrap_or(0)
}
