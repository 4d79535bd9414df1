//! Connections of one's own
//!
//! For `WATCH`, `MULTI` by hand, and anything else with state: a connection that is never shared and never silently
//! replaced. It comes from the client's pool and goes back, reset or dropped, when it is released.

use std::ffi::c_char;
use std::ptr;

use super::bytes::{self, Args};
use super::client::sentinel_client_t;
use super::command::{call_options, sentinel_call_t};
use super::error::sentinel_error_t;
use super::handle::{self, Callable, Handle, InArc, Poison};
use super::reply::{self, sentinel_reply_t};
use super::status::sentinel_status_t;
use super::{access, guard};
use crate::handles::Connection;

/// A connection of one's own. One thread at a time, but for sentinel_connection_cancel.
#[derive(Debug)]
pub struct sentinel_connection_t {
    core: Connection,
    poison: Poison,
}

impl Handle for sentinel_connection_t {
    const NAME: &'static str = "connection";
    type Owner = InArc;
}

impl Callable for sentinel_connection_t {
    fn poison(&self) -> &Poison {
        &self.poison
    }
}

/// Takes a verified connection out of the client's pool, or makes one.
///
/// `timeout_ms`: milliseconds; 0: the client's `timeout_ms`; -1: no limit. The caller owns `*out` and gives it back
/// with sentinel_connection_release. POOL_EXHAUSTED when none of `pool.max_connections` became free in time; any -2xx
/// and -3xx status.
///
/// # Safety
/// `client` is live or NULL, `out` and `error` may be written or are NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_client_acquire(
    client: *mut sentinel_client_t,
    timeout_ms: i64,
    out: *mut *mut sentinel_connection_t,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `client` is live or NULL, `out` and `error` may be written or are NULL.
    unsafe {
        guard::shared(client, error, |client| {
            let core = client.core.acquire(bytes::timeout(timeout_ms)?)?;
            handle::put(
                out,
                sentinel_connection_t {
                    core,
                    poison: Poison::default(),
                },
            );
            Ok(())
        })
    }
}

/// Runs one command on the connection; never repeated.
///
/// Commands that keep request and reply paired work, `WATCH`, `MULTI` and `SELECT` among them; the others are
/// UNSUPPORTED_COMMAND. An `EXEC` that a changed watched key kept from running is TRANSACTION_ABORTED. After
/// CONNECTION_LOST, TIMEOUT or PROTOCOL the connection is of no further use: release it. Arguments, `call` and `reply`
/// as sentinel_command, but `call` asks for no confirmation: use `WAIT` or `WAITAOF`.
///
/// # Safety
/// `connection` is live or NULL, `argv` and `argvlen` have `argc` elements or are NULL, each argument has as many bytes
/// as its length says or ends with NUL, `call` is readable or NULL, `reply` and `error` may be written or are NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_connection_command(
    connection: *mut sentinel_connection_t,
    argc: usize,
    argv: *const *const c_char,
    argvlen: *const usize,
    call: *const sentinel_call_t,
    reply: *mut *mut sentinel_reply_t,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `connection` is live or NULL, the arrays have `argc` elements or are NULL, `call` is readable or NULL,
    // the outputs may be written or are NULL.
    unsafe {
        guard::shared(connection, error, |connection| {
            let mut args = Args::new();
            let args = args.read_pointers(argc, argv, argvlen)?;
            let answer = connection.core.command(args, &call_options(call)?)?;
            reply::put(reply, answer);
            Ok(())
        })
    }
}

/// Ends the call that another thread has under way on the connection with CANCELLED, and every later one: it is of no
/// further use, and is released as ever. Returns at once, and does not wait for the call to end.
///
/// For calls that wait in the server, such as `BLPOP`, where the program does not want to wait any more: the outcome is
/// UNKNOWN if the command was sent. Any thread, while the connection has not been released.
///
/// # Safety
/// `connection` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_connection_cancel(connection: *mut sentinel_connection_t) -> sentinel_status_t {
    // SAFETY: `connection` is live or NULL; no error is written.
    unsafe {
        guard::shared(connection, ptr::null_mut(), |connection| {
            connection.core.cancel();
            Ok(())
        })
    }
}

/// Gives the connection back, reset or dropped; NULL is allowed. Never blocks.
///
/// # Safety
/// `connection` is live or NULL, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_connection_release(connection: *mut sentinel_connection_t) {
    // SAFETY: `connection` is live or NULL, and the caller gives it up.
    unsafe { access::free(connection) }
}
