//! Completion queues
//!
//! A bounded queue of completions with a file descriptor for epoll, libuv, Go's netpoller or `IO#wait_readable`.

use std::ffi::c_int;
use std::mem::size_of;
use std::ptr;

use super::bytes;
use super::completion::sentinel_completion_t;
use super::deployment::sentinel_t;
use super::error::{Failure, sentinel_error_t};
use super::guard;
use super::handle::{Callable, Handle, InArc, Poison, missing};
use super::status::sentinel_status_t;
use crate::error::Error;

/// A queue of completions. Any thread, any time.
#[derive(Debug)]
pub struct sentinel_queue_t {
    poison: Poison,
}

impl Handle for sentinel_queue_t {
    const NAME: &'static str = "queue";
    type Owner = InArc;
}

impl Callable for sentinel_queue_t {
    fn poison(&self) -> &Poison {
        &self.poison
    }
}

/// Not available in this version: returns SENTINEL_ERR_UNAVAILABLE.
///
/// A queue for up to `capacity` completions. The caller owns `*out` and frees it with sentinel_queue_free.
///
/// # Safety
/// `sentinel` is live or NULL, `out` and `error` may be written or are NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_queue_new(
    sentinel: *mut sentinel_t,
    capacity: usize,
    out: *mut *mut sentinel_queue_t,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `sentinel` is live or NULL, `error` may be written or is NULL.
    unsafe {
        guard::shared(sentinel, error, |_| {
            if capacity == 0 {
                return Err(Error::invalid("capacity", "is 0, takes the number of completions to hold").into());
            }
            let _ = out;
            Err(Failure::Unavailable("sentinel_queue_new"))
        })
    }
}

/// Not available in this version: returns -1.
///
/// A descriptor that is readable while entries wait. It belongs to the queue: never read, write or close it.
///
/// # Safety
/// `queue` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_queue_fd(queue: *const sentinel_queue_t) -> c_int {
    let _ = queue;
    -1
}

/// Not available in this version: returns SENTINEL_ERR_UNAVAILABLE.
///
/// Moves up to `max_entries` completions to `entries` and their number to `*count`. `entry_size` is
/// sizeof(sentinel_completion_t). `timeout_ms`: milliseconds to wait for the first one; 0: do not wait; -1: no limit.
/// SENTINEL_EMPTY when none came. The caller frees each entry's reply and error.
///
/// # Safety
/// `queue` is live or NULL, `entries` has room for `max_entries` of `entry_size` bytes or is NULL, `count` may be
/// written or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_queue_poll(
    queue: *mut sentinel_queue_t,
    entries: *mut sentinel_completion_t,
    entry_size: usize,
    max_entries: usize,
    timeout_ms: i64,
    count: *mut usize,
) -> sentinel_status_t {
    // SAFETY: `queue` is live or NULL.
    unsafe {
        guard::shared(queue, ptr::null_mut(), |_| {
            if entries.is_null() && max_entries > 0 {
                return Err(missing("entries").into());
            }
            if entry_size < size_of::<sentinel_completion_t>() {
                return Err(Error::invalid("entry_size", "takes sizeof(sentinel_completion_t)").into());
            }
            bytes::timeout(timeout_ms)?;
            let _ = (max_entries, count);
            Err(Failure::Unavailable("sentinel_queue_poll"))
        })
    }
}

/// Not available in this version: returns SENTINEL_ERR_UNAVAILABLE.
///
/// Makes one waiting sentinel_queue_poll return with SENTINEL_EMPTY.
///
/// # Safety
/// `queue` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_queue_wake(queue: *mut sentinel_queue_t) -> sentinel_status_t {
    // SAFETY: `queue` is live or NULL.
    unsafe {
        guard::shared(queue, ptr::null_mut(), |_| {
            Err(Failure::Unavailable("sentinel_queue_wake"))
        })
    }
}

/// Frees a queue and what waits in it; NULL is allowed. Calls submitted to it end, their completions go nowhere.
///
/// # Safety
/// `queue` is live or NULL, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_queue_free(queue: *mut sentinel_queue_t) {
    // SAFETY: `queue` is live or NULL, and the caller gives it up.
    unsafe { guard::free(queue) }
}
