//! A connection in one caller's hands: WATCH, MULTI by hand, anything with state.

use std::sync::Arc;

use super::call::{at_node, exchange_one};
use super::commands::{self, Class};
use super::meaning::of_error;
use super::replication::asked_by;
use super::{CallOptions, Parts, blocking_deadline, has_name, unsupported};
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::net::sys::ForkBound;
use crate::pool::Lent;
use crate::resp::{Kind, Reply, Request};
use crate::runtime::read_timeout;

/// A connection of one's own. One thread at a time. Never shared, never silently replaced: when it is lost, it fails.
#[derive(Debug)]
pub struct Connection {
    inner: ForkBound<Inner>,
}

#[derive(Debug)]
struct Inner {
    lent: Lent<'static>,
    parts: Arc<Parts>,
    /// A command was run that leaves something behind on the connection.
    stateful: bool,
}

impl Connection {
    pub(super) fn new(lent: Lent<'_>, parts: Arc<Parts>) -> Connection {
        Connection {
            inner: ForkBound::new(Inner {
                lent: lent.kept(),
                parts,
                stateful: false,
            }),
        }
    }

    /// Runs one command on it; an error reply is an `Err`. Nothing is repeated.
    pub fn command(&mut self, args: &[&[u8]], call: &CallOptions) -> Result<Reply> {
        self.inner.parts.runtime.check_to_wait()?;
        has_name(args)?;
        let inner = &mut *self.inner;
        let default_ms = inner.parts.pool.settings.timeout_ms;
        let mut deadline = read_timeout(call.timeout_ms, default_ms)?;
        let mut stateful = inner.stateful;
        match commands::classify(args) {
            Class::Shared => {}
            Class::Stateful { .. } => stateful = true,
            Class::Blocking => deadline = blocking_deadline(args, call, deadline),
            Class::Never { instead } => return Err(unsupported(args, instead)),
        }
        if call.is_confirmed() {
            let problem = "use WAIT or WAITAOF on a connection of one's own";
            return Err(Error::invalid(asked_by(call), problem));
        }
        // A connection with state is not asked in between: in a transaction the PING would be one of its commands.
        let trusted = inner.stateful || inner.lent.is_trusted(deadline);
        if !trusted || inner.lent.direct().is_none_or(|direct| !direct.is_usable()) {
            if inner.parts.pool.is_closed() {
                return Err(Error::new(ErrorKind::Closed));
            }
            let lost = ErrorKind::ConnectionLost {
                cause: "this connection was lost: acquire another one".into(),
            };
            return Err(at_node(Error::new(lost), inner.lent.generation()));
        }
        inner.stateful = stateful;
        let result = run(&mut inner.lent, args, deadline);
        let timing = inner.lent.timing();
        inner.parts.pool.calls.call_ended(&result, timing);
        result
    }
}

fn run(lent: &mut Lent<'_>, args: &[&[u8]], deadline: Deadline) -> Result<Reply> {
    let reply = exchange_one(lent, &Request::Command(args), deadline)?;
    if reply.kind() == Kind::Error {
        return Err(at_node(of_error(args, &reply.text()).0, lent.generation()));
    }
    if reply.is_nil() && args.first().is_some_and(|name| name.eq_ignore_ascii_case(b"EXEC")) {
        let text = "EXEC: a watched key was changed".to_owned();
        let kind = ErrorKind::TransactionAborted { text };
        return Err(at_node(Error::new(kind), lent.generation()).with_outcome(Outcome::Refused));
    }
    Ok(reply)
}

impl Drop for Inner {
    fn drop(&mut self) {
        // State must not reach the next user: a connection that carried any is closed instead of reused.
        if self.stateful {
            if let Some(direct) = self.lent.direct() {
                direct.dismiss();
            }
        }
    }
}
