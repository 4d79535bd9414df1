//! Scans
//!
//! A walk through the keys of a node, or the elements of a key, page by page. A cursor is a node's own: a scan stays on
//! the node it began on, over one of the connections of `pool.max_connections`, and says so when that node is gone
//! instead of skipping or repeating in silence.

use std::ffi::c_char;
use std::ptr;

use super::bytes::Args;
use super::client::sentinel_client_t;
use super::command::{call_options, sentinel_call_t};
use super::error::sentinel_error_t;
use super::handle::{self, Callable, Handle, InBox, Poison};
use super::reply::{self, sentinel_reply_t};
use super::status::{SENTINEL_EMPTY, sentinel_status_t};
use super::{access, guard};
use crate::handles::Scan;

/// A walk through keys or elements. One thread at a time.
#[derive(Debug)]
pub struct sentinel_scan_t {
    core: Scan,
    poison: Poison,
}

impl Handle for sentinel_scan_t {
    const NAME: &'static str = "scan";
    type Owner = InBox;
}

impl Callable for sentinel_scan_t {
    fn poison(&self) -> &Poison {
        &self.poison
    }
}

/// Prepares a scan: `SCAN`, or `HSCAN`, `SSCAN` or `ZSCAN` with the key, without a cursor, then the options (`MATCH`,
/// `COUNT`, `TYPE`, ...). Does no I/O.
///
/// SENTINEL_ARGS("SCAN", "MATCH", "user:*"), SENTINEL_ARGS("HSCAN", key, "COUNT", "100"). Arguments as sentinel_command.
/// The caller owns `*out` and frees it with sentinel_scan_free, before or after the client.
///
/// # Safety
/// `client` is live or NULL, `argv` and `argvlen` have `argc` elements or are NULL, each argument has as many bytes as
/// its length says or ends with NUL, `out` and `error` may be written or are NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_scan_new(
    client: *mut sentinel_client_t,
    argc: usize,
    argv: *const *const c_char,
    argvlen: *const usize,
    out: *mut *mut sentinel_scan_t,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `client` is live or NULL, the arrays have `argc` elements or are NULL, the outputs may be written or are
    // NULL.
    unsafe {
        guard::shared(client, error, |client| {
            let mut args = Args::new();
            let core = client.core.scan(args.read_pointers(argc, argv, argvlen)?)?;
            handle::put(
                out,
                sentinel_scan_t {
                    core,
                    poison: Poison::default(),
                },
            );
            Ok(())
        })
    }
}

/// The next page: SENTINEL_OK and an array as the server gives it, which may be empty; SENTINEL_EMPTY at the end, without
/// a reply.
///
/// As the servers promise, what is there all the time is given at least once, perhaps more than once. A page that was
/// lost is asked for again, over another connection when the same process answers there. WRONG_STATE when it does not
/// (a failover, a restart, a replica that is gone), and from then on: sentinel_scan_restart begins anew. After any other
/// failure the next call goes on where this one failed. `call` and the other statuses as sentinel_command.
///
/// # Safety
/// `scan` is live or NULL, `call` is readable or NULL, `reply` and `error` may be written or are NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_scan_next(
    scan: *mut sentinel_scan_t,
    call: *const sentinel_call_t,
    reply: *mut *mut sentinel_reply_t,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    let mut ended = false;
    // SAFETY: `scan` is live or NULL, `call` is readable or NULL, the outputs may be written or are NULL.
    let status = unsafe {
        guard::exclusive(scan, error, |scan| {
            match scan.core.next(&call_options(call)?)? {
                Some(page) => reply::put(reply, page),
                None => ended = true,
            }
            Ok(())
        })
    };
    if ended { SENTINEL_EMPTY } else { status }
}

/// Back to the beginning, on whatever node serves the client then. Does no I/O; NULL is allowed.
///
/// # Safety
/// `scan` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_scan_restart(scan: *mut sentinel_scan_t) {
    // SAFETY: `scan` is live or NULL. The status could only be that of a NULL or poisoned scan, which stays as it is.
    let _ = unsafe {
        guard::exclusive(scan, ptr::null_mut(), |scan| {
            scan.core.restart();
            Ok(())
        })
    };
}

/// Frees a scan and gives its connection back; NULL is allowed. Never blocks.
///
/// # Safety
/// `scan` is live or NULL, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_scan_free(scan: *mut sentinel_scan_t) {
    // SAFETY: `scan` is live or NULL, and the caller gives it up.
    unsafe { access::free(scan) }
}
