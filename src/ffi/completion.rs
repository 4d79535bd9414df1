//! Asynchronous calls
//!
//! A submission copies its input and returns at once. For every one accepted there is exactly one completion: reply,
//! failure, cancel, timeout or close. Completions go to a callback, run one at a time on the thread `sentinel-cb`, or
//! to a queue that the program polls.

use std::ffi::{c_char, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use super::batch::sentinel_batch_t;
use super::bytes::Args;
use super::client::sentinel_client_t;
use super::command::{call_options, sentinel_call_t};
use super::error::{Failure, sentinel_error_t};
use super::guard;
use super::handle::{self, Callable, Handle, InArc, Poison, missing};
use super::reply::{self, sentinel_reply_t};
use super::status::{SENTINEL_EMPTY, SENTINEL_OK, sentinel_status_t};
use crate::base::error::{Error, ErrorKind};
use crate::base::process::ForkBound;
use crate::completion::{Entry, EntryKind, Queue, Target};
use crate::handles::Tried;

/// The end of a call that was submitted.
pub const SENTINEL_COMPLETION_CALL: i32 = 1;
/// A message of a subscription.
pub const SENTINEL_COMPLETION_MESSAGE: i32 = 2;
/// An event of sentinel_watch_events or of a subscription.
pub const SENTINEL_COMPLETION_EVENT: i32 = 3;

/// A queue of completions. Any thread, any time.
#[derive(Debug)]
pub struct sentinel_queue_t {
    pub(super) core: ForkBound<Arc<Queue>>,
    pub(super) poison: Poison,
}

impl sentinel_queue_t {
    /// The queue itself; `Forked` in a forked child, where nothing arrives.
    pub(super) fn queue(&self) -> Result<&Arc<Queue>, Error> {
        match self.core.is_forked() {
            true => Err(Error::new(ErrorKind::Forked)),
            false => Ok(&self.core),
        }
    }
}

impl Handle for sentinel_queue_t {
    const NAME: &'static str = "queue";
    type Owner = InArc;
}

impl Callable for sentinel_queue_t {
    fn poison(&self) -> &Poison {
        &self.poison
    }
}

/// What became of a submission, or a message, or an event.
#[repr(C)]
#[derive(Debug)]
pub struct sentinel_completion_t {
    /// As given with the submission, subscription or watch.
    pub tag: u64,
    /// `SENTINEL_COMPLETION_*`.
    pub kind: i32,
    /// Of the call; SENTINEL_OK for messages and events, but for a subscription that is refused.
    pub status: sentinel_status_t,
    /// The receiver frees it; NULL on failure.
    pub reply: *mut sentinel_reply_t,
    /// The receiver frees it; NULL on success.
    pub error: *mut sentinel_error_t,
}

impl sentinel_completion_t {
    /// Writes an entry for C, which owns its reply and error from then on.
    ///
    /// # Safety
    /// `place` may be written.
    pub(super) unsafe fn write(place: *mut sentinel_completion_t, entry: Entry) {
        let kind = match entry.kind {
            EntryKind::Call => SENTINEL_COMPLETION_CALL,
            EntryKind::Message => SENTINEL_COMPLETION_MESSAGE,
            EntryKind::Event => SENTINEL_COMPLETION_EVENT,
        };
        let mut completion = sentinel_completion_t {
            tag: entry.tag,
            kind,
            status: SENTINEL_OK,
            reply: ptr::null_mut(),
            error: ptr::null_mut(),
        };
        // SAFETY: both outputs are local, `place` may be written.
        unsafe {
            match entry.result {
                Ok(reply) => reply::put(&raw mut completion.reply, reply),
                Err(error) => {
                    let failure = Failure::Core(error);
                    completion.status = failure.status();
                    handle::put(&raw mut completion.error, sentinel_error_t::new(&failure));
                }
            }
            place.write(completion);
        }
    }
}

/// Called once for a submission, on the thread `sentinel-cb`; `completion` itself lives until the callback returns.
pub type sentinel_done_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, completion: *mut sentinel_completion_t)>;

/// The caller's function and its data.
struct Callback {
    done: unsafe extern "C" fn(*mut c_void, *mut sentinel_completion_t),
    user_data: *mut c_void,
}

// SAFETY: the caller of sentinel_submit promises that `done` may be called with `user_data` from another thread.
unsafe impl Send for Callback {}

