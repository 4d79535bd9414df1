//! What a pool holds at one moment: who is connected, who waits. No I/O.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::direct::Direct;
use super::errand::Errand;
use super::flight::Call;
use super::generation::Generation;
use super::held::Held;
use super::lane::Lane;
use super::line::WaitingLine;
use super::outage::Outage;
use super::own::OwnLanes;
use super::passing::Passing;
use super::select::{self, Choice};
use super::waiters::{Callers, Claims, Place};
use super::want::{Grant, Line, Want};
use crate::base::clock;
use crate::base::error::{Attempt, Error};
use crate::base::handoff::Giver;
use crate::net::{Endpoint, Part};
use crate::options::Select;

/// A node that calls may be routed to.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) generation: Arc<Generation>,
    #[allow(clippy::vec_box, reason = "they move between here and their callers all the time")]
    pub(super) idle: Vec<Box<Direct>>,
    pub(super) lanes: Vec<Arc<Lane>>,
    /// Dials of lanes under way, and of leases: once the service has moved on, none of the old node counts.
    pub(super) lane_dials: usize,
    pub(super) lease_dials: usize,
    /// A verified connection was made, and none failed since.
    pub(super) ready: bool,
    /// It has been dialled and failed at least once since it was last ready.
    pub(super) failed: bool,
    /// Of a replica: its link to the primary is down.
    pub(super) stale: bool,
    /// Dials under way.
    pub(super) dialling: usize,
    /// Smoothed time of a call, in microseconds.
    pub(super) micros: u32,
}

impl Route {
    pub(super) fn new(generation: Generation) -> Route {
        Route {
            generation: Arc::new(generation),
            idle: Vec::new(),
            lanes: Vec::new(),
            lane_dials: 0,
            lease_dials: 0,
            ready: false,
            failed: false,
            stale: false,
            dialling: 0,
            micros: 0,
        }
    }
}

impl Route {
    /// The lane of submitted calls: the first one, and no other while that is on its way out.
    pub(super) fn submitted_lane(&self) -> Option<Arc<Lane>> {
        self.lanes.first().filter(|lane| lane.is_usable()).map(Arc::clone)
    }

    /// It has been verified and has a connection left to prove it.
    pub(super) fn is_serving(&self) -> bool {
        self.ready && self.has_connection()
    }

    /// Whether a connection for shared use is left.
    pub(super) fn has_connection(&self) -> bool {
        self.generation.shared() > 0 || !self.lanes.is_empty()
    }

    pub(super) fn take_idle(&mut self) -> Option<Box<Direct>> {
        while let Some(direct) = self.idle.pop() {
            if direct.is_usable() {
                return Some(direct);
            }
            self.generation.discount_shared();
        }
        None
    }

    /// Takes those lanes out.
    pub(super) fn take_lanes(&mut self, which: impl FnMut(&Arc<Lane>) -> bool) -> Vec<Arc<Lane>> {
        let (taken, left) = std::mem::take(&mut self.lanes).into_iter().partition(which);
        self.lanes = left;
        taken
    }

    /// The lane of the next call.
    pub(super) fn lane(&self, calls: usize) -> Option<Arc<Lane>> {
        // Those that take no more are on their way out: whoever gave them up takes them out.
        let lane = match self.lanes.as_slice() {
            [] => None,
            [only] => Some(only).filter(|lane| lane.is_usable()),
            several => several
                .get(calls % several.len())
                .filter(|lane| lane.is_usable())
                .or_else(|| several.iter().find(|lane| lane.is_usable())),
        };
        lane.map(Arc::clone)
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
    pub(super) calls: usize,
    /// Threads that wait for a connection of shared use.
    pub(super) callers: Callers,
    /// Who waits for one of `max_connections`.
    pub(super) claims: Claims,
    pub(super) max_connections: usize,
    /// Connections that go over to sentinel-io.
    pub(super) passing: Passing,
    /// Submitted calls that wait for a lane.
    pub(super) lane_waiters: WaitingLine,
    /// Writes that wait while reads go on.
    pub(super) held: Held,
    /// Since when no node can be had.
    pub(super) outage: Outage,
    /// Connections of submitted calls' own, counted among the leases.
    pub(super) own_lanes: OwnLanes,
    /// Lanes that were left and are still handing over what they had begun: until then nothing is submitted over another.
    pub(super) going_out: Vec<Arc<Lane>>,
    /// What is to be done about submitted calls once the lock is released.
    pub(super) errands: VecDeque<Errand>,
    /// Somebody is running errands: what comes meanwhile waits in line.
    pub(super) errands_run: bool,
    /// Connections leased or kept idle after a lease.
    pub(super) leases: usize,
    pub(super) idle_leases: Vec<(Box<Direct>, Instant)>,
    /// The last failure of each node since a connection succeeded.
    pub(super) attempts: Vec<(Endpoint, Attempt)>,
    /// What replicas said of themselves lately, and when.
    pub(super) own_words: HashMap<Endpoint, (Part, Instant)>,
    /// A call came since the keeper last looked.
    pub(super) used: bool,
}

impl State {
    /// Nothing connected, nobody waiting.
    pub(super) fn new(select: Select, max_connections: usize, fail_fast_after: Option<Duration>) -> State {
        State {
            closed: false,
            routes: Vec::new(),
            leaving: Vec::new(),
            select,
            calls: 0,
            callers: Callers::default(),
            claims: Claims::default(),
            max_connections,
            passing: Passing::default(),
            lane_waiters: WaitingLine::default(),
            held: Held::default(),
            outage: Outage::new(fail_fast_after),
            own_lanes: OwnLanes::default(),
            going_out: Vec::new(),
            errands: VecDeque::new(),
            errands_run: false,
            leases: 0,
            idle_leases: Vec::new(),
            attempts: Vec::new(),
            own_words: HashMap::new(),
            used: false,
        }
    }

