//! What came of an attempt: of a command, a pipeline, a transaction. Pure.

use super::life::{Commands, Ended, Handed, Shape};
use super::meaning::{Claim, Remedy, may_be_about_the_node, of_error, of_server, speaks_for_itself};
use crate::base::error::{Error, ErrorKind, Outcome, Result};
use crate::resp::{Builder, Kind, Reply, Request, Said, Value};

/// What came of it.
#[derive(Debug)]
pub(super) enum Read {
    /// A reply; and where some of it was refused for what the node is, by which error.
    Done(Reply, Option<Error>),
    /// A failure. `AnotherNode` or nothing.
    Failed(Error, Remedy),
    /// A failure, or replies, whose meaning only the server can tell.
    Doubtful(Doubt),
}

impl From<(Error, Remedy)> for Read {
    fn from((error, remedy): (Error, Remedy)) -> Read {
        Read::Failed(error, remedy)
    }
}

/// What hangs on the server's own word.
#[derive(Debug)]
pub(super) struct Doubt {
    pub(super) claim: Claim,
    /// Whose claim it is.
    pub(super) text: String,
    /// All of it was refused, if that is true.
    pub(super) whole: bool,
    /// What came of it, if that is not.
    pub(super) otherwise: Result<Reply>,
    /// What the server itself said of the node.
    pub(super) blame: Option<Error>,
}

/// Reads what came of an attempt at `commands`. `absent`: the server has said that it has no such command.
pub(super) fn read(shape: Shape, ended: Ended, commands: &dyn Commands, absent: bool) -> Read {
    match shape {
        Shape::Command | Shape::Confirmed => read_command(ended, commands, absent),
        Shape::Pipeline(len) => attributed(read_pipeline(len, ended, commands), commands),
        Shape::Transaction(len) => attributed(read_transaction(len, ended, commands), commands),
    }
}

/// The same, with each error among the replies known to be the server's own word where it is: only that one says that
/// nothing was executed. The rest may be what a script said after it had written.
fn attributed(mut read: Read, commands: &dyn Commands) -> Read {
    let (Read::Done(all, _) | Read::Doubtful(Doubt { otherwise: Ok(all), .. })) = &mut read else {
        return read;
    };
    if !all.elements().any(|reply| reply.kind() == Kind::Error) {
        return read;
    }
    let mut place = 0;
    commands.show(&mut |args| {
        let error = all.at(place).filter(|reply| reply.kind() == Kind::Error);
        let refused = error.is_some_and(|error| {
            error.said() == Said::BySomebody && of_error(args, &error.text()).0.outcome() == Outcome::Refused
        });
        if refused {
            all.keep_said(place, Said::ByServer);
        }
        place += 1;
        true
    });
    read
}

/// The failure of what was not answered whole.
fn cut(error: Error, ended: (&[Reply], Handed)) -> Read {
    let outcome = match ended {
        ([], Handed::Nothing) => Outcome::NotSent,
        _ => Outcome::Unknown,
    };
    Read::Failed(error.with_outcome(outcome), Remedy::None)
}

fn read_command(ended: Ended, commands: &dyn Commands, absent: bool) -> Read {
    if let Err(error) = ended.done {
        return cut(error, (&ended.replies, ended.handed));
    }
    let Some(reply) = ended.replies.into_iter().next() else {
        return Read::Failed(incomplete(), Remedy::None);
    };
    if reply.kind() != Kind::Error {
        return Read::Done(reply, None);
    }
    let text = reply.text();
    let mut meaning = of_error(&[], &text);
    commands.show(&mut |args| {
        meaning = match absent && text.starts_with("ERR unknown command") {
            true => of_server(args, &text),
            false => of_error(args, &text),
        };
        false
    });
    let (error, remedy) = meaning;
    let error = error.with_words(reply.data());
    match remedy {
        Remedy::Ask(claim) => Read::Doubtful(Doubt {
            claim,
            text: text.into_owned(),
            whole: true,
            otherwise: Err(error),
            blame: None,
        }),
        remedy => (error, remedy).into(),
    }
}

/// The meaning of an error that answers a question of the library's own.
pub(super) fn of_question(reply: &Reply) -> (Error, Remedy) {
    of_server(&[], &reply.text())
}

/// Reads what came of a pipeline. When it is cut after some were answered, these keep their replies and each other one is
/// an error element that says what became of it.
fn read_pipeline(len: usize, ended: Ended, commands: &dyn Commands) -> Read {
    let all = ended.replies.into_iter().next().filter(|all| !all.is_empty());
    let all = match (all, ended.done) {
        (Some(all), Ok(())) => all,
        (Some(all), Err(error)) => {
            let begun = begun(len, ended.unsent, commands);
            return match filled_up(&all, len, begun, &error) {
                Some(all) => Read::Done(all, None),
                None => Read::Failed(incomplete(), Remedy::None),
            };
        }
        (None, Err(error)) => return cut(error, (&[], ended.handed)),
        (None, Ok(())) => return Read::Failed(incomplete(), Remedy::None),
    };
    let is_about_it = |reply: Value<'_>| reply.kind() == Kind::Error && may_be_about_the_node(&reply.text());
    let any = all.elements().any(is_about_it);
    match any {
        true => look_for_refusals(len, all, commands),
        false => Read::Done(all, None),
    }
}

