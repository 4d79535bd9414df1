//! Connections to the nodes of a service, for one client.
//!
//! Callers take and return connections; the [`keeper`], a task of sentinel-io, makes them, verifies them, and retires
//! them when the service moves.

mod absence;
mod alarm;
mod common;
pub mod direct;
mod driver;
mod errand;
mod errands;
mod flight;
pub mod gate;
pub mod generation;
pub mod hangup;
mod held;
mod hold;
mod holder;
mod keeper;
pub mod lane;
mod lent;
mod line;
mod nudge;
mod outage;
mod outbox;
mod outgoing;
mod own;
mod passed;
mod passing;
mod routing;
pub mod scout;
pub mod seat;
#[cfg(test)]
mod seat_tests;
mod select;
pub mod sentry;
mod silence;
mod slots;
mod state;
mod troubles;
mod trust;
mod verify;
pub mod view;
mod waiters;
mod want;
pub mod watchdog;
mod watchers;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::base::sync::Mutex;
use tokio::sync::Notify;

pub use common::Common;
pub use direct::Direct;
pub use flight::{Answers, Ended};
pub(crate) use flight::{Apart, BEGUN, Sink};
pub use gate::Gate;
pub use generation::Generation;
pub use hangup::HangupWatch;
pub use keeper::Keeper;
pub(crate) use keeper::way_in;
pub use lane::{Lane, Refused};
pub use lent::{Lent, want_for};
pub use line::Waiter;
pub(crate) use outbox::Parcel;
pub(crate) use passing::Passed;
pub use sentry::Sentries;
pub use silence::Patience;
pub use troubles::Troubles;
pub use view::PoolView;
pub use want::Want;
pub use watchdog::Watchdog;
pub(crate) use watchers::Breaker;

pub(crate) use select::readable as readable_replicas;
pub(crate) use verify::verify;

use crate::base::clock;
use crate::base::clock::Moment;
use crate::base::deadline::Deadline;
use crate::base::error::{Attempt, Error, ErrorKind, Reason, Stage};
use crate::base::flag::Turns;
use crate::base::handoff::{Giver, handoff};
use crate::net::{DialError, Endpoint, Part, Vault};
use crate::observe::{CallStats, Observer};
use crate::options::{ClientSettings, Shown};
use crate::resp::Limits;
use crate::topology::{Hint, InUse, Role, Service, is_final, turned_away, unknown_primary};
use generation::ConnectionId;
use holder::Holder;
use state::{Route, State};
use waiters::Queue;

/// Calls that no thread waits for, each under a number. The pool carries them and tells how they end.
pub trait Submissions: std::fmt::Debug + Send + Sync {
    /// Attempts have ended on `lane`.
    fn ended(&self, pool: &Arc<Pool>, lane: &Arc<Lane>, ends: &mut Vec<Ended>);
    /// These may be sent on `lane` now. Those that it did not take wait on.
    fn send(&self, pool: &Arc<Pool>, lane: &Arc<Lane>, ids: &[u64]) -> Vec<Waiter>;
    /// `lane` will send nothing of these: they wait again. `lost`: why, where its connection was lost.
    fn taken_back(&self, pool: &Arc<Pool>, lane: &Lane, ids: &[u64], lost: Option<&Error>) -> Vec<Waiter>;
    /// `lane` has come to its end: nothing is under way on it any more.
    fn forget(&self, lane: &Lane);
    /// These have failed without being sent.
    fn fail(&self, pool: &Arc<Pool>, ids: &[u64], error: &Error);
    /// All of them end.
    fn close(&self, pool: &Arc<Pool>);
}

