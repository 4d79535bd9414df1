//! Waiting on a word of memory, so that one system call wakes any choice of up to 32 waiters.
#![allow(unsafe_code)]

use std::sync::atomic::AtomicU32;
use std::{io, ptr};

use super::clock::Moment;

const WAIT: libc::c_int = libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG;
const WAKE: libc::c_int = libc::FUTEX_WAKE_BITSET | libc::FUTEX_PRIVATE_FLAG;

/// All bits: for words on which nobody makes a choice among the waiters.
pub const ANY: u32 = u32::MAX;

/// Sleeps while `word` is `seen`, until [`wake`] with a common bit, `until`, or for no reason at all: the caller looks
/// again. False when it did not sleep, since the word was another.
#[inline]
pub fn wait(word: &AtomicU32, seen: u32, bits: u32, until: Option<Moment>) -> bool {
    let at = until.map(Moment::timespec);
    let at = at.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the kernel reads `word` and `at`, which both outlive the call; no other pointer is used.
    let done = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), WAIT, seen, at, ptr::null::<u32>(), bits) };
    done == 0 || io::Error::last_os_error().kind() != io::ErrorKind::WouldBlock
}

/// Wakes everyone who waits on `word` with one of these bits.
pub fn wake(word: &AtomicU32, bits: u32) {
    wake_some(word, libc::c_int::MAX, bits);
}

/// Wakes one of those who wait on `word`.
pub fn wake_one(word: &AtomicU32) {
    wake_some(word, 1, ANY);
}

fn wake_some(word: &AtomicU32, most: libc::c_int, bits: u32) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn a_wait_ends_at_its_deadline_and_at_a_changed_word() {
        let word = AtomicU32::new(1);
        let end = Moment::now().plus_ms(20);
        assert!(wait(&word, 1, 1, Some(end)));
        assert!(Moment::now() >= end);
        assert!(!wait(&word, 2, 1, None));
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
