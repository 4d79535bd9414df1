//! Waiting on a word of memory, as the simulation sees it.

use std::sync::atomic::{AtomicU32, Ordering};

use super::clock::Moment;
use crate::kernel::kernel;

pub fn wait(word: &AtomicU32, seen: u32, bits: u32, until: Option<Moment>) -> bool {
    let kernel = kernel();
    kernel.call("futex");
    if word.load(Ordering::SeqCst) != seen {
        return false;
    }
    // For no reason at all, now and then.
    if !kernel.one_in(64) {
        kernel.wait(word.as_ptr().addr(), bits, until.map(Moment::number));
    }
    true
}

pub fn wake(word: &AtomicU32, bits: u32) {
    let kernel = kernel();
    kernel.wake(word.as_ptr().addr(), bits, usize::MAX);
    kernel.call("futex");
}
