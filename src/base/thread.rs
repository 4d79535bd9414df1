//! Threads of the library's.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::{Error, ErrorKind, Result};
use super::process::fork_count;

/// What the standard library gives a thread by itself, unless the environment says otherwise, which the library does not
/// ask.
pub const STACK: usize = 2 << 20;

/// Has `work`, which may block on files, done by a thread of tokio's that is for nothing else. The error says that it
/// panicked.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> std::result::Result<T, String> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| error.to_string())
}

/// Has `work`, which may block, done by a thread of the library's that ends with it.
pub fn beside(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    with_signals_blocked(|| thread(name).spawn(work)).map(drop)
}

/// A thread of the library's.
pub fn thread(name: &str) -> std::thread::Builder {
    std::thread::Builder::new().name(name.into()).stack_size(STACK)
}

/// Runs `start` with every signal blocked in this thread. A thread started inside inherits the mask, so no signal
/// handler of the host ever runs on it.
pub fn with_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
    // SAFETY: sigset_t is plain data for which all zero bytes are a valid value; sigfillset sets it anyway.
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: as above; pthread_sigmask overwrites it with the old mask.
    let mut before: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: both sets are valid for the calls, which have no other effect than on this thread's mask.
    let changed = unsafe {
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, &raw mut before) == 0
    };
    let result = start();
    if changed {
        // SAFETY: `before` was filled by the successful call above.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut()) };
    }
    result
}

/// A number for the calling thread, which no other thread has while it lives. Never 0.
pub fn here() -> u64 {
    thread_local! {
        static PLACE: u8 = const { 0 };
    }
    PLACE.with(|place| std::ptr::from_ref(place).addr() as u64)
}

thread_local! {
    /// On the thread that runs callbacks the fork count of its process: a child that is forked inside one is not inside.
    static INSIDE: Cell<u64> = const { Cell::new(0) };
}

/// Whether any thread ever was: where none was, no call looks at its own thread's memory for it.
static EVER: AtomicBool = AtomicBool::new(false);

/// From here on this thread runs callbacks.
pub fn be_inside() {
    INSIDE.set(fork_count());
    EVER.store(true, Ordering::Relaxed);
}

/// Whether this thread is running a callback.
pub fn is_inside() -> bool {
    EVER.load(Ordering::Relaxed) && INSIDE.get() == fork_count()
}

/// Whether this thread may wait: inside a callback it would wait for itself.
pub fn may_wait() -> Result<()> {
    match is_inside() {
        true => Err(Error::new(ErrorKind::WouldDeadlock)),
        false => Ok(()),
    }
}
