//! Deployment
//!
//! A sentinel_t knows a set of Sentinels and follows the services they watch. Each has one thread, `sentinel-io`, which
//! blocks all signals. One for a program is enough: clients of many services share it.

use std::ffi::{c_char, c_void};

use super::error::sentinel_error_t;
use super::handle::{self, Callable, Handle, InArc, Poison};
use super::options::sentinel_options_t;
use super::status::sentinel_status_t;
use super::{access, bytes, guard};
use crate::Deployment;
use crate::base::error::Result;
use crate::net::Credentials;

/// A deployment: a set of Sentinels and the services they watch. Any thread, any time.
#[derive(Debug)]
pub struct sentinel_t {
    pub(super) core: Deployment,
    poison: Poison,
}

impl Handle for sentinel_t {
    const NAME: &'static str = "sentinel";
    type Owner = InArc;
}

impl Callable for sentinel_t {
    fn poison(&self) -> &Poison {
        &self.poison
    }
}

/// Opens a deployment: starts its thread, does no I/O and so succeeds with every Sentinel down.
///
/// The caller owns `*out` and frees it with sentinel_free; `options` are copied and may be freed at once.
/// INVALID_ARGUMENT when `options` name no Sentinel.
///
/// # Safety
/// `options` is live or NULL, `out` and `error` may be written or are NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_open(
    options: *const sentinel_options_t,
    out: *mut *mut sentinel_t,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `options` is live or NULL, `out` and `error` may be written or are NULL.
    unsafe {
        guard::status(error, || {
            let options = handle::borrow(options)?;
            options.poison().check()?;
            let core = Deployment::open(&options.core)?;
            handle::put(
                out,
                sentinel_t {
                    core,
                    poison: Poison::default(),
                },
            );
            Ok(())
        })
    }
}

/// Replaces the login at the data nodes, without a restart and without a failed call.
///
/// For all clients whose overrides name no user and no password; the others keep theirs. `username` NULL: the user
/// `default`; `password` has `len` bytes, which need not be text; none: an empty one of that user, and with `username`
/// NULL no login. Returns at once. New connections log in with these; each node in use is shown them on a new connection,
/// and once it has taken them the connections made with older ones are closed as their calls end. A subscription logs in
/// anew on its connection; with RESP2, or where there is no login any more, it moves to a new one, and the gap is told. A
/// node that refuses them is served on over the connections there are, with a warning in the log. A login that is refused
/// while it is being replaced is repeated once with the newest.
///
/// # Safety
/// `sentinel` is live or NULL, `username` ends with NUL or is NULL, `password` has `len` bytes or is NULL, `error` may
/// be written or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_update_credentials(
    sentinel: *mut sentinel_t,
    username: *const c_char,
    password: *const c_void,
    len: usize,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `sentinel` is live or NULL, `username` ends with NUL or is NULL, `password` has `len` bytes or is NULL,
    // `error` may be written or is NULL.
    unsafe {
        guard::shared(sentinel, error, |sentinel| {
            let credentials = credentials(username, password, len)?;
            Ok(sentinel.core.update_credentials(credentials)?)
        })
    }
}

/// Replaces the login at the Sentinels, as sentinel_update_credentials that at the data nodes.
///
/// Each link to a Sentinel is replaced by a new connection, once the Sentinel has taken these there; one that refuses them
/// is heard on over the connection there is, with a warning in the log. A Sentinel that refused the old ones is asked
/// again at once.
///
/// # Safety
/// As sentinel_update_credentials.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_update_sentinel_credentials(
    sentinel: *mut sentinel_t,
    username: *const c_char,
    password: *const c_void,
    len: usize,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `sentinel` is live or NULL, `username` ends with NUL or is NULL, `password` has `len` bytes or is NULL,
    // `error` may be written or is NULL.
    unsafe {
        guard::shared(sentinel, error, |sentinel| {
            let credentials = credentials(username, password, len)?;
            Ok(sentinel.core.update_sentinel_credentials(credentials)?)
        })
    }
}

/// The Sentinels of `options` take the place of those that were given before; no call fails for it.
///
/// For a program that is told where its Sentinels are, by a registry or an operator, while it runs. Of `options` only the
/// Sentinels count, of a URL its hosts; they are copied. Returns at once. Those that are new are connected to; when the
/// first of them answers, the Sentinels that were there before and that none of the new ones knows have no say any more.
/// Until then, and while none of them answers, everything stays as it was. Where the same ones are given again and somebody
/// else's answer at them, while none of those that were known does, these are believed once the others have been silent for
/// five seconds. Sentinels that move or are replaced one by one
/// need none of this: they are learnt from the others (`sentinel.learn`).
/// INVALID_ARGUMENT when `options` name no Sentinel.
///
/// # Safety
/// `sentinel` and `options` are live or NULL, `error` may be written or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_update_sentinels(
    sentinel: *mut sentinel_t,
    options: *const sentinel_options_t,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `sentinel` and `options` are live or NULL, `error` may be written or is NULL.
    unsafe {
        guard::shared(sentinel, error, |sentinel| {
            let options = handle::borrow(options)?;
            options.poison().check()?;
            Ok(sentinel.core.update_sentinels(&options.core)?)
        })
    }
}

/// The copy of a login that C gives.
///
/// # Safety
/// `username` ends with NUL or is NULL, `password` has `len` bytes or is NULL.
unsafe fn credentials(username: *const c_char, password: *const c_void, len: usize) -> Result<Credentials> {
    // SAFETY: `username` ends with NUL or is NULL, `password` has `len` bytes or is NULL.
    let (username, password) = unsafe {
        (
            bytes::optional_text(username, "username")?,
            bytes::bytes(password, len, || "password".to_owned())?,
        )
    };
    Credentials::new(username, password)
}

/// Ends every call on the deployment and its clients with CLOSED, and waits for its thread to end.
///
/// `timeout_ms`: milliseconds; 0: the deployment's `timeout_ms`; -1: no limit. TIMEOUT when the thread is not done by
/// then; it ends all the same. The handles stay valid and answer CLOSED until they are freed. WOULD_DEADLOCK from
/// inside a callback.
///
/// # Safety
/// `sentinel` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_close(sentinel: *mut sentinel_t, timeout_ms: i64) -> sentinel_status_t {
    // SAFETY: `sentinel` is live or NULL.
    unsafe {
        guard::shared(sentinel, std::ptr::null_mut(), |sentinel| {
            let timeout_ms = bytes::timeout(timeout_ms)?;
            Ok(sentinel.core.close(timeout_ms)?)
        })
    }
}

/// Frees a deployment; NULL is allowed. Never blocks on the network, and may come before its clients are freed: they
/// keep alive what they need.
///
/// # Safety
/// `sentinel` is live or NULL, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_free(sentinel: *mut sentinel_t) {
    // SAFETY: `sentinel` is live or NULL, and the caller gives it up.
    unsafe { access::free(sentinel) }
}
