//! Scripts
//!
//! A Lua script with its SHA-1, made once and run by name: the source is sent only to a node that does not have it, such
//! as a new primary. A script never changes and is used by any number of threads and clients at once.

use std::ffi::{c_char, c_void};
use std::ptr;

use super::bytes::{self, Args, Text};
use super::client::sentinel_client_t;
use super::command::{call_options, sentinel_call_t};
use super::error::sentinel_error_t;
use super::handle::{self, Handle, InArc};
use super::reply::{self, sentinel_reply_t};
use super::status::sentinel_status_t;
use super::{access, guard};
use crate::call::Script;

/// Flag: the script only reads. It runs by `EVALSHA_RO` and `EVAL_RO` (redis 7), which refuse writes, and is repeated as
/// commands are that only read.
pub const SENTINEL_SCRIPT_READ_ONLY: u32 = 1u32;

/// A script. Immutable; any thread.
#[derive(Debug)]
pub struct sentinel_script_t {
    core: Script,
    sha1: Text,
}

impl Handle for sentinel_script_t {
    const NAME: &'static str = "script";
    type Owner = InArc;
}

/// A script of `len` bytes of source, with `SENTINEL_SCRIPT_*` flags or 0. Copies the source; does no I/O.
///
/// The caller owns the script and frees it with sentinel_script_free. NULL for unknown flags, and for a source of NULL
/// with a length.
///
/// # Safety
/// `source` has `len` bytes or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_script_new(source: *const c_void, len: usize, flags: u32) -> *mut sentinel_script_t {
    access::make(|| {
        if flags & !SENTINEL_SCRIPT_READ_ONLY != 0 {
            return None;
        }
        // SAFETY: the caller vouches for `len` bytes, or passes NULL.
        let source = unsafe { bytes::bytes(source, len, || "source".to_owned()) }.ok()?;
        let core = Script::new(source, flags & SENTINEL_SCRIPT_READ_ONLY != 0);
        let sha1 = Text::new(core.sha1().as_bytes());
        Some(sentinel_script_t { core, sha1 })
    })
}

/// The script's SHA-1 in 40 hexadecimal digits, as `SCRIPT LOAD` gives it; borrowed from the script. NULL for NULL.
///
/// # Safety
/// `script` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_script_sha1(script: *const sentinel_script_t) -> *const c_char {
    // SAFETY: `script` is live or NULL.
    unsafe { access::read(script, ptr::null(), |script| Some(script.sha1.as_ptr())) }
}

/// Runs a script and waits for its reply: `EVALSHA`, or `EVAL` on a node that does not have it. Each node is asked for that
/// once (`SCRIPT EXISTS`).
///
/// The first `numkeys` of the `argc` arguments are keys (`KEYS` of the script), the others its `ARGV`; `argc` may be 0,
/// then `argv` may be NULL. All of it shares one deadline. A script that fails may have written before: its outcome is
/// UNKNOWN, and it is not repeated unless `call.flags` say so. Arguments, `call`, `reply` and statuses otherwise as
/// sentinel_command.
///
/// # Safety
/// `client` and `script` are live or NULL, `argv` and `argvlen` have `argc` elements or are NULL, each argument has as
/// many bytes as its length says or ends with NUL, `call` is readable or NULL, `reply` and `error` may be written or are
/// NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_script_run(
    client: *mut sentinel_client_t,
    script: *const sentinel_script_t,
    numkeys: usize,
    argc: usize,
    argv: *const *const c_char,
    argvlen: *const usize,
    call: *const sentinel_call_t,
    reply: *mut *mut sentinel_reply_t,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `client` and `script` are live or NULL, the arrays have `argc` elements or are NULL, `call` is readable or
    // NULL, the outputs may be written or are NULL.
    unsafe {
        guard::shared(client, error, |client| {
            let script = handle::share(script)?;
            let mut room = Args::new();
            let args = match argc {
                0 => &[],
                _ => room.read_pointers(argc, argv, argvlen)?,
            };
            let answer = client.core.script(&script.core, numkeys, args, &call_options(call)?)?;
            reply::put(reply, answer);
            Ok(())
        })
    }
}

/// Frees a script; NULL is allowed.
///
/// # Safety
/// `script` is live or NULL, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_script_free(script: *mut sentinel_script_t) {
    // SAFETY: `script` is live or NULL, and the caller gives it up.
    unsafe { access::free(script) }
}
