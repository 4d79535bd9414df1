//! What a pool holds at one moment: who is connected, who waits. No I/O.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::direct::Direct;
use super::generation::Generation;
use super::select::{self, Choice};
use crate::error::{Attempt, Error};
use crate::handoff::Giver;
use crate::net::Endpoint;
use crate::options::Select;

/// What a waiting caller gets in the end.
pub(super) type Grant = Result<Direct, Error>;

/// What a connection is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// One command, then back.
    Shared,
    /// The caller keeps it for itself: a blocking command, a transaction by hand.
    Lease,
}

/// A node that calls may be routed to.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) generation: Arc<Generation>,
    pub(super) idle: Vec<Direct>,
    /// A verified connection was made, and none failed since.
    pub(super) ready: bool,
    /// It has been dialled and failed at least once since it was last ready.
    pub(super) failed: bool,
    /// Dials under way.
    pub(super) dialling: usize,
    /// Smoothed time of a call, in microseconds.
    micros: u32,
}

impl Route {
    pub(super) fn new(generation: Generation) -> Route {
        Route {
            generation: Arc::new(generation),
            idle: Vec::new(),
            ready: false,
            failed: false,
            dialling: 0,
            micros: 0,
        }
    }
}

impl Route {
    /// It has been verified and has a connection left to prove it.
    pub(super) fn is_serving(&self) -> bool {
        self.ready && self.generation.shared() > 0
    }
}

/// The connections and waiters of a pool.
#[derive(Debug)]
pub(super) struct State {
    pub(super) closed: bool,
    pub(super) routes: Vec<Route>,
    /// Generations that take no more calls but have some under way.
    pub(super) leaving: Vec<Arc<Generation>>,
    /// How replicas are selected.
    select: Select,
    /// Calls so far.
    calls: usize,
    pub(super) shared_waiters: VecDeque<Giver<Grant>>,
    pub(super) lease_waiters: VecDeque<Giver<Grant>>,
    /// Connections leased or kept idle after a lease.
    pub(super) leases: usize,
    pub(super) lease_dials: usize,
    idle_leases: Vec<(Direct, Instant)>,
    /// The last failure of each node since a connection succeeded.
    pub(super) attempts: Vec<(Endpoint, Attempt)>,
    /// A call came since the keeper last looked.
    pub(super) used: bool,
}

impl State {
    /// Nothing connected, nobody waiting.
    pub(super) fn new(select: Select) -> State {
        State {
            closed: false,
            routes: Vec::new(),
            leaving: Vec::new(),
            select,
            calls: 0,
            shared_waiters: VecDeque::new(),
            lease_waiters: VecDeque::new(),
            leases: 0,
            lease_dials: 0,
            idle_leases: Vec::new(),
            attempts: Vec::new(),
            used: false,
        }
    }

    /// A free connection for `want`.
    pub(super) fn take(&mut self, want: Want) -> Option<Direct> {
        self.used = true;
        match want {
            Want::Shared => self.take_shared(),
            Want::Lease => self.take_lease(),
        }
    }

    fn take_shared(&mut self) -> Option<Direct> {
        if !self.shared_waiters.is_empty() && self.shared_waiters.iter().any(|waiter| !waiter.is_done()) {
            return None;
        }
        let count = self.routes.len();
        let first = if count > 1 { self.first() } else { 0 };
        for step in 0..count {
            let place = (first + step) % count;
            let Some(route) = self.routes.get_mut(place).filter(|route| route.ready) else {
                continue;
            };
            while let Some(direct) = route.idle.pop() {
                if direct.is_usable() {
                    self.calls = self.calls.wrapping_add(1);
                    return Some(direct);
                }
                route.generation.discount_shared();
            }
        }
        None
    }

    /// Where the next call goes first.
    fn first(&self) -> usize {
        let choice = |route: &Route| Choice {
            free: route.ready && !route.idle.is_empty(),
            micros: route.micros,
        };
        let choices: Vec<Choice> = match self.select {
            Select::Latency => self.routes.iter().map(choice).collect(),
            _ => return select::place(self.select, self.routes.len(), self.calls, fastrand::usize(..)),
        };
        select::fastest(&choices, self.calls)
    }

    fn take_lease(&mut self) -> Option<Direct> {
        while let Some((direct, _)) = self.idle_leases.pop() {
            if direct.is_usable() && self.routes.iter().any(|route| is_of(route, &direct)) {
                return Some(direct);
            }
            self.leases -= 1;
        }
        None
    }

    /// Enters a waiter. True when the keeper should look: more waiters than connections it may make change nothing.
    pub(super) fn wait(&mut self, want: Want, giver: Giver<Grant>, direct: usize) -> bool {
        let waiters = match want {
            Want::Shared => &mut self.shared_waiters,
            Want::Lease => &mut self.lease_waiters,
        };
        waiters.push_back(giver);
        want == Want::Lease || waiters.len() <= direct.saturating_mul(self.routes.len().max(1))
    }

