//! Pub/sub
//!
//! A subscription follows its client's service through failovers; its messages are completions in a queue.

use std::ffi::c_void;

use super::bytes;
use super::client::sentinel_client_t;
use super::error::{Failure, sentinel_error_t};
use super::guard::{self, Outcome};
use super::handle::{self, Callable, Handle, InArc, Poison};
use super::queue::sentinel_queue_t;
use super::status::sentinel_status_t;
use crate::error::Error;

/// A channel by its name (`SUBSCRIBE`).
pub const SENTINEL_SUBSCRIBE_CHANNEL: i32 = 1;
/// Channels by a pattern (`PSUBSCRIBE`).
pub const SENTINEL_SUBSCRIBE_PATTERN: i32 = 2;
/// A sharded channel (`SSUBSCRIBE`).
pub const SENTINEL_SUBSCRIBE_SHARDED: i32 = 3;

/// A set of channels and patterns. Any thread, any time.
#[derive(Debug)]
pub struct sentinel_subscription_t {
    poison: Poison,
}

impl Handle for sentinel_subscription_t {
    const NAME: &'static str = "subscription";
    type Owner = InArc;
}

impl Callable for sentinel_subscription_t {
    fn poison(&self) -> &Poison {
        &self.poison
    }
}

/// The checks that adding and removing share.
///
/// # Safety
/// `channel` has `len` bytes or is NULL.
unsafe fn check(kind: i32, channel: *const c_void, len: usize) -> Outcome {
    if !(SENTINEL_SUBSCRIBE_CHANNEL..=SENTINEL_SUBSCRIBE_SHARDED).contains(&kind) {
        return Err(Error::invalid("kind", format!("is {kind}, takes SENTINEL_SUBSCRIBE_*")).into());
    }
    // SAFETY: `channel` has `len` bytes or is NULL.
    unsafe { bytes::bytes(channel, len, || "channel".to_owned()) }?;
    Ok(())
}

/// Not available in this version: returns SENTINEL_ERR_UNAVAILABLE.
///
/// An empty subscription whose messages appear in `queue` with `tag`. The caller owns `*out` and frees it with
/// sentinel_subscription_free.
///
/// # Safety
/// `client` and `queue` are live or NULL, `out` and `error` may be written or are NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_subscription_new(
    client: *mut sentinel_client_t,
    queue: *mut sentinel_queue_t,
    tag: u64,
    out: *mut *mut sentinel_subscription_t,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `client` and `queue` are live or NULL, `error` may be written or is NULL.
    unsafe {
        guard::shared(client, error, |_| {
            handle::share(queue)?;
            let _ = (tag, out);
            Err(Failure::Unavailable("sentinel_subscription_new"))
        })
    }
}

/// Not available in this version: returns SENTINEL_ERR_UNAVAILABLE.
///
/// Adds a channel or pattern, any bytes, copied. `kind`: `SENTINEL_SUBSCRIBE_*`.
///
/// # Safety
/// `subscription` is live or NULL, `channel` has `len` bytes or is NULL, `error` may be written or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_subscription_add(
    subscription: *mut sentinel_subscription_t,
    kind: i32,
    channel: *const c_void,
    len: usize,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `subscription` is live or NULL, `channel` has `len` bytes or is NULL, `error` may be written or is NULL.
    unsafe {
        guard::shared(subscription, error, |_| {
            check(kind, channel, len)?;
            Err(Failure::Unavailable("sentinel_subscription_add"))
        })
    }
}

/// Not available in this version: returns SENTINEL_ERR_UNAVAILABLE.
///
/// Removes a channel or pattern; one that was not added is no error. `kind`: `SENTINEL_SUBSCRIBE_*`.
///
/// # Safety
/// As sentinel_subscription_add.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_subscription_remove(
    subscription: *mut sentinel_subscription_t,
    kind: i32,
    channel: *const c_void,
    len: usize,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `subscription` is live or NULL, `channel` has `len` bytes or is NULL, `error` may be written or is NULL.
    unsafe {
        guard::shared(subscription, error, |_| {
            check(kind, channel, len)?;
            Err(Failure::Unavailable("sentinel_subscription_remove"))
        })
    }
}

/// Ends and frees a subscription; NULL is allowed. Messages that are in the queue stay there.
///
/// # Safety
/// `subscription` is live or NULL, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_subscription_free(subscription: *mut sentinel_subscription_t) {
    // SAFETY: `subscription` is live or NULL, and the caller gives it up.
    unsafe { guard::free(subscription) }
}
