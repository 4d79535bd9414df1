//! One call's life: deadline, route, outcome, retry.

pub mod batch;
pub(crate) mod call;
pub mod commands;
pub mod connection;
mod meaning;

use std::sync::{Arc, OnceLock};

use crate::completion::calls::{Submission, SubmissionKind};
use crate::completion::{CallId, Calls, Queue, Subscription, Target};
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Result};
use crate::net::sys::ForkBound;
use crate::pool::{Pool, Submissions, Want, want_for};
use crate::resp::{Reply, Request};
use crate::runtime::{Runtime, read_timeout};
use crate::topology::{Node, Role};

pub use batch::{Batch, BatchKind};
pub use connection::Connection;

use commands::Class;

/// How one call differs from the client's defaults.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallOptions {
    /// 0: the client's `timeout_ms`; -1: no limit; else a hard deadline, ms.
    pub timeout_ms: i64,
    /// Repeat even after outcome `Unknown`.
    pub retry_unknown: bool,
    /// Never repeat.
    pub no_retry: bool,
    /// Wait until so many replicas have the write.
    pub replicas: u32,
}

/// The pool, closed when its client is gone, and the runtime that serves it.
#[derive(Debug)]
struct Parts {
    pool: Arc<Pool>,
    calls: OnceLock<Arc<Calls>>,
    runtime: Arc<Runtime>,
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.pool.close();
    }
}

/// A client bound to the primary or the replicas of a service. Any thread, any time.
#[derive(Debug)]
pub struct Client {
    parts: ForkBound<Arc<Parts>>,
}

impl Client {
    pub(crate) fn new(pool: Arc<Pool>, runtime: Arc<Runtime>) -> Client {
        Client {
            parts: ForkBound::new(Arc::new(Parts {
                pool,
                calls: OnceLock::new(),
                runtime,
            })),
        }
    }

    fn pool(&self) -> &Arc<Pool> {
        &self.parts.pool
    }

    /// Makes the first verified connection, or waits for one until the deadline.
    pub fn connect(&self, timeout_ms: i64) -> Result<()> {
        self.parts.runtime.check_to_wait()?;
        let deadline = self.deadline(timeout_ms)?;
        self.pool().lend(Want::Shared, deadline).map(drop)
    }

    /// The node that serves this client now: none before the first connection, and while there is no one to serve it.
    pub fn node(&self) -> Result<Option<Node>> {
        self.parts.runtime.check()?;
        let Some(generation) = self.pool().serving() else {
            return Ok(None);
        };
        let snapshot = self.pool().service.snapshot();
        let mut nodes = snapshot.primary.iter().chain(&snapshot.replicas);
        let known = nodes.find(|node| node.endpoint == generation.endpoint && node.role == generation.role);
        Ok(Some(known.cloned().unwrap_or_else(|| Node {
            endpoint: generation.endpoint.clone(),
            role: generation.role,
            fields: vec![("config-epoch".into(), generation.epoch.to_string())],
        })))
    }

    /// Runs one command; an error reply is an `Err`.
    pub fn command(&self, args: &[&[u8]], call: &CallOptions) -> Result<Reply> {
        self.parts.runtime.check_to_wait()?;
        has_name(args)?;
        let (own, deadline) = self.terms(args, call)?;
        let want = if own {
            Want::Lease
        } else {
            want_for(Request::Command(args).size())
        };
        if call.replicas > 0 {
            return self.replicated(args, call, deadline);
        }
        call::run(self.pool(), args, call, want, deadline)
    }

    /// Whether the command runs on a connection of its own, and until when.
    fn terms(&self, args: &[&[u8]], call: &CallOptions) -> Result<(bool, Deadline)> {
        match commands::classify(args) {
            Class::Shared => Ok((call.replicas > 0, self.deadline(call.timeout_ms)?)),
            Class::Blocking => Ok((true, self.blocking_deadline(args, call)?)),
            Class::Stateful { instead } | Class::Never { instead } => Err(unsupported(args, instead)),
        }
    }

    /// Submits one command: it completes once, at `target`.
    pub fn submit(&self, args: &[&[u8]], call: &CallOptions, target: Target) -> Result<CallId> {
        self.parts.runtime.check()?;
        has_name(args)?;
        let (own, deadline) = self.terms(args, call)?;
        if call.replicas > 0 {
            self.takes_writes()?;
        }
        let submission = Submission {
            request: Request::Command(args),
            kind: SubmissionKind::Command { own },
            options: *call,
            deadline,
        };
        self.calls().submit(self.pool(), &submission, target)
    }

