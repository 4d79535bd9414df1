//! One command until its deadline: a connection, the exchange, and what to do when it fails.

use std::sync::Arc;
use std::time::Duration;

use super::CallOptions;
use super::commands;
use super::meaning::{Remedy, of_error};
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::pool::{Lent, Pool, Want};
use crate::resp::{Kind, Reply, Request};
use crate::topology::Role;

/// Runs `args` and returns the reply.
pub(super) fn run(
    pool: &Arc<Pool>,
    args: &[&[u8]],
    call: &CallOptions,
    want: Want,
    deadline: Deadline,
) -> Result<Reply> {
    run_on(pool, args, call, want, deadline).map(|(reply, _)| reply)
}

/// Runs `args` and returns the reply with the connection that gave it.
pub(super) fn run_on(
    pool: &Arc<Pool>,
    args: &[&[u8]],
    call: &CallOptions,
    want: Want,
    deadline: Deadline,
) -> Result<(Reply, Lent)> {
    let request = Request::Command(args);
    repeat(
        pool,
        call,
        want,
        deadline,
        || commands::is_read_only(args),
        |lent| {
            let reply = exchange_one(lent, &request, deadline)?;
            if reply.kind() != Kind::Error {
                return Ok(reply);
            }
            let text = reply.text();
            let (error, remedy) = of_error(args, &text);
            Err(Failed {
                error: at_node(error, lent),
                remedy,
            })
        },
    )
}

/// Why an attempt failed, and whether another node would do better.
pub(super) struct Failed {
    pub(super) error: Error,
    pub(super) remedy: Remedy,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed {
            error,
            remedy: Remedy::None,
        }
    }
}

/// Tries until it succeeds, the deadline has passed, or a repetition would not be safe or not help.
pub(super) fn repeat<T>(
    pool: &Arc<Pool>,
    call: &CallOptions,
    want: Want,
    deadline: Deadline,
    read_only: impl Fn() -> bool,
    mut attempt: impl FnMut(&mut Lent) -> Result<T, Failed>,
) -> Result<(T, Lent)> {
    let mut attempts = 0u32;
    let mut executed = Outcome::NotSent;
    loop {
        let mut lent = pool
            .lend(want, deadline)
            .map_err(|error| keep_unknown(error, executed))?;
        let failed = match attempt(&mut lent) {
            Ok(value) => return Ok((value, lent)),
            Err(failed) => failed,
        };
        let Failed { error, remedy } = failed;
        if remedy == Remedy::AnotherNode && moves_on(pool, &error) {
            lent.condemn();
        }
        drop(lent);
        if pool.is_closed() {
            return Err(keep_unknown(
                Error::new(ErrorKind::Closed).with_outcome(error.outcome()),
                executed,
            ));
        }
        let error = keep_unknown(error, executed);
        if call.no_retry || deadline.passed() || !may_repeat(pool, &error, remedy, call, &read_only) {
            return Err(error);
        }
        executed = error.outcome();
        attempts = attempts.saturating_add(1);
        if attempts > 1 {
            pool.pause(deadline.within(backoff(pool, attempts)));
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

/// What one attempt left unknown stays unknown, however a later one fails.
fn keep_unknown(error: Error, before: Outcome) -> Error {
    if before == Outcome::Unknown {
        error.with_outcome(Outcome::Unknown)
    } else {
        error
    }
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
pub(super) fn exchange_one(lent: &mut Lent, request: &Request<'_>, deadline: Deadline) -> Result<Reply> {
    let mut reply = None;
    lent.exchange(request, 1, deadline, |whole| reply = Some(whole))?;
    reply.ok_or_else(|| {
        Error::new(ErrorKind::Internal {
            problem: "an exchange without a reply".into(),
        })
    })
}

pub(super) fn at_node(error: Error, lent: &Lent) -> Error {
    match lent.generation() {
        Some(generation) => error.at(generation.endpoint.to_string()),
        None => error,
    }
}

/// How much later than asked for a server may end a WAIT.
const WAIT_MARGIN: Duration = Duration::from_millis(130);

/// WAIT until `replicas` have what this connection wrote, or shortly before the deadline; how many have it.
pub(super) fn wait_for_replicas(lent: &mut Lent, replicas: u32, deadline: Deadline) -> Result<u32> {
    // The answer must still arrive in time, and a server without other work ends a WAIT up to 100 ms late (hz 10): it is
    // given less than what is left. 0 would be no limit.
    let margin = |left: Duration| (left / 2).min(WAIT_MARGIN);
    let limit = deadline
        .left()
        .map_or(0, |left| left.saturating_sub(margin(left)).as_millis().max(1));
    let (replicas, limit) = (replicas.to_string(), limit.to_string());
    let args: [&[u8]; 3] = [b"WAIT", replicas.as_bytes(), limit.as_bytes()];
    // The write itself was done: whatever happens now, it may be on this node alone.
    let written = |error: Error| error.with_outcome(Outcome::Unknown);
    let reply = exchange_one(lent, &Request::Command(&args), deadline).map_err(written)?;
    if reply.kind() == Kind::Error {
        return Err(written(at_node(of_error(&args, &reply.text()).0, lent)));
    }
    Ok(u32::try_from(reply.integer()).unwrap_or(0))
}
