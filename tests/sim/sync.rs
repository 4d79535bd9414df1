//! Locks and condition variables whose waits the simulation sees. As the library's own: no poisoning.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

pub use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

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

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    pub fn map<U: ?Sized>(this: Self, part: impl FnOnce(&mut T) -> &mut U) -> MappedMutexGuard<'a, U> {
        let lock = this.lock;
        std::mem::forget(this);
        // SAFETY: the lock is held until the mapped guard is dropped.
        let value = part(unsafe { &mut *lock.value.get() });
        MappedMutexGuard {
            value,
            unlock: Box::new(move || lock.unlock()),
        }
    }
}

pub struct MappedMutexGuard<'a, U: ?Sized> {
    value: &'a mut U,
    unlock: Box<dyn Fn() + 'a>,
}

impl<U: ?Sized> Deref for MappedMutexGuard<'_, U> {
    type Target = U;

    fn deref(&self) -> &U {
        self.value
    }
}

impl<U: ?Sized> DerefMut for MappedMutexGuard<'_, U> {
    fn deref_mut(&mut self) -> &mut U {
        self.value
    }
}

impl<U: ?Sized> Drop for MappedMutexGuard<'_, U> {
    fn drop(&mut self) {
        (self.unlock)();
    }
}

/// Whether a wait ended by its time.
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub fn timed_out(&self) -> bool {
        self.0
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

    fn wait_for<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, until: Option<u64>) -> WaitTimeoutResult {
        // Nobody has a turn between the two.
        guard.lock.unlock();
        let woken = kernel().wait(self.key(), u32::MAX, until);
        guard.lock.take();
        WaitTimeoutResult(!woken)
    }

    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        self.wait_for(guard, None);
    }

    pub fn wait_until<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, until: Instant) -> WaitTimeoutResult {
        let until = kernel().nanos(until);
        self.wait_for(guard, Some(until))
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