    /// Where the next call goes first.
    pub(super) fn first(&self) -> usize {
        let choice = |route: &Route| Choice {
            free: route.ready && !(route.idle.is_empty() && route.lanes.is_empty()),
            micros: route.micros,
        };
        let choices: Vec<Choice> = match self.select {
            Select::Latency => self.routes.iter().map(choice).collect(),
            _ => return select::place(self.select, self.routes.len(), self.calls, fastrand::usize(..)),
        };
        select::fastest(&choices, self.calls)
    }

    /// Enters a waiter: its place, and whether the keeper should look, for more waiters than connections it may make
    /// change nothing.
    pub(super) fn wait(&mut self, want: Want, giver: Giver<Grant>, most: usize) -> (Place, bool) {
        if want == Want::Lease {
            let place = self.claims.push(giver);
            self.settle();
            return (place, true);
        }
        let place = self.callers.push(want, giver);
        let few = self.callers.len() <= most.saturating_mul(self.routes.len().max(1));
        // The first who would take a lane is news, however many wait who would not.
        let first = want == Want::Shared && self.callers.of_lanes() == 1;
        (place, few || first)
    }

    /// A waiter has given up.
    pub(super) fn leave(&mut self, want: Want, place: Place) {
        match want {
            Want::Lease => drop(self.claims.remove(place)),
            Want::Shared | Want::Bulk => self.callers.remove(place),
        }
    }

    /// Puts a lane to use: everyone who waits for it goes out at once.
    pub(super) fn open_lane(&mut self, lane: &Arc<Lane>) -> bool {
        let of = |route: &&mut Route| Arc::ptr_eq(&route.generation, lane.generation());
        let route = self.routes.iter_mut().find(of);
        let Some(route) = route.filter(|_| !self.closed && lane.is_usable()) else {
            return false;
        };
        route.lanes.push(Arc::clone(lane));
        for waiter in self.callers.take_for_lane() {
            let _ = waiter.give(Ok(Line::Lane(Arc::clone(lane))));
        }
        true
    }

    /// Takes a lane out of use whose connection was lost, and of which `unsent` was not sent.
    pub(super) fn lose_lane(&mut self, lane: &Arc<Lane>, unsent: VecDeque<Call>, lost: Error) {
        lane.give_up();
        self.has_gone_out(lane);
        for route in &mut self.routes {
            route.lanes.retain(|known| !Arc::ptr_eq(known, lane));
            route.ready &= route.has_connection();
        }
        self.leases -= usize::from(self.own_lanes.remove(lane.id).is_some());
        let lane = Arc::clone(lane);
        let lost = Some(lost);
        self.errands.push_back(Errand::TakeBack { lane, unsent, lost });
    }

    /// Leaves lanes: they end once the calls under way have, and what they have not sent goes elsewhere.
    pub(super) fn leave_lanes(&mut self, lanes: impl IntoIterator<Item = Arc<Lane>>) {
        for lane in lanes {
            let unsent = lane.leave();
            if !lane.own {
                self.going_out.push(Arc::clone(&lane));
            }
            let lost = None;
            self.errands.push_back(Errand::TakeBack { lane, unsent, lost });
        }
    }

    /// Leaves this one, if it is in use.
    pub(super) fn leave_lane(&mut self, lane: &Arc<Lane>) {
        let mut left = Vec::new();
        for route in &mut self.routes {
            left.extend(route.take_lanes(|known| Arc::ptr_eq(known, lane)));
            route.ready &= route.has_connection();
        }
        self.leave_lanes(left);
    }

    /// A lane that was left has handed over what it had begun. Whether it was waited for.
    pub(super) fn has_gone_out(&mut self, lane: &Lane) -> bool {
        let before = self.going_out.len();
        self.going_out.retain(|known| known.id != lane.id);
        self.going_out.len() < before
    }

    /// Drops a connection and gives its slot free.
    pub(super) fn discard(&mut self, want: Want, direct: Box<Direct>) {
        match want {
            Want::Shared | Want::Bulk => direct.generation().discount_shared(),
            Want::Lease => self.leases -= 1,
        }
        drop(direct);
    }

