//! What belongs to one process of a line of forks.
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::once::{self, Made};

/// 0 until the handler is registered, then one more than the forks since.
static FORKS: AtomicU64 = AtomicU64::new(0);

extern "C" fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Differs between parent and child, and is never 0. Costs one load, where getpid(2) would be a system call for each
/// command.
#[inline]
pub fn fork_count() -> u64 {
    match FORKS.load(Ordering::Relaxed) {
        0 => register(),
        forks => forks,
    }
}

/// Nobody waits for another thread here, which a fork might leave behind: two threads may register the handler both,
/// and then a fork counts twice.
#[cold]
fn register() -> u64 {
    // SAFETY: the handler is a function of the library, which is linked with NODELETE and so stays loaded; it does one
    // atomic addition, which is allowed between fork and exec.
    unsafe { libc::pthread_atfork(None, None, Some(forked)) };
    let first = FORKS.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed);
    first.map_or_else(|forks| forks, |_| 1)
}

/// A value that each process makes for itself when it first asks: what its parent's threads held when it was forked, a
/// lock in the middle of a change, is not what it gets. Nor does it wait for a thread that makes it: of two the first
/// counts.
pub struct PerProcess<T> {
    made: AtomicPtr<Made<T>>,
    make: fn() -> T,
}

impl<T> PerProcess<T> {
    /// Made by `make`, once a process or in vain.
    pub const fn new(make: fn() -> T) -> PerProcess<T> {
        PerProcess {
            made: AtomicPtr::new(std::ptr::null_mut()),
            make,
        }
    }
}

impl<T: Send + Sync + 'static> PerProcess<T> {
    /// The value of this process.
    pub fn get(&'static self) -> &'static T {
        // SAFETY: `new` has made it null, and nobody else reaches it.
        unsafe { once::get(&self.made, fork_count(), self.make) }
    }
}

/// Something with threads, sockets and locks that stay behind in the parent when the process forks. Dropped in the
/// child it is left as it is: its threads are not there, a lock may be held by one of them for ever, and closing its
/// epoll registrations would change the parent's.
#[derive(Debug)]
pub struct ForkBound<T> {
    value: ManuallyDrop<T>,
    forks: u64,
}

impl<T> ForkBound<T> {
    /// Binds `value` to this process.
    pub fn new(value: T) -> ForkBound<T> {
        ForkBound {
            value: ManuallyDrop::new(value),
            forks: fork_count(),
        }
    }
}

impl<T> ForkBound<T> {
    /// Whether this process is a fork of the one that bound it.
    pub fn is_forked(&self) -> bool {
        fork_count() != self.forks
    }
}

impl<T> Deref for ForkBound<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for ForkBound<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T> Drop for ForkBound<T> {
    fn drop(&mut self) {
        if fork_count() == self.forks {
            // SAFETY: this is the only place that drops the value, and a value is dropped at most once.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_get_the_same_value() {
        static MADE: AtomicU64 = AtomicU64::new(0);
        static ONE: PerProcess<u64> = PerProcess::new(|| MADE.fetch_add(1, Ordering::Relaxed));
        let all = [(); 8].map(|()| std::thread::spawn(|| std::ptr::from_ref(ONE.get()).addr()));
        let all = all.map(|thread| thread.join().unwrap());
        assert!(all.iter().all(|place| *place == std::ptr::from_ref(ONE.get()).addr()));
    }

    #[test]
    fn a_child_makes_its_own() {
        static OWN: PerProcess<std::sync::Mutex<u64>> = PerProcess::new(std::sync::Mutex::default);
        let before = fork_count();
        let held = OWN.get().lock().unwrap();
        // SAFETY: the child does nothing but take a lock of its own and end.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let fresh = OWN.get().try_lock().is_ok() && fork_count() != before;
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(!fresh)) };
        }
        let mut status = -1;
        // SAFETY: the child is this process's own, and `status` outlives the call.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        drop(held);
        assert_eq!(status, 0);
    }
}
