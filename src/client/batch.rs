//! Many commands in one write.

use std::sync::Arc;

use super::CallOptions;
use super::call::{Failed, at_node, repeat};
use super::commands::{self, Class};
use super::meaning::{Remedy, of_error};
use super::{has_name, unsupported};
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::pool::{Lent, Pool, want_for};
use crate::resp::{Builder, Decoder, Kind, Limits, Reply, Request, encode};

/// Whether the commands of a batch run one by one or as one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchKind {
    /// One after the other.
    Pipeline,
    /// MULTI ... EXEC.
    Transaction,
}

/// Commands to be sent in one write. One thread at a time.
#[derive(Debug)]
pub struct Batch {
    kind: BatchKind,
    /// The commands as they go over the wire.
    encoded: Vec<u8>,
    len: usize,
}

impl Batch {
    /// An empty batch.
    pub fn new(kind: BatchKind) -> Batch {
        Batch {
            kind,
            encoded: Vec::new(),
            len: 0,
        }
    }

    /// Adds a command, copied. Commands that wait in the server or change the connection have no place in a batch.
    pub fn add(&mut self, args: &[&[u8]]) -> Result<()> {
        has_name(args)?;
        match commands::classify(args) {
            Class::Shared => {}
            Class::Blocking => return Err(unsupported(args, "run it by itself: it would hold up the whole batch")),
            Class::Stateful { instead } | Class::Never { instead } => return Err(unsupported(args, instead)),
        }
        encode(&mut self.encoded, args);
        self.len += 1;
        Ok(())
    }

    /// Whether all of it may be repeated without changing anything. Read from what goes over the wire, for it is asked
    /// only when a batch was lost on its way.
    fn is_read_only(&self) -> bool {
        let mut decoder = Decoder::new(Limits {
            max_bytes: usize::MAX,
            ..Limits::default()
        });
        decoder.feed(&self.encoded);
        (0..self.len).all(|_| {
            let Ok(Some(command)) = decoder.next() else {
                return false;
            };
            let args: Vec<&[u8]> = command.elements().map(|arg| arg.data()).collect();
            commands::is_read_only(&args)
        })
    }

    /// Commands added.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Removes all commands.
    pub fn clear(&mut self) {
        self.encoded.clear();
        self.len = 0;
    }
}

const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

/// Runs the batch: an array with one element a command.
pub(super) fn run(pool: &Arc<Pool>, batch: &Batch, call: &CallOptions, deadline: Deadline) -> Result<Reply> {
    if call.replicas > 0 {
        return Err(Error::invalid(
            "call.replicas",
            "a batch does not wait for replicas: use sentinel_command, or WAIT on an acquired connection",
        ));
    }
    if batch.is_empty() {
        let mut none = Builder::new();
        none.array(0);
        return none.finish().ok_or_else(incomplete);
    }
    let attempt = |lent: &mut Lent| match batch.kind {
        BatchKind::Pipeline => pipeline(lent, batch, deadline),
        BatchKind::Transaction => transaction(lent, batch, deadline),
    };
    let want = want_for(batch.encoded.len());
    repeat(pool, call, want, deadline, || batch.is_read_only(), attempt).map(|(reply, _)| reply)
}

/// When it is cut after some were answered, these keep their replies and each other one is an error element that says
/// what became of it.
fn pipeline(lent: &mut Lent, batch: &Batch, deadline: Deadline) -> Result<Reply, Failed> {
    let parts = [batch.encoded.as_slice()];
    let (replies, done) = lent.exchange_all(&Request::Encoded(&parts), batch.len, deadline);
    let answered = replies.as_ref().map_or(0, Reply::len);
    let replies = match (replies, done) {
        (Some(replies), Ok(())) => replies,
        (Some(replies), Err(error)) if answered > 0 => return Ok(filled_up(&replies, batch.len, &error)?),
        (_, Err(error)) => return Err(error.into()),
        (None, Ok(())) => return Err(incomplete().into()),
    };
    let errors = replies.elements().filter(|reply| reply.kind() == Kind::Error);
    let refusals = errors
        .map(|reply| of_error(&[], &reply.text()))
        .filter(|(_, remedy)| *remedy == Remedy::AnotherNode);
    let refusals: Vec<Error> = refusals.map(|(error, _)| error).collect();
    match refusals.last() {
        // Refused as a whole: nothing was executed, another node may take all of it.
        Some(error) if refusals.len() == replies.len() => Err(Failed {
            error: at_node(error.clone(), lent),
            remedy: Remedy::AnotherNode,
        }),
        // Refused in the middle: the caller sees which, the next call must not go there.
        Some(_) => {
            lent.condemn();
            Ok(replies)
        }
        None => Ok(replies),
    }
}

