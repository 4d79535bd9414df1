//! Completion queues
//!
//! A bounded queue of completions with a file descriptor for epoll, libuv, Go's netpoller or `IO#wait_readable`.

use std::ffi::c_int;
use std::mem::size_of;
use std::ptr;
use std::time::Duration;

use super::completion::{sentinel_completion_t, sentinel_queue_t};
use super::deployment::sentinel_t;
use super::error::sentinel_error_t;
use super::handle::{self, Poison, missing};
use super::status::{SENTINEL_EMPTY, SENTINEL_OK, sentinel_status_t};
use super::{access, bytes, guard};
use crate::base::deadline::Deadline;
use crate::base::error::Error;
use crate::base::process::ForkBound;
use crate::base::thread::may_wait;
use crate::completion::queue::Polled;

/// A queue for up to `capacity` completions: what waits in it and what is still to come of calls submitted to it.
///
/// One more submission is QUEUE_FULL, one more event or message is dropped (a subscription says what it does about
/// that). The caller owns `*out` and frees it with sentinel_queue_free, before or after the deployment and its clients.
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
    // SAFETY: `sentinel` is live or NULL, `out` and `error` may be written or are NULL.
    unsafe {
        guard::shared(sentinel, error, |sentinel| {
            if capacity == 0 || isize::try_from(capacity).is_err() {
                let problem = format!("is {capacity}, takes the number of completions to hold");
                return Err(Error::invalid("capacity", problem).into());
            }
            let core = ForkBound::new(sentinel.core.queue(capacity)?);
            let poison = Poison::default();
            handle::put(out, sentinel_queue_t { core, poison });
            Ok(())
        })
    }
}

/// A descriptor for epoll, poll, libuv or a runtime's netpoller, readable exactly while entries wait; -1 for NULL and
/// when the system has no descriptor left.
///
/// It belongs to the queue: never read, write or close it. Made with the first call; a program that only polls needs
/// none.
///
/// # Safety
/// `queue` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_queue_fd(queue: *const sentinel_queue_t) -> c_int {
    // SAFETY: `queue` is live or NULL.
    unsafe { access::read(queue, -1, |queue| queue.queue().ok()?.fd().ok()) }
}

/// Moves up to `max_entries` completions to `entries` and their number to `*count`.
///
/// `entry_size` is sizeof(sentinel_completion_t). `timeout_ms`: milliseconds to wait for the first one; 0: do not wait;
/// -1: no limit. SENTINEL_EMPTY, with a count of 0, when none came in time or another thread called
/// sentinel_queue_wake. The caller frees each entry's reply and error. Any number of threads may poll; each completion
/// reaches one. CLOSED when the deployment is closed and everything was taken; WOULD_DEADLOCK when it would wait inside
/// a callback.
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
    let mut taken = 0;
    let mut empty = false;
    // SAFETY: `queue` is live or NULL.
    let status = unsafe {
        guard::shared(queue, ptr::null_mut(), |queue| {
            if entries.is_null() && max_entries > 0 {
                return Err(missing("entries").into());
            }
            if entry_size < size_of::<sentinel_completion_t>() {
                return Err(Error::invalid("entry_size", "takes sizeof(sentinel_completion_t)").into());
            }
            let queue = queue.queue()?;
            let deadline = match u64::try_from(bytes::timeout(timeout_ms)?) {
                Ok(ms) => Deadline::after(Some(Duration::from_millis(ms))),
                Err(_) => Deadline::NEVER,
            };
            if timeout_ms != 0 {
                may_wait()?;
            }
            let polled = queue.poll(max_entries, deadline, |entry| {
                let place = entries.byte_add(taken * entry_size);
                sentinel_completion_t::write(place, entry);
                taken += 1;
            })?;
            empty = polled == Polled::Empty;
            Ok(())
        })
    };
    if !count.is_null() && (status == SENTINEL_OK || taken > 0) {
        // SAFETY: not NULL, so it may be written.
        unsafe { count.write(taken) };
    }
    if status == SENTINEL_OK && empty {
        SENTINEL_EMPTY
    } else {
        status
    }
}

/// Makes one waiting sentinel_queue_poll return with SENTINEL_EMPTY, or the next one that would wait.
///
/// # Safety
/// `queue` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_queue_wake(queue: *mut sentinel_queue_t) -> sentinel_status_t {
    // SAFETY: `queue` is live or NULL.
    unsafe {
        guard::shared(queue, ptr::null_mut(), |queue| {
            queue.queue()?.wake();
            Ok(())
        })
    }
}

/// Frees a queue and what waits in it; NULL is allowed. Threads that wait in sentinel_queue_poll return with CLOSED.
///
/// Calls submitted to it run to their end, their completions go nowhere; subscriptions and watches on it end.
///
/// # Safety
/// `queue` is live or NULL, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_queue_free(queue: *mut sentinel_queue_t) {
    // SAFETY: `queue` is live or NULL, and the caller gives it up.
    unsafe {
        access::read(queue, (), |queue| {
            queue.queue().ok()?.free();
            Some(())
        });
        access::free(queue);
    }
}
