//! The library's locks: what they are made of, around a cell that loom watches. `src/base/lock.rs` adds the types.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread::spawn;

use crate::base::sync::AtomicU32;
use crate::base::turn::{Signal, give, take, try_take};

struct Shared {
    turn: AtomicU32,
    /// loom fails when two threads are in it, or one does not see what the other did.
    value: UnsafeCell<u32>,
    changed: Signal,
}

// SAFETY: the turn sees to it, which is what loom tries to refute.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared {
            turn: AtomicU32::new(0),
            value: UnsafeCell::new(0),
            changed: Signal::of(AtomicU32::new(0), AtomicU32::new(0)),
        })
    }

    fn add(&self, number: u32) {
        take(&self.turn);
        self.add_in_turn(number);
        give(&self.turn);
    }

    fn add_in_turn(&self, number: u32) {
        // SAFETY: loom itself fails when another thread reads or writes it meanwhile.
        self.value
            .with_mut(|value| unsafe { *value = (*value).wrapping_add(number) });
    }

    fn value(&self) -> u32 {
        // SAFETY: as above.
        self.value.with(|value| unsafe { *value })
    }

    /// Waits until there is something, and takes one of it.
    fn take_one(&self) {
        take(&self.turn);
        while self.value() == 0 {
            self.changed.wait(&self.turn, None);
        }
        self.add_in_turn(LESS);
        give(&self.turn);
    }
}

/// One less.
const LESS: u32 = u32::MAX;

fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // Three threads and a kernel: all orders in which no thread is held up more often than this.
    builder.preemption_bound = Some(3);
    builder.check(body);
}

#[test]
fn one_thread_at_a_time_has_the_turn_and_nobody_sleeps_for_ever() {
    model(|| {
        let shared = Shared::new();
        let others = [1, 10].map(|number| {
            let own = Arc::clone(&shared);
            spawn(move || own.add(number))
        });
        shared.add(100);
        for other in others {
            other.join().unwrap();
        }
        take(&shared.turn);
        assert_eq!(shared.value(), 111);
    });
}

#[test]
fn who_does_not_wait_has_the_turn_or_leaves_it() {
    model(|| {
        let shared = Shared::new();
        let own = Arc::clone(&shared);
        let other = spawn(move || own.add(1));
        let had = try_take(&shared.turn);
        if had {
            shared.add_in_turn(10);
            give(&shared.turn);
        }
        other.join().unwrap();
        take(&shared.turn);
        assert_eq!(shared.value(), if had { 11 } else { 1 });
    });
}

#[test]
fn a_change_is_never_slept_over() {
    model(|| {
        let shared = Shared::new();
        let own = Arc::clone(&shared);
        let taker = spawn(move || own.take_one());
        shared.add(1);
        shared.changed.call_one();
        taker.join().unwrap();
    });
}

#[test]
fn one_call_reaches_each_of_two() {
    model(|| {
        let shared = Shared::new();
        let takers = [(); 2].map(|()| {
            let own = Arc::clone(&shared);
            spawn(move || own.take_one())
        });
        shared.add(2);
        shared.changed.call_all();
        for taker in takers {
            taker.join().unwrap();
        }
    });
}

#[test]
fn two_calls_reach_two_of_two() {
    model(|| {
        let shared = Shared::new();
        let takers = [(); 2].map(|()| {
            let own = Arc::clone(&shared);
            spawn(move || own.take_one())
        });
        for _ in 0..2 {
            shared.add(1);
            shared.changed.call_one();
        }
        for taker in takers {
            taker.join().unwrap();
        }
    });
}
