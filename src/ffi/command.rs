//! Blocking calls
//!
//! One command, one reply, under a hard deadline: a call returns by it, whatever the network does. A top-level error
//! reply of the server is a failure: SERVER, READONLY, LOADING, TRANSACTION_ABORTED or AUTH, its first word in
//! sentinel_error_server_code. What was not executed for a cause that another node or moment cures is repeated until
//! the deadline; what may have been executed is repeated only for commands that read.

use std::ffi::{c_char, c_void};
use std::mem::{offset_of, size_of};

use super::bytes::{self, Args};
use super::client::sentinel_client_t;
use super::error::sentinel_error_t;
use super::guard;
use super::reply::{self, sentinel_reply_t};
use super::status::sentinel_status_t;
use crate::base::error::{Error, Result};
use crate::call::CallOptions;

/// Flag: repeat even after outcome UNKNOWN; the caller says that it is safe.
pub const SENTINEL_CALL_RETRY_UNKNOWN: u32 = 1u32;
/// Flag: never repeat; wins over SENTINEL_CALL_RETRY_UNKNOWN.
pub const SENTINEL_CALL_NO_RETRY: u32 = 2u32;
/// Flag: wait until the primary has the write in its append-only file on disk, and `replicas` replicas in theirs
/// (`WAITAOF`, valkey 7.2, redis 7.2); `replicas` 0: the primary's alone.
///
/// NOT_REPLICATED when that is not confirmed in time; the write may have been done all the same. A server that has no
/// `WAITAOF` or writes no append-only file refuses it before the write is sent: SERVER, outcome NOT_SENT.
pub const SENTINEL_CALL_WAIT_AOF: u32 = 4u32;

/// How one call differs from the client's defaults. Start from SENTINEL_CALL_INIT.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct sentinel_call_t {
    /// sizeof(sentinel_call_t), which tells the version of the header; a larger one than known is accepted.
    pub struct_size: u32,
    /// `SENTINEL_CALL_*`, or 0.
    pub flags: u32,
    /// Milliseconds, a hard deadline; 0: the client's `timeout_ms`; -1: no limit.
    pub timeout_ms: i64,
    /// Wait until so many replicas have the write (`WAIT`, or `WAITAOF` with SENTINEL_CALL_WAIT_AOF); 0: do not wait.
    pub replicas: u32,
    /// 0.
    pub reserved: u32,
}

/// The fields that the first version of the header had; a smaller struct_size is a caller's mistake.
const FIRST_SIZE: usize = offset_of!(sentinel_call_t, reserved) + size_of::<u32>();

/// Reads the options of a call; NULL is the defaults.
///
/// # Safety
/// `call` is NULL or has as many readable bytes as its struct_size says.
pub unsafe fn call_options(call: *const sentinel_call_t) -> Result<CallOptions> {
    if call.is_null() {
        return Ok(CallOptions::default());
    }
    // SAFETY: not NULL, and the caller vouches for the first field whatever the version.
    let size = unsafe { (*call).struct_size };
    if usize::try_from(size).is_ok_and(|size| size < FIRST_SIZE) {
        let problem = format!("is {size}, takes sizeof(sentinel_call_t): start from SENTINEL_CALL_INIT");
        return Err(Error::invalid("call.struct_size", problem));
    }
    // SAFETY: the caller vouches for struct_size bytes, which are at least the fields read here.
    let call = unsafe { *call };
    let unknown = call.flags & !(SENTINEL_CALL_RETRY_UNKNOWN | SENTINEL_CALL_NO_RETRY | SENTINEL_CALL_WAIT_AOF);
    if unknown != 0 {
        return Err(Error::invalid(
            "call.flags",
            format!("has the unknown bits {unknown:#x}"),
        ));
    }
    if call.reserved != 0 {
        return Err(Error::invalid(
            "call.reserved",
            format!("is {}, takes 0", call.reserved),
        ));
    }
    let no_retry = call.flags & SENTINEL_CALL_NO_RETRY != 0;
    Ok(CallOptions {
        timeout_ms: bytes::timeout(call.timeout_ms)?,
        retry_unknown: call.flags & SENTINEL_CALL_RETRY_UNKNOWN != 0 && !no_retry,
        no_retry,
        replicas: call.replicas,
        wait_aof: call.flags & SENTINEL_CALL_WAIT_AOF != 0,
    })
}

