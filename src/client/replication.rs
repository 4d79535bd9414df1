//! Writes that are confirmed: the write, then WAIT or WAITAOF on the same connection, for only there does it count that
//! write.

use std::sync::Arc;
use std::time::Duration;

use super::CallOptions;
use super::call::{self, Failed, at_node, counted, exchange_one, repeat};
use super::commands::{self, Traits};
use super::meaning::of_error;
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::pool::{Generation, Lent, Pool, Want};
use crate::resp::{Kind, Reply, Request, control};
use crate::topology::Role;

/// Runs `args`, and fails when they are not confirmed as `call` asks.
pub(super) fn run(
    pool: &Arc<Pool>,
    args: &[&[u8]],
    call: &CallOptions,
    learnt: Option<Traits>,
    deadline: Deadline,
) -> Result<Reply> {
    check_role(pool, call)?;
    counted(pool, deadline, || confirmed(pool, args, call, learnt, deadline))
}

fn confirmed<'p>(
    pool: &'p Arc<Pool>,
    args: &[&[u8]],
    call: &CallOptions,
    learnt: Option<Traits>,
    deadline: Deadline,
) -> Result<(Reply, Lent<'p>)> {
    let read_only = || commands::is_read_only(args) || learnt.is_some_and(|traits| traits.read_only);
    let attempt = |lent: &mut Lent<'_>| {
        if call.wait_aof {
            check_waitaof(lent, deadline)?;
        }
        call::answer(lent, args, deadline)
    };
    let (reply, mut lent) = repeat(pool, call, Want::Lease, deadline, read_only, attempt)?;
    let wait = wait_command(call, deadline);
    // The write itself was done: whatever happens now, it may be on this node, or in its memory, alone.
    let written = |error: Error| error.with_outcome(Outcome::Unknown);
    let confirmed = exchange_one(&mut lent, &Request::Encoded(&[&wait]), deadline).map_err(written)?;
    let generation = lent.generation();
    let nowhere = || written(Error::new(ErrorKind::Closed));
    read_confirmation(Some(confirmed), call, generation.ok_or_else(nowhere)?)?;
    Ok((reply, lent))
}

/// Only a primary has writes to be confirmed.
pub(super) fn check_role(pool: &Pool, call: &CallOptions) -> Result<()> {
    match pool.role {
        Role::Primary => Ok(()),
        _ => Err(Error::invalid(
            asked_by(call),
            "writes are confirmed, and this is a client of replicas",
        )),
    }
}

/// Which field asks for a confirmation.
pub(super) fn asked_by(call: &CallOptions) -> &'static str {
    match call.wait_aof {
        true => "call.flags",
        false => "call.replicas",
    }
}

/// A server that has no WAITAOF, or writes no append-only file, says so before the write is sent, not after it.
pub(crate) const PROBE: [&[u8]; 4] = [b"WAITAOF", b"1", b"0", b"1"];

fn check_waitaof(lent: &mut Lent<'_>, deadline: Deadline) -> Result<(), Failed> {
    match call::answer(lent, &PROBE, deadline) {
        Ok(_) => Ok(()),
        Err(Failed { error, remedy }) => Err(Failed {
            error: error.with_outcome(Outcome::NotSent),
            remedy,
        }),
    }
}

/// How much later than asked for a server may end a WAIT.
const WAIT_MARGIN: Duration = Duration::from_millis(130);

/// The milliseconds for WAIT: the answer must still arrive in time, and a server without other work ends a WAIT up to
/// 100 ms late (hz 10), so it is given less than what is left. 0 is no limit.
fn wait_limit(deadline: Deadline) -> u128 {
    let margin = |left: Duration| (left / 2).min(WAIT_MARGIN);
    deadline
        .left()
        .map_or(0, |left| left.saturating_sub(margin(left)).as_millis().max(1))
}

/// WAIT or WAITAOF as it goes over the wire.
pub(crate) fn wait_command(call: &CallOptions, deadline: Deadline) -> Vec<u8> {
    let (replicas, limit) = (call.replicas.to_string(), wait_limit(deadline).to_string());
    match call.wait_aof {
        true => control(&["WAITAOF", "1", &replicas, &limit]),
        false => control(&["WAIT", &replicas, &limit]),
    }
}

/// Reads what WAIT or WAITAOF said: an error unless the write, which was done, is where `call` asks for.
pub(crate) fn read_confirmation(wait: Option<Reply>, call: &CallOptions, generation: &Arc<Generation>) -> Result<()> {
    let written = |error: Error| error.with_outcome(Outcome::Unknown);
    if let Some(refused) = wait.as_ref().filter(|reply| reply.kind() == Kind::Error) {
        let error = of_error(&[b"WAIT"], &refused.text()).0;
        return Err(written(at_node(error, Some(generation))));
    }
    let (wanted, count) = (call.replicas, |number: i64| u32::try_from(number).unwrap_or(0));
    let kind = if call.wait_aof {
        let both = |place| wait.as_ref()?.at(place).map(|number| count(number.integer()));
        let (primary, have) = (both(0).is_some_and(|disks| disks >= 1), both(1).unwrap_or(0));
        (!primary || have < wanted).then_some(ErrorKind::NotOnDisk { primary, wanted, have })
    } else {
        let have = wait.as_ref().map_or(0, |number| count(number.integer()));
        (have < wanted).then_some(ErrorKind::NotReplicated { wanted, have })
    };
    kind.map_or(Ok(()), |kind| Err(written(Error::new(kind))))
}