fn transaction(lent: &mut Lent, batch: &Batch, deadline: Deadline) -> Result<Reply, Failed> {
    let mut replies = Vec::new();
    let parts = [MULTI, batch.encoded.as_slice(), EXEC];
    let request = Request::Encoded(&parts);
    let begun = |replies: &[Reply]| replies.first().is_some_and(|multi| multi.kind() == Kind::Status);
    let done = lent.exchange(&request, batch.len + 2, deadline, |reply| replies.push(reply));
    if let Err(error) = done {
        // EXEC stands at the end: in a transaction that has begun nothing is executed before it was written whole.
        let unwritten = lent.unsent() > 0 && begun(&replies);
        let outcome = if unwritten { Outcome::NotSent } else { error.outcome() };
        return Err(error.with_outcome(outcome).into());
    }
    if !begun(&replies) {
        // Without MULTI (a user may lack the right to it) the commands ran one by one.
        let text = replies
            .first()
            .map(|multi| multi.text().into_owned())
            .unwrap_or_default();
        let error = Error::new(ErrorKind::Server { text }).with_outcome(Outcome::Unknown);
        return Err(at_node(error, lent).into());
    }
    let failed = |(error, remedy): (Error, Remedy), lent: &Lent| Failed {
        error: at_node(error, lent),
        remedy,
    };
    let exec = replies.pop().ok_or_else(|| {
        Error::new(ErrorKind::Internal {
            problem: "EXEC without a reply".into(),
        })
    })?;
    match exec.kind() {
        Kind::Array => Ok(exec),
        Kind::Nil => {
            let kind = ErrorKind::TransactionAborted {
                text: "EXEC: a watched key was changed".into(),
            };
            Err(at_node(Error::new(kind).with_outcome(Outcome::Refused), lent).into())
        }
        Kind::Error => {
            // EXECABORT names no cause: the first command that was refused does.
            let cause = replies
                .iter()
                .find(|reply| reply.kind() == Kind::Error)
                .map_or(&exec, |first| first);
            let (error, remedy) = of_error(&[b"EXEC"], &cause.text());
            let aborted = of_error(&[b"EXEC"], &exec.text());
            Err(match remedy {
                Remedy::AnotherNode => failed((error, remedy), lent),
                Remedy::None if std::ptr::eq(cause, &exec) => failed(aborted, lent),
                Remedy::None => {
                    let kind = ErrorKind::TransactionAborted {
                        text: cause.text().into_owned(),
                    };
                    failed((Error::new(kind).with_outcome(Outcome::Refused), Remedy::None), lent)
                }
            })
        }
        _ => Err(Error::new(ErrorKind::Protocol {
            problem: "EXEC's reply is not an array".into(),
        })
        .with_outcome(Outcome::Unknown)
        .into()),
    }
}

/// The replies filled up to `len` with the outcome of those that have none.
fn filled_up(replies: &Reply, len: usize, cut: &Error) -> Result<Reply> {
    let mut all = Builder::new();
    all.array(len);
    for reply in replies.elements() {
        all.copy(reply);
    }
    for _ in replies.len()..len {
        let code = match cut.outcome() {
            Outcome::NotSent => "NOTSENT",
            _ => "UNKNOWN",
        };
        all.error(format!("{code} {cut}").as_bytes());
    }
    all.finish().ok_or_else(incomplete)
}

fn incomplete() -> Error {
    Error::new(ErrorKind::Internal {
        problem: "an incomplete array".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_read_only_when_each_command_is() {
        let mut batch = Batch::new(BatchKind::Pipeline);
        assert!(batch.is_read_only());
        batch.add(&[b"GET", b"k"]).unwrap();
        batch.add(&[b"LRANGE", b"list", b"0", &[b'x'; 100_000]]).unwrap();
        assert!(batch.is_read_only());
        batch.add(&[b"SET", b"k", b"v"]).unwrap();
        assert!(!batch.is_read_only());
    }
}
