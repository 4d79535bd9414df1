//! What happens to a call, and what is done for it: the words between a [`Life`](super::life::Life) and who drives it.

use super::commands::Traits;
use crate::base::error::{Error, ErrorKind, Outcome, Result};
use crate::net::Endpoint;
use crate::pool::Want;
use crate::resp::Reply;
use crate::topology::Role;

/// What the server said of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// What it does.
    Command(Traits),
    /// There is none of that name.
    Absent,
    /// Nothing: it may not be asked, or cannot be.
    Silent,
}

/// What the replies to a call are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One.
    Command,
    /// One, and then that of WAIT or WAITAOF on the same connection.
    Confirmed,
    /// One for each of so many commands.
    Pipeline(usize),
    /// MULTI's, one for each of so many commands, EXEC's.
    Transaction(usize),
}

/// What is sent over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    /// COMMAND INFO of a command that the library does not know.
    Info,
    /// SCRIPT EXISTS, before a script goes out by its name.
    Has,
    /// The question whether the node can have a write on disk.
    Probe,
    /// The call itself, a transaction between its MULTI and EXEC, a script by its name.
    Itself,
    /// A script by its source.
    Source,
    /// WAIT or WAITAOF.
    Confirmation,
    /// ROLE.
    Role,
    /// SCRIPT EXISTS, after the node has said that it has none.
    Exists,
}

impl Message {
    /// Whether it belongs to what was sent on the same connection, and is of no use on another.
    pub(crate) fn follows(self) -> bool {
        matches!(self, Message::Confirmation | Message::Role | Message::Exists)
    }
}

/// How much of a message was handed to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handed {
    Nothing,
    /// Its end was not.
    Begun,
    Whole,
}

/// What came of a message.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The replies that came; those of a pipeline in one array.
    pub(crate) replies: Vec<Reply>,
    /// Whether all came.
    pub(crate) done: Result<()>,
    /// Where not all came.
    pub(crate) handed: Handed,
    /// Bytes at its end that were not handed over.
    pub(crate) unsent: usize,
}

impl Ended {
    /// `unsent`: bytes of it that were not handed over.
    pub(crate) fn new(replies: Vec<Reply>, done: Result<()>, unsent: usize) -> Ended {
        let handed = match &done {
            Err(error) if error.outcome() == Outcome::NotSent => Handed::Nothing,
            Err(_) if unsent > 0 => Handed::Begun,
            _ => Handed::Whole,
        };
        Ended {
            replies,
            done,
            handed,
            unsent,
        }
    }

    /// Nothing: it was not to be sent, for this reason.
    pub(crate) fn unsent(error: Error) -> Ended {
        Ended {
            replies: Vec::new(),
            done: Err(error),
            handed: Handed::Nothing,
            unsent: 0,
        }
    }
}

/// The commands of a call, as whoever drives it has them.
pub(crate) trait Commands {
    /// Shows the arguments of one after the other, until `look` has seen enough.
    fn show(&self, look: &mut dyn FnMut(&[&[u8]]) -> bool);
    /// Whether all of them may be repeated without changing anything.
    fn only_read(&self) -> bool;
}

/// What else counts when a message has ended.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) commands: &'a dyn Commands,
    /// The node that it went to.
    pub(crate) node: Option<&'a Endpoint>,
    /// What the client wants of its nodes.
    pub(crate) wanted: Role,
    /// The client was closed.
    pub(crate) closed: bool,
    /// The deadline has passed.
    pub(crate) late: bool,
}

impl Scene<'_> {
    pub(crate) fn at(&self, error: Error) -> Error {
        match self.node.filter(|_| error.endpoint().is_none()) {
            Some(node) => error.at(node.to_string()),
            None => error,
        }
    }

    /// Whether the node's answer is about the node. A write to a client of replicas is refused by all of them.
    pub(crate) fn moves_on(&self, error: &Error) -> bool {
        !(self.wanted == Role::Replica && matches!(error.kind(), ErrorKind::Readonly { .. }))
    }

    /// Why nothing more is sent.
    pub(crate) fn over(&self) -> Option<ErrorKind> {
        let during = || "waiting for the reply".to_owned();
        match (self.closed, self.late) {
            (true, _) => Some(ErrorKind::Closed),
            (_, true) => Some(ErrorKind::Timeout { during: during() }),
            _ => None,
        }
    }
}

/// What happened to a call.
pub(crate) enum Event<'a> {
    /// What was sent has come to its end.
    Ended(Ended, Scene<'a>),
    /// What was to be sent was taken back before any of it was: the connection was left, or lost, for this reason.
    TakenBack(Option<Error>),
    /// What the server said of the command that was asked for.
    Told(Word),
    /// The pause before a repetition is over.
    Rested,
    /// Nobody waits for it any more, for this reason; so much of what it was sending had been handed over.
    GivenUp(Error, Handed),
}

/// What is to be done for a call.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing: what happened is nothing to it.
    Stay,
    /// A connection of this kind is to be had.
    Connect(Want),
    /// This is to be sent on the connection that it has.
    Send(Message),
    /// What the command `Life::question` does is to be read from this answer, and told.
    Learn(Result<Reply>),
    /// It failed so, for so many times, and is tried again, after a pause from the second time on.
    Again(Error, u32),
    /// It has ended.
    End(Result<Reply>),
}

/// The same with what it tells of the node.
#[derive(Debug)]
pub(crate) struct Next {
    /// The node said that it is not what it was taken for.
    pub(crate) condemn: bool,
    pub(crate) step: Step,
}

impl From<Step> for Next {
    fn from(step: Step) -> Next {
        Next { condemn: false, step }
    }
}