impl Callback {
    fn run(self, entry: Entry) {
        let mut completion = MaybeUninit::<sentinel_completion_t>::uninit();
        // SAFETY: the completion is local, and written before it is handed over; the caller of sentinel_submit promises
        // that `done` may be called with `user_data` from any thread until its completion, which this is.
        unsafe {
            sentinel_completion_t::write(completion.as_mut_ptr(), entry);
            (self.done)(self.user_data, completion.as_mut_ptr());
        }
    }
}

/// Writes the number of a call that was accepted.
///
/// # Safety
/// `call_id` may be written or is NULL.
unsafe fn put_id(call_id: *mut u64, id: u64) {
    if !call_id.is_null() {
        // SAFETY: not NULL, so it may be written.
        unsafe { call_id.write(id) };
    }
}

/// Submits one command; `done` is called with its completion and `user_data` on the thread `sentinel-cb`.
///
/// Arguments and `call` as sentinel_command, copied; nothing waits, and deadline, repetition, confirmation and outcome are
/// those of sentinel_command. What a thread submits goes out in that order, but for commands that wait in the server or
/// for a confirmation, and for repetitions; while the server is asked what a command does that the library does not know,
/// what is submitted behind it waits too. `*call_id` is for sentinel_cancel. `done` frees the completion's reply and
/// error; it may submit, cancel and free handles, but not wait: blocking calls inside it are WOULD_DEADLOCK. A call under
/// way when its client is freed, or the deployment closed, completes with CLOSED. The completion may come before this
/// function returns. QUEUE_FULL when `max_pending` commands are in flight: a submitted one is until its callback has
/// returned, or its completion was taken from its queue.
///
/// # Safety
/// `client` is live or NULL, `argv` and `argvlen` have `argc` elements or are NULL, each argument has as many bytes as
/// its length says or ends with NUL, `call` is readable or NULL, `call_id` and `error` may be written or are NULL,
/// `done` may be called from any thread with `user_data` until its completion.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_submit(
    client: *mut sentinel_client_t,
    argc: usize,
    argv: *const *const c_char,
    argvlen: *const usize,
    call: *const sentinel_call_t,
    done: sentinel_done_fn,
    user_data: *mut c_void,
    call_id: *mut u64,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `client` is live or NULL, the arrays have `argc` elements or are NULL, `call` is readable or NULL, the
    // outputs may be written or are NULL.
    unsafe {
        guard::shared(client, error, |client| {
            let mut args = Args::new();
            let args = args.read_pointers(argc, argv, argvlen)?;
            let options = call_options(call)?;
            let done = done.ok_or_else(|| missing("done"))?;
            let callback = Callback { done, user_data };
            let target = Target::Done(Box::new(move |entry| callback.run(entry)));
            put_id(call_id, client.core.submit(args, &options, target)?);
            Ok(())
        })
    }
}

/// Submits one command; its completion appears in `queue` with `tag`.
///
/// Arguments as sentinel_command_packed, copied; the rest as sentinel_submit. QUEUE_FULL also when the queue has no
/// place left for the completion.
///
/// # Safety
/// `client` and `queue` are live or NULL, `lens` has `argc` elements or is NULL, `data` has `data_len` bytes or is
/// NULL, `call` is readable or NULL, `call_id` and `error` may be written or are NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_submit_queued(
    client: *mut sentinel_client_t,
    argc: usize,
    lens: *const usize,
    data: *const c_void,
    data_len: usize,
    call: *const sentinel_call_t,
    queue: *mut sentinel_queue_t,
    tag: u64,
    call_id: *mut u64,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: the handles are live or NULL, `lens` has `argc` elements and `data` `data_len` bytes or are NULL, `call`
    // is readable or NULL, the outputs may be written or are NULL.
    unsafe {
        guard::shared(client, error, |client| {
            let mut args = Args::new();
            let args = args.read_packed(argc, lens, data, data_len)?;
            let options = call_options(call)?;
            // Its own, for the queue may be freed meanwhile.
            let queue = handle::share(queue)?;
            let target = Target::Queue(queue.queue()?, tag);
            put_id(call_id, client.core.submit(args, &options, target)?);
            Ok(())
        })
    }
}

