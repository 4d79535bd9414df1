//! The kernel's futex with a bit set, out of loom's parts: looking at the word and going to sleep are one step.

use super::clock::Moment;
use crate::base::sync::{AtomicU32, Condvar, Mutex, Ordering};

pub(crate) const ANY: u32 = u32::MAX;

struct Waiter {
    number: usize,
    word: usize,
    bits: u32,
    woken: bool,
}

#[derive(Default)]
struct Kernel {
    waiters: Mutex<Vec<Waiter>>,
    numbers: Mutex<usize>,
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
    let number = {
        let mut numbers = KERNEL.numbers.lock();
        *numbers += 1;
        *numbers
    };
    waiters.push(Waiter {
        number,
        word: address(word),
        bits,
        woken: false,
    });
    loop {
        let mine = waiters.iter().position(|waiter| waiter.number == number);
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
    wake_some(word, usize::MAX, bits);
}

pub(crate) fn wake_one(word: &AtomicU32) {
    wake_some(word, 1, ANY);
}

fn wake_some(word: &AtomicU32, most: usize, bits: u32) {
    let mut waiters = KERNEL.waiters.lock();
    let meant = |waiter: &&mut Waiter| !waiter.woken && waiter.word == address(word) && waiter.bits & bits != 0;
    for waiter in waiters.iter_mut().filter(meant).take(most) {
        waiter.woken = true;
    }
    KERNEL.changed.notify_all();
}
