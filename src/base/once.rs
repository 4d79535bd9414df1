//! A value that whoever comes first makes for all, once a process. Nobody waits for the thread that makes it: of two that
//! do, the first counts.
#![allow(unsafe_code)]

use crate::base::sync::{AtomicPtr, Ordering};

/// A value, and of which process it is.
pub struct Made<T> {
    forks: u64,
    value: T,
}

/// The value of the process that has so many `forks` behind it, made by `make` where there is none.
///
/// # Safety
/// `place` was null at first, and nothing but this has written to it.
#[inline]
pub unsafe fn get<T: Send + Sync + 'static>(place: &AtomicPtr<Made<T>>, forks: u64, make: fn() -> T) -> &'static T {
    let made = place.load(Ordering::Acquire);
    // SAFETY: null, or what `renew` has put there, which is never freed.
    match unsafe { made.as_ref() } {
        Some(made) if made.forks == forks => &made.value,
        // SAFETY: as the caller says.
        _ => unsafe { renew(place, made, forks, make()) },
    }
}

#[cold]
unsafe fn renew<T>(place: &AtomicPtr<Made<T>>, mut seen: *mut Made<T>, forks: u64, value: T) -> &'static T {
    let new = Box::into_raw(Box::new(Made { forks, value }));
    loop {
        // Nothing is read of what it replaces.
        let Err(other) = place.compare_exchange(seen, new, Ordering::Release, Ordering::Acquire) else {
            // SAFETY: made above, and never freed from here on. The parent's value stays where it is.
            return unsafe { &(*new).value };
        };
        // SAFETY: another thread has put it there, and it is never freed.
        if let Some(made) = unsafe { other.as_ref() }.filter(|made| made.forks == forks) {
            // SAFETY: made above, and nobody else has seen it.
            drop(unsafe { Box::from_raw(new) });
            return &made.value;
        }
        seen = other;
    }
}
