//! A connection in one caller's hands: WATCH, MULTI by hand, anything with state.

use std::sync::Arc;

use super::parts::Parts;
use crate::base::deadline::Deadline;
use crate::base::error::{Error, ErrorKind, Outcome, Result};
use crate::base::flag::Flag;
use crate::base::process::ForkBound;
use crate::base::sync::Mutex;
use crate::call::Learnt;
use crate::call::commands::{self, Class};
use crate::call::meaning::{Claim, Remedy, confirmed, confirms, of_error, of_server};
use crate::call::replication::asked_by;
use crate::call::terms::{CallOptions, blocking_deadline, has_name, unsupported};
use crate::call::waiting::{ROLE, at_node, exchange_one, exists};
use crate::observe::Timing;
use crate::pool::{Breaker, Lent, Patience};
use crate::resp::{Kind, Reply, Request};

/// A connection of one's own. One thread at a time. Never shared, never silently replaced: when it is lost, it fails.
#[derive(Debug)]
pub struct Connection {
    shared: ForkBound<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Locked for the time of a call.
    inner: Mutex<Inner>,
    parts: Arc<Parts>,
    ending: Arc<Ending>,
}

/// How another thread ends it.
#[derive(Debug)]
struct Ending {
    cancelled: Flag,
    breaker: Option<Breaker>,
}

impl Ending {
    fn is_cancelled(&self) -> bool {
        self.cancelled.is_up()
    }
}

#[derive(Debug)]
struct Inner {
    lent: Lent<'static>,
    parts: Arc<Parts>,
    ending: Arc<Ending>,
    /// A command was run that leaves something behind on the connection.
    stateful: bool,
    /// After MULTI: commands are queued.
    queues: bool,
    /// One of those may write.
    queues_write: bool,
}

impl Connection {
    pub(super) fn new(lent: Lent<'_>, parts: Arc<Parts>) -> Connection {
        let mut lent = lent.kept();
        let ending = Arc::new(Ending {
            cancelled: Flag::default(),
            breaker: lent.direct().map(|direct| direct.breaker()),
        });
        let inner = Mutex::new(Inner {
            lent,
            parts: Arc::clone(&parts),
            ending: Arc::clone(&ending),
            stateful: false,
            queues: false,
            queues_write: false,
        });
        Connection {
            shared: ForkBound::new(Shared { inner, parts, ending }),
        }
    }

    /// Ends the call that is under way on it with `Cancelled`, and every later one: it is of no further use. Any thread.
    pub fn cancel(&self) {
        // The descriptor that a child has is its parent's connection.
        let ending = &self.shared.ending;
        if self.shared.is_forked() || !ending.cancelled.raise_first() {
            return;
        }
        if let Some(breaker) = &ending.breaker {
            breaker.cut();
        }
        // A write that waits to go out has nothing on the connection.
        self.shared.parts.pool.look_again();
    }

    /// Runs one command on it; an error reply is an `Err`. Nothing is repeated.
    pub fn command(&self, args: &[&[u8]], call: &CallOptions) -> Result<Reply> {
        let Shared { inner, parts, ending } = &*self.shared;
        parts.runtime.check_to_wait()?;
        has_name(args)?;
        let Some(mut inner) = inner.try_lock() else {
            let problem = "another call is under way on this connection: one thread uses it at a time".into();
            return Err(Error::new(ErrorKind::WrongState { problem }));
        };
        let inner = &mut *inner;
        let default_ms = inner.parts.pool.settings.timeout_ms;
        let mut deadline = Deadline::of_call(call.timeout_ms, default_ms)?;
        let mut stateful = inner.stateful;
        let class = commands::look_up(args);
        let mut patience = match class {
            Some(_) => Patience::Usual,
            None => Patience::Long,
        };
        match class.unwrap_or(Class::Shared) {
            Class::Shared => {}
            Class::Stateful { .. } => stateful = true,
            Class::Blocking | Class::Confirming { .. } => {
                deadline = blocking_deadline(args, call, deadline);
                patience = Patience::Endless;
            }
            Class::Never { instead } => return Err(unsupported(args, instead)),
        }
        if call.is_confirmed() {
            let problem = "use WAIT or WAITAOF on a connection of one's own";
            return Err(Error::invalid(asked_by(call), problem));
        }
        if ending.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled));
        }
        if inner.parts.pool.holds(inner.lent.generation()) && inner.writes(args, class) {
            let pool = &inner.parts.pool;
            if let Err(error) = pool.await_writes(deadline, || ending.is_cancelled()) {
                let result = Err(error);
                pool.calls.call_ended(&result, Timing::default());
                return result;
            }
            if ending.is_cancelled() {
                return Err(Error::new(ErrorKind::Cancelled));
            }
        }
        // A connection with state is not asked in between: in a transaction the PING would be one of its commands.
        let trusted = inner.stateful || inner.lent.is_trusted(deadline);
        if !trusted || inner.lent.direct().is_none_or(|direct| !direct.is_usable()) {
            if inner.parts.pool.is_closed() {
                return Err(Error::new(ErrorKind::Closed));
            }
            if ending.is_cancelled() {
                return Err(Error::new(ErrorKind::Cancelled));
            }
            let lost = ErrorKind::ConnectionLost {
                cause: "this connection was lost: acquire another one".into(),
            };
            return Err(at_node(Error::new(lost), inner.lent.generation()));
        }
        inner.stateful = stateful;
        inner.lent.be(patience);
        let mut result = inner.run(args, deadline);
        if let Err(error) = &result {
            if ending.is_cancelled() && matches!(error.kind(), ErrorKind::ConnectionLost { .. }) {
                result = Err(Error::new(ErrorKind::Cancelled).with_outcome(error.outcome()));
            }
        }
        let timing = inner.lent.timing();
        inner.parts.pool.calls.call_ended(&result, timing);
        result
    }
}

