//! Calls on their way over a lane, and who is told of their replies.

use std::sync::Arc;

use super::seat::{End, Ticket, Wakes};
use super::silence::Patience;
use crate::base::heavy::Bytes;
use crate::resp::{Reply, Room};

/// The number of a call on a lane that carried it before its driver was there: it can never be taken back.
pub(crate) const BEGUN: u64 = 0;

/// Small where there are none, since it is moved with each call.
#[allow(clippy::box_collection, reason = "a third of the size")]
pub type Replies = Box<Vec<Reply>>;

/// How an attempt of such a call ended.
#[derive(Debug)]
pub struct Ended {
    /// The call.
    pub id: u64,
    /// Its replies but for the last.
    pub replies: Option<Replies>,
    /// The last one, when it came.
    pub last: Option<Reply>,
    /// Whether all came.
    pub end: End,
}

/// Who is told of a call's replies.
#[derive(Debug)]
pub(crate) enum Sink {
    /// A thread that waits on its seat, and what it brought for its reply to be made in.
    Seat(Ticket, Option<Room>),
    /// A submitted call, and its replies so far where it has several.
    Call(u64, Option<Replies>),
    /// Nobody: it was taken back.
    Gone,
}

impl Sink {
    /// What was brought for the next reply.
    pub(super) fn room(&mut self) -> Option<&mut Option<Room>> {
        match self {
            Sink::Seat(_, room) => Some(room),
            Sink::Call(..) | Sink::Gone => None,
        }
    }

    /// A reply that is not the last.
    pub(super) fn reply(&mut self, reply: Reply) {
        match self {
            Sink::Seat(ticket, _) => ticket.reply(reply),
            Sink::Call(_, replies) => replies.get_or_insert_default().push(reply),
            Sink::Gone => {}
        }
    }

    /// The last one, or why it will not come.
    #[inline]
    pub(super) fn end(self, last: Option<Reply>, end: End, ends: &mut Ends) {
        match self {
            Sink::Seat(ticket, _) => ticket.end(last, end, &mut ends.wakes),
            Sink::Call(id, replies) => {
                ends.last = id;
                ends.calls.push(Ended { id, replies, last, end });
            }
            Sink::Gone => {}
        }
    }
}

/// Ends that are told together.
#[derive(Debug, Default)]
pub(super) struct Ends {
    wakes: Wakes,
    calls: Vec<Ended>,
    /// The submitted call that ended last, since somebody asked; 0: none.
    last: u64,
    /// How many of those were told since somebody asked.
    told: usize,
}

impl Ends {
    /// Has a waiting thread look at the time.
    pub(super) fn nudge(&mut self, sink: &Sink) {
        if let Sink::Seat(ticket, _) = sink {
            ticket.nudge(&mut self.wakes);
        }
    }

    /// Whether so many submitted calls were told of their ends since this was last true.
    pub(super) fn told(&mut self, many: usize) -> bool {
        let told = self.told >= many;
        if told {
            self.told = 0;
        }
        told
    }

    /// The submitted call that ended last. It is named once.
    pub(super) fn take_last(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.last)).filter(|id| *id != 0)
    }

    /// Tells them: those of submitted calls to `tell`.
    pub(super) fn flush(&mut self, tell: impl FnOnce(&mut Vec<Ended>)) {
        self.wakes.flush();
        if self.calls.is_empty() {
            return;
        }
        self.told += self.calls.len();
        tell(&mut self.calls);
        self.calls.clear();
    }
}

/// A request's bytes where they lie by themselves, shared with whoever may have to send them again.
pub(crate) type Apart = Arc<Bytes>;

/// A call on its way.
#[derive(Debug)]
pub(crate) struct Call {
    pub(super) sink: Sink,
    /// Size of its request.
    pub(super) bytes: usize,
    /// The request, where it lies by itself and was not taken by the driver.
    pub(super) apart: Option<Apart>,
    /// Replies it waits for.
    pub(super) missing: usize,
    /// They make one array, and that is begun with the first of them.
    pub(super) gathers: bool,
    /// How long they may be owed.
    pub(super) patience: Patience,
}

/// The replies that a request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answers {
    pub(super) count: usize,
    /// They are decoded in place into one array: nothing is copied.
    pub(super) in_one: bool,
    pub(super) patience: Patience,
    /// To what follows on a call that was sent on the same connection.
    pub(super) follows: bool,
}

impl Answers {
    /// So many, one by one.
    pub fn each(count: usize, patience: Patience) -> Answers {
        Answers {
            count,
            in_one: false,
            patience,
            follows: false,
        }
    }

    /// So many, in one array.
    pub fn in_one(count: usize, patience: Patience) -> Answers {
        Answers {
            count,
            in_one: true,
            patience,
            follows: false,
        }
    }

    /// To what may follow on a call that was sent on the same connection.
    pub(crate) fn following(self, follows: bool) -> Answers {
        Answers { follows, ..self }
    }
}
