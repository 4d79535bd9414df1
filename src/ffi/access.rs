//! The one way in for what cannot fail: accessors, and functions that free. No panic crosses the boundary.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::handle::{self, Handle, Owner};

/// Runs an accessor, which has an answer for a NULL handle (and for a panic) instead of a status.
///
/// # Safety
/// `raw` is NULL or a live handle that nothing changes meanwhile.
pub unsafe fn read<T: Handle, R>(raw: *const T, absent: R, body: impl FnOnce(&T) -> Option<R>) -> R {
    // SAFETY: the caller passes NULL or a live handle.
    let object = unsafe { handle::borrow_optional(raw) };
    value(absent, || object.and_then(body))
}

/// Runs a body that returns a value; `absent` stands for `None` and for a panic.
pub fn value<R>(absent: R, body: impl FnOnce() -> Option<R>) -> R {
    catch_unwind(AssertUnwindSafe(body)).ok().flatten().unwrap_or(absent)
}

/// Makes an object for C: NULL when the body has none.
pub fn make<T: Handle>(body: impl FnOnce() -> Option<T>) -> *mut T {
    value(std::ptr::null_mut(), || body().map(T::Owner::hand_out))
}

/// Frees a handle; NULL is allowed.
///
/// # Safety
/// `raw` is NULL or a live handle, which the caller does not use again.
pub unsafe fn free<T: Handle>(raw: *mut T) {
    if !raw.is_null() {
        value((), || {
            // SAFETY: a live handle came from `hand_out`, and the caller gives it up here.
            unsafe { T::Owner::take_back(raw) };
            Some(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accessor_that_panics_gives_its_empty_answer() {
        assert_eq!(value(7, || panic!("planted")), 7);
    }
}