impl Inner {
    /// Whether the command may write: what is queued does so with EXEC, and what is about the connection never does.
    fn writes(&self, args: &[&[u8]], class: Option<Class>) -> bool {
        let is_exec = args.first().is_some_and(|own| own.eq_ignore_ascii_case(b"EXEC"));
        match class {
            _ if is_exec => self.queues_write,
            _ if self.queues => false,
            Some(Class::Stateful { .. } | Class::Confirming { .. } | Class::Never { .. }) => false,
            _ => may_write(args, &self.parts.learnt),
        }
    }

    fn run(&mut self, args: &[&[u8]], deadline: Deadline) -> Result<Reply> {
        let is = |name: &[u8]| args.first().is_some_and(|own| own.eq_ignore_ascii_case(name));
        let reply = exchange_one(&mut self.lent, &Request::Command(args), deadline)?;
        let refused = reply.kind() == Kind::Error;
        let queues = self.queues;
        self.queues_write = queues && (self.queues_write || may_write(args, &self.parts.learnt));
        self.queues = match queues {
            true => !(is(b"EXEC") || is(b"DISCARD") || is(b"RESET")),
            false => is(b"MULTI") && !refused,
        };
        let error = if refused {
            self.meaning(args, &reply.text(), queues, deadline)
        } else if reply.is_nil() && is(b"EXEC") {
            let text = "EXEC: a watched key was changed".to_owned();
            Error::new(ErrorKind::TransactionAborted { text }).with_outcome(Outcome::Refused)
        } else {
            return Ok(reply);
        };
        Err(at_node(error, self.lent.generation()))
    }

    /// What an error reply means. Between MULTI and EXEC nothing runs: what is said there is the server's own word, and
    /// a question would become a part of the transaction.
    fn meaning(&mut self, args: &[&[u8]], text: &str, queues: bool, deadline: Deadline) -> Error {
        if queues {
            return of_server(args, text).0;
        }
        let (error, remedy) = of_error(args, text);
        let Remedy::Ask(claim) = remedy else { return error };
        let answer = match claim {
            Claim::NoScript => exchange_one(&mut self.lent, &Request::Command(&exists(args)), deadline),
            Claim::Readonly | Claim::NotServing => exchange_one(&mut self.lent, &Request::Command(&ROLE), deadline),
        };
        match answer {
            Ok(answer) if confirms(claim, self.parts.pool.role, &answer) => confirmed(claim, text),
            _ => error,
        }
    }
}

fn may_write(args: &[&[u8]], learnt: &Learnt) -> bool {
    !commands::is_read_only(args) && !learnt.only_reads(args)
}

impl Drop for Inner {
    fn drop(&mut self) {
        // State must not reach the next user: a connection that carried any is closed instead of reused.
        if self.stateful || self.ending.is_cancelled() {
            if let Some(direct) = self.lent.direct() {
                direct.dismiss();
            }
        }
    }
}
