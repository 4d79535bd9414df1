//! One value to one waiter; `tests/model` runs every order in which the two can meet.

use std::time::Duration;

use crate::base::deadline::Deadline;
use crate::base::handoff::handoff;

#[test]
fn a_value_that_nobody_waits_for_comes_back() {
    let (giver, taker) = handoff();
    assert_eq!(taker.take(Deadline::after(Some(Duration::from_millis(1)))), None);
    assert!(giver.is_done());
    assert_eq!(giver.give(7), Err(7));
}

#[test]
fn a_waiter_without_a_giver_does_not_wait() {
    let (giver, taker) = handoff::<u32>();
    let other = giver.clone();
    let waiter = std::thread::spawn(move || taker.take(Deadline::NEVER));
    drop(giver);
    drop(other);
    assert_eq!(waiter.join().unwrap(), None);
}

#[test]
fn the_first_value_reaches_the_waiter() {
    let (giver, taker) = handoff();
    let waiter = std::thread::spawn(move || taker.take(Deadline::NEVER));
    assert_eq!(giver.give(1), Ok(()));
    assert_eq!(giver.give(2), Err(2));
    assert_eq!(waiter.join().unwrap(), Some(1));
}