/// Submits a batch, copied; its completion appears in `queue` with `tag`, its reply is that of sentinel_batch_run.
///
/// The batch may be changed and freed at once. The rest as sentinel_submit_queued; a batch counts as one call.
///
/// # Safety
/// `client`, `batch` and `queue` are live or NULL, `call` is readable or NULL, `call_id` and `error` may be written or
/// are NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_submit_batch(
    client: *mut sentinel_client_t,
    batch: *const sentinel_batch_t,
    call: *const sentinel_call_t,
    queue: *mut sentinel_queue_t,
    tag: u64,
    call_id: *mut u64,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: the handles are live or NULL, `call` is readable or NULL, the outputs may be written or are NULL.
    unsafe {
        guard::shared(client, error, |client| {
            let batch = handle::borrow(batch)?;
            batch.poison().check()?;
            let options = call_options(call)?;
            let queue = handle::share(queue)?;
            let target = Target::Queue(queue.queue()?, tag);
            put_id(call_id, client.core.submit_batch(&batch.core, &options, target)?);
            Ok(())
        })
    }
}

/// Runs one command on a connection that the calling thread has to itself, for at most `wait_ms` milliseconds; if it is not
/// done by then, it goes on as a submission.
///
/// SENTINEL_OK with `*reply`, or a failure, when the call ended here: nothing appears in `queue`. SENTINEL_EMPTY when it
/// goes on: `*call_id` is for sentinel_cancel, and its one completion appears in `queue` with `tag`, perhaps before this
/// function returns. So it is at once where `pool.direct` calls are under way or no such connection is free, for commands
/// that wait in the server or for a confirmation, for large ones, with `wait_ms` 0, and in a callback. Nothing is sent twice;
/// deadline, repetition and outcome are those of one call (sentinel_command). What is done here is in no order with what
/// the thread has submitted before.
///
/// Arguments as sentinel_command_packed. `reply` NULL: the reply is discarded when the call ends here. INVALID_ARGUMENT for
/// a negative `wait_ms`; QUEUE_FULL when `queue` has no room for a completion.
///
/// # Safety
/// `client` and `queue` are live or NULL, `lens` has `argc` elements or is NULL, `data` has `data_len` bytes or is NULL,
/// `call` is readable or NULL, `call_id`, `reply` and `error` may be written or are NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_try_command(
    client: *mut sentinel_client_t,
    argc: usize,
    lens: *const usize,
    data: *const c_void,
    data_len: usize,
    call: *const sentinel_call_t,
    wait_ms: i64,
    queue: *mut sentinel_queue_t,
    tag: u64,
    call_id: *mut u64,
    reply: *mut *mut sentinel_reply_t,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    let mut goes_on = false;
    // SAFETY: the handles are live or NULL, `lens` has `argc` elements and `data` `data_len` bytes or are NULL, `call` is
    // readable or NULL, the outputs may be written or are NULL.
    let status = unsafe {
        guard::shared(client, error, |client| {
            let mut args = Args::new();
            let args = args.read_packed(argc, lens, data, data_len)?;
            let options = call_options(call)?;
            let wait = u64::try_from(wait_ms).map_err(|_| {
                let problem = format!("is {wait_ms}, takes 0 (nothing waits) or more");
                Error::invalid("wait_ms", problem)
            })?;
            let queue = handle::share(queue)?;
            let wait = Duration::from_millis(wait);
            match client.core.try_command(args, &options, wait, queue.queue()?, tag)? {
                Tried::Done(answer) => reply::put(reply, answer),
                Tried::GoesOn(id) => {
                    put_id(call_id, id);
                    goes_on = true;
                }
            }
            Ok(())
        })
    };
    match status {
        SENTINEL_OK if goes_on => SENTINEL_EMPTY,
        status => status,
    }
}

/// Asks for the end of a submitted call: it completes with CANCELLED, unless it has completed already.
///
/// The completion comes the usual way; its outcome says whether the command may have been executed. OK also for a call
/// that has completed; INVALID_ARGUMENT for a number that no call of this client ever had.
///
/// # Safety
/// `client` is live or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_cancel(client: *mut sentinel_client_t, call_id: u64) -> sentinel_status_t {
    // SAFETY: `client` is live or NULL.
    unsafe { guard::shared(client, ptr::null_mut(), |client| Ok(client.core.cancel(call_id)?)) }
}
