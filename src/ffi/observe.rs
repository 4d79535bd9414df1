//! Events, log, metrics
//!
//! What the library sees and does, for operators. Nothing is printed and no password is ever shown.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::Arc;

use super::bytes;
use super::deployment::sentinel_t;
use super::error::{Failure, sentinel_error_t};
use super::guard;
use super::handle::{self, missing};
use super::options::sentinel_options_t;
use super::queue::sentinel_queue_t;
use super::status::sentinel_status_t;
use crate::error::Error;
use crate::options::LogHook;

/// Event: another node is the primary of a service.
pub const SENTINEL_EVENT_PRIMARY_CHANGED: u32 = 1u32;
/// Event: the usable replicas of a service changed.
pub const SENTINEL_EVENT_REPLICAS_CHANGED: u32 = 2u32;
/// Event: the Sentinels of a service changed.
pub const SENTINEL_EVENT_SENTINELS_CHANGED: u32 = 4u32;
/// Event: a connection was made or lost.
pub const SENTINEL_EVENT_CONNECTION: u32 = 8u32;
/// Event: messages of a subscription may have been missed.
pub const SENTINEL_EVENT_SUBSCRIPTION_GAP: u32 = 16u32;

const ALL_EVENTS: u32 = SENTINEL_EVENT_PRIMARY_CHANGED
    | SENTINEL_EVENT_REPLICAS_CHANGED
    | SENTINEL_EVENT_SENTINELS_CHANGED
    | SENTINEL_EVENT_CONNECTION
    | SENTINEL_EVENT_SUBSCRIPTION_GAP;

/// Log level: nothing.
pub const SENTINEL_LOG_OFF: i32 = 0;
/// Log level: what an operator must look at.
pub const SENTINEL_LOG_ERROR: i32 = 1;
/// Log level: what the library recovers from by itself.
pub const SENTINEL_LOG_WARN: i32 = 2;
/// Log level: failovers and other changes.
pub const SENTINEL_LOG_INFO: i32 = 3;
/// Log level: connections.
pub const SENTINEL_LOG_DEBUG: i32 = 4;
/// Log level: everything.
pub const SENTINEL_LOG_TRACE: i32 = 5;

/// Gets one line of the log, UTF-8, `len` bytes and a NUL behind them, valid until it returns. Called from any thread;
/// must not block, nor call into the library.
pub type sentinel_log_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, level: i32, message: *const c_char, len: usize)>;

/// The caller's log function and its data.
struct LogTarget {
    log: unsafe extern "C" fn(*mut c_void, i32, *const c_char, usize),
    user_data: *mut c_void,
}

// SAFETY: the caller of sentinel_options_set_log promises that `log` may be called with `user_data` from any thread.
unsafe impl Send for LogTarget {}
// SAFETY: as for Send, and from several threads at once.
unsafe impl Sync for LogTarget {}

impl LogTarget {
    fn line(&self, level: i32, message: &str) {
        let text = bytes::Text::new(message.as_bytes());
        // SAFETY: the caller of sentinel_options_set_log promises that `log` may be called with `user_data` as long as
        // the options or what they were given to live; the text lives through the call.
        unsafe { (self.log)(self.user_data, level, text.as_ptr(), message.len()) }
    }
}

/// Not available in this version: returns SENTINEL_ERR_UNAVAILABLE.
///
/// Lets the events of `mask`, a sum of `SENTINEL_EVENT_*`, appear in `queue` with `tag`; 0 ends it.
///
/// # Safety
/// `sentinel` and `queue` are live or NULL, `error` may be written or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_watch_events(
    sentinel: *mut sentinel_t,
    mask: u32,
    queue: *mut sentinel_queue_t,
    tag: u64,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `sentinel` and `queue` are live or NULL, `error` may be written or is NULL.
    unsafe {
        guard::shared(sentinel, error, |_| {
            let unknown = mask & !ALL_EVENTS;
            if unknown != 0 {
                return Err(Error::invalid("mask", format!("has the unknown bits {unknown:#x}")).into());
            }
            handle::share(queue)?;
            let _ = tag;
            Err(Failure::Unavailable("sentinel_watch_events"))
        })
    }
}

