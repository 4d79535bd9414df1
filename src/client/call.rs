//! One command until its deadline: a connection, the exchange, and what to do when it fails.

use std::sync::Arc;
use std::time::Duration;

use super::CallOptions;
use super::commands::{self, Traits};
use super::meaning::{Remedy, of_error};
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::observe::Timing;
use crate::pool::{Generation, Lent, Pool, Want};
use crate::resp::{Kind, Reply, Request};
use crate::topology::Role;

/// Runs `args` and returns the reply. `learnt`: what the server said of a command that the table does not know.
pub(super) fn run(
    pool: &Arc<Pool>,
    args: &[&[u8]],
    call: &CallOptions,
    learnt: Option<Traits>,
    want: Want,
    deadline: Deadline,
) -> Result<Reply> {
    let read_only = || commands::is_read_only(args) || learnt.is_some_and(|traits| traits.read_only);
    let attempt = |lent: &mut Lent<'_>| answer(lent, args, deadline);
    counted(pool, deadline, || {
        repeat(pool, call, want, deadline, read_only, attempt)
    })
}

/// One attempt at `args`; an error reply is a failure.
pub(super) fn answer(lent: &mut Lent<'_>, args: &[&[u8]], deadline: Deadline) -> Result<Reply, Failed> {
    let reply = exchange_one(lent, &Request::Command(args), deadline)?;
    if reply.kind() != Kind::Error {
        return Ok(reply);
    }
    Err(refusal(args, &reply, lent.generation()))
}

/// What an error reply to `args` comes to.
#[cold]
pub(crate) fn refusal(args: &[&[u8]], reply: &Reply, generation: Option<&Arc<Generation>>) -> Failed {
    let (error, remedy) = of_error(args, &reply.text());
    Failed {
        error: at_node(error, generation),
        remedy,
    }
}

/// Why an attempt failed, and whether another node would do better.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    pub(crate) remedy: Remedy,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed {
            error,
            remedy: Remedy::None,
        }
    }
}

/// What the attempts of one call have come to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tries {
    failed: u32,
    /// What one attempt left unknown stays unknown, however a later one fails.
    executed: Outcome,
}

/// What follows a failed attempt.
#[derive(Debug)]
pub(crate) enum Next {
    /// The call has failed.
    Fail(Error),
    /// It is tried again, after a pause where it failed more than once.
    Again(Option<Duration>),
}

impl Tries {
    /// None yet.
    pub(crate) fn new() -> Tries {
        Tries {
            failed: 0,
            executed: Outcome::NotSent,
        }
    }

    /// `error` with what is known of the call as a whole: for an attempt that never began.
    pub(crate) fn end(self, error: Error) -> Error {
        if self.executed == Outcome::Unknown {
            error.with_outcome(Outcome::Unknown)
        } else {
            error
        }
    }

    /// Decides after a failed attempt on `generation`. A node that said that it is not what it was taken for is given
    /// up on the way.
    #[cold]
    pub(crate) fn failed(
        &mut self,
        pool: &Pool,
        generation: Option<&Arc<Generation>>,
        failed: Failed,
        (call, deadline): (&CallOptions, Deadline),
        read_only: impl Fn() -> bool,
    ) -> Next {
        let Failed { error, remedy } = failed;
        if let Some(generation) = generation.filter(|_| remedy == Remedy::AnotherNode && moves_on(pool, &error)) {
            pool.condemn(generation);
        }
        if pool.is_closed() {
            let closed = Error::new(ErrorKind::Closed).with_outcome(error.outcome());
            return Next::Fail(self.end(closed));
        }
        let error = self.end(error);
        if call.no_retry || deadline.passed() || !may_repeat(pool, &error, remedy, call, &read_only) {
            return Next::Fail(error);
        }
        pool.observer.retried(&pool.calls, &error);
        self.executed = error.outcome();
        self.failed = self.failed.saturating_add(1);
        Next::Again((self.failed > 1).then(|| backoff(pool, self.failed)))
    }
}

/// Runs a whole call and counts how it ended.
pub(super) fn counted<'p, T>(
    pool: &Pool,
    deadline: Deadline,
    call: impl FnOnce() -> Result<(T, Lent<'p>)>,
) -> Result<T> {
    let result = call();
    let timing = match &result {
        Ok((_, lent)) => lent.timing().since(deadline.since()),
        Err(_) => Timing::default(),
    };
    pool.calls.call_ended(&result, timing);
    result.map(|(value, _)| value)
}

/// Tries until it succeeds, the deadline has passed, or a repetition would not be safe or not help.
pub(super) fn repeat<'p, T>(
    pool: &'p Arc<Pool>,
    call: &CallOptions,
    want: Want,
    deadline: Deadline,
    read_only: impl Fn() -> bool,
    attempt: impl FnMut(&mut Lent<'_>) -> Result<T, Failed>,
) -> Result<(T, Lent<'p>)> {
    repeat_on(pool, call, deadline, || pool.lend(want, deadline), read_only, attempt)
}

/// The same on connections that `lend` gives.
pub(super) fn repeat_on<'p, T>(
    pool: &Arc<Pool>,
    call: &CallOptions,
    deadline: Deadline,
    mut lend: impl FnMut() -> Result<Lent<'p>>,
    read_only: impl Fn() -> bool,
    mut attempt: impl FnMut(&mut Lent<'_>) -> Result<T, Failed>,
) -> Result<(T, Lent<'p>)> {
    let mut tries = Tries::new();
    loop {
        let mut lent = lend().map_err(|error| tries.end(error))?;
        let failed = match attempt(&mut lent) {
            Ok(value) => return Ok((value, lent)),
            // Nothing was sent, nothing failed: it goes on over another connection.
            Err(_) if lent.was_moved() && !pool.is_closed() => continue,
            Err(failed) => failed,
        };
        let next = tries.failed(pool, lent.generation(), failed, (call, deadline), &read_only);
        drop(lent);
        match next {
            Next::Fail(error) => return Err(error),
            Next::Again(None) => {}
            Next::Again(Some(pause)) => pool.pause(deadline.within(pause)),
        }
    }
}

/// Whether the node's answer is about the node. A write to a client of replicas is refused by all of them.
fn moves_on(pool: &Pool, error: &Error) -> bool {
    !(pool.role == Role::Replica && matches!(error.kind(), ErrorKind::Readonly { .. }))
}

fn may_repeat(pool: &Pool, error: &Error, remedy: Remedy, call: &CallOptions, read_only: &impl Fn() -> bool) -> bool {
    let transport = match error.kind() {
        ErrorKind::ConnectionLost { .. } => true,
        _ => remedy == Remedy::AnotherNode && moves_on(pool, error),
    };
    transport && (error.outcome() != Outcome::Unknown || call.retry_unknown || read_only())
}

fn backoff(pool: &Pool, attempts: u32) -> Duration {
    let ceiling = pool
        .settings
        .backoff_min
        .saturating_mul(1 << attempts.min(10))
        .min(pool.settings.backoff_max);
    ceiling.mul_f64(fastrand::f64())
}

/// One command out, one reply in.
pub(super) fn exchange_one(lent: &mut Lent<'_>, request: &Request<'_>, deadline: Deadline) -> Result<Reply> {
    let mut reply = None;
    lent.exchange(request, 1, deadline, |whole| reply = Some(whole))?;
    reply.ok_or_else(|| Error::fault("an exchange without a reply"))
}

pub(super) fn at_node(error: Error, generation: Option<&Arc<Generation>>) -> Error {
    match generation {
        Some(generation) => error.at(generation.endpoint.to_string()),
        None => error,
    }
}
