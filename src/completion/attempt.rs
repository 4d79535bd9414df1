//! One attempt of a submitted call: what is sent, and what has come when it ends.

use std::sync::Arc;

use super::book::{Book, Call, CallId, Place, Stored};
use crate::client::batch::with_first;
use crate::client::call::own_words;
use crate::client::life::{Ended, Event, Message, Shape};
use crate::error::Result;
use crate::pool;
use crate::pool::{Answers, Lane, Parcel, Refused, Sink};
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
    let patience = call.life.patience(message);
    if !matches!(message, Message::Itself | Message::Source) {
        let words = with_first(call.body(), |args| own_words(message, &call.life, args, call.deadline));
        return lane.send(
            Parcel::of(&Request::Encoded(&[&words])),
            Answers::each(1, patience),
            sink,
        );
    }
    let answers = match call.life.shape() {
        Shape::Command | Shape::Confirmed => Answers::each(1, patience),
        Shape::Pipeline(len) => Answers::in_one(len, patience),
        Shape::Transaction(len) => Answers::each(len + 2, patience),
    };
    match &call.request {
        Stored::Small(bytes) => lane.send(Parcel::Small(&Request::Encoded(&[bytes])), answers, sink),
        Stored::Apart(bytes) => lane.send(Parcel::Apart(Arc::clone(bytes)), answers, sink),
    }
}

/// What came of it; the replies of a pipeline in one array.
pub(super) fn came(ended: pool::Ended) -> Ended {
    let (done, unsent) = match ended.end {
        Ok(()) => (Ok(()), 0),
        Err(failure) => (Err(failure.error), failure.unsent),
    };
    let mut replies = ended.replies.map_or_else(Vec::new, |replies| *replies);
    replies.extend(ended.last);
    Ended::new(replies, done, unsent)
}
