//! The library's lock and condition, each on words of its own.
//!
//! Not parking_lot's: it keeps all that wait in a table of the process, which a fork copies with the parent's threads in
//! it, so that every lock of the child, new ones too, may wait for threads that are not there. Nor the standard
//! library's: they would poison.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::AtomicU32;

use super::clock::Moment;
use super::turn::{self, Signal};

/// A value that one thread at a time sees.
#[derive(Default)]
pub struct Mutex<T: ?Sized> {
    word: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: who holds the lock may move the value out of it to another thread, which `T: Send` allows; the word is an
// atomic.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: by a shared lock only one thread at a time reaches the value: it is passed on as if it were sent.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

/// The lock, held. Not sent: the turn belongs to its thread.
#[must_use]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    own: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives a shared value and nothing else.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T> Mutex<T> {
    /// Free, around `value`.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex {
            word: AtomicU32::new(0),
            value: UnsafeCell::new(value),
        }
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until nobody else holds it.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        turn::take(&self.word);
        self.held()
    }

    /// Only when nobody holds it.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        turn::try_take(&self.word).then(|| self.held())
    }

    /// For who has just taken the turn.
    #[inline]
    fn held(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            mutex: self,
            own: PhantomData,
        }
    }
}

/// Without waiting for who holds it.
impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_lock() {
            Some(value) => f.debug_tuple("Mutex").field(&&*value).finish(),
            None => f.write_str("Mutex(<locked>)"),
        }
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard has the turn, so that nobody else has a reference; its own are bound to the guard.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard itself is borrowed for as long.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        turn::give(&self.mutex.word);
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Waiting for a change of what a lock guards. Who makes it holds that lock, or has held it since.
#[derive(Debug)]
pub struct Condvar(Signal);

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl Condvar {
    /// Nobody waits.
    pub const fn new() -> Condvar {
        Condvar(Signal::of(AtomicU32::new(0), AtomicU32::new(0)))
    }

    /// Waits, the lock free meanwhile, until notified or `until`, which may be never; or for no reason at all. True when
    /// the time has passed.
    pub fn wait_until<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, until: Moment) -> bool {
        let limit = (until != Moment::NEVER).then_some(until);
        // The guard is borrowed for the whole wait: nobody looks through it while the turn is another's.
        self.0.wait(&guard.mutex.word, limit);
        limit.is_some_and(|at| at <= Moment::now())
    }

    /// The same without a limit.
    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        self.0.wait(&guard.mutex.word, None);
    }

    /// Wakes one of those who wait.
    pub fn notify_one(&self) {
        self.0.call_one();
    }

    /// Wakes all who wait.
    pub fn notify_all(&self) {
        self.0.call_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn one_thread_at_a_time_is_inside() {
        let count = Arc::new(Mutex::new(0u64));
        let threads = [(); 8].map(|()| {
            let count = Arc::clone(&count);
            std::thread::spawn(move || {
                for _ in 0..20_000 {
                    *count.lock() += 1;
                }
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*count.lock(), 160_000);
    }

    #[test]
    fn what_is_held_is_shown_without_waiting() {
        let mutex = Mutex::new(7);
        assert_eq!(format!("{mutex:?}"), "Mutex(7)");
        let held = mutex.lock();
        assert_eq!(format!("{mutex:?} {held:?}"), "Mutex(<locked>) 7");
        assert!(mutex.try_lock().is_none());
        drop(held);
        assert!(mutex.try_lock().is_some());
    }

    #[test]
    fn a_panic_leaves_the_lock_free() {
        let mutex = Mutex::new(1);
        let inside = std::panic::AssertUnwindSafe(|| {
            let _held = mutex.lock();
            panic!("planted");
        });
        std::panic::catch_unwind(inside).unwrap_err();
        assert_eq!(*mutex.lock(), 1);
    }

    #[test]
    fn a_wait_ends_at_its_time_with_the_lock_held() {
        let (mutex, condition) = (Mutex::new(()), Condvar::new());
        let mut held = mutex.lock();
        let until = Moment::now().plus(Duration::from_millis(20));
        while !condition.wait_until(&mut held, until) {}
        assert!(Moment::now() >= until && mutex.try_lock().is_none());
    }

    #[test]
    fn each_of_many_changes_is_seen_by_one_who_waits() {
        let shared = Arc::new((Mutex::new(0u32), Condvar::new()));
        let takers = [(); 4].map(|()| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                for _ in 0..1000 {
                    let mut left = shared.0.lock();
                    while *left == 0 {
                        shared.1.wait(&mut left);
                    }
                    *left -= 1;
                }
            })
        });
        for _ in 0..4000 {
            *shared.0.lock() += 1;
            shared.1.notify_one();
        }
        for taker in takers {
            taker.join().unwrap();
        }
        assert_eq!(*shared.0.lock(), 0);
    }
}
