//! Errors
//!
//! A function with a last parameter `error` writes one there when it fails, and only then; the caller frees it. NULL
//! there means that the status is enough. An error object is immutable and may be read by any thread. No password
//! appears in it.

use std::ffi::c_char;
use std::ptr;

use super::access;
use super::bytes::{self, Text, lend};
use super::handle::{Handle, InBox};
use super::status::{SENTINEL_ERR_NULL_ARGUMENT, SENTINEL_ERR_UNAVAILABLE, sentinel_status_t, status_of};
use crate::base::error::{Error, Outcome, Reason};

/// Nothing to do with discovery.
pub const SENTINEL_REASON_NONE: i32 = 0;
/// No Sentinel ever answered.
pub const SENTINEL_REASON_NO_SENTINEL_REACHABLE: i32 = 1;
/// Sentinels answered that they know no such service.
pub const SENTINEL_REASON_UNKNOWN_SERVICE: i32 = 2;
/// Every reachable Sentinel refused the login.
pub const SENTINEL_REASON_SENTINEL_AUTH: i32 = 3;
/// The node named did not hold the role.
pub const SENTINEL_REASON_WRONG_ROLE: i32 = 4;
/// A node was named, but no connection to it succeeded.
pub const SENTINEL_REASON_NODE_UNREACHABLE: i32 = 5;
/// Replicas are known and all filtered out, or there is none.
pub const SENTINEL_REASON_NO_USABLE_REPLICA: i32 = 6;
/// No Sentinel knew as many peers as `sentinel.min_other_sentinels` asks for.
pub const SENTINEL_REASON_TOO_FEW_SENTINELS: i32 = 7;
/// No majority of the Sentinels was heard for `primary.fence_ms`: no writes are sent, for another node may be the primary
/// by now.
pub const SENTINEL_REASON_NO_MAJORITY: i32 = 8;
/// A failover is under way, and no Sentinel has confirmed which node is the primary: no writes are sent.
pub const SENTINEL_REASON_UNCONFIRMED: i32 = 9;

/// The command was never written: safe to repeat.
pub const SENTINEL_OUTCOME_NOT_SENT: i32 = 0;
/// The server declined the command before executing it.
pub const SENTINEL_OUTCOME_REFUSED: i32 = 1;
/// The command was written and no reply came: it may have executed.
pub const SENTINEL_OUTCOME_UNKNOWN: i32 = 2;

/// Why a call failed. Immutable; share freely.
#[derive(Debug)]
pub struct sentinel_error_t {
    status: sentinel_status_t,
    reason: i32,
    outcome: i32,
    message: Text,
    server_code: Option<Text>,
    endpoint: Option<Text>,
    attempts: Vec<Text>,
}

impl Handle for sentinel_error_t {
    const NAME: &'static str = "error";
    type Owner = InBox;
}

/// What ends a body at the boundary without success.
#[derive(Debug)]
pub enum Failure {
    /// The core's word, or a bad argument.
    Core(Error),
    /// The function of this name belongs to a later version.
    Unavailable(&'static str),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Core(error)
    }
}

impl Failure {
    /// Its number.
    pub fn status(&self) -> sentinel_status_t {
        match self {
            Failure::Core(error) => status_of(error.kind()),
            Failure::Unavailable(_) => SENTINEL_ERR_UNAVAILABLE,
        }
    }
}

impl sentinel_error_t {
    /// The error object of a failure, with all its text ready to be lent.
    pub fn new(failure: &Failure) -> sentinel_error_t {
        let status = failure.status();
        match failure {
            Failure::Core(error) => sentinel_error_t {
                status,
                reason: reason_number(error.reason()),
                outcome: outcome_number(error.outcome()),
                message: Text::new(error.to_string().as_bytes()),
                server_code: error.server_code().map(|code| Text::new(code.as_bytes())),
                endpoint: error.endpoint().map(|endpoint| Text::new(endpoint.as_bytes())),
                attempts: error
                    .attempts()
                    .iter()
                    .map(|attempt| Text::new(attempt.to_string().as_bytes()))
                    .collect(),
            },
            Failure::Unavailable(function) => sentinel_error_t {
                status,
                reason: SENTINEL_REASON_NONE,
                outcome: SENTINEL_OUTCOME_NOT_SENT,
                message: Text::new(format!("{function} is not available in this version of the library").as_bytes()),
                server_code: None,
                endpoint: None,
                attempts: Vec::new(),
            },
        }
    }
}

fn reason_number(reason: Option<Reason>) -> i32 {
    match reason {
        None => SENTINEL_REASON_NONE,
        Some(Reason::NoSentinelReachable) => SENTINEL_REASON_NO_SENTINEL_REACHABLE,
        Some(Reason::UnknownService) => SENTINEL_REASON_UNKNOWN_SERVICE,
        Some(Reason::SentinelAuth) => SENTINEL_REASON_SENTINEL_AUTH,
        Some(Reason::WrongRole) => SENTINEL_REASON_WRONG_ROLE,
        Some(Reason::NodeUnreachable) => SENTINEL_REASON_NODE_UNREACHABLE,
        Some(Reason::NoUsableReplica) => SENTINEL_REASON_NO_USABLE_REPLICA,
        Some(Reason::TooFewSentinels) => SENTINEL_REASON_TOO_FEW_SENTINELS,
        Some(Reason::NoMajority) => SENTINEL_REASON_NO_MAJORITY,
        Some(Reason::Unconfirmed) => SENTINEL_REASON_UNCONFIRMED,
    }
}