/// As good as without a limit.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The pool of one client. Any thread.
#[derive(Debug)]
pub struct Pool {
    /// What the connections are made with.
    pub(crate) settings: ClientSettings,
    /// The role that is wanted.
    pub(crate) role: Role,
    /// The service that is followed.
    pub(crate) service: Arc<Service>,
    _in_use: InUse,
    /// Who is told of what happens.
    pub(crate) observer: Arc<Observer>,
    /// What its client sets differently from the deployment.
    pub(crate) overrides: Vec<(&'static str, Shown)>,
    /// The counters of clients like this one.
    pub(crate) calls: Arc<CallStats>,
    /// The login at the nodes.
    vault: Arc<Vault>,
    troubles: Arc<Troubles>,
    state: Mutex<State>,
    demand: Notify,
    /// Calls under way or waiting for a connection, those with connections of their own left out.
    in_flight: AtomicUsize,
    /// Submitted calls that have not completed.
    submitted: AtomicUsize,
    /// Completions of submitted calls that the program has not taken yet.
    pub(crate) untaken: Arc<AtomicUsize>,
    submissions: OnceLock<Arc<dyn Submissions>>,
    /// Submitted writes are held, or were and have not all gone out yet.
    behind: AtomicBool,
    /// The turn of holding writes that its keeper has carried out last.
    turns: Turns,
    sleepers: Mutex<Queue<Giver<()>>>,
}

impl Pool {
    /// A pool without a connection; its keeper makes them when calls come.
    pub fn new(
        service: Arc<Service>,
        role: Role,
        (settings, overrides): (ClientSettings, Vec<(&'static str, Shown)>),
        vault: Arc<Vault>,
        troubles: Arc<Troubles>,
        observer: Arc<Observer>,
    ) -> Pool {
        let state = State::new(
            settings.replica_select,
            settings.max_connections,
            settings.fail_fast_after,
        );
        let state = Mutex::new(state);
        let calls = observer.calls(service.name(), role);
        Pool {
            settings,
            role,
            _in_use: InUse::new(&service),
            service,
            observer,
            overrides,
            calls,
            vault,
            troubles,
            state,
            demand: Notify::new(),
            in_flight: AtomicUsize::new(0),
            submitted: AtomicUsize::new(0),
            untaken: Arc::default(),
            submissions: OnceLock::new(),
            turns: Turns::default(),
            behind: AtomicBool::new(false),
            sleepers: Mutex::default(),
        }
    }

    /// The node that serves now: the one of the last call's route.
    pub fn serving(&self) -> Option<Arc<Generation>> {
        let state = self.state.lock();
        let mut ready = state.routes.iter().filter(|route| route.ready);
        ready.next().map(|route| Arc::clone(&route.generation))
    }

    /// A node said that it is not what it was taken for: nothing more is sent there before it is verified anew. What is
    /// under way there gets a moment to be answered.
    pub fn condemn(&self, generation: &Generation) {
        generation.refute();
        self.observer.node_condemned(&self.calls, &generation.endpoint);
        self.service.hint(Hint::WrongRole);
        self.demand.notify_one();
    }

    /// There are new credentials: nodes whose connections were made with older ones are shown them.
    pub fn renew_logins(&self) {
        self.demand.notify_one();
    }

    /// Waits before a repetition; ends early when the pool is closed.
    pub fn pause(&self, until: Deadline) {
        let (giver, taker) = handoff();
        let place = self.sleepers.lock().push(giver);
        if !self.is_closed() {
            taker.take(until);
        }
        self.sleepers.lock().remove(place);
    }

    /// Ends every call and drops every connection.
    pub fn close(self: &Arc<Pool>) {
        let passed = {
            let mut state = self.state.lock();
            state.closed = true;
            state.refuse(&Error::new(ErrorKind::Closed));
            state.drop_idle_leases();
            std::mem::take(&mut state.passing.passed)
        };
        drop(passed);
        self.run_all_errands();
        // While their lanes can still be found: what did not go out yet never will.
        self.end_submissions();
        let retired = {
            let mut state = self.state.lock();
            let routes = std::mem::take(&mut state.routes)
                .into_iter()
                .map(|route| route.generation);
            routes.chain(state.take_leaving(|_| true)).collect::<Vec<_>>()
        };
        for generation in retired {
            generation.retire();
        }
        for sleeper in self.sleepers.lock().drain() {
            let _ = sleeper.give(());
        }
        self.demand.notify_one();
    }

    /// Ends the submitted calls: their client is gone, and others use the pool still.
    pub fn end_submissions(self: &Arc<Pool>) {
        if let Some(submissions) = self.submissions.get() {
            submissions.close(self);
        }
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Why no connection could be had until the deadline.
    #[cold]
    pub(crate) fn not_in_time(&self, want: Want) -> Error {
        let state = self.state.lock();
        if state.closed {
            return Error::new(ErrorKind::Closed);
        }
        let limit = self.settings.max_connections;
        if want == Want::Lease && state.leases >= limit {
            return Error::new(ErrorKind::PoolExhausted { limit });
        }
        if state.routes.iter().any(Route::is_serving) {
            let failed = state.attempts.iter().map(|(_, attempt)| attempt.clone()).collect();
            let kind = ErrorKind::Timeout {
                during: "waiting for a free connection".into(),
            };
            return Error::new(kind).with_attempts(failed);
        }
        self.not_found(&state)
    }

    /// The error of a service that cannot be served: why, and everything that was tried.
    fn not_found(&self, state: &State) -> Error {
        let snapshot = self.service.snapshot();
        let service = self.service.name();
        let (unknown, mut attempts) = unknown_primary(service, self.role, &self.service.words());
        let node_attempts = self.node_attempts(state);
        let reason = match &snapshot.primary {
            None => None,
            Some(_) if state.routes.is_empty() && self.role == Role::Replica => Some(Reason::NoUsableReplica),
            Some(_) if node_attempts.iter().any(|attempt| attempt.stage == Stage::Role) => Some(Reason::WrongRole),
            Some(_) => Some(Reason::NodeUnreachable),
        };
        attempts.extend(node_attempts);
        let service = service.to_owned();
        let kind = match (reason, self.role) {
            (None, _) => unknown,
            (Some(reason), Role::Replica) => ErrorKind::ReplicaNotFound { service, reason },
            (Some(reason), Role::Primary | Role::Sentinel) => ErrorKind::PrimaryNotFound { service, reason },
        };
        Error::new(kind).with_attempts(attempts)
    }

    /// What came of each node: this pool's own failures, else those of others, else that there is no answer yet.
    fn node_attempts(&self, state: &State) -> Vec<Attempt> {
        let mut attempts: Vec<Attempt> = state.attempts.iter().map(|(_, attempt)| attempt.clone()).collect();
        for route in &state.routes {
            let endpoint = &route.generation.endpoint;
            if !state.attempts.iter().any(|(at, _)| at == endpoint) {
                let pending = || DialError::new(Stage::Connect, "no answer yet");
                attempts.push(self.troubles.of(endpoint).unwrap_or_else(pending).at(endpoint));
            }
        }
        attempts
    }

    /// Ends the waits when no time will help: every Sentinel refuses the login or cannot be spoken to.
    fn refuse_if_final(&self) {
        let words = self.service.words();
        if is_final(&words) && turned_away(&words) && self.service.snapshot().primary.is_none() {
            let mut state = self.state.lock();
            let error = self.not_found(&state);
            state.refuse(&error);
        }
    }

    /// Until when a connection that becomes idle now is kept.
    fn idle_until(&self) -> Instant {
        let after = self.settings.idle_timeout.unwrap_or(FOR_EVER);
        let now = clock::now();
        now.checked_add(after).unwrap_or(now + FOR_EVER)
    }

    /// The connection of a lane was lost: the next crowd gets another one, and so does what it has not sent.
    fn lane_ended(self: &Arc<Pool>, lane: &Arc<Lane>, unsent: VecDeque<flight::Call>, lost: Error) {
        self.state.lock().lose_lane(lane, unsent, lost);
        self.run_errands();
        self.demand.notify_one();
    }

    /// A lane makes its calls wait for longer than others like to: the next ones take another.
    fn lane_slow(self: &Arc<Pool>, lane: &Arc<Lane>) {
        self.state.lock().leave_lane(lane);
        self.run_errands();
        self.demand.notify_one();
    }

    /// A lane that was left has handed over what it had begun.
    fn lane_out(self: &Arc<Pool>, lane: &Lane) {
        let was_waited_for = self.state.lock().has_gone_out(lane);
        if was_waited_for {
            self.run_errands();
            self.demand.notify_one();
        }
    }

    /// Nothing is under way on a lane any more.
    fn lane_done(&self, lane: &Lane) {
        if lane.begun {
            let passing = &mut self.state.lock().passing;
            passing.away = passing.away.saturating_sub(1);
        }
        if let Some(submissions) = self.submissions.get() {
            submissions.forget(lane);
        }
    }

    fn lost(&self) {
        self.service.hint(Hint::Lost);
    }

    /// Idle connections to a node were lost.
    fn tell_lost(&self, endpoint: &Endpoint, count: usize, cause: &str) {
        let primary = self
            .service
            .snapshot()
            .primary
            .as_ref()
            .map(|node| node.endpoint.clone());
        let role = match primary.as_ref() == Some(endpoint) {
            true => Role::Primary,
            false => self.role,
        };
        for _ in 0..count {
            self.observer.connection_lost(&self.calls, endpoint, role, cause);
        }
    }
}

impl Holder for Pool {
    fn hung_up(&self, endpoint: &Endpoint, gone: &[ConnectionId]) {
        let idle = self.state.lock().sweep(gone, clock::now());
        self.tell_lost(endpoint, idle, "the server closed it while it was idle");
        self.service.hint(Hint::Lost);
    }

    fn uses(&self, endpoint: &Endpoint) -> bool {
        let state = self.state.lock();
        let routes = state.routes.iter().map(|route| &route.generation);
        let mut generations = routes.chain(&state.leaving);
        generations.any(|generation| generation.endpoint == *endpoint && generation.is_in_use())
    }

    fn lost_touch(self: Arc<Self>, endpoint: &Endpoint) {
        let idle = self.state.lock().drop_idle(endpoint);
        self.run_errands();
        self.tell_lost(endpoint, idle, "the node does not answer a PING in time");
        self.service.hint(Hint::Silent);
        self.demand.notify_one();
    }

    fn answered(&self, at: Moment) {
        self.calls.answered(at);
    }

    fn reads_replica(&self, endpoint: &Endpoint) -> bool {
        Pool::reads_replica(self, endpoint)
    }

    fn told(&self, endpoint: &Endpoint, part: &Part) {
        Pool::told(self, endpoint, part);
    }

    fn terms(&self) -> (Limits, Duration) {
        (self.settings.limits, self.settings.connect_timeout)
    }
}
