//! The kernel's futex with a bit set, out of loom's parts: looking at the word and going to sleep are one step.

use super::clock::Moment;
use crate::sync::{AtomicU32, Condvar, Mutex, Ordering};

struct Waiter {
    word: usize,
    bits: u32,
    woken: bool,
}

#[derive(Default)]
struct Kernel {
    waiters: Mutex<Vec<Waiter>>,
    changed: Condvar,
}

loom::lazy_static! {
    static ref KERNEL: Kernel = Kernel::default();
}

fn address(word: &AtomicU32) -> usize {
    std::ptr::from_ref(word).addr()
}

pub(crate) fn wait(word: &AtomicU32, seen: u32, bits: u32, until: Option<Moment>) -> bool {
    let mut waiters = KERNEL.waiters.lock();
    if word.load(Ordering::SeqCst) != seen {
        return false;
    }
    // With a limit it may return at any time.
    if until.is_some() {
        return true;
    }
    let word = address(word);
    waiters.push(Waiter {
        word,
        bits,
        woken: false,
    });
    loop {
        let mine = waiters
            .iter()
            .position(|waiter| waiter.word == word && waiter.bits == bits);
        match mine.filter(|place| waiters[*place].woken) {
            Some(place) => {
                waiters.remove(place);
                return true;
            }
            None => KERNEL.changed.wait(&mut waiters),
        }
    }
}

pub(crate) fn wake(word: &AtomicU32, bits: u32) {
    let mut waiters = KERNEL.waiters.lock();
    for waiter in waiters.iter_mut() {
        waiter.woken |= waiter.word == address(word) && waiter.bits & bits != 0;
    }
    KERNEL.changed.notify_all();
}
