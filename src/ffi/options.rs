//! Options
//!
//! The Sentinels to ask and how to talk to them and to the data nodes. Options are set on an object of their own, then
//! given to sentinel_open, or to sentinel_primary_for and sentinel_replica_for as overrides of what the deployment was
//! opened with. Times are milliseconds, sizes bytes, flags 0 or 1. An object is used by one thread at a time; what it
//! is given to keeps a copy.

use std::ffi::{c_char, c_void};

use super::error::sentinel_error_t;
use super::handle::{Callable, Handle, InBox, Poison};
use super::status::sentinel_status_t;
use super::{access, bytes, guard};
use crate::options::Options;

/// What a deployment or a client is made of. One thread at a time.
#[derive(Debug)]
pub struct sentinel_options_t {
    pub(super) core: Options,
    poison: Poison,
}

impl Handle for sentinel_options_t {
    const NAME: &'static str = "options";
    type Owner = InBox;
}

impl Callable for sentinel_options_t {
    fn poison(&self) -> &Poison {
        &self.poison
    }
}

/// New options with the default of every key and no Sentinel; free them with sentinel_options_free.
#[unsafe(no_mangle)]
pub extern "C" fn sentinel_options_new() -> *mut sentinel_options_t {
    access::make(|| {
        Some(sentinel_options_t {
            core: Options::new(),
            poison: Poison::default(),
        })
    })
}

/// Adds a Sentinel to ask: a host name or address, and its port, 26379 as a rule.
///
/// All Sentinels are asked in parallel, so their order does not matter.
///
/// # Safety
/// `options` is live or NULL, `host` ends with NUL or is NULL, `error` may be written or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_options_add_sentinel(
    options: *mut sentinel_options_t,
    host: *const c_char,
    port: u16,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `options` is live or NULL, `host` ends with NUL or is NULL, `error` may be written or is NULL.
    unsafe {
        guard::exclusive(options, error, |options| {
            let host = bytes::text(host, "host")?;
            Ok(options.core.add_sentinel(host, port)?)
        })
    }
}

/// Sets everything that a URL says:
/// `redis+sentinel://[user[:password]@]host[:port][,host[:port]...]/service[/database][?key=value&...]`, or
/// `rediss+sentinel://` for TLS.
///
/// The service becomes the default of NULL service arguments; the user and password are those of the data nodes. All
/// parts but the ports are percent-decoded, and the zone of an IPv6 address is written `%25eth0`.
/// UNKNOWN_OPTION for a key of the query that is none. A failure changes nothing, and its message repeats no part of
/// the URL that may be secret.
///
/// # Safety
/// `options` is live or NULL, `url` ends with NUL or is NULL, `error` may be written or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_options_parse_url(
    options: *mut sentinel_options_t,
    url: *const c_char,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `options` is live or NULL, `url` ends with NUL or is NULL, `error` may be written or is NULL.
    unsafe {
        guard::exclusive(options, error, |options| {
            let url = bytes::text(url, "url")?;
            Ok(options.core.parse_url(url)?)
        })
    }
}

/// Sets an option by text, such as `("replica.select", "latency")`; integers may be given as text too.
///
/// UNKNOWN_OPTION for a key that is none; INVALID_ARGUMENT names the key and what it takes.
///
/// # Safety
/// `options` is live or NULL, `key` and `value` end with NUL or are NULL, `error` may be written or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_options_set(
    options: *mut sentinel_options_t,
    key: *const c_char,
    value: *const c_char,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `options` is live or NULL, the texts end with NUL or are NULL, `error` may be written or is NULL.
    unsafe {
        guard::exclusive(options, error, |options| {
            let (key, value) = (bytes::text(key, "key")?, bytes::text(value, "value")?);
            Ok(options.core.set(key, value)?)
        })
    }
}

/// Sets an option that is a number: milliseconds, bytes, a count or a flag.
///
/// UNKNOWN_OPTION for a key that is none; INVALID_ARGUMENT names the key and what it takes.
///
/// # Safety
/// `options` is live or NULL, `key` ends with NUL or is NULL, `error` may be written or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_options_set_int(
    options: *mut sentinel_options_t,
    key: *const c_char,
    value: i64,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `options` is live or NULL, `key` ends with NUL or is NULL, `error` may be written or is NULL.
    unsafe {
        guard::exclusive(options, error, |options| {
            let key = bytes::text(key, "key")?;
            Ok(options.core.set_int(key, value)?)
        })
    }
}

/// Sets a password (or a user name) from bytes, which need not be text nor end with NUL; none of them: no password.
///
/// The copy inside is wiped when it is dropped; wiping `data` is the caller's. UNKNOWN_OPTION for a key that is none.
///
/// # Safety
/// `options` is live or NULL, `key` ends with NUL or is NULL, `data` has `len` bytes or is NULL, `error` may be written
/// or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_options_set_secret(
    options: *mut sentinel_options_t,
    key: *const c_char,
    data: *const c_void,
    len: usize,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `options` is live or NULL, `key` ends with NUL or is NULL, `data` has `len` bytes or is NULL, `error` may
    // be written or is NULL.
    unsafe {
        guard::exclusive(options, error, |options| {
            let key = bytes::text(key, "key")?;
            let data = bytes::bytes(data, len, || "data".to_owned())?;
            Ok(options.core.set_secret(key, data)?)
        })
    }
}

/// Frees options; NULL is allowed. What they were given to keeps its copy.
///
/// # Safety
/// `options` is live or NULL, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_options_free(options: *mut sentinel_options_t) {
    // SAFETY: `options` is live or NULL, and the caller gives it up.
    unsafe { access::free(options) }
}
