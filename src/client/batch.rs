//! Many commands in one write.

use std::sync::Arc;

use super::CallOptions;
use super::call::{Failed, at_node, counted, repeat};
use super::commands::{self, Class};
use super::learnt::{Learnt, unknown_name};
use super::meaning::{Remedy, of_error};
use super::replication::asked_by;
use super::{has_name, unsupported};
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::pool::{Generation, Lent, Pool, Want, want_for};
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
    /// Names of commands that the table does not know, each once, in upper case.
    unknown: Vec<Vec<u8>>,
}

impl Batch {
    /// An empty batch.
    pub fn new(kind: BatchKind) -> Batch {
        Batch {
            kind,
            encoded: Vec::new(),
            len: 0,
            unknown: Vec::new(),
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
        if let Some(name) = unknown_name(args) {
            if !self.unknown.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                self.unknown.push(name.to_ascii_uppercase());
            }
        }
        encode(&mut self.encoded, args);
        self.len += 1;
        Ok(())
    }

    /// What a call may not ask for with a batch.
    pub(super) fn check(&self, call: &CallOptions) -> Result<()> {
        match call.is_confirmed() {
            false => Ok(()),
            true => Err(Error::invalid(
                asked_by(call),
                "a batch does not wait for replicas: use sentinel_command, or WAIT on an acquired connection",
            )),
        }
    }

    /// Its kind.
    pub(super) fn kind(&self) -> BatchKind {
        self.kind
    }

    /// Its commands as they go over the wire.
    pub(super) fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// Names of commands that the table does not know, each once, in upper case.
    pub(super) fn unknown(&self) -> &[Vec<u8>] {
        &self.unknown
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
        self.unknown.clear();
    }
}

/// Whether all of `len` encoded commands may be repeated without changing anything. Read from what goes over the wire,
/// for it is asked only when a request was lost on its way.
pub(crate) fn all_read_only(encoded: &[u8], len: usize, learnt: Option<&Learnt>) -> bool {
    let mut decoder = reader(encoded);
    (0..len).all(|_| match decoder.next() {
        Ok(Some(command)) => {
            let args = arguments(&command);
            let name = unknown_name(&args);
            let traits = name.and_then(|name| learnt?.traits(name));
            commands::is_read_only(&args) || traits.is_some_and(|traits| traits.read_only)
        }
        _ => false,
    })
}

/// Runs `body` on the arguments of the first encoded command.
pub(crate) fn with_first<T>(encoded: &[u8], body: impl FnOnce(&[&[u8]]) -> T) -> T {
    match reader(encoded).next() {
        Ok(Some(command)) => body(&arguments(&command)),
        _ => body(&[]),
    }
}

fn reader(encoded: &[u8]) -> Decoder {
    let mut decoder = Decoder::new(Limits {
        max_bytes: usize::MAX,
        ..Limits::default()
    });
    decoder.feed(encoded);
    decoder
}

fn arguments(command: &Reply) -> Vec<&[u8]> {
    command.elements().map(|arg| arg.data()).collect()
}

pub(crate) const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
pub(crate) const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

/// Runs the batch: an array with one element a command.
pub(super) fn run(
    pool: &Arc<Pool>,
    batch: &Batch,
    call: &CallOptions,
    learnt: &Learnt,
    deadline: Deadline,
) -> Result<Reply> {
    batch.check(call)?;
    if batch.is_empty() {
        return in_one(&[]).ok_or_else(incomplete);
    }
    let attempt = |lent: &mut Lent<'_>| match batch.kind {
        BatchKind::Pipeline => pipeline(lent, batch, deadline),
        BatchKind::Transaction => transaction(lent, batch, deadline),
    };
    let mut want = want_for(&Request::Encoded(&[batch.encoded()]));
    for name in &batch.unknown {
        let traits = learnt.ask(pool, name, call, deadline)?;
        // One that may wait in the server must hold up nobody else's commands.
        if traits.is_some_and(|traits| traits.blocking) {
            want = Want::Lease;
        }
    }
    let read_only = || all_read_only(&batch.encoded, batch.len, Some(learnt));
    let result = counted(pool, deadline, || {
        repeat(pool, call, want, deadline, read_only, attempt)
    });
    pool.calls.more_commands.add(batch.len.saturating_sub(1) as u64);
    result
}

/// What an exchange of a batch gave.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    /// Commands in the batch.
    pub(crate) len: usize,
    /// Whether it came to its end.
    pub(crate) done: Result<()>,
    /// Bytes that were not handed to the kernel.
    pub(crate) unsent: usize,
    /// The node.
    pub(crate) generation: Option<&'a Arc<Generation>>,
}

/// What came of a batch.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) reply: Reply,
    /// Some of it was refused for what the node is: the next call must not go there.
    pub(crate) condemn: bool,
}

fn pipeline(lent: &mut Lent<'_>, batch: &Batch, deadline: Deadline) -> Result<Reply, Failed> {
    let parts = [batch.encoded.as_slice()];
    let (replies, done) = lent.exchange_all(&Request::Encoded(&parts), batch.len, deadline);
    let exchange = Exchange {
        len: batch.len,
        done,
        unsent: lent.unsent(),
        generation: lent.generation(),
    };
    let ran = read_pipeline(replies, exchange)?;
    if ran.condemn {
        lent.condemn();
    }
    Ok(ran.reply)
}