/// What a pipeline comes to some of whose errors may be about the node. The command decides that each one answers.
fn look_for_refusals(len: usize, all: Reply, commands: &dyn Commands) -> Read {
    let (mut told, mut refused) = (None, 0);
    let mut doubt: Option<(Claim, String)> = None;
    let mut replies = all.elements();
    commands.show(&mut |args| {
        let Some(reply) = replies.next() else { return false };
        if reply.kind() != Kind::Error {
            return true;
        }
        let text = reply.text();
        match of_error(args, &text) {
            (error, Remedy::AnotherNode) => told = Some(error),
            // The one that takes more to be confirmed stands for all.
            (_, Remedy::Ask(claim @ (Claim::Readonly | Claim::NotServing))) => {
                if claim == Claim::NotServing || doubt.is_none() {
                    doubt = Some((claim, text.into_owned()));
                }
            }
            _ => return true,
        }
        refused += 1;
        true
    });
    drop(replies);
    let whole = refused == len && all.len() == len;
    match (doubt, told) {
        (Some((claim, text)), blame) => Read::Doubtful(Doubt {
            claim,
            text,
            whole,
            otherwise: Ok(all),
            blame,
        }),
        // Refused as a whole: nothing was executed, another node may take all of it.
        (None, Some(error)) if whole => Read::Failed(error, Remedy::AnotherNode),
        // Refused in the middle: the caller sees which.
        (None, blame) => Read::Done(all, blame),
    }
}

/// Reads what came of MULTI, the commands and EXEC.
fn read_transaction(len: usize, ended: Ended, commands: &dyn Commands) -> Read {
    let mut replies = ended.replies;
    let begun = replies.first().is_some_and(|multi| multi.kind() == Kind::Status);
    if let Err(error) = ended.done {
        // EXEC stands at the end: in a transaction that has begun nothing is executed before it was written whole.
        return match begun && ended.handed != Handed::Whole && replies.len() < len + 2 {
            true => Read::Failed(error.with_outcome(Outcome::NotSent), Remedy::None),
            false => cut(error, (&replies, ended.handed)),
        };
    }
    if replies.len() != len + 2 {
        return Read::Failed(incomplete(), Remedy::None);
    }
    if !begun {
        return not_begun(&replies, commands).into();
    }
    let Some(exec) = replies.pop() else {
        return Read::Failed(incomplete(), Remedy::None);
    };
    match exec.kind() {
        Kind::Array => Read::Done(exec, None),
        Kind::Nil => {
            let kind = ErrorKind::TransactionAborted {
                text: "EXEC: a watched key was changed".into(),
            };
            Read::Failed(Error::new(kind).with_outcome(Outcome::Refused), Remedy::None)
        }
        Kind::Error => aborted(&replies, &exec).into(),
        _ => {
            let kind = ErrorKind::Protocol {
                problem: "EXEC's reply is not an array".into(),
            };
            Read::Failed(Error::new(kind).with_outcome(Outcome::Unknown), Remedy::None)
        }
    }
}

/// Why a transaction did not begin. Where all of it was refused, nothing was executed; without MULTI alone (a user may
/// lack the right to it) the commands ran one by one.
fn not_begun(replies: &[Reply], commands: &dyn Commands) -> (Error, Remedy) {
    let mut all_refused = replies.iter().all(|reply| reply.kind() == Kind::Error);
    commands.show(&mut |args| {
        all_refused &= !speaks_for_itself(args);
        all_refused
    });
    let text = replies.first().map(Reply::text).unwrap_or_default();
    if all_refused {
        return of_server(&[b"MULTI"], &text);
    }
    let text = text.into_owned();
    let error = Error::new(ErrorKind::Server { text }).with_outcome(Outcome::Unknown);
    (error, Remedy::None)
}

/// Why EXEC failed. EXECABORT names no cause: the first command that was refused does. Until EXEC nothing runs, so that
/// these are the server's own words, whatever the command.
fn aborted(replies: &[Reply], exec: &Reply) -> (Error, Remedy) {
    let Some(cause) = replies.iter().find(|reply| reply.kind() == Kind::Error) else {
        return of_server(&[b"EXEC"], &exec.text());
    };
    match of_server(&[], &cause.text()) {
        (error, Remedy::AnotherNode) => (error, Remedy::AnotherNode),
        _ => {
            let text = cause.text().into_owned();
            let error = Error::new(ErrorKind::TransactionAborted { text }).with_words(cause.data());
            (error.with_outcome(Outcome::Refused), Remedy::None)
        }
    }
}

/// Replies in one array.
pub(crate) fn in_one(replies: &[Reply]) -> Option<Reply> {
    let mut all = Builder::new();
    all.array(replies.len());
    for reply in replies {
        all.copy(reply.root());
    }
    all.finish()
}

/// How many of the commands lie before the last `unsent` bytes, or reach into them.
fn begun(len: usize, mut unsent: usize, commands: &dyn Commands) -> usize {
    if unsent == 0 {
        return len;
    }
    let mut sizes = Vec::with_capacity(len);
    commands.show(&mut |args| {
        sizes.push(Request::Command(args).size());
        true
    });
    let wholly_unsent = sizes.iter().rev().take_while(|size| {
        let is_one = **size <= unsent;
        unsent = unsent.saturating_sub(**size);
        is_one
    });
    len.saturating_sub(wholly_unsent.count())
}

/// The replies filled up to `len` with the outcome of those that have none: of the first `begun` something was sent.
fn filled_up(replies: &Reply, len: usize, begun: usize, cut: &Error) -> Option<Reply> {
    let (unknown, not_sent) = (format!("UNKNOWN {cut}"), format!("NOTSENT {cut}"));
    let mut all = Builder::new();
    all.array(len);
    for reply in replies.elements() {
        all.copy(reply);
    }
    for place in replies.len()..len {
        let said = if place < begun { &unknown } else { &not_sent };
        all.error(said.as_bytes());
    }
    let mut all = all.finish()?;
    for place in replies.len()..len {
        let said = if place < begun { Said::CutOff } else { Said::NotSent };
        all.keep_said(place, said);
    }
    Some(all)
}

pub(crate) fn incomplete() -> Error {
    Error::fault("an incomplete array")
}
