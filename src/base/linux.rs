//! What only Linux has: waiting on a word of memory, and a clock that is read for less. `portable.rs` has the same names.
#![allow(unsafe_code)]

use std::sync::atomic::AtomicU32;
use std::{io, ptr};

use super::process::PerProcess;
use super::ticks::{SECOND, nanos, read};

const WAIT: libc::c_int = libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG;
const WAKE: libc::c_int = libc::FUTEX_WAKE_BITSET | libc::FUTEX_PRIVATE_FLAG;

/// Sleeps while `word` is `seen`, until it is woken with a common bit, until the clock tells `until`, or for no reason at all. False when it
/// did not sleep, since the word was another.
#[inline]
pub(super) fn wait(word: &AtomicU32, seen: u32, bits: u32, until: Option<u64>) -> bool {
    let at = until.map(timespec);
    let at = at.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the kernel reads `word` and `at`, which both outlive the call; no other pointer is used.
    let done = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), WAIT, seen, at, ptr::null::<u32>(), bits) };
    done == 0 || io::Error::last_os_error().kind() != io::ErrorKind::WouldBlock
}

fn timespec(number: u64) -> libc::timespec {
    libc::timespec {
        // Some centuries from now is as good as never, and no overflow.
        tv_sec: (number / SECOND).min(1 << 33).try_into().unwrap_or(i32::MAX.into()),
        tv_nsec: libc::c_long::try_from(number % SECOND).unwrap_or(0),
    }
}

/// Wakes one, or all, of those who wait on `word` with one of these bits.
pub(super) fn wake(word: &AtomicU32, one: bool, bits: u32) {
    let most = if one { 1 } else { libc::c_int::MAX };
    let none = ptr::null::<libc::timespec>();
    // SAFETY: the kernel takes the address of `word` as a key only; no other pointer is used.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            WAKE,
            most,
            none,
            ptr::null::<u32>(),
            bits,
        )
    };
}

/// The moment of the kernel's next tick in nanoseconds: now or up to 10 ms from now, for a quarter of the price of the exact
/// time.
pub(super) fn next_tick() -> u64 {
    static TICK: PerProcess<u64> = PerProcess::new(|| {
        let mut tick = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `tick` is valid for the write; the clock exists on every Linux.
        unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut tick) };
        nanos(tick)
    });
    read(libc::CLOCK_MONOTONIC_COARSE) + *TICK.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_too_long_for_the_kernel() {
        assert_eq!(timespec(u64::MAX).tv_sec, 1 << 33);
        assert_eq!((timespec(SECOND + 5).tv_sec, timespec(SECOND + 5).tv_nsec), (1, 5));
    }
}
