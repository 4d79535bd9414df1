//! What is told by a word of memory and no lock: who reads the word reads what was done before as well.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread::spawn;

use crate::base::flag::{Flag, Turns};
use crate::base::once::{self, Made};
use crate::base::sync::AtomicPtr;

/// A number in plain memory. loom fails when a thread reads it that does not see who wrote it.
struct Plain(UnsafeCell<u32>);

// SAFETY: whoever is told by a word reads it, and nobody before, which is what loom tries to refute.
unsafe impl Send for Plain {}
// SAFETY: as above.
unsafe impl Sync for Plain {}

impl Plain {
    fn new(number: u32) -> Plain {
        let plain = Plain(UnsafeCell::new(0));
        plain.write(number);
        plain
    }

    fn write(&self, number: u32) {
        // SAFETY: loom itself fails when another thread reads or writes it meanwhile.
        self.0.with_mut(|own| unsafe { *own = number });
    }

    fn read(&self) -> u32 {
        // SAFETY: as above.
        self.0.with(|own| unsafe { *own })
    }
}

/// One thread does something and tells of it, the other is told or not.
fn told<T: Default + Send + Sync + 'static>(tell: fn(&T), is_told: fn(&T) -> bool) {
    loom::model(move || {
        let shared = Arc::new((T::default(), Plain::new(1)));
        let own = Arc::clone(&shared);
        let telling = spawn(move || {
            own.1.write(2);
            tell(&own.0);
        });
        if is_told(&shared.0) {
            assert_eq!(shared.1.read(), 2);
        }
        telling.join().unwrap();
    });
}

#[test]
fn who_sees_a_flag_sees_what_was_done_before() {
    told(Flag::raise, Flag::is_up);
}

#[test]
fn who_sees_the_flag_of_the_first_sees_what_the_first_did() {
    told(|flag: &Flag| assert!(flag.raise_first()), Flag::is_up);
}

#[test]
fn who_takes_a_flag_down_sees_what_was_done_before() {
    told(Flag::raise, Flag::take);
}

#[test]
fn of_two_one_is_the_first() {
    loom::model(|| {
        let flag = Arc::new(Flag::default());
        let own = Arc::clone(&flag);
        let other = spawn(move || own.raise_first());
        let first = flag.raise_first();
        assert_ne!(first, other.join().unwrap());
    });
}

#[test]
fn of_two_who_take_it_down_one_has_it() {
    loom::model(|| {
        let flag = Arc::new(Flag::default());
        flag.raise();
        let own = Arc::clone(&flag);
        let other = spawn(move || own.take());
        let had = flag.take();
        assert_ne!(had, other.join().unwrap());
    });
}

/// The keeper of a pool ends what belongs to the old primary and then has its pool turn as the service has turned: no write
/// goes out that does not see the end of the old one (`Pool::writes_wait`).
#[test]
fn who_sees_that_writes_go_out_again_sees_the_old_primary_retired() {
    loom::model(|| {
        let shared = Arc::new((Turns::default(), Turns::default(), Plain::new(1)));
        let own = Arc::clone(&shared);
        shared.0.set(1);
        let keeping = spawn(move || {
            own.0.set(2);
            own.2.write(2);
            own.1.set(2);
        });
        let turns = shared.0.now();
        if turns == shared.1.now() {
            assert_eq!(shared.2.read(), 2);
        }
        keeping.join().unwrap();
    });
}

fn made(number: u32) -> Plain {
    Plain::new(number)
}

type Place = Arc<AtomicPtr<Made<Plain>>>;

/// What the process has that forked so often, made with this number where there is none yet.
fn get(place: &Place, forks: u64, make: fn() -> Plain) -> &'static Plain {
    // SAFETY: null at first, and written by nothing else.
    unsafe { once::get(place, forks, make) }
}

/// Two threads ask for what is made once, at a place that is as `before` leaves it.
fn twice(before: fn(&Place)) {
    loom::model(move || {
        let place = Place::new(AtomicPtr::new(std::ptr::null_mut()));
        before(&place);
        let own = Arc::clone(&place);
        let other = spawn(move || {
            let value = get(&own, 2, || made(7));
            (std::ptr::from_ref(value).addr(), value.read())
        });
        let value = get(&place, 2, || made(8));
        let mine = (std::ptr::from_ref(value).addr(), value.read());
        assert_eq!(mine, other.join().unwrap());
    });
}

#[test]
fn what_is_made_once_is_the_same_for_all_and_whole() {
    twice(|_| {});
}

#[test]
fn a_child_of_a_process_makes_it_anew_and_once() {
    twice(|place| assert_eq!(get(place, 1, || made(6)).read(), 6));
}
