//! What `linux.rs` has, by what every system has: whoever waits on a word of memory stands in a table of the process.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::process::PerProcess;
use super::ticks;

/// Somebody who waits.
struct Waiter {
    number: u64,
    word: usize,
    bits: u32,
}

/// Those who wait on some of the words.
#[derive(Default)]
struct Row {
    /// In the order in which they came.
    waiters: Vec<Waiter>,
    last: u64,
}

#[derive(Default)]
struct Place {
    row: Mutex<Row>,
    changed: Condvar,
}

const PLACES: usize = 64;

/// Each process has its own: threads of a parent wait in none of a child's.
static TABLE: PerProcess<Vec<Place>> = PerProcess::new(|| (0..PLACES).map(|_| Place::default()).collect());

fn place_of(word: &AtomicU32) -> Option<(&'static Place, usize)> {
    let address = std::ptr::from_ref(word).addr();
    // Words of 4 bytes, of which one is in a cache line of 64.
    let number = (address / 4) ^ (address / 64);
    Some((TABLE.get().get(number % PLACES)?, address))
}

/// Sleeps while `word` is `seen`, until it is woken with a common bit, until the clock tells `until`, or for no reason at all. False when it
/// did not sleep, since the word was another.
pub(super) fn wait(word: &AtomicU32, seen: u32, bits: u32, until: Option<u64>) -> bool {
    let Some((place, address)) = place_of(word) else {
        return false;
    };
    let mut row = place.row.lock().unwrap_or_else(PoisonError::into_inner);
    // Whoever changes it wakes afterwards, and takes the lock for that.
    if word.load(Ordering::SeqCst) != seen {
        return false;
    }
    row.last += 1;
    let number = row.last;
    row.waiters.push(Waiter {
        number,
        word: address,
        bits,
    });
    let stands = |row: &Row| row.waiters.iter().position(|waiter| waiter.number == number);
    while let Some(at) = stands(&row) {
        let left = until.map_or(Duration::MAX, |until| {
            Duration::from_nanos(until.saturating_sub(ticks::now()))
        });
        if left.is_zero() {
            row.waiters.remove(at);
            break;
        }
        row = match until {
            None => place.changed.wait(row).unwrap_or_else(PoisonError::into_inner),
            Some(_) => {
                let woken = place.changed.wait_timeout(row, left);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
    true
}

/// Wakes one, or all, of those who wait on `word` with one of these bits.
pub(super) fn wake(word: &AtomicU32, one: bool, bits: u32) {
    let Some((place, address)) = place_of(word) else {
        return;
    };
    let mut left = if one { 1 } else { usize::MAX };
    let mut row = place.row.lock().unwrap_or_else(PoisonError::into_inner);
    let before = row.waiters.len();
    row.waiters.retain(|waiter| {
        let woken = left > 0 && waiter.word == address && waiter.bits & bits != 0;
        left -= usize::from(woken);
        !woken
    });
    let woken = row.waiters.len() < before;
    drop(row);
    if woken {
        place.changed.notify_all();
    }
}

/// A moment that is now: there is no clock that is read for less.
pub(super) fn next_tick() -> u64 {
    ticks::now()
}