fn outcome_number(outcome: Outcome) -> i32 {
    match outcome {
        Outcome::NotSent => SENTINEL_OUTCOME_NOT_SENT,
        Outcome::Refused => SENTINEL_OUTCOME_REFUSED,
        Outcome::Unknown => SENTINEL_OUTCOME_UNKNOWN,
    }
}

/// Lends a text of an error.
///
/// # Safety
/// `error` is live or NULL; `len` may be written or is NULL.
unsafe fn lend_from(
    error: *const sentinel_error_t,
    len: *mut usize,
    pick: impl FnOnce(&sentinel_error_t) -> Option<&Text>,
) -> *const c_char {
    // SAFETY: `error` is live or NULL, `len` may be written or is NULL.
    unsafe {
        bytes::write(len, 0);
        access::read(error, ptr::null(), |error| Some(lend(pick(error), len)))
    }
}

/// The status that the failed call returned; NULL_ARGUMENT for a NULL error.
///
/// # Safety
/// `error` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_error_status(error: *const sentinel_error_t) -> sentinel_status_t {
    // SAFETY: `error` is live or NULL.
    unsafe { access::read(error, SENTINEL_ERR_NULL_ARGUMENT, |error| Some(error.status)) }
}

/// The detail behind PRIMARY_NOT_FOUND and REPLICA_NOT_FOUND, one of `SENTINEL_REASON_*`; NONE for other statuses.
///
/// # Safety
/// `error` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_error_reason(error: *const sentinel_error_t) -> i32 {
    // SAFETY: `error` is live or NULL.
    unsafe { access::read(error, SENTINEL_REASON_NONE, |error| Some(error.reason)) }
}

/// What became of the command that failed, one of `SENTINEL_OUTCOME_*`. NOT_SENT and REFUSED are promises that it did
/// not execute. UNKNOWN, which promises nothing, for a NULL error.
///
/// # Safety
/// `error` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_error_outcome(error: *const sentinel_error_t) -> i32 {
    // SAFETY: `error` is live or NULL.
    unsafe { access::read(error, SENTINEL_OUTCOME_UNKNOWN, |error| Some(error.outcome)) }
}

/// What went wrong, for a log: which argument, option, service or node, and why.
///
/// The text is borrowed from the error and ends with NUL; `len`, if not NULL, gets its bytes without the NUL.
///
/// # Safety
/// `error` is live or NULL; `len` may be written or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_error_message(error: *const sentinel_error_t, len: *mut usize) -> *const c_char {
    // SAFETY: `error` is live or NULL, `len` may be written or is NULL.
    unsafe { lend_from(error, len, |error| Some(&error.message)) }
}

/// The first word of the server's error reply, such as `WRONGTYPE`; NULL with length 0 when the server sent none.
///
/// Borrowed from the error, like its message.
///
/// # Safety
/// `error` is live or NULL; `len` may be written or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_error_server_code(error: *const sentinel_error_t, len: *mut usize) -> *const c_char {
    // SAFETY: `error` is live or NULL, `len` may be written or is NULL.
    unsafe { lend_from(error, len, |error| error.server_code.as_ref()) }
}

/// `host:port` of the node at which the call failed; NULL with length 0 when it was none.
///
/// Borrowed from the error, like its message.
///
/// # Safety
/// `error` is live or NULL; `len` may be written or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_error_endpoint(error: *const sentinel_error_t, len: *mut usize) -> *const c_char {
    // SAFETY: `error` is live or NULL, `len` may be written or is NULL.
    unsafe { lend_from(error, len, |error| error.endpoint.as_ref()) }
}

/// How many Sentinels and nodes were tried.
///
/// # Safety
/// `error` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_error_attempts(error: *const sentinel_error_t) -> usize {
    // SAFETY: `error` is live or NULL.
    unsafe { access::read(error, 0, |error| Some(error.attempts.len())) }
}

/// One Sentinel or node that was tried: where, at which stage (resolve, connect, TLS, auth, query, role), and why it
/// failed, such as `10.0.0.2:26379: connect: Connection refused`. NULL with length 0 beyond the last one.
///
/// Borrowed from the error, like its message.
///
/// # Safety
/// `error` is live or NULL; `len` may be written or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_error_attempt(
    error: *const sentinel_error_t,
    index: usize,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: `error` is live or NULL, `len` may be written or is NULL.
    unsafe { lend_from(error, len, |error| error.attempts.get(index)) }
}

/// Frees an error; NULL is allowed.
///
/// # Safety
/// `error` is live or NULL, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_error_free(error: *mut sentinel_error_t) {
    // SAFETY: `error` is live or NULL, and the caller gives it up.
    unsafe { access::free(error) }
}
