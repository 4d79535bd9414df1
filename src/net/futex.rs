//! Waiting on a word of memory, so that one system call wakes any choice of up to 32 waiters.
#![allow(unsafe_code)]

use std::ptr;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

const WAIT: libc::c_int = libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG;
const WAKE: libc::c_int = libc::FUTEX_WAKE_BITSET | libc::FUTEX_PRIVATE_FLAG;

/// Sleeps while `word` is `seen`, until [`wake`] with a common bit, `until`, or for no reason at all: the caller looks
/// again.
pub fn wait(word: &AtomicU32, seen: u32, bits: u32, until: Option<Instant>) {
    let at = until.map(monotonic);
    let at = at.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the kernel reads `word` and `at`, which both outlive the call; no other pointer is used.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), WAIT, seen, at, ptr::null::<u32>(), bits) };
}

/// Wakes everyone who waits on `word` with one of these bits.
pub fn wake(word: &AtomicU32, bits: u32) {
    let all = libc::c_int::MAX;
    let none = ptr::null::<libc::timespec>();
    // SAFETY: the kernel takes the address of `word` as a key only; no other pointer is used.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            WAKE,
            all,
            none,
            ptr::null::<u32>(),
            bits,
        )
    };
}

/// The same moment on both clocks, so that a wait reads neither.
static EPOCH: LazyLock<(Instant, Duration)> = LazyLock::new(|| (Instant::now(), read_clock(libc::CLOCK_MONOTONIC)));

/// The moment of the kernel's next tick: now or up to 10 ms from now, for a quarter of the price of the exact time.
pub fn next_tick() -> Instant {
    static TICK: LazyLock<Duration> = LazyLock::new(|| {
        let mut tick = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `tick` is valid for the write; the clock exists on every Linux.
        unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut tick) };
        duration(tick)
    });
    let (instant, since) = *EPOCH;
    let last = read_clock(libc::CLOCK_MONOTONIC_COARSE);
    instant + (last + *TICK).saturating_sub(since)
}

fn read_clock(clock: libc::clockid_t) -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is valid for the write; both clocks exist on every Linux.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    duration(now)
}

fn duration(time: libc::timespec) -> Duration {
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    seconds + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// `until` as the kernel counts time.
fn monotonic(until: Instant) -> libc::timespec {
    let (instant, since) = *EPOCH;
    let at = since.saturating_add(until.saturating_duration_since(instant));
    libc::timespec {
        // Some centuries from now is as good as never, and no overflow.
        tv_sec: i64::try_from(at.as_secs()).unwrap_or(i64::MAX).min(1 << 33),
        tv_nsec: at.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn a_wait_ends_at_its_deadline_and_at_a_changed_word() {
        let word = AtomicU32::new(1);
        let start = Instant::now();
        wait(&word, 1, 1, Some(start + Duration::from_millis(20)));
        assert!(start.elapsed() >= Duration::from_millis(20));
        wait(&word, 2, 1, None);
    }

    #[test]
    fn the_next_tick_is_a_few_milliseconds_away_at_most() {
        let most = Duration::from_millis(11);
        for _ in 0..1000 {
            let (before, tick, after) = (Instant::now(), next_tick(), Instant::now());
            assert!(tick + most > before && tick < after + most);
        }
    }

    #[test]
    fn a_wake_reaches_the_waiter_with_the_bit() {
        let word = AtomicU32::new(0);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                while word.load(Ordering::Acquire) == 0 {
                    wait(&word, 0, 2, None);
                }
            });
            word.store(1, Ordering::Release);
            wake(&word, 2);
            waiter.join().unwrap();
        });
    }
}