fn transaction(lent: &mut Lent<'_>, batch: &Batch, deadline: Deadline) -> Result<Reply, Failed> {
    let mut replies = Vec::new();
    let parts = [MULTI, batch.encoded.as_slice(), EXEC];
    let done = lent.exchange(&Request::Encoded(&parts), batch.len + 2, deadline, |reply| {
        replies.push(reply);
    });
    let exchange = Exchange {
        len: batch.len,
        done,
        unsent: lent.unsent(),
        generation: lent.generation(),
    };
    read_transaction(replies, exchange)
}

/// Reads what came of a pipeline, all replies in one array. When it is cut after some were answered, these keep their
/// replies and each other one is an error element that says what became of it.
pub(crate) fn read_pipeline(replies: Option<Reply>, exchange: Exchange<'_>) -> Result<Ran, Failed> {
    let kept = |reply| Ran { reply, condemn: false };
    let answered = replies.as_ref().map_or(0, Reply::len);
    let replies = match (replies, exchange.done) {
        (Some(replies), Ok(())) => replies,
        (Some(replies), Err(error)) if answered > 0 => return Ok(kept(filled_up(&replies, exchange.len, &error)?)),
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
            error: at_node(error.clone(), exchange.generation),
            remedy: Remedy::AnotherNode,
        }),
        // Refused in the middle: the caller sees which.
        Some(_) => Ok(Ran {
            reply: replies,
            condemn: true,
        }),
        None => Ok(kept(replies)),
    }
}

/// Reads what came of MULTI, the commands and EXEC.
pub(crate) fn read_transaction(mut replies: Vec<Reply>, exchange: Exchange<'_>) -> Result<Reply, Failed> {
    let generation = exchange.generation;
    let begun = replies.first().is_some_and(|multi| multi.kind() == Kind::Status);
    if let Err(error) = exchange.done {
        // EXEC stands at the end: in a transaction that has begun nothing is executed before it was written whole.
        let unwritten = exchange.unsent > 0 && begun;
        let outcome = if unwritten { Outcome::NotSent } else { error.outcome() };
        return Err(error.with_outcome(outcome).into());
    }
    if !begun {
        return Err(not_begun(&replies, generation));
    }
    let exec = replies.pop().ok_or_else(|| Error::fault("EXEC without a reply"))?;
    match exec.kind() {
        Kind::Array => Ok(exec),
        Kind::Nil => {
            let kind = ErrorKind::TransactionAborted {
                text: "EXEC: a watched key was changed".into(),
            };
            Err(at_node(Error::new(kind).with_outcome(Outcome::Refused), generation).into())
        }
        Kind::Error => Err(aborted(&replies, &exec, generation)),
        _ => Err(Error::new(ErrorKind::Protocol {
            problem: "EXEC's reply is not an array".into(),
        })
        .with_outcome(Outcome::Unknown)
        .into()),
    }
}

/// Why a transaction did not begin. Where all of it was refused, nothing was executed; without MULTI alone (a user may
/// lack the right to it) the commands ran one by one.
fn not_begun(replies: &[Reply], generation: Option<&Arc<Generation>>) -> Failed {
    let refused =
        |reply: &Reply| reply.kind() == Kind::Error && of_error(&[], &reply.text()).0.outcome() == Outcome::Refused;
    let text = replies.first().map(Reply::text).unwrap_or_default();
    let (error, remedy) = match replies.iter().all(refused) {
        true => of_error(&[], &text),
        false => {
            let text = text.into_owned();
            let error = Error::new(ErrorKind::Server { text }).with_outcome(Outcome::Unknown);
            (error, Remedy::None)
        }
    };
    Failed {
        error: at_node(error, generation),
        remedy,
    }
}

/// Why EXEC failed. EXECABORT names no cause: the first command that was refused does.
fn aborted(replies: &[Reply], exec: &Reply, generation: Option<&Arc<Generation>>) -> Failed {
    let cause = replies.iter().find(|reply| reply.kind() == Kind::Error);
    let (error, remedy) = match cause {
        None => of_error(&[b"EXEC"], &exec.text()),
        Some(cause) => match of_error(&[b"EXEC"], &cause.text()) {
            (error, Remedy::AnotherNode) => (error, Remedy::AnotherNode),
            (_, Remedy::None) => {
                let kind = ErrorKind::TransactionAborted {
                    text: cause.text().into_owned(),
                };
                (Error::new(kind).with_outcome(Outcome::Refused), Remedy::None)
            }
        },
    };
    Failed {
        error: at_node(error, generation),
        remedy,
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

pub(crate) fn incomplete() -> Error {
    Error::fault("an incomplete array")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_read_only_when_each_command_is() {
        let mut batch = Batch::new(BatchKind::Pipeline);
        assert!(all_read_only(&batch.encoded, batch.len, None));
        batch.add(&[b"GET", b"k"]).unwrap();
        batch.add(&[b"LRANGE", b"list", b"0", &[b'x'; 100_000]]).unwrap();
        assert!(all_read_only(&batch.encoded, batch.len, None));
        batch.add(&[b"SET", b"k", b"v"]).unwrap();
        assert!(!all_read_only(&batch.encoded, batch.len, None));
    }
}
