//! The program that uses the library: its threads, its clients, and what it expects of them.

pub(crate) mod ask;
mod caller;
mod conductor;
mod submits;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use crate::call::CallOptions;
use crate::handles::runtime::{Discovery, Runtime};
use crate::handles::{Client, Connection};
use crate::kernel::kernel;
use crate::ledger::broken;
use crate::net::{Credentials, Vault};
use crate::options::Options;
use crate::plan::Plan;
use crate::topology::Role;

pub(crate) use submits::Submitted;

pub(crate) const MS: u64 = 1_000_000;

/// How much later than its deadline a call may end.
const LATE: u64 = 20 * MS;

/// What a run is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Anything may happen.
    Storm,
    /// The nodes and the network are well; the library may still find out.
    Calm,
    /// It had the time: everything succeeds.
    Well,
    /// The program ends.
    Over,
}

pub(crate) struct Program {
    pub(crate) plan: Plan,
    pub(crate) options: Options,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) discovery: RefCell<Discovery>,
    /// With what they reach: between several replicas there is no order.
    clients: RefCell<Vec<(Arc<Client>, Role)>>,
    pub(crate) submitted: Submitted,
    /// Connections of callers' own, for others to cancel.
    lent: RefCell<Vec<Weak<Connection>>>,
    phase: Cell<Phase>,
    /// Threads that have not come to their end.
    busy: Cell<usize>,
    next_line: Cell<u64>,
}

/// Starts the threads of the program.
pub(crate) fn start(plan: Plan) -> Rc<Program> {
    let options = plan.options();
    let (runtime, discovery) = Runtime::start(&options);
    let vault = Vault::new(options.client().unwrap().credentials);
    let submitted = Submitted::new(&runtime, plan.queue);
    let program = Rc::new(Program {
        options,
        runtime,
        vault,
        discovery: RefCell::new(discovery),
        clients: RefCell::default(),
        submitted,
        lent: RefCell::default(),
        phase: Cell::new(Phase::Storm),
        busy: Cell::new(plan.callers),
        next_line: Cell::new(1),
        plan,
    });
    let clients = [(); 2].map(|()| program.new_client());
    program.clients.borrow_mut().extend(clients);
    let fibers = &kernel().fibers;
    for _ in 0..program.plan.callers {
        let own = Rc::clone(&program);
        fibers.spawn("caller", move || caller::run(&own));
    }
    let own = Rc::clone(&program);
    fibers.spawn("poller", move || own.submitted.poll());
    let own = Rc::clone(&program);
    fibers.spawn("conductor", move || conductor::run(&own));
    program
}

impl Program {
    fn new_client(&self) -> (Arc<Client>, Role) {
        let replicas = self.plan.replica_clients && kernel().one_in(3);
        let role = if replicas { Role::Replica } else { Role::Primary };
        let pool = self.runtime.pool(role, &self.options, Arc::clone(&self.vault));
        (Arc::new(Client::new(pool, Arc::clone(&self.runtime))), role)
    }

    /// One of the clients, and a new line of submissions over it.
    pub(crate) fn client(&self) -> (Arc<Client>, Option<u64>) {
        let clients = self.clients.borrow();
        let (client, role) = &clients[kernel().index(clients.len())];
        let line = (*role == Role::Primary).then(|| self.line());
        (Arc::clone(client), line)
    }

    /// Frees one of them, and makes another in its place.
    pub(crate) fn renew_client(&self) {
        let new = self.new_client();
        let old = {
            let mut clients = self.clients.borrow_mut();
            let place = kernel().index(clients.len());
            std::mem::replace(&mut clients[place], new)
        };
        drop(old);
    }

    /// Lets others cancel a connection while it is there.
    fn lend(&self, connection: Connection) -> Rc<Connection> {
        let connection = Rc::new(connection);
        let mut lent = self.lent.borrow_mut();
        lent.retain(|other| other.strong_count() > 0);
        lent.push(Rc::downgrade(&connection));
        connection
    }

    /// Cancels a call on somebody's connection, or a submission.
    fn cancel_one(&self) {
        let lent: Vec<_> = self.lent.borrow().iter().filter_map(Weak::upgrade).collect();
        match lent.is_empty() || kernel().one_in(2) {
            true => self.submitted.cancel_one(),
            false => lent[kernel().index(lent.len())].cancel(),
        }
    }

    fn drop_clients(&self) {
        let clients: Vec<_> = self.clients.borrow_mut().drain(..).collect();
        drop(clients);
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(crate) fn rotate(&self, password: &str) {
        let credentials = Credentials::new(None, password.as_bytes()).unwrap();
        self.vault.replace(credentials);
        self.runtime.renew_logins();
    }

    fn line(&self) -> u64 {
        let line = self.next_line.get();
        self.next_line.set(line + 1);
        line
    }

    /// The terms of a call, by the seed.
    pub(crate) fn terms(&self) -> CallOptions {
        let kernel = kernel();
        let limits = [1, 2, 5, 10, 20, 50, 100, 300, 600, 1_000, 2_000, 3_000];
        CallOptions {
            timeout_ms: kernel.pick(&limits),
            retry_unknown: kernel.one_in(8),
            no_retry: kernel.one_in(8),
            ..CallOptions::default()
        }
    }
}

/// A call that began then and had so many milliseconds is over now: in time.
pub(crate) fn in_time(what: &str, began: u64, timeout_ms: i64) {
    let late = kernel()
        .now()
        .saturating_sub(began + u64::try_from(timeout_ms).unwrap_or(0) * MS);
    if late > LATE {
        broken(
            "P3",
            &format!(
                "{what} with {timeout_ms} ms ended {} us after its deadline",
                late / 1_000
            ),
        );
    }
}