/// Sends the log of what these options are given to, up to `max_level`, to a function; `log` NULL ends it.
///
/// `max_level`: `SENTINEL_LOG_*`. `user_data` is handed through and kept as long as the options, the deployments and
/// the clients made with them live.
///
/// # Safety
/// `options` is live or NULL; `log` may be called with `user_data` from any thread as long as `user_data` is kept.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_options_set_log(
    options: *mut sentinel_options_t,
    max_level: i32,
    log: sentinel_log_fn,
    user_data: *mut c_void,
) -> sentinel_status_t {
    // SAFETY: `options` is live or NULL.
    unsafe {
        guard::exclusive(options, ptr::null_mut(), |options| {
            if !(SENTINEL_LOG_OFF..=SENTINEL_LOG_TRACE).contains(&max_level) {
                return Err(Error::invalid("max_level", format!("is {max_level}, takes SENTINEL_LOG_*")).into());
            }
            let hook = log.map(|log| {
                let target = LogTarget { log, user_data };
                Arc::new(move |level: i32, message: &str| target.line(level, message)) as LogHook
            });
            Ok(options.core.set_log(max_level, hook)?)
        })
    }
}

/// Not available in this version: returns SENTINEL_ERR_UNAVAILABLE.
///
/// One number of the library's, by its name, such as `commands_total`. INVALID_ARGUMENT for a name that is none.
///
/// # Safety
/// `sentinel` is live or NULL, `name` ends with NUL or is NULL, `value` may be written or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_metric(
    sentinel: *const sentinel_t,
    name: *const c_char,
    value: *mut i64,
) -> sentinel_status_t {
    // SAFETY: `sentinel` is live or NULL, `name` ends with NUL or is NULL.
    unsafe {
        guard::shared(sentinel, ptr::null_mut(), |_| {
            bytes::text(name, "name")?;
            let _ = value;
            Err(Failure::Unavailable("sentinel_metric"))
        })
    }
}

/// Not available in this version: returns SENTINEL_ERR_UNAVAILABLE.
///
/// All metrics in the Prometheus text format, ended with NUL. `*len` gets its bytes without the NUL, also with
/// BUFFER_TOO_SMALL when `capacity` is not more than that.
///
/// # Safety
/// `sentinel` is live or NULL, `buffer` has `capacity` bytes or is NULL, `len` may be written or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_metrics_text(
    sentinel: *const sentinel_t,
    buffer: *mut c_char,
    capacity: usize,
    len: *mut usize,
) -> sentinel_status_t {
    // SAFETY: `sentinel` is live or NULL.
    unsafe { text_of(sentinel, buffer, capacity, len, "sentinel_metrics_text") }
}

/// Not available in this version: returns SENTINEL_ERR_UNAVAILABLE.
///
/// Every Sentinel and node as the library sees it now, and why, as JSON. Buffer and length as sentinel_metrics_text.
///
/// # Safety
/// As sentinel_metrics_text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_describe(
    sentinel: *const sentinel_t,
    buffer: *mut c_char,
    capacity: usize,
    len: *mut usize,
) -> sentinel_status_t {
    // SAFETY: `sentinel` is live or NULL.
    unsafe { text_of(sentinel, buffer, capacity, len, "sentinel_describe") }
}

/// The checks that both texts share.
///
/// # Safety
/// `sentinel` is live or NULL.
unsafe fn text_of(
    sentinel: *const sentinel_t,
    buffer: *mut c_char,
    capacity: usize,
    len: *mut usize,
    function: &'static str,
) -> sentinel_status_t {
    // SAFETY: `sentinel` is live or NULL.
    unsafe {
        guard::shared(sentinel, ptr::null_mut(), |_| {
            if buffer.is_null() && capacity > 0 {
                return Err(missing("buffer").into());
            }
            let _ = len;
            Err(Failure::Unavailable(function))
        })
    }
}