    /// Submits a batch: its completion has the reply of [`Client::batch`].
    pub fn submit_batch(&self, batch: &Batch, call: &CallOptions, target: Target) -> Result<CallId> {
        self.parts.runtime.check()?;
        batch.check(call)?;
        let kind = match batch.kind() {
            BatchKind::Pipeline => SubmissionKind::Pipeline(batch.len()),
            BatchKind::Transaction => SubmissionKind::Transaction(batch.len()),
        };
        let submission = Submission {
            request: Request::Encoded(&[batch.encoded()]),
            kind,
            options: *call,
            deadline: self.deadline(call.timeout_ms)?,
        };
        self.calls().submit(self.pool(), &submission, target)
    }

    /// Ends a submitted call with `Cancelled`, unless it has completed.
    pub fn cancel(&self, id: CallId) -> Result<()> {
        self.parts.runtime.check()?;
        self.calls().cancel(self.pool(), id)
    }

    /// The submitted calls, whose keeper starts with the first of them.
    fn calls(&self) -> &Arc<Calls> {
        self.parts.calls.get_or_init(|| {
            let calls = Arc::new(Calls::new(Arc::clone(self.parts.runtime.callbacks())));
            self.pool().serve(Arc::clone(&calls) as Arc<dyn Submissions>);
            let (kept, pool) = (Arc::clone(&calls), Arc::downgrade(self.pool()));
            self.parts.runtime.spawn(move || kept.run(pool));
            calls
        })
    }

    /// Runs a batch: an array with one element a command.
    pub fn batch(&self, batch: &Batch, call: &CallOptions) -> Result<Reply> {
        self.parts.runtime.check_to_wait()?;
        batch::run(self.pool(), batch, call, self.deadline(call.timeout_ms)?)
    }

    /// A connection of one's own.
    pub fn acquire(&self, timeout_ms: i64) -> Result<Connection> {
        self.parts.runtime.check_to_wait()?;
        let lent = self.pool().lend(Want::Lease, self.deadline(timeout_ms)?)?;
        Ok(Connection::new(lent, Arc::clone(&self.parts)))
    }

    /// An empty subscription to the nodes of this client's role; its messages go to `queue` with `tag`. It outlives the
    /// client.
    pub fn subscribe(&self, queue: &Arc<Queue>, tag: u64) -> Result<Subscription> {
        self.parts.runtime.check()?;
        let (pool, runtime) = (Arc::clone(self.pool()), Arc::clone(&self.parts.runtime));
        Ok(Subscription::new(pool, runtime, Arc::clone(queue), tag))
    }

    fn deadline(&self, timeout_ms: i64) -> Result<Deadline> {
        read_timeout(timeout_ms, self.pool().settings.timeout_ms)
    }

    /// The command's own timeout extends the default deadline, never an explicit one.
    fn blocking_deadline(&self, args: &[&[u8]], call: &CallOptions) -> Result<Deadline> {
        let deadline = self.deadline(call.timeout_ms)?;
        if call.timeout_ms != 0 {
            return Ok(deadline);
        }
        Ok(match commands::blocking_timeout(args) {
            Some(Some(own)) => deadline
                .left()
                .map_or(Deadline::NEVER, |left| Deadline::after(left.checked_add(own))),
            Some(None) => Deadline::NEVER,
            None => deadline,
        })
    }

    /// The write, then WAIT on the same connection: only there does it count that write.
    fn replicated(&self, args: &[&[u8]], call: &CallOptions, deadline: Deadline) -> Result<Reply> {
        self.takes_writes()?;
        let (reply, mut lent) = call::run_on(self.pool(), args, call, Want::Lease, deadline)?;
        call::wait_for_replicas(&mut lent, call.replicas, deadline)?;
        Ok(reply)
    }

    fn takes_writes(&self) -> Result<()> {
        match self.pool().role {
            Role::Primary => Ok(()),
            _ => Err(Error::invalid(
                "call.replicas",
                "replicas confirm writes, and this is a client of replicas",
            )),
        }
    }
}

/// Without a name the server would answer nothing at all.
fn has_name(args: &[&[u8]]) -> Result<()> {
    match args.first() {
        None => Err(Error::invalid("argc", "a command needs at least its name")),
        Some(_) => Ok(()),
    }
}

fn unsupported(args: &[&[u8]], instead: &str) -> Error {
    let kind = ErrorKind::UnsupportedCommand {
        command: commands::shown_name(args),
        instead: instead.to_owned(),
    };
    Error::new(kind)
}
