//! The hand-written synchronisation of the library, its own sources compiled over loom: every order in which the threads
//! can meet, in place of those that a machine happens to try. A waiter that could hang fails as a deadlock.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    missing_docs,
    reason = "the library's sources bring what no model uses"
)]

#[path = "../../src/pool/seat.rs"]
mod seat;

/// The room `base` over loom's parts.
mod base {
    #[path = "../../../src/base/clock.rs"]
    pub(crate) mod clock;
    #[path = "../../../src/base/deadline.rs"]
    pub(crate) mod deadline;
    pub(crate) mod futex;
    #[path = "../../../src/base/handoff.rs"]
    pub(crate) mod handoff;
    pub(crate) mod lock;
    #[path = "../../../src/base/process.rs"]
    pub(crate) mod process;
    pub(crate) mod sync;
    #[path = "../../../src/base/turn.rs"]
    pub(crate) mod turn;
    pub(crate) mod error {
        pub(crate) use sentinel::{Error, Result};
    }
}
/// What `seat` names of the rest of the library.
mod resp {
    pub(crate) use sentinel::resp::{Reply, Rooms};
}

use std::time::Duration;

use loom::thread::spawn;
use sentinel::resp::{Builder, Reply};

use base::deadline::Deadline;
use base::handoff::{Latch, handoff};
use seat::{Seat, Wakes};

/// A deadline that is over at whatever moment the model comes to it.
fn any_time() -> Deadline {
    Deadline::after(Some(Duration::ZERO))
}

#[test]
fn a_value_is_taken_or_comes_back_at_the_deadline() {
    loom::model(|| {
        let (giver, taker) = handoff();
        let giving = spawn(move || giver.give(7));
        let taken = taker.take(any_time());
        match giving.join().unwrap() {
            Ok(()) => assert!(taken == Some(7) || taker.take(any_time()).is_none()),
            Err(value) => assert_eq!((value, taken), (7, None)),
        }
    });
}

#[test]
fn of_two_givers_one_is_heard_and_the_other_told() {
    loom::model(|| {
        let (giver, taker) = handoff();
        let other = giver.clone();
        let first = spawn(move || giver.give(1).is_ok());
        let second = spawn(move || other.give(2).is_ok());
        let taken = taker.take(Deadline::NEVER);
        let given = [first.join().unwrap(), second.join().unwrap()];
        assert!(matches!(
            (taken, given),
            (Some(1), [true, false]) | (Some(2), [false, true])
        ));
    });
}

#[test]
fn a_taker_whose_givers_go_away_does_not_hang() {
    loom::model(|| {
        let (giver, taker) = handoff::<u32>();
        let other = giver.clone();
        let first = spawn(move || drop(giver));
        let second = spawn(move || drop(other));
        assert_eq!(taker.take(Deadline::NEVER), None);
        first.join().unwrap();
        second.join().unwrap();
    });
}

#[test]
fn a_latch_lets_everyone_through_once_it_is_open() {
    loom::model(|| {
        let latch = std::sync::Arc::new(Latch::default());
        let own = std::sync::Arc::clone(&latch);
        let waiting = spawn(move || own.wait(Deadline::NEVER));
        latch.open();
        assert!(waiting.join().unwrap() && latch.wait(any_time()));
    });
}

fn integer(number: i64) -> Reply {
    let mut builder = Builder::new();
    builder.integer(number);
    builder.finish().unwrap()
}

fn two_seats() -> (Seat, Seat) {
    let mut row: Vec<Seat> = Seat::row().collect();
    let first = row.pop().unwrap();
    (first, row.pop().unwrap())
}

/// Waits; whether the call ended, and what it was answered.
fn wait(seat: &Seat, deadline: Deadline) -> (bool, Vec<i64>) {
    let mut replies = Vec::new();
    let end = seat.wait(deadline, |reply| replies.push(reply.integer()));
    (end.is_some(), replies)
}

#[test]
fn a_waiter_wakes_with_all_replies_of_its_call() {
    loom::model(|| {
        let (seat, _) = two_seats();
        let ticket = seat.ticket();
        let answering = spawn(move || {
            let mut wakes = Wakes::default();
            ticket.reply(integer(1));
            ticket.end(Some(integer(2)), Ok(()), &mut wakes);
            wakes.flush();
        });
        assert_eq!(wait(&seat, Deadline::NEVER), (true, vec![1, 2]));
        answering.join().unwrap();
    });
}

#[test]
fn one_flush_wakes_both_of_a_row() {
    loom::model(|| {
        let (first, second) = two_seats();
        let tickets = [first.ticket(), second.ticket()];
        let answering = spawn(move || {
            let mut wakes = Wakes::default();
            tickets[0].end(Some(integer(1)), Ok(()), &mut wakes);
            tickets[1].end(Some(integer(2)), Ok(()), &mut wakes);
            wakes.flush();
        });
        let other = spawn(move || wait(&second, Deadline::NEVER));
        assert_eq!(wait(&first, Deadline::NEVER), (true, vec![1]));
        assert_eq!(other.join().unwrap(), (true, vec![2]));
        answering.join().unwrap();
    });
}

#[test]
fn a_reply_that_meets_the_deadline_reaches_its_own_call_or_none() {
    loom::model(|| {
        let (seat, _) = two_seats();
        let late = seat.ticket();
        let answering = spawn(move || {
            let mut wakes = Wakes::default();
            late.end(Some(integer(1)), Ok(()), &mut wakes);
            wakes.flush();
        });
        let (ended, replies) = wait(&seat, any_time());
        assert_eq!(replies, if ended { vec![1] } else { vec![] });
        // The next call of the same thread, answered while the late reply may still be on its way.
        let next = seat.ticket();
        let mut wakes = Wakes::default();
        next.end(Some(integer(2)), Ok(()), &mut wakes);
        wakes.flush();
        assert_eq!(wait(&seat, Deadline::NEVER), (true, vec![2]));
        answering.join().unwrap();
    });
}

#[test]
fn a_nudge_ends_no_call_and_loses_none() {
    loom::model(|| {
        let (seat, _) = two_seats();
        let ticket = seat.ticket();
        let answering = spawn(move || {
            let mut wakes = Wakes::default();
            ticket.nudge(&mut wakes);
            wakes.flush();
            ticket.end(Some(integer(1)), Ok(()), &mut wakes);
            wakes.flush();
        });
        assert_eq!(wait(&seat, Deadline::NEVER), (true, vec![1]));
        answering.join().unwrap();
    });
}
