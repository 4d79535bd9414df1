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
use crate::options::{KEYS, Key, Kind, Options, Scope};

/// An integer from `min` to `max`.
pub const SENTINEL_OPTION_INTEGER: i32 = 1;
/// A limit: an integer from `min` to `max`, or -1 for none.
pub const SENTINEL_OPTION_LIMIT: i32 = 2;
/// 0 or 1.
pub const SENTINEL_OPTION_FLAG: i32 = 3;
/// One of `words`.
pub const SENTINEL_OPTION_CHOICE: i32 = 4;
/// Text; empty: none.
pub const SENTINEL_OPTION_TEXT: i32 = 5;
/// The user of a login: text, which sentinel_options_set_secret takes too.
pub const SENTINEL_OPTION_USER: i32 = 6;
/// A password: any bytes, by sentinel_options_set_secret. Never shown.
pub const SENTINEL_OPTION_SECRET: i32 = 7;
/// Scope: what the deployment does with its Sentinels.
pub const SENTINEL_SCOPE_DEPLOYMENT: u32 = 1u32;
/// Scope: the clients. Given to sentinel_open it is the default of all, in overrides it is that of one client.
pub const SENTINEL_SCOPE_CLIENT: u32 = 2u32;

/// What can be said of an option before it is set. The texts are static and end with NUL.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sentinel_options_key_t {
    /// Its size in the library that was loaded; a field that ends behind it is not there.
    pub struct_size: u32,
    /// What it takes, one of `SENTINEL_OPTION_*`; a later library may know more of them.
    pub kind: i32,
    /// The key by which it is set.
    pub name: *const c_char,
    /// The value in force where none is set, as text; empty: none.
    pub default_value: *const c_char,
    /// What its numbers count: `ms`, `s`, `bytes`, or empty.
    pub unit: *const c_char,
    /// Of a CHOICE what may be chosen, with a space between; otherwise empty.
    pub words: *const c_char,
    /// Its meaning, one line without a full stop.
    pub help: *const c_char,
    /// The least of an INTEGER, LIMIT or FLAG.
    pub min: i64,
    /// The most.
    pub max: i64,
    /// What it is for, a sum of `SENTINEL_SCOPE_*`. Without SENTINEL_SCOPE_CLIENT it is refused in overrides.
    pub scope: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: its pointers lead to constants.
unsafe impl Sync for sentinel_options_key_t {}

static DESCRIBED: [sentinel_options_key_t; KEYS.len()] = describe_all();

#[allow(clippy::indexing_slicing, reason = "the compiler runs it")]
const fn describe_all() -> [sentinel_options_key_t; KEYS.len()] {
    let mut all = [describe(&KEYS[0]); KEYS.len()];
    let mut index = 1;
    while index < KEYS.len() {
        all[index] = describe(&KEYS[index]);
        index += 1;
    }
    all
}

#[allow(clippy::cast_possible_truncation, reason = "the compiler runs it")]
const fn describe(key: &Key) -> sentinel_options_key_t {
    let (min, max) = key.range();
    sentinel_options_key_t {
        struct_size: size_of::<sentinel_options_key_t>() as u32,
        kind: match key.kind {
            Kind::Int { .. } => SENTINEL_OPTION_INTEGER,
            Kind::Limit => SENTINEL_OPTION_LIMIT,
            Kind::Flag => SENTINEL_OPTION_FLAG,
            Kind::Choice(_) => SENTINEL_OPTION_CHOICE,
            Kind::Text | Kind::ClientName | Kind::AddressMap => SENTINEL_OPTION_TEXT,
            Kind::User => SENTINEL_OPTION_USER,
            Kind::Secret => SENTINEL_OPTION_SECRET,
        },
        name: key.in_c.name.as_ptr(),
        default_value: key.in_c.default.as_ptr(),
        unit: key.unit().as_ptr(),
        words: key.words().as_ptr(),
        help: key.in_c.help.as_ptr(),
        min,
        max,
        scope: match key.scope {
            Scope::Deployment => SENTINEL_SCOPE_DEPLOYMENT,
            Scope::Client => SENTINEL_SCOPE_CLIENT,
            Scope::Both => SENTINEL_SCOPE_DEPLOYMENT | SENTINEL_SCOPE_CLIENT,
        },
        reserved: 0,
    }
}

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
            let key = bytes::text(key, "key")?;
            let value = bytes::text(value, &format!("{key}: value"))?;
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
            let data = bytes::bytes(data, len, || format!("{key}: data"))?;
            Ok(options.core.set_secret(key, data)?)
        })
    }
}

/// One of the options that this library has, by an index from 0 on; NULL beyond the last.
///
/// For programs that list them all, or check a configuration before anything is opened. Static: it is not freed. The
/// order is that of the documentation, and another version may have another one.
#[unsafe(no_mangle)]
pub extern "C" fn sentinel_options_key(index: usize) -> *const sentinel_options_key_t {
    access::value(std::ptr::null(), || DESCRIBED.get(index).map(std::ptr::from_ref))
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
