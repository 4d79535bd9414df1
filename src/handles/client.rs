//! A client: calls that wait, calls that are submitted, and what else it gives.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use super::Connection;
use super::entrance::{Entrance, life_of};
use super::parts::Parts;
use super::runtime::Runtime;
use super::scan::Scan;
use super::subscription::Subscription;
use crate::base::deadline::Deadline;
use crate::base::error::Result;
use crate::base::process::ForkBound;
use crate::base::thread::here;
use crate::call::batch::Batch;
use crate::call::commands::{self, Class};
use crate::call::life::Life;
use crate::call::reading::{in_one, incomplete};
use crate::call::script::Script;
use crate::call::terms::{CallOptions, has_name, terms};
use crate::call::waiting::{self, Letter, Waiting};
use crate::call::walk::Walk;
use crate::completion::{CallId, Calls, Queue, Target};
use crate::pool::{Pool, Submissions, Want};
use crate::resp::Reply;
use crate::topology::Node;

/// A client bound to the primary or the replicas of a service. Any thread, any time.
#[derive(Debug)]
pub struct Client {
    pub(super) parts: ForkBound<Arc<Parts>>,
}

impl Drop for Client {
    fn drop(&mut self) {
        // Connections and scans that came from it keep the pool; nobody is left who could take back a submission.
        self.end_submissions();
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
                ended: watch::Sender::new(false),
            })),
        }
    }

    /// Ends what was submitted through it with `Closed`, and what is submitted from now on; waits for nothing.
    pub fn close(&self) {
        if !self.parts.is_forked() {
            // Also where none was submitted yet: the first one that comes finds it closed.
            self.calls();
            self.end_submissions();
        }
    }

    fn end_submissions(&self) {
        if !self.parts.is_forked() {
            self.parts.ended.send_replace(true);
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
            Some(_) if !call.is_confirmed() => waiting::run(self.pool(), args, call, own, &self.parts.learnt, deadline),
            // The server is asked about it, or it is confirmed.
            _ => {
                let life = self.life(args, class, call, own)?;
                Waiting::new(self.pool(), Letter::Command(args), &self.parts.learnt, deadline).run(life)
            }
        }
    }

    /// Runs a batch: an array with one element a command.
    pub fn batch(&self, batch: &Batch, call: &CallOptions) -> Result<Reply> {
        self.parts.runtime.check_to_wait()?;
        let deadline = self.deadline(call.timeout_ms)?;
        batch.check(call)?;
        if batch.is_empty() {
            return in_one(&[]).ok_or_else(incomplete);
        }
        let waiting = Waiting::new(self.pool(), Letter::Batch(batch), &self.parts.learnt, deadline);
        let result = waiting.run(batch.life(call, &self.parts.learnt));
        self.pool()
            .calls
            .more_commands
            .add(batch.len().saturating_sub(1) as u64);
        result
    }

    /// Submits a batch: its completion has the reply of [`Client::batch`].
    pub fn submit_batch(&self, batch: &Batch, call: &CallOptions, target: Target<'_>) -> Result<CallId> {
        self.parts.runtime.check()?;
        self.entrance().submit_batch(batch, call, target)
    }

    /// Runs a script; the first `keys` of `args` are the names of keys.
    pub fn script(&self, script: &Script, keys: usize, args: &[&[u8]], call: &CallOptions) -> Result<Reply> {
        self.parts.runtime.check_to_wait()?;
        let deadline = self.deadline(call.timeout_ms)?;
        script.run(self.pool(), (keys, args), call, &self.parts.learnt, deadline)
    }

    /// A walk by `args`: `SCAN`, `HSCAN`, `SSCAN` or `ZSCAN` with the key and without a cursor, then the options. No I/O.
    pub fn scan(&self, args: &[&[u8]]) -> Result<Scan> {
        self.parts.runtime.check()?;
        Ok(Scan::new(Walk::new(args)?, Arc::clone(&self.parts)))
    }

    /// Submits one command: it completes once, at `target`.
    pub fn submit(&self, args: &[&[u8]], call: &CallOptions, target: Target<'_>) -> Result<CallId> {
        self.parts.runtime.check()?;
        self.entrance().submit(args, call, target)
    }

    fn entrance(&self) -> Entrance<'_> {
        Entrance {
            pool: self.pool(),
            calls: self.calls(),
            learnt: &self.parts.learnt,
            by: here(),
        }
    }

    /// Ends a submitted call with `Cancelled`, unless it has completed.
    pub fn cancel(&self, id: CallId) -> Result<()> {
        self.parts.runtime.check()?;
        self.calls().cancel(self.pool(), id)
    }

    /// The submitted calls, whose keeper starts with the first of them.
    pub(super) fn calls(&self) -> &Arc<Calls> {
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

    /// The life of one command. `own`: it waits in the server.
    #[inline]
    pub(super) fn life(&self, args: &[&[u8]], class: Option<Class>, call: &CallOptions, own: bool) -> Result<Life> {
        life_of(self.pool(), &self.parts.learnt, args, class, call, own)
    }

    #[inline]
    pub(super) fn deadline(&self, timeout_ms: i64) -> Result<Deadline> {
        Deadline::of_call(timeout_ms, self.pool().settings.timeout_ms)
    }
}
