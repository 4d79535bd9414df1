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

#[path = "../../src/pool/alarm.rs"]
mod alarm;
mod orderings;
#[path = "../../src/pool/seat.rs"]
mod seat;
#[path = "../../src/pool/silence.rs"]
mod silence;
mod told;

/// The room `base` over loom's parts.
mod base {
    #[path = "../../../src/base/clock.rs"]
    pub(crate) mod clock;
    #[path = "../../../src/base/deadline.rs"]
    pub(crate) mod deadline;
    #[path = "../../../src/base/flag.rs"]
    pub(crate) mod flag;
    pub(crate) mod futex;
    #[path = "../../../src/base/handoff.rs"]
    pub(crate) mod handoff;
    #[path = "../../../src/base/linux.rs"]
    mod kernel;
    pub(crate) mod lock;
    #[path = "../../../src/base/once.rs"]
    pub(crate) mod once;
    pub(crate) mod ordering;
    pub(crate) mod process;
    pub(crate) mod sync;
    #[path = "../../../src/base/ticks.rs"]
    mod ticks;
    #[path = "../../../src/base/turn.rs"]
    pub(crate) mod turn;
    pub(crate) mod error {
        pub(crate) use sentinel::{Error, Result};
    }
}
/// What `seat` and `alarm` name of the rest of the library.
mod resp {
    pub(crate) use sentinel::resp::{Reply, Rooms};
}
mod net {
    use super::base::sync::{AtomicUsize, Ordering};

    pub(crate) use sentinel::net::Endpoint;

    /// One that only knows how often it was shut down.
    #[derive(Debug)]
    pub(crate) struct Socket(AtomicUsize);

    impl Socket {
        pub(crate) fn new() -> Socket {
            Socket(AtomicUsize::new(0))
        }

        pub(crate) fn cut(&self) {
            self.0.fetch_add(1, Ordering::AcqRel);
        }

        pub(crate) fn is_cut(&self) -> bool {
            self.0.load(Ordering::Acquire) > 0
        }
    }
}

use std::time::Duration;

use loom::thread::spawn;
use sentinel::resp::{Builder, Reply};

use alarm::Alarm;
use base::clock::Moment;
use base::deadline::Deadline;
use base::handoff::{Latch, handoff};
use net::{Endpoint, Socket};
use seat::{Seat, Wakes};
use silence::Patience;

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

/// Two calls on one connection, each until and since then, and in need of so much patience, while the watchdog looks once
/// at `now`. The node has answered elsewhere at `answered`. Only the first call may be rung.
fn two_calls([first, second]: [(Moment, Moment, Patience); 2], now: Moment, answered: Option<Moment>) {
    loom::model(move || {
        let socket = std::sync::Arc::new(Socket::new());
        let alarm = std::sync::Arc::new(Alarm::new(&socket, &Endpoint::new("n", 1)));
        let own = std::sync::Arc::clone(&alarm);
        alarm.be(first.2);
        alarm.set(first.0, first.1);
        let looking = spawn(move || own.look(now, |_| answered));
        let first_rang = alarm.unset();
        let mut rang = first_rang;
        if !first_rang {
            assert!(!socket.is_cut(), "nobody was told");
            alarm.be(second.2);
            alarm.set(second.0, second.1);
            assert!(!socket.is_cut(), "under the second call");
            rang = alarm.unset();
        }
        looking.join().unwrap();
        assert_eq!(socket.is_cut(), rang, "a connection that is cut carries no third call");
    });
}

#[test]
fn an_alarm_rings_for_its_call_and_for_no_later_one() {
    let at = |ms| Moment::of(1).plus_ms(ms);
    let first = (at(700), at(0), Patience::Usual);
    two_calls([first, (at(1500), at(800), Patience::Usual)], at(700), None);
    two_calls([first, (Moment::NEVER, at(800), Patience::Usual)], at(700), None);
}

#[test]
fn silence_is_that_of_its_call_and_of_no_later_one() {
    let at = |ms| Moment::of(1).plus_ms(ms);
    let later = (Moment::NEVER, at(1900), Patience::Usual);
    for until in [Moment::NEVER, at(9000)] {
        two_calls([(until, at(0), Patience::Usual), later], at(2000), Some(at(900)));
    }
}

#[test]
fn patience_is_that_of_its_call_and_of_no_earlier_one() {
    let at = |ms| Moment::of(1).plus_ms(ms);
    let never = Moment::NEVER;
    let first = (never, at(0), Patience::Usual);
    for patience in [Patience::Long, Patience::Endless] {
        two_calls([first, (never, at(100), patience)], at(2000), Some(at(1900)));
    }
}
