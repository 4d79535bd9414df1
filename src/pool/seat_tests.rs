//! Seats and tickets with real threads; `tests/model` runs every order in which they can meet.

use std::time::Duration;

use super::seat::{End, PLACE_SIZE, Seat, Wakes, with_mine};
use crate::base::clock;
use crate::base::deadline::{Deadline, LOOK_EVERY};
use crate::resp::{Builder, Reply};

fn integer(number: i64) -> Reply {
    let mut builder = Builder::new();
    builder.integer(number);
    builder.finish().unwrap()
}

fn wait_ms(seat: &Seat, ms: u64) -> (Option<End>, Vec<i64>) {
    let mut replies = Vec::new();
    let deadline = Deadline::after(Some(Duration::from_millis(ms)));
    let end = seat.wait(deadline, |reply| replies.push(reply.integer()));
    (end, replies)
}

#[test]
fn a_reply_that_comes_after_the_deadline_meets_no_later_call() {
    with_mine(|seat| {
        let (late, mut wakes) = (seat.ticket(), Wakes::default());
        late.reply(integer(1));
        let (end, replies) = wait_ms(seat, 1);
        assert!(end.is_none());
        assert_eq!(replies, [1]);
        let next = seat.ticket();
        late.end(Some(integer(2)), Ok(()), &mut wakes);
        wakes.flush();
        assert!(!next.has_ended());
        next.end(Some(integer(3)), Ok(()), &mut wakes);
        wakes.flush();
        let (end, replies) = wait_ms(seat, 1000);
        assert!(end.is_some());
        assert_eq!(replies, [3]);
    });
}

#[test]
fn a_place_is_one_line_of_the_caches() {
    assert_eq!(PLACE_SIZE, 64);
}

#[test]
fn a_far_deadline_is_kept_by_the_nudges() {
    with_mine(|seat| {
        let ticket = seat.ticket();
        std::thread::scope(|scope| {
            let (over, ended) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || {
                while ended.recv_timeout(LOOK_EVERY) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    let mut wakes = Wakes::default();
                    ticket.nudge(&mut wakes);
                    wakes.flush();
                }
            });
            let start = clock::now();
            assert!(wait_ms(seat, 700).0.is_none());
            let took = start.elapsed();
            assert!(took >= Duration::from_millis(700), "{took:?}");
            assert!(took < Duration::from_millis(700) + LOOK_EVERY / 4, "{took:?}");
            drop(over);
        });
    });
}

#[test]
fn one_flush_wakes_all_who_have_their_replies_and_nobody_hangs() {
    let (send, tickets) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for number in 0..100 {
            let send = send.clone();
            scope.spawn(move || {
                with_mine(|seat| {
                    send.send((number, seat.ticket())).unwrap();
                    let (end, replies) = wait_ms(seat, 20_000);
                    assert!(end.is_some());
                    assert_eq!(replies, [number]);
                });
            });
        }
        let mut wakes = Wakes::default();
        for _ in 0..4 {
            for (number, ticket) in tickets.iter().take(25) {
                ticket.end(Some(integer(number)), Ok(()), &mut wakes);
            }
            wakes.flush();
        }
    });
}
