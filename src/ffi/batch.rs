//! Pipelines and transactions
//!
//! Commands gathered and sent in one write. A batch holds copies of its commands and may be run any number of times.

use std::ffi::{c_char, c_void};
use std::ptr;

use super::access;
use super::bytes::Args;
use super::client::sentinel_client_t;
use super::command::{call_options, sentinel_call_t};
use super::error::{Failure, sentinel_error_t};
use super::guard::{self, Outcome};
use super::handle::{self, Callable, Handle, InBox, Poison};
use super::reply::{self, sentinel_reply_t};
use super::status::sentinel_status_t;
use crate::base::error::{Error, Result};
use crate::call::{Batch, BatchKind};

/// The commands run one after the other; others may come between them.
pub const SENTINEL_BATCH_PIPELINE: i32 = 1;
/// The commands run as one `MULTI` ... `EXEC`: nothing comes between them.
pub const SENTINEL_BATCH_TRANSACTION: i32 = 2;

/// Commands to be sent in one write. One thread at a time.
#[derive(Debug)]
pub struct sentinel_batch_t {
    pub(super) core: Batch,
    /// Why the last command was not added.
    refusal: Option<Error>,
    poison: Poison,
}

impl sentinel_batch_t {
    fn add(&mut self, args: Result<&[&[u8]]>) -> Outcome {
        let added = args.and_then(|args| self.core.add(args));
        self.refusal = added.as_ref().err().cloned();
        Ok(added?)
    }
}

impl Handle for sentinel_batch_t {
    const NAME: &'static str = "batch";
    type Owner = InBox;
}

impl Callable for sentinel_batch_t {
    fn poison(&self) -> &Poison {
        &self.poison
    }
}

/// An empty batch, `SENTINEL_BATCH_PIPELINE` or `SENTINEL_BATCH_TRANSACTION`; NULL for any other kind.
///
/// The caller frees it with sentinel_batch_free.
#[unsafe(no_mangle)]
pub extern "C" fn sentinel_batch_new(kind: i32) -> *mut sentinel_batch_t {
    access::make(|| {
        let kind = match kind {
            SENTINEL_BATCH_PIPELINE => BatchKind::Pipeline,
            SENTINEL_BATCH_TRANSACTION => BatchKind::Transaction,
            _ => return None,
        };
        Some(sentinel_batch_t {
            core: Batch::new(kind),
            refusal: None,
            poison: Poison::default(),
        })
    })
}

/// Adds a command, copied. Arguments as sentinel_command; a failure leaves the batch as it was.
///
/// # Safety
/// `batch` is live or NULL, `argv` and `argvlen` have `argc` elements or are NULL, each argument has as many bytes as
/// its length says or ends with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_batch_add(
    batch: *mut sentinel_batch_t,
    argc: usize,
    argv: *const *const c_char,
    argvlen: *const usize,
) -> sentinel_status_t {
    // SAFETY: `batch` is live or NULL, the arrays have `argc` elements or are NULL.
    unsafe {
        guard::exclusive(batch, ptr::null_mut(), |batch| {
            let mut args = Args::new();
            batch.add(args.read_pointers(argc, argv, argvlen))
        })
    }
}

/// Adds a command, copied. Arguments as sentinel_command_packed; a failure leaves the batch as it was.
///
/// # Safety
/// `batch` is live or NULL, `lens` has `argc` elements or is NULL, `data` has `data_len` bytes or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_batch_add_packed(
    batch: *mut sentinel_batch_t,
    argc: usize,
    lens: *const usize,
    data: *const c_void,
    data_len: usize,
) -> sentinel_status_t {
    // SAFETY: `batch` is live or NULL, `lens` has `argc` elements and `data` `data_len` bytes or are NULL.
    unsafe {
        guard::exclusive(batch, ptr::null_mut(), |batch| {
            let mut args = Args::new();
            batch.add(args.read_packed(argc, lens, data, data_len))
        })
    }
}

/// Why the last command that was to be added was not: what to use instead of it, as the message of sentinel_command says.
///
/// The caller frees it with sentinel_error_free. NULL when it was added, for a batch without one, and for NULL.
///
/// # Safety
/// `batch` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_batch_refusal(batch: *const sentinel_batch_t) -> *mut sentinel_error_t {
    // SAFETY: `batch` is live or NULL.
    let refusal = unsafe { access::read(batch, None, |batch| Some(batch.refusal.clone())) };
    access::make(|| Some(sentinel_error_t::new(&Failure::Core(refusal?))))
}

/// How many commands the batch holds; 0 for NULL.
///
/// # Safety
/// `batch` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_batch_len(batch: *const sentinel_batch_t) -> usize {
    // SAFETY: `batch` is live or NULL.
    unsafe { access::read(batch, 0, |batch| Some(batch.core.len())) }
}

/// Removes all commands, so that the batch can be filled again; NULL is allowed.
///
/// # Safety
/// `batch` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_batch_clear(batch: *mut sentinel_batch_t) {
    // SAFETY: `batch` is live or NULL. The status could only be that of a NULL or poisoned batch, which stays as it is.
    let _ = unsafe {
        guard::exclusive(batch, ptr::null_mut(), |batch| {
            batch.core.clear();
            Ok(())
        })
    };
}

/// Frees a batch; NULL is allowed.
///
/// # Safety
/// `batch` is live or NULL, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_batch_free(batch: *mut sentinel_batch_t) {
    // SAFETY: `batch` is live or NULL, and the caller gives it up.
    unsafe { access::free(batch) }
}

/// Runs a batch and waits for all its replies.
///
/// `*reply` is an array with one element a command, in their order; a command that the server refused is an ERROR
/// element and does not make the call fail. A cut pipeline keeps the replies that came, and each other element is an
/// ERROR with its outcome as its code (`NOTSENT`, `UNKNOWN`); a script may end with such a text too, and
/// sentinel_reply_failure tells whose word an element is. A transaction that was not executed is
/// TRANSACTION_ABORTED; lost before `EXEC` was written its outcome is NOT_SENT, after it UNKNOWN. `call`, `reply` and
/// the other statuses as sentinel_command.
///
/// # Safety
/// `client` and `batch` are live or NULL, `call` is readable or NULL, `reply` and `error` may be written or are NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_batch_run(
    client: *mut sentinel_client_t,
    batch: *const sentinel_batch_t,
    call: *const sentinel_call_t,
    reply: *mut *mut sentinel_reply_t,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `client` and `batch` are live or NULL, `call` is readable or NULL, the outputs may be written or are
    // NULL.
    unsafe {
        guard::shared(client, error, |client| {
            let batch = handle::borrow(batch)?;
            batch.poison().check()?;
            let answer = client.core.batch(&batch.core, &call_options(call)?)?;
            reply::put(reply, answer);
            Ok(())
        })
    }
}
