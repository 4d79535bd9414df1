//! One attempt of a submitted call: what is sent, and what has come when it ends.

use std::sync::Arc;

use super::book::{Book, Call, Place, Stored};
use super::entry::CallId;
use crate::base::error::Result;
use crate::call::life::{Ended, Event, Message, Shape};
use crate::call::waiting::own_words;
use crate::pool;
use crate::pool::{Answers, Lane, Parcel, Refused, Sink};
use crate::resp::{Request, first_command};

/// Hands a call to a lane. False when it is not to be sent any more.
#[inline]
pub(super) fn hand_over(book: &mut Book, id: CallId, lane: &Arc<Lane>) -> Result<bool, Refused> {
    let Some(call) = book.get(id).filter(|call| call.place == Place::Waiting) else {
        return Ok(false);
    };
    let Some(message) = call.life.set_out() else {
        return Ok(false);
    };
    if let Err(refused) = send(call, message, id, lane) {
        call.life.on(Event::TakenBack(None));
        return Err(refused);
    }
    book.use_lane(lane);
    Ok(true)
}

/// Hands over what follows on the same lane.
pub(super) fn follow(book: &mut Book, id: CallId, message: Message, lane: &Arc<Lane>) -> Result<(), Refused> {
    if let Some(call) = book.get(id) {
        send(call, message, id, lane)?;
        book.use_lane(lane);
    }
    Ok(())
}

#[inline]
fn send(call: &mut Call, message: Message, id: CallId, lane: &Lane) -> Result<(), Refused> {
    let (shape, sink) = (call.life.shape(), Sink::Call(id, None));
    let patience = call.life.patience(message);
    let answers = match (message, shape) {
        (Message::Itself, Shape::Pipeline(len)) => Answers::in_one(len, patience),
        (Message::Itself, Shape::Transaction(len)) => Answers::each(len + 2, patience),
        _ => Answers::each(1, patience).following(message.follows()),
    };
    let number = match (message, &call.request) {
        (Message::Itself | Message::Source, Stored::Small(bytes)) => {
            lane.send(Parcel::Small(&Request::Encoded(&[bytes])), answers, sink)
        }
        (Message::Itself | Message::Source, Stored::Apart(bytes)) => {
            lane.send(Parcel::Apart(Arc::clone(bytes)), answers, sink)
        }
        (own, request) => {
            let (args, _) = first_command(request.body(shape)).unwrap_or_default();
            let words = own_words(own, &call.life, &args, call.deadline);
            lane.send(Parcel::of(&Request::Encoded(&[&words])), answers, sink)
        }
    };
    call.place = Place::Lane(lane.id(), number?);
    Ok(())
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
