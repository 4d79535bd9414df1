//! Waiting on a word of memory, so that one call wakes any choice of up to 32 waiters.

use std::sync::atomic::AtomicU32;

use super::clock::Moment;
use super::kernel;

/// All bits: for words on which nobody makes a choice among the waiters.
pub const ANY: u32 = u32::MAX;

/// Sleeps while `word` is `seen`, until [`wake`] with a common bit, `until`, or for no reason at all: the caller looks
/// again. False when it did not sleep, since the word was another.
#[inline]
pub fn wait(word: &AtomicU32, seen: u32, bits: u32, until: Option<Moment>) -> bool {
    kernel::wait(word, seen, bits, until.map(Moment::number))
}

/// Wakes everyone who waits on `word` with one of these bits.
pub fn wake(word: &AtomicU32, bits: u32) {
    kernel::wake(word, false, bits);
}

/// Wakes one of those who wait on `word`.
pub fn wake_one(word: &AtomicU32) {
    kernel::wake(word, true, ANY);
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
