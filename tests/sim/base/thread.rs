//! The names of `src/base/thread.rs`, as far as what runs here uses them.

use std::io;

use super::error::Error;
use crate::kernel::kernel;

/// Work that another thread does while time passes: it is done at once, and heard of later.
pub async fn aside<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let done = work();
    let (told, hears) = tokio::sync::oneshot::channel();
    let takes = kernel().below(2_000_000);
    kernel().after(takes, move || drop(told));
    let _: Result<(), _> = hears.await;
    Ok(done)
}

/// Only names are looked up by it, and there are none here.
pub fn beside(_: &str, work: impl FnOnce()) -> io::Result<()> {
    work();
    Ok(())
}

/// A fiber stands for a thread.
pub fn here() -> u64 {
    kernel().fibers.current() as u64 & (u64::MAX >> 1) | 1 << 63
}

pub fn may_wait() -> Result<(), Error> {
    Ok(())
}
