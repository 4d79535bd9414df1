//! Locks and condition variables whose waits the simulation sees. As the library's own: no poisoning.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

pub use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::base::clock::Moment;
use crate::kernel::{is_running, kernel};

/// Only one thread of the simulation runs at a time: the flag tells who sleeps in the middle, and keeps the processors
/// of the machine out of it.
#[derive(Default)]
pub struct Mutex<T: ?Sized> {
    locked: AtomicBool,
    /// Who has it.
    holder: AtomicUsize,
    value: UnsafeCell<T>,
}

// SAFETY: whoever has the guard has the value alone, as with any lock.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Mutex<T> {
        Mutex {
            locked: AtomicBool::new(false),
            holder: AtomicUsize::new(0),
            value: UnsafeCell::new(value),
        }
    }
}

impl<T: ?Sized> Mutex<T> {
    fn key(&self) -> usize {
        (&raw const self.locked).addr()
    }

    fn take(&self) {
        while self.locked.swap(true, Ordering::Acquire) {
            let own = self.holder.load(Ordering::Relaxed) == kernel().fibers.current();
            assert!(!own, "a thread locks what it has locked already");
            kernel().wait(self.key(), u32::MAX, None);
        }
        if is_running() {
            self.holder.store(kernel().fibers.current(), Ordering::Relaxed);
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        if is_running() {
            kernel().preempt();
        }
        self.take();
        MutexGuard {
            lock: self,
            sent: PhantomData,
        }
    }

    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let free = !self.locked.load(Ordering::Acquire);
        free.then(|| self.lock())
    }

    fn unlock(&self) {
        self.locked.store(false, Ordering::Release);
        if is_running() {
            kernel().wake(self.key(), u32::MAX, 1);
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex")
    }
}

pub struct MutexGuard<'a, T: ?Sized> {
    lock: &'a Mutex<T>,
    sent: PhantomData<*const ()>,
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard is the only one.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.unlock();
    }
}

#[derive(Debug, Default)]
pub struct Condvar(AtomicBool);

impl Condvar {
    pub const fn new() -> Condvar {
        Condvar(AtomicBool::new(false))
    }

    fn key(&self) -> usize {
        (&raw const self.0).addr()
    }

    fn wait_for<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, until: Option<u64>) -> bool {
        // Nobody has a turn between the two.
        guard.lock.unlock();
        let woken = kernel().wait(self.key(), u32::MAX, until);
        guard.lock.take();
        !woken
    }

    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        self.wait_for(guard, None);
    }

    pub fn wait_until<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, until: Moment) -> bool {
        self.wait_for(guard, (until != Moment::NEVER).then(|| until.number()))
    }

    pub fn notify_one(&self) {
        self.notify(1);
    }

    pub fn notify_all(&self) {
        self.notify(usize::MAX);
    }

    fn notify(&self, most: usize) {
        if is_running() {
            kernel().wake(self.key(), u32::MAX, most);
            kernel().preempt();
        }
    }
}