    /// Drops idle connections whose peer has hung up or whose time has come. How many of them had been hung up.
    pub(super) fn sweep(&mut self, gone: &[u64], now: Instant) -> usize {
        let mut hung_up = 0;
        for route in &mut self.routes {
            let before = route.idle.len();
            route.idle.retain(|direct| !gone.contains(&direct.id()));
            for _ in route.idle.len()..before {
                route.generation.discount_shared();
            }
            hung_up += before - route.idle.len();
        }
        let of_leases = self
            .idle_leases
            .iter()
            .filter(|(direct, _)| gone.contains(&direct.id()));
        hung_up += of_leases.count();
        let before = self.idle_leases.len();
        self.idle_leases
            .retain(|(direct, until)| !gone.contains(&direct.id()) && *until > now && direct.is_usable());
        self.leases -= before - self.idle_leases.len();
        self.drop_idle_own_lanes(|lane, until| until <= now || !lane.is_usable());
        hung_up
    }

    /// Drops the idle connections to `endpoint`. How many these were.
    pub(super) fn drop_idle(&mut self, endpoint: &Endpoint) -> usize {
        let (mut dropped, mut left) = (0, Vec::new());
        for route in self
            .routes
            .iter_mut()
            .filter(|route| route.generation.endpoint == *endpoint)
        {
            dropped += route.idle.len();
            for _ in route.idle.drain(..) {
                route.generation.discount_shared();
            }
            left.append(&mut route.lanes);
            route.ready &= route.has_connection();
        }
        self.leave_lanes(left);
        let before = self.idle_leases.len();
        self.idle_leases
            .retain(|(direct, _)| direct.generation().endpoint != *endpoint);
        self.leases -= before - self.idle_leases.len();
        self.drop_idle_own_lanes(|lane, _| lane.generation.endpoint == *endpoint);
        dropped + before - self.idle_leases.len()
    }

    /// Drops what is idle there under older credentials than the node has taken; lanes end with the calls they carry.
    pub(super) fn drop_outdated(&mut self, generation: &Arc<Generation>) {
        let of = |route: &&mut Route| Arc::ptr_eq(&route.generation, generation);
        let mut left = Vec::new();
        for route in self.routes.iter_mut().filter(of) {
            let before = route.idle.len();
            route.idle.retain(|direct| direct.is_usable());
            for _ in route.idle.len()..before {
                route.generation.discount_shared();
            }
            left.extend(route.take_lanes(|lane| !lane.is_usable()));
        }
        self.leave_lanes(left);
        self.sweep(&[], clock::now());
    }

    /// Ends every wait of `want` with `error`.
    pub(super) fn refuse(&mut self, error: &Error) {
        let (threads, calls) = self.claims.drain();
        for waiter in self.callers.drain().chain(threads) {
            let _ = waiter.give(Err(error.clone()));
        }
        let mut waiting = self.lane_waiters.take(usize::MAX);
        waiting.extend(calls);
        waiting.extend(self.held.refuse(error));
        if !waiting.is_empty() {
            self.errands.push_back(Errand::Fail(waiting, error.clone()));
        }
    }

    /// Dials of leases under way.
    pub(super) fn lease_dials(&self) -> usize {
        self.routes.iter().map(|route| route.lease_dials).sum()
    }

    /// Removes the route at `place`, its idle connections with it.
    pub(super) fn remove_route(&mut self, place: usize) -> Arc<Generation> {
        let route = self.routes.remove(place);
        self.leave_lanes(route.lanes);
        self.drop_idle_slots(&route.generation);
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

    /// Notes how a node failed, in place of its earlier failure. Whether that was the same.
    pub(super) fn note(&mut self, endpoint: &Endpoint, attempt: Attempt) -> bool {
        let again = self.attempts.iter().any(|(_, before)| *before == attempt);
        self.attempts.retain(|(at, _)| at != endpoint);
        self.attempts.push((endpoint.clone(), attempt));
        again
    }

    /// Waiters that are still there.
    pub(super) fn demand(&mut self) -> Demand {
        // Those who have given up in front leave.
        let _ = (self.callers.any(), self.claims.next(0));
        Demand {
            calls: self.callers.len(),
            lanes: self.callers.of_lanes(),
            submitted: self.lane_waiters.len(),
            leases: self.claims.len(),
            missed: std::mem::take(&mut self.passing.missed),
        }
    }
}

/// How many wait for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand {
    /// For a shared connection of either kind.
    pub(super) calls: usize,
    /// Those of them who would take a lane.
    pub(super) lanes: usize,
    /// Submitted calls, which take nothing but a lane.
    pub(super) submitted: usize,
    /// For a connection of their own.
    pub(super) leases: usize,
    /// Somebody did not wait for a connection to itself, and would have had one.
    pub(super) missed: bool,
}

impl Demand {
    pub(super) fn any(self) -> bool {
        self.calls + self.submitted + self.leases > 0
    }
}

pub(super) fn is_of(route: &Route, direct: &Direct) -> bool {
    Arc::ptr_eq(&route.generation, direct.generation())
}
