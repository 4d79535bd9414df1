//! One attempt of a submitted call: what is sent, and what its end amounts to.

use std::sync::Arc;

use super::book::{Book, Call, CallId, Place, Shape, Step, Stored};
use crate::client::batch::{Exchange, Ran, in_one, incomplete, with_first};
use crate::client::batch::{read_pipeline, read_transaction};
use crate::client::call::{Failed, refusal};
use crate::client::learnt::question;
use crate::client::replication::{PROBE, read_confirmation, wait_command};
use crate::error::{Error, Outcome, Result};
use crate::pool::{Ended, Generation, Lane, Parcel, Refused, Sink};
use crate::resp::{Kind, Reply, Request};

/// Hands a call to a lane. False when it is not to be sent any more.
pub(super) fn hand_over(book: &mut Book, id: CallId, lane: &Arc<Lane>) -> Result<bool, Refused> {
    let Some(call) = book.get(id).filter(|call| call.place == Place::Waiting) else {
        return Ok(false);
    };
    let one = |request: &Request<'_>| lane.send(Parcel::of(request), 1, Sink::Call(id, None));
    let number = match call.step {
        Step::Ask => one(&Request::Command(&question(call.unknown.last()))),
        Step::Probe => one(&Request::Command(&PROBE)),
        Step::Run => hand_over_itself(call, id, lane),
    }?;
    call.place = Place::Lane(lane.id(), number);
    book.use_lane(lane);
    Ok(true)
}

fn hand_over_itself(call: &Call, id: CallId, lane: &Lane) -> Result<u64, Refused> {
    let sink = Sink::Call(id, None);
    let count = match call.shape {
        Shape::Command => 1,
        Shape::Confirmed => {
            let wait = wait_command(&call.options, call.deadline);
            let parts = [call.request.bytes(), &wait];
            return lane.send(Parcel::of(&Request::Encoded(&parts)), 2, sink);
        }
        Shape::Pipeline(len) => len,
        Shape::Transaction(len) => len + 2,
    };
    match &call.request {
        Stored::Small(bytes) => lane.send(Parcel::Small(&Request::Encoded(&[bytes])), count, sink),
        Stored::Apart(bytes) => lane.send(Parcel::Apart(Arc::clone(bytes)), count, sink),
    }
}

/// What the end of an attempt amounts to.
pub(super) fn read(call: &Call, ended: Ended, generation: &Arc<Generation>) -> Result<Ran, Failed> {
    let (done, unsent) = match ended.end {
        Ok(()) => (Ok(()), 0),
        Err(failure) => (Err(failure.error), failure.unsent),
    };
    let mut replies = ended.replies.map_or_else(Vec::new, |replies| *replies);
    replies.extend(ended.last);
    let exchange = Exchange {
        len: call.commands(),
        done,
        unsent,
        generation: Some(generation),
    };
    let reply = match call.shape {
        Shape::Pipeline(_) => return read_pipeline(in_one(&replies), exchange),
        Shape::Transaction(_) => read_transaction(replies, exchange)?,
        Shape::Command => {
            exchange.done?;
            read_one(call.body(), replies.pop(), generation)?
        }
        Shape::Confirmed => {
            let wait = (replies.len() > 1).then(|| replies.pop()).flatten();
            if wait.is_none() {
                // Without a word of the replicas the write may be on this node alone, if it was done at all.
                let written = replies.first().is_some_and(|reply| reply.kind() != Kind::Error);
                let unknown = |error: Error| {
                    if written {
                        error.with_outcome(Outcome::Unknown)
                    } else {
                        error
                    }
                };
                exchange.done.map_err(unknown)?;
            }
            let reply = read_one(call.body(), replies.pop(), generation)?;
            read_confirmation(wait, &call.options, generation)?;
            reply
        }
    };
    Ok(Ran { reply, condemn: false })
}

/// The reply to a lone command; an error reply is a failure.
fn read_one(request: &[u8], reply: Option<Reply>, generation: &Arc<Generation>) -> Result<Reply, Failed> {
    let reply = reply.ok_or_else(incomplete)?;
    if reply.kind() != Kind::Error {
        return Ok(reply);
    }
    Err(with_first(request, |args| refusal(args, &reply, Some(generation))))
}

/// The reply to a question that comes before the call itself, of which nothing was sent whatever comes of it.
pub(super) fn read_question(args: &[&[u8]], ended: Ended, generation: &Arc<Generation>) -> Result<Reply, Failed> {
    let answer = match (ended.end, ended.last) {
        (Err(failure), _) => Err(failure.error.into()),
        (Ok(()), Some(reply)) if reply.kind() == Kind::Error => Err(refusal(args, &reply, Some(generation))),
        (Ok(()), reply) => reply.ok_or_else(|| incomplete().into()),
    };
    answer.map_err(|failed: Failed| Failed {
        error: failed.error.with_outcome(Outcome::NotSent),
        remedy: failed.remedy,
    })
}
