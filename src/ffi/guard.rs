//! The one way in for what can fail: every exported body that returns a status runs in one of these functions, every other
//! in one of [`access`](super::access).
//!
//! They check the handle, catch the panic and write the error out, so that no panic crosses the boundary and an output
//! is written only as its function promises.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::{Failure, sentinel_error_t};
use super::handle::{self, Callable, InArc, InBox};
use super::status::{SENTINEL_OK, sentinel_status_t};
use crate::base::error::{Error, ErrorKind};

/// The result of a body.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Runs a body that belongs to no handle.
///
/// # Safety
/// `error` is NULL or may be written.
pub unsafe fn status(error: *mut *mut sentinel_error_t, body: impl FnOnce() -> Outcome) -> sentinel_status_t {
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return SENTINEL_OK,
        Ok(Err(failure)) => failure,
        Err(payload) => panicked(payload),
    };
    let status = failure.status();
    if !error.is_null() {
        // SAFETY: the caller passes NULL or a place that may be written.
        unsafe { handle::put(error, sentinel_error_t::new(&failure)) };
    }
    status
}

/// Runs a body on a handle that any thread may use; the object lives until the body ends.
///
/// # Safety
/// `raw` is NULL or a live handle; `error` is NULL or may be written.
pub unsafe fn shared<T: Callable<Owner = InArc>>(
    raw: *const T,
    error: *mut *mut sentinel_error_t,
    body: impl FnOnce(&T) -> Outcome,
) -> sentinel_status_t {
    // SAFETY: the caller's promise for `raw` and `error` is the one asked for here.
    unsafe {
        status(error, || {
            let object = handle::share(raw)?;
            on(&*object, || body(&object))
        })
    }
}

/// Runs a body on a handle that one thread at a time uses.
///
/// # Safety
/// `raw` is NULL or a live handle that no other thread uses meanwhile; `error` is NULL or may be written.
pub unsafe fn exclusive<T: Callable<Owner = InBox>>(
    raw: *mut T,
    error: *mut *mut sentinel_error_t,
    body: impl FnOnce(&mut T) -> Outcome,
) -> sentinel_status_t {
    // SAFETY: the caller's promise for `raw` and `error` is the one asked for here.
    unsafe {
        status(error, || {
            let object = handle::borrow_mut(raw)?;
            object.poison().check()?;
            let result = catch_unwind(AssertUnwindSafe(|| body(object)));
            result.unwrap_or_else(|payload| {
                // The body is over, and with it its exclusive use of the object.
                handle::borrow(raw.cast_const())?.poison().set();
                Err(panicked(payload))
            })
        })
    }
}

fn on<T: Callable>(object: &T, body: impl FnOnce() -> Outcome) -> Outcome {
    object.poison().check()?;
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        object.poison().set();
        Err(panicked(payload))
    })
}

fn panicked(payload: Box<dyn Any + Send>) -> Failure {
    let problem = match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => match payload.downcast::<&'static str>() {
            Ok(text) => (*text).to_owned(),
            Err(payload) => {
                // A payload of an unknown type may panic again when dropped.
                std::mem::forget(payload);
                "no message".to_owned()
            }
        },
    };
    // It may have been anywhere in the call.
    let error = Error::new(ErrorKind::Panic { problem });
    error.with_outcome(crate::base::error::Outcome::Unknown).into()
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::super::batch::{sentinel_batch_free, sentinel_batch_new, sentinel_batch_t};
    use super::super::error::{
        SENTINEL_OUTCOME_UNKNOWN, sentinel_error_free, sentinel_error_message, sentinel_error_outcome,
    };
    use super::super::status::{SENTINEL_ERR_CLOSED, SENTINEL_ERR_NULL_ARGUMENT, SENTINEL_ERR_PANIC};
    use super::*;

    #[test]
    fn a_panic_becomes_a_status_and_closes_the_handle() {
        // SAFETY: the batch is live until the free at the end; the outputs are NULL or local.
        unsafe {
            let batch = sentinel_batch_new(1);
            let mut error = ptr::null_mut();
            let status = exclusive(batch, &mut error, |_| panic!("planted"));
            assert_eq!(status, SENTINEL_ERR_PANIC);
            let message = std::ffi::CStr::from_ptr(sentinel_error_message(error, ptr::null_mut()));
            assert_eq!(message.to_str(), Ok("panic: planted"));
            assert_eq!(sentinel_error_outcome(error), SENTINEL_OUTCOME_UNKNOWN);
            sentinel_error_free(error);
            assert_eq!(exclusive(batch, ptr::null_mut(), |_| Ok(())), SENTINEL_ERR_CLOSED);
            sentinel_batch_free(batch);
        }
    }

    #[test]
    fn a_null_handle_is_named_and_the_body_does_not_run() {
        // SAFETY: NULL is allowed for the handle, and `error` is local.
        unsafe {
            let mut error = ptr::null_mut();
            let status = exclusive(ptr::null_mut::<sentinel_batch_t>(), &mut error, |_| unreachable!());
            assert_eq!(status, SENTINEL_ERR_NULL_ARGUMENT);
            let message = std::ffi::CStr::from_ptr(sentinel_error_message(error, ptr::null_mut()));
            assert_eq!(message.to_str(), Ok("batch is NULL"));
            sentinel_error_free(error);
        }
    }
}
