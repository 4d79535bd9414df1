//! A client as a task of sentinel-io uses it. It keeps neither the client nor the deployment alive.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::client::Client;
use super::entrance::Entrance;
use crate::base::deadline::Deadline;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::heavy::Bytes;
use crate::base::tasks;
use crate::call::batch::Batch;
use crate::call::commands::{self, Class};
use crate::call::life::{Life, Shape};
use crate::call::terms::{CallOptions, blocking_deadline};
use crate::call::{BatchKind, Learnt};
use crate::completion::{CallId, Calls, Hold, Queue, Target, Wanted, follow};
use crate::options::ClientSettings;
use crate::pool::{Common, Parcel, Pool};
use crate::resp::Request;
use crate::topology::Role;

/// Ports so far: they are numbered from the end, where no thread's memory is.
static PORTS: AtomicU64 = AtomicU64::new(0);

/// Where a completion goes: the queue, and its tag there.
pub(crate) type To<'a> = (&'a Arc<Queue>, u64);

/// The same things as the client's, for who must not wait.
pub(crate) struct Port {
    pool: Arc<Pool>,
    calls: Arc<Calls>,
    learnt: Arc<Learnt>,
    common: Rc<Common>,
    ended: watch::Receiver<bool>,
    /// Tells it from threads and from others like it.
    number: u64,
}

/// What starts such a task, and nothing can fail any more.
pub(crate) struct Starter<'a> {
    client: &'a Client,
    ended: watch::Receiver<bool>,
}

impl Client {
    /// Starts tasks on sentinel-io that use this client until it is closed or freed.
    pub(crate) fn starter(&self) -> Result<Starter<'_>> {
        self.parts.runtime.check()?;
        let ended = self.parts.ended.subscribe();
        if *ended.borrow() {
            return Err(Error::new(ErrorKind::Closed));
        }
        Ok(Starter { client: self, ended })
    }
}

impl Starter<'_> {
    /// Starts one.
    pub(crate) fn start<F: Future<Output = ()> + 'static>(self, make: impl FnOnce(Port) -> F + Send + 'static) {
        let Starter { client, ended } = self;
        let (pool, calls) = (Arc::clone(client.pool()), Arc::clone(client.calls()));
        let learnt = Arc::clone(&client.parts.learnt);
        client.parts.runtime.spawn_with(move |common| {
            let task = make(Port {
                pool,
                calls,
                learnt,
                common,
                ended,
                number: u64::MAX - PORTS.fetch_add(1, Ordering::Relaxed),
            });
            tasks::start(task);
        });
    }
}

impl Port {
    fn entrance(&self) -> Entrance<'_> {
        Entrance {
            pool: &self.pool,
            calls: &self.calls,
            learnt: &self.learnt,
            by: self.number,
        }
    }

    /// Until when a call that begins now may last.
    pub(crate) fn deadline(&self) -> Result<Deadline> {
        self.entrance().deadline(&CallOptions::default())
    }

    /// What the client was made with.
    pub(crate) fn settings(&self) -> &ClientSettings {
        &self.pool.settings
    }

    /// The role of its nodes.
    pub(crate) fn role(&self) -> Role {
        self.pool.role
    }

    /// Returns once the client is closed or freed.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + use<> {
        let mut ended = self.ended.clone();
        async move {
            // A sender that is gone says the same.
            let _ = ended.wait_for(|ended| *ended).await;
        }
    }

    /// Submits one command; `whole`: its bytes on the wire, where they are made already.
    pub(crate) fn submit(&self, args: &[&[u8]], whole: Option<&Arc<Bytes>>, (queue, tag): To<'_>) -> Result<CallId> {
        let (call, target) = (CallOptions::default(), Target::Queue(queue, tag));
        match whole {
            Some(whole) => {
                let parcel = Parcel::Apart(Arc::clone(whole));
                self.entrance().submit_as(args, &parcel, &call, target)
            }
            None => self.entrance().submit(args, &call, target),
        }
    }

    /// Submits a batch.
    pub(crate) fn submit_batch(&self, batch: &Batch, (queue, tag): To<'_>) -> Result<CallId> {
        let target = Target::Queue(queue, tag);
        self.entrance().submit_batch(batch, &CallOptions::default(), target)
    }

    /// Submits a command that leaves something behind on its connection, which is kept in `hold` once it has succeeded.
    pub(crate) fn submit_keeping(&self, args: &[&[u8]], (queue, tag): To<'_>, hold: &Arc<Hold>) -> Result<CallId> {
        let call = CallOptions::default();
        let life = Life::new(Shape::Command, &call, true);
        let (request, deadline) = (Request::Command(args), self.entrance().deadline(&call)?);
        let target = Target::Keeping(queue, tag, hold);
        let parcel = Parcel::of(&request);
        self.calls
            .submit(&self.pool, &parcel, life, deadline, self.number, target)
    }

    /// Submits a command for the connection that is kept.
    pub(crate) fn submit_held(&self, args: &[&[u8]], (queue, tag): To<'_>, hold: &Hold) -> Result<CallId> {
        let call = CallOptions::default();
        let mut deadline = self.entrance().deadline(&call)?;
        if matches!(commands::look_up(args), Some(Class::Blocking)) {
            deadline = blocking_deadline(args, &call, deadline);
        }
        let life = Life::new(Shape::Command, &call, true);
        let (request, target) = (Request::Command(args), Target::Queue(queue, tag));
        self.calls
            .submit_held(&self.pool, &request, (life, hold), deadline, target)
    }

    /// The same for a transaction.
    pub(crate) fn submit_batch_held(&self, batch: &Batch, (queue, tag): To<'_>, hold: &Hold) -> Result<CallId> {
        let call = CallOptions::default();
        let deadline = self.entrance().deadline(&call)?;
        let shape = match batch.kind() {
            BatchKind::Pipeline => Shape::Pipeline(batch.len()),
            BatchKind::Transaction => Shape::Transaction(batch.len()),
        };
        let life = Life::new(shape, &call, true);
        let (parts, target) = (batch.parts(), Target::Queue(queue, tag));
        self.calls
            .submit_held(&self.pool, &Request::Encoded(&parts), (life, hold), deadline, target)
    }

    /// Why no write may go out on the connection that is kept, if none may now.
    pub(crate) fn held_back(&self, hold: &Hold) -> Option<Error> {
        hold.is_held_back(&self.pool).then(|| self.pool.writes_are_held())
    }

    /// Lets go of the connection that is kept. `clean`: nothing of what was done on it is left there.
    pub(crate) fn release(&self, hold: &Hold, clean: bool) {
        hold.release(&self.pool, clean);
    }

    /// Ends a call with `Cancelled`, unless it has completed.
    pub(crate) fn cancel(&self, id: CallId) {
        let _ = self.calls.cancel(&self.pool, id);
    }

    /// An empty subscription whose messages and events go to `queue`. It ends when it is told to.
    pub(crate) fn listen(&self, queue: &Arc<Queue>) -> Arc<Wanted> {
        let wanted = Arc::new(Wanted::new(Arc::clone(queue), 0));
        let pool = Arc::clone(&self.pool);
        tasks::start(follow(Arc::clone(&wanted), pool, Rc::clone(&self.common)));
        wanted
    }
}