    /// Takes a connection back: to the first waiter, else to the idle ones. False when it could not be used again and
    /// was dropped.
    pub(super) fn put(&mut self, want: Want, direct: Direct, idle_until: Option<Instant>) -> bool {
        let routed = self.routes.iter().any(|route| is_of(route, &direct));
        if self.closed || !routed || !direct.is_usable() {
            self.discard(want, direct);
            return false;
        }
        let waiters = match want {
            Want::Shared => &mut self.shared_waiters,
            Want::Lease => &mut self.lease_waiters,
        };
        let mut grant = Ok(direct);
        while let Some(waiter) = waiters.pop_front() {
            match waiter.give(grant) {
                Ok(()) => return true,
                Err(back) => grant = back,
            }
        }
        let Ok(direct) = grant else { return true };
        match want {
            Want::Lease => self.idle_leases.push((direct, idle_until.unwrap_or_else(far_away))),
            Want::Shared => {
                if let Some(route) = self.routes.iter_mut().find(|route| is_of(route, &direct)) {
                    route.micros = select::smoothed(route.micros, direct.micros());
                    route.idle.push(direct);
                }
            }
        }
        true
    }

    /// Drops a connection and gives its slot free.
    pub(super) fn discard(&mut self, want: Want, direct: Direct) {
        match want {
            Want::Shared => direct.generation().discount_shared(),
            Want::Lease => self.leases -= 1,
        }
        drop(direct);
    }

    /// Drops idle connections whose peer has hung up or whose time has come.
    pub(super) fn sweep(&mut self, gone: &[u64], now: Instant) {
        for route in &mut self.routes {
            let before = route.idle.len();
            route.idle.retain(|direct| !gone.contains(&direct.id()));
            for _ in route.idle.len()..before {
                route.generation.discount_shared();
            }
        }
        let before = self.idle_leases.len();
        self.idle_leases
            .retain(|(direct, until)| !gone.contains(&direct.id()) && *until > now && direct.is_usable());
        self.leases -= before - self.idle_leases.len();
    }

    /// Drops the idle connections to `endpoint`.
    pub(super) fn drop_idle(&mut self, endpoint: &Endpoint) {
        for route in self
            .routes
            .iter_mut()
            .filter(|route| route.generation.endpoint == *endpoint)
        {
            for _ in route.idle.drain(..) {
                route.generation.discount_shared();
            }
            route.ready &= route.generation.shared() > 0;
        }
        let before = self.idle_leases.len();
        self.idle_leases
            .retain(|(direct, _)| direct.generation().endpoint != *endpoint);
        self.leases -= before - self.idle_leases.len();
    }

    /// Drops the connections kept after leases.
    pub(super) fn drop_idle_leases(&mut self) {
        self.leases -= self.idle_leases.drain(..).count();
    }

    /// When the next idle lease is due to be closed.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.idle_leases.iter().map(|(_, until)| *until).min()
    }

    /// Ends every wait of `want` with `error`.
    pub(super) fn refuse(&mut self, error: &Error) {
        for waiter in self.shared_waiters.drain(..).chain(self.lease_waiters.drain(..)) {
            let _ = waiter.give(Err(error.clone()));
        }
    }

    /// Removes the route at `place`, its idle connections with it.
    pub(super) fn remove_route(&mut self, place: usize) -> Arc<Generation> {
        let route = self.routes.remove(place);
        route.generation
    }

    /// The leaving generations that must end now. Those without a connection are forgotten.
    pub(super) fn take_leaving(&mut self, ends: impl Fn(&Generation) -> bool) -> Vec<Arc<Generation>> {
        let (end, stay) = std::mem::take(&mut self.leaving)
            .into_iter()
            .partition(|generation| ends(generation));
        self.leaving = stay;
        self.leaving.retain(|generation| generation.is_in_use());
        end
    }

    /// Notes how a node failed, in place of its earlier failure.
    pub(super) fn note(&mut self, endpoint: &Endpoint, attempt: Attempt) {
        self.attempts.retain(|(at, _)| at != endpoint);
        self.attempts.push((endpoint.clone(), attempt));
    }

    /// Waiters that are still there.
    pub(super) fn demand(&mut self) -> (usize, usize) {
        self.shared_waiters.retain(|waiter| !waiter.is_done());
        self.lease_waiters.retain(|waiter| !waiter.is_done());
        (self.shared_waiters.len(), self.lease_waiters.len())
    }
}

fn is_of(route: &Route, direct: &Direct) -> bool {
    Arc::ptr_eq(&route.generation, direct.generation())
}

fn far_away() -> Instant {
    Instant::now() + Duration::from_secs(365 * 24 * 3600)
}
