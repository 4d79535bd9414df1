//! One attempt of a submitted call: what is sent, and what has come when it ends.

use super::book::{Book, Call, CallId, Place};
use crate::client::Learnt;
use crate::client::batch::{EXEC, Encoded, MULTI};
use crate::client::call::{ROLE, exists};
use crate::client::learnt::question;
use crate::client::life::{Commands, Ended, Handed, Message, Shape};
use crate::client::reading::in_one;
use crate::client::replication::{PROBE, wait_command};
use crate::error::{Outcome, Result};
use crate::pool;
use crate::pool::Lane;
use crate::resp::Request;

/// Hands a call to a lane. False when it is not to be sent any more.
pub(super) fn hand_over(book: &mut Book, id: CallId, lane: &Lane) -> Result<bool> {
    let Some(call) = book.get(id).filter(|call| call.place == Place::Waiting) else {
        return Ok(false);
    };
    let Some(message) = call.life.set_out() else {
        return Ok(false);
    };
    submit(call, message, id, lane)?;
    call.place = Place::Lane(lane.id());
    Ok(true)
}

/// Hands this of a call to a lane.
pub(super) fn submit(call: &Call, message: Message, id: CallId, lane: &Lane) -> Result<()> {
    let request = call.request.as_slice();
    match (message, call.life.shape()) {
        (Message::Info, _) => lane.submit(&Request::Command(&question(call.life.question())), 1, id),
        (Message::Probe, _) => lane.submit(&Request::Command(&PROBE), 1, id),
        (Message::Role, _) => lane.submit(&Request::Command(&ROLE), 1, id),
        (Message::Exists, _) => {
            let mut sent = Ok(());
            Encoded::new(request, &Learnt::default()).show(&mut |args| {
                sent = lane.submit(&Request::Command(&exists(args)), 1, id);
                false
            });
            sent
        }
        (Message::Confirmation, _) => {
            let wait = wait_command(call.life.options(), call.deadline);
            lane.submit(&Request::Encoded(&[&wait]), 1, id)
        }
        (_, Shape::Command | Shape::Confirmed) => lane.submit(&Request::Encoded(&[request]), 1, id),
        (_, Shape::Pipeline(len)) => lane.submit(&Request::Encoded(&[request]), len, id),
        (_, Shape::Transaction(len)) => lane.submit(&Request::Encoded(&[MULTI, request, EXEC]), len + 2, id),
    }
}

/// What came of it; the replies of a pipeline in one array.
pub(super) fn came(shape: Shape, ended: pool::Ended) -> Ended {
    let (done, handed) = match ended.end {
        Ok(()) => (Ok(()), Handed::Whole),
        Err(failure) => {
            let handed = match failure.error.outcome() {
                Outcome::NotSent => Handed::Nothing,
                _ if failure.unsent > 0 => Handed::Begun,
                _ => Handed::Whole,
            };
            (Err(failure.error), handed)
        }
    };
    let mut replies = ended.replies.map_or_else(Vec::new, |replies| *replies);
    replies.extend(ended.last);
    if matches!(shape, Shape::Pipeline(_)) {
        replies = in_one(&replies).into_iter().collect();
    }
    Ended { replies, done, handed }
}
