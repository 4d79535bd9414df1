//! Writes that are confirmed: the write, then WAIT or WAITAOF on the same connection, for only there does it count that
//! write.

use std::time::Duration;

use super::life::Shape;
use super::meaning::{Remedy, of_server};
use super::terms::CallOptions;
use crate::base::deadline::Deadline;
use crate::base::error::{Error, ErrorKind, Result};
use crate::pool::Pool;
use crate::resp::{Kind, Reply, control};
use crate::topology::Role;

/// What the replies to one command are. Only a primary has writes to be confirmed.
pub(crate) fn shape(pool: &Pool, call: &CallOptions) -> Result<Shape> {
    match pool.role {
        _ if !call.is_confirmed() => Ok(Shape::Command),
        Role::Primary => Ok(Shape::Confirmed),
        _ => Err(Error::invalid(
            asked_by(call),
            "writes are confirmed, and this is a client of replicas",
        )),
    }
}

/// Which field asks for a confirmation.
pub(crate) fn asked_by(call: &CallOptions) -> &'static str {
    match call.wait_aof {
        true => "call.flags",
        false => "call.replicas",
    }
}

/// A server that has no WAITAOF, or writes no append-only file, says so before the write is sent, not after it.
pub(super) const PROBE: [&[u8]; 4] = [b"WAITAOF", b"1", b"0", b"1"];

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
pub(super) fn wait_command(call: &CallOptions, deadline: Deadline) -> Vec<u8> {
    let (replicas, limit) = (call.replicas.to_string(), wait_limit(deadline).to_string());
    match call.wait_aof {
        true => control(&["WAITAOF", "1", &replicas, &limit]),
        false => control(&["WAIT", &replicas, &limit]),
    }
}

/// Reads what WAIT or WAITAOF said: an error unless the write, which was done, is where `call` asks for. A node that is a
/// replica by now has nothing confirmed.
pub(super) fn read_confirmation(mut wait: Option<Reply>, call: &CallOptions) -> Result<()> {
    if let Some(refused) = wait.take_if(|reply| reply.kind() == Kind::Error) {
        match of_server(&[b"WAIT"], &refused.text()) {
            (_, Remedy::AnotherNode) => {}
            (error, _) => return Err(error),
        }
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
    kind.map_or(Ok(()), |kind| Err(Error::new(kind)))
}