/// Runs one command and waits for its reply.
///
/// `argvlen` NULL: every argument ends with NUL; otherwise each may hold any bytes. `call` NULL: the client's defaults.
/// `reply` NULL: the reply is discarded; otherwise the caller owns `*reply` and frees it with sentinel_reply_free.
///
/// Every command that makes sense on a shared connection works. Commands that wait (`BLPOP`, `XREAD BLOCK`, ...) delay
/// nobody else, and their own timeout extends the default deadline, never an explicit one. Commands that change a
/// connection (`SELECT`, `MULTI`, `WATCH`, `SUBSCRIBE`, `AUTH`, ...), and `WAIT` and `WAITAOF`, which are about the
/// writes of their own connection, are UNSUPPORTED_COMMAND, and the message says what to use instead. Any -2xx and -3xx
/// status; POOL_EXHAUSTED, QUEUE_FULL; NOT_REPLICATED when `call.replicas`, or SENTINEL_CALL_WAIT_AOF, is not met.
///
/// What a command does is known for redis 7.0 and newer ones known by 2024. Any other (a module's) is asked for by
/// `COMMAND INFO` before its first use, one round trip once a deployment: one that waits gets a connection of its own
/// (its own timeout is not known: give `call.timeout_ms`), one that only reads may be repeated. Where the user may not
/// ask, it is taken as a plain command that may write.
///
/// # Safety
/// `client` is live or NULL, `argv` and `argvlen` have `argc` elements or are NULL, each argument has as many bytes as
/// its length says or ends with NUL, `call` is readable or NULL, `reply` and `error` may be written or are NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_command(
    client: *mut sentinel_client_t,
    argc: usize,
    argv: *const *const c_char,
    argvlen: *const usize,
    call: *const sentinel_call_t,
    reply: *mut *mut sentinel_reply_t,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `client` is live or NULL, the arrays have `argc` elements or are NULL, `call` is readable or NULL, the
    // outputs may be written or are NULL.
    unsafe {
        guard::shared(client, error, |client| {
            let mut args = Args::new();
            let args = args.read_pointers(argc, argv, argvlen)?;
            let answer = client.core.command(args, &call_options(call)?)?;
            reply::put(reply, answer);
            Ok(())
        })
    }
}

/// The same as sentinel_command for languages that may not hand C an array of pointers: the arguments back to back in
/// `data`, their lengths in `lens`.
///
/// INVALID_ARGUMENT when the lengths do not add up to `data_len`.
///
/// # Safety
/// `client` is live or NULL, `lens` has `argc` elements or is NULL, `data` has `data_len` bytes or is NULL, `call` is
/// readable or NULL, `reply` and `error` may be written or are NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_command_packed(
    client: *mut sentinel_client_t,
    argc: usize,
    lens: *const usize,
    data: *const c_void,
    data_len: usize,
    call: *const sentinel_call_t,
    reply: *mut *mut sentinel_reply_t,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `client` is live or NULL, `lens` has `argc` elements and `data` `data_len` bytes or are NULL, `call` is
    // readable or NULL, the outputs may be written or are NULL.
    unsafe {
        guard::shared(client, error, |client| {
            let mut args = Args::new();
            let args = args.read_packed(argc, lens, data, data_len)?;
            let answer = client.core.command(args, &call_options(call)?)?;
            reply::put(reply, answer);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INIT: sentinel_call_t = sentinel_call_t {
        struct_size: 24,
        flags: 0,
        timeout_ms: 0,
        replicas: 0,
        reserved: 0,
    };

    fn read(call: sentinel_call_t) -> Result<CallOptions, String> {
        // SAFETY: a reference is readable.
        unsafe { call_options(&call) }.map_err(|error| error.to_string())
    }

    #[test]
    fn a_call_is_checked_field_by_field() {
        assert_eq!(size_of::<sentinel_call_t>(), FIRST_SIZE);
        let problem = |call| read(call).unwrap_err();
        assert!(problem(sentinel_call_t { struct_size: 0, ..INIT }).starts_with("call.struct_size: is 0,"));
        assert!(
            problem(sentinel_call_t {
                struct_size: 23,
                ..INIT
            })
            .starts_with("call.struct_size: is 23,")
        );
        assert_eq!(
            problem(sentinel_call_t { flags: 0x9, ..INIT }),
            "call.flags: has the unknown bits 0x8"
        );
        assert_eq!(
            problem(sentinel_call_t { reserved: 1, ..INIT }),
            "call.reserved: is 1, takes 0"
        );
        assert!(problem(sentinel_call_t { timeout_ms: -2, ..INIT }).starts_with("timeout_ms: is -2,"));
    }

    #[test]
    fn a_call_of_a_newer_header_is_read_as_far_as_known() {
        let call = sentinel_call_t {
            struct_size: 48,
            flags: 3,
            timeout_ms: -1,
            replicas: 2,
            reserved: 0,
        };
        let call = read(call).unwrap();
        assert_eq!((call.timeout_ms, call.replicas), (-1, 2));
        assert!(call.no_retry && !call.retry_unknown);
    }
}
