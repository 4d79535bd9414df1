//! One attempt of a submitted call: what is sent, and what has come when it ends.

use std::sync::Arc;

use super::book::{Book, Call, CallId, Place, Stored};
use crate::client::batch::with_first;
use crate::client::call::{ROLE, exists};
use crate::client::learnt::question;
use crate::client::life::{Ended, Event, Handed, Message, Shape};
use crate::client::reading::in_one;
use crate::client::replication::{PROBE, wait_command};
use crate::error::{Outcome, Result};
use crate::pool;
use crate::pool::{Lane, Parcel, Refused, Sink};
use crate::resp::Request;

/// Hands a call to a lane. False when it is not to be sent any more.
pub(super) fn hand_over(book: &mut Book, id: CallId, lane: &Arc<Lane>) -> Result<bool, Refused> {
    let Some(call) = book.get(id).filter(|call| call.place == Place::Waiting) else {
        return Ok(false);
    };
    let Some(message) = call.life.set_out() else {
        return Ok(false);
    };
    match send(call, message, id, lane) {
        Ok(number) => call.place = Place::Lane(lane.id(), number),
        Err(refused) => {
            call.life.on(Event::TakenBack(None));
            return Err(refused);
        }
    }
    book.use_lane(lane);
    Ok(true)
}

/// Hands over what follows on the same lane.
pub(super) fn follow(book: &mut Book, id: CallId, message: Message, lane: &Arc<Lane>) -> Result<(), Refused> {
    if let Some(call) = book.get(id) {
        let number = send(call, message, id, lane)?;
        call.place = Place::Lane(lane.id(), number);
        book.use_lane(lane);
    }
    Ok(())
}

fn send(call: &Call, message: Message, id: CallId, lane: &Lane) -> Result<u64, Refused> {
    let sink = Sink::Call(id, None);
    let words: [&[u8]; 3];
    let count = match call.life.shape() {
        Shape::Command | Shape::Confirmed => 1,
        Shape::Pipeline(len) => len,
        Shape::Transaction(len) => len + 2,
    };
    let question = match message {
        Message::Itself | Message::Source => {
            return match &call.request {
                Stored::Small(bytes) => lane.send(Parcel::Small(&Request::Encoded(&[bytes])), count, sink),
                Stored::Apart(bytes) => lane.send(Parcel::Apart(Arc::clone(bytes)), count, sink),
            };
        }
        Message::Confirmation => {
            let wait = wait_command(call.life.options(), call.deadline);
            return lane.send(Parcel::of(&Request::Encoded(&[&wait])), 1, sink);
        }
        Message::Exists => return with_first(call.body(), |args| ask(lane, &exists(args), sink)),
        Message::Info => {
            words = question(call.life.question());
            words.as_slice()
        }
        Message::Probe => PROBE.as_slice(),
        Message::Role => ROLE.as_slice(),
    };
    ask(lane, question, sink)
}

fn ask(lane: &Lane, question: &[&[u8]], sink: Sink) -> Result<u64, Refused> {
    lane.send(Parcel::of(&Request::Command(question)), 1, sink)
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
