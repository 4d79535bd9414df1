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
use crate::resp::{Builder, Kind, Reply, Request, encode};

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
    read_only: bool,
}

impl Batch {
    /// An empty batch.
    pub fn new(kind: BatchKind) -> Batch {
        Batch {
            kind,
            encoded: Vec::new(),
            len: 0,
            read_only: true,
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
        self.read_only &= commands::is_read_only(args);
        Ok(())
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
        self.read_only = true;
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
        return array(&[], 0, None);
    }
    let attempt = |lent: &mut Lent| match batch.kind {
        BatchKind::Pipeline => pipeline(lent, batch, deadline),
        BatchKind::Transaction => transaction(lent, batch, deadline),
    };
    let want = want_for(batch.encoded.len());
    repeat(pool, call, want, deadline, || batch.read_only, attempt).map(|(reply, _)| reply)
}

/// When it is cut after some were answered, these keep their replies and each other one is an error element that says
/// what became of it.
fn pipeline(lent: &mut Lent, batch: &Batch, deadline: Deadline) -> Result<Reply, Failed> {
    let mut replies = Vec::new();
    let parts = [batch.encoded.as_slice()];
    let done = lent.exchange(&Request::Encoded(&parts), batch.len, deadline, |reply| {
        replies.push(reply);
    });
    match done {
        Ok(()) => {}
        Err(error) if replies.is_empty() => return Err(error.into()),
        Err(error) => return Ok(array(&replies, batch.len, Some(&error))?),
    }
    let errors = replies.iter().filter(|reply| reply.kind() == Kind::Error);
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
            Ok(array(&replies, batch.len, None)?)
        }
        None => Ok(array(&replies, batch.len, None)?),
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

/// One array of the replies, filled up to `len` with the outcome of those that have none.
fn array(replies: &[Reply], len: usize, cut: Option<&Error>) -> Result<Reply> {
    let mut all = Builder::new();
    all.array(len);
    for reply in replies {
        all.copy(reply.root());
    }
    for _ in replies.len()..len {
        let cause = cut.map(ToString::to_string).unwrap_or_default();
        let code = if cut.is_some_and(|error| error.outcome() == Outcome::NotSent) {
            "NOTSENT"
        } else {
            "UNKNOWN"
        };
        all.error(format!("{code} {cause}").as_bytes());
    }
    all.finish().ok_or_else(|| {
        Error::new(ErrorKind::Internal {
            problem: "an incomplete array".into(),
        })
    })
}
