//! One call's life: deadline, route, outcome, retry.

pub mod batch;
pub(crate) mod call;
pub mod commands;
pub mod connection;
pub(crate) mod events;
pub mod learnt;
pub(crate) mod life;
#[cfg(test)]
mod life_tests;
pub(crate) mod meaning;
pub(crate) mod reading;
pub(crate) mod replication;
pub mod scan;
pub mod script;
pub mod trying;

use std::sync::{Arc, OnceLock};

use crate::base::deadline::Deadline;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::process::ForkBound;
use crate::completion::{CallId, Calls, Queue, Subscription, Target};
use crate::pool::{Pool, Submissions, Want};
use crate::resp::{Reply, Request};
use crate::runtime::{Runtime, read_timeout};
use crate::topology::Node;

pub use batch::{Batch, BatchKind};
pub use connection::Connection;
pub use learnt::Learnt;
pub(crate) use meaning::of_element;
pub use scan::Scan;
pub use script::Script;
pub use trying::Tried;

use call::{Letter, Waiting};
use commands::Class;
use life::Life;
use replication::shape;

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
    /// Wait until the primary, and so many replicas, have it on disk.
    pub wait_aof: bool,
}

impl CallOptions {
    /// Whether a write must be confirmed.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.replicas > 0 || self.wait_aof
    }
}

/// The pool, closed when its client is gone, and the runtime that serves it.
#[derive(Debug)]
struct Parts {
    pool: Arc<Pool>,
    calls: OnceLock<Arc<Calls>>,
    /// What the servers said of commands that the table does not know.
    learnt: Arc<Learnt>,
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

impl Drop for Client {
    fn drop(&mut self) {
        // Connections and scans that came from it keep the pool; nobody is left who could take back a submission.
        self.close();
    }
}

impl Client {
    pub(crate) fn new(pool: Arc<Pool>, runtime: Arc<Runtime>) -> Client {
        let learnt = runtime.learnt.of(pool.service.name());
        Client {
            parts: ForkBound::new(Arc::new(Parts {
                pool,
                calls: OnceLock::new(),
                learnt,
                runtime,
            })),
        }
    }

    /// Ends what was submitted through it with `Closed`, and what is submitted from now on; waits for nothing.
    pub fn close(&self) {
        if !self.parts.is_forked() {
            self.parts.pool.end_submissions();
        }
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
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
        let mut deadline = self.deadline(call.timeout_ms)?;
        has_name(args)?;
        let class = commands::look_up(args);
        let own = terms(args, class, call, &mut deadline)?;
        match class {
            Some(_) if !call.is_confirmed() => call::run(self.pool(), args, call, own, &self.parts.learnt, deadline),
            // The server is asked about it, or it is confirmed.
            _ => {
                let life = self.life(args, class, call, own)?;
                Waiting::new(self.pool(), Letter::Command(args), &self.parts.learnt, deadline).run(life)
            }
        }
    }

    /// Submits one command: it completes once, at `target`.
    pub fn submit(&self, args: &[&[u8]], call: &CallOptions, target: Target<'_>) -> Result<CallId> {
        self.parts.runtime.check()?;
        has_name(args)?;
        let class = commands::look_up(args);
        let mut deadline = self.deadline(call.timeout_ms)?;
        let own = terms(args, class, call, &mut deadline)?;
        let life = self.life(args, class, call, own)?;
        let request = Request::Command(args);
        self.calls().submit(self.pool(), &request, life, deadline, target)
    }

    /// Ends a submitted call with `Cancelled`, unless it has completed.
    pub fn cancel(&self, id: CallId) -> Result<()> {
        self.parts.runtime.check()?;
        self.calls().cancel(self.pool(), id)
    }

    /// The submitted calls, whose keeper starts with the first of them.
    fn calls(&self) -> &Arc<Calls> {
        self.parts.calls.get_or_init(|| {
            let runtime = &self.parts.runtime;
            let calls = Arc::new(Calls::new(
                Arc::clone(runtime.callbacks()),
                Arc::clone(&self.parts.learnt),
            ));
            self.pool().serve(Arc::clone(&calls) as Arc<dyn Submissions>);
            let (kept, pool) = (Arc::clone(&calls), Arc::downgrade(self.pool()));
            self.parts.runtime.spawn(move || kept.run(pool));
            calls
        })
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

    /// The life of one command, which is asked for first when the table does not know it. `own`: it waits in the server.
    #[inline]
    fn life(&self, args: &[&[u8]], class: Option<Class>, call: &CallOptions, own: bool) -> Result<Life> {
        let life = Life::new(shape(self.pool(), call)?, call, own);
        Ok(match learnt::unknown_name(args, class) {
            None => life,
            Some(name) => self.parts.learnt.recalled(life.asking(vec![name.to_ascii_uppercase()])),
        })
    }

    #[inline]
    fn deadline(&self, timeout_ms: i64) -> Result<Deadline> {
        read_timeout(timeout_ms, self.pool().settings.timeout_ms)
    }
}

/// Whether the command runs on a connection of its own; one that waits in the server may have a later deadline.
fn terms(args: &[&[u8]], class: Option<Class>, call: &CallOptions, deadline: &mut Deadline) -> Result<bool> {
    match class.unwrap_or(Class::Shared) {
        Class::Shared => Ok(false),
        Class::Blocking => {
            *deadline = blocking_deadline(args, call, *deadline);
            Ok(true)
        }
        Class::Confirming { instead } | Class::Stateful { instead } | Class::Never { instead } => {
            Err(unsupported(args, instead))
        }
    }
}

/// The command's own timeout extends the default deadline, never an explicit one.
fn blocking_deadline(args: &[&[u8]], call: &CallOptions, deadline: Deadline) -> Deadline {
    match commands::blocking_timeout(args) {
        Some(Some(own)) if call.timeout_ms == 0 => deadline
            .left()
            .map_or(Deadline::NEVER, |left| Deadline::after(left.checked_add(own))),
        Some(None) if call.timeout_ms == 0 => Deadline::NEVER,
        _ => deadline,
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
