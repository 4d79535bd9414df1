//! The task of sentinel-io that makes a pool's connections, puts them to use when they are verified, and retires them.

use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, yield_now};

use super::Pool;
use super::common::Common;
use super::direct::Direct;
use super::driver::Driver;
use super::gate::Entry;
use super::generation::{Generation, next_id};
use super::holder::Holder;
use super::lane::Lane;
use super::state::{Demand, Route, State};
use super::verify::{Use, verify};
use super::want::Want;
use crate::base::clock;
use crate::base::error::{Error, ErrorKind, Stage};
use crate::base::tasks::{self, until};
use crate::net::{DialError, Endpoint, Greeted, Login, Tls, Transport, handshake};
use crate::topology::{Hint, Unserved};

/// How often a keeper whose callers wait for a primary to be named looks whether they still do.
const STILL_WAITING_MS: std::ops::Range<u64> = 1000..2000;

/// Dials of leases that are started before others have their turn.
const AT_ONCE: usize = 32;

/// How often a keeper whose callers shall not wait for a node that is not there looks whether one is named.
const LOOK_AROUND: Duration = Duration::from_millis(20);

/// How often a keeper looks whether replicas that failed are worth another try while nobody calls.
const IDLE_LOOK: Duration = Duration::from_secs(1);

struct Dialled {
    generation: Arc<Generation>,
    goal: Use,
    result: Result<Greeted, DialError>,
}

/// The keeper of one pool.
#[derive(Debug)]
pub struct Keeper {
    pub(super) pool: Arc<Pool>,
    pub(super) common: Rc<Common>,
    pub(super) login: Rc<Login>,
    pub(super) transport: Rc<Transport>,
    dials: JoinSet<Dialled>,
    /// The generation of the snapshot that the routes follow.
    pub(super) applied: u64,
    /// The turn of holding writes that the routes are of.
    pub(super) turns: u64,
    /// Replicas are listed that calls do not go to at the moment.
    pub(super) aside: bool,
    /// Something waits for the gate.
    gated: bool,
    /// The node whose last probe was this keeper's.
    pub(super) duty: Option<Endpoint>,
    /// Callers wait for a primary to be named.
    unserved: Option<Unserved>,
    /// Leases dialled so far.
    lease_turn: usize,
    /// More of them are to be dialled once others had their turn.
    more: bool,
    next_look: Instant,
}

impl std::fmt::Debug for Dialled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialled")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl Keeper {
    /// A keeper that does nothing until the pool has a caller.
    pub fn new(pool: Arc<Pool>, common: Rc<Common>) -> Keeper {
        let (login, transport) = way_in(&pool, &common);
        Keeper {
            pool,
            common,
            login: Rc::new(login),
            transport: Rc::new(transport),
            dials: JoinSet::new(),
            applied: 0,
            turns: 0,
            aside: false,
            gated: false,
            duty: None,
            unserved: None,
            lease_turn: 0,
            more: false,
            next_look: clock::now(),
        }
    }

    /// Runs until the pool is closed.
    pub async fn run(mut self) {
        let mut changes = self.pool.service.changes();
        let mut gate = self.common.gate.changes();
        self.pool.demand.notified().await;
        while !self.pool.is_closed() {
            changes.mark_unchanged();
            gate.mark_unchanged();
            self.turns = self.pool.service.turns();
            self.apply();
            self.hold_or_let_go();
            self.take_over();
            let timer = self.work();
            self.pool.run_errands();
            if self.more {
                yield_now().await;
            }
            tokio::select! {
                () = self.pool.demand.notified() => {}
                changed = changes.changed() => if changed.is_err() { return },
                dialled = self.dials.join_next(), if !self.dials.is_empty() => {
                    if let Some(Ok(dialled)) = dialled {
                        self.finish(dialled);
                        self.pool.run_errands();
                    }
                }
                _ = gate.changed(), if self.gated => {}
                () = until(timer) => {}
            }
        }
        self.pool.close();
    }

    /// Starts the dials that are due and returns when to look again.
    fn work(&mut self) -> Option<Instant> {
        let now = clock::now();
        self.gated = false;
        let pool = Arc::clone(&self.pool);
        let mut state = pool.state.lock();
        state.sweep(&[], now);
        state.settle();
        let demand = state.demand();
        let (demand, waiting) = self.meet_outage(&mut state, demand, now);
        let last_words = state.leaving.iter().filter_map(|left| left.last_words()).min();
        if state.routes.is_empty() {
            let soon = state.outage.next_look().filter(|_| demand.any());
            drop(state);
            let later = self.await_primary(waiting, now);
            let soon = soon.map(|at| at.max(now + LOOK_AROUND));
            return soon.into_iter().chain(later).chain(last_words).min();
        }
        self.unserved = None;
        let mut timer = state.next_expiry();
        timer = timer
            .into_iter()
            .chain(state.outage.next_look().filter(|at| *at > now))
            .chain(last_words)
            .min();
        let probes = self.probes(&mut state, waiting, now);
        let wanted = self.wanted(&state, demand, probes);
        for (goal, generation) in wanted {
            if generation.was_shaken() {
                self.common.gate.doubt(&generation.endpoint);
            }
            match self.common.gate.entry(&generation.endpoint, now) {
                Entry::Open => self.dial(&mut state, goal, generation),
                held => {
                    self.gated = true;
                    let mine = self.duty.as_ref() == Some(&generation.endpoint);
                    let at = held.look_again(mine);
                    timer = Some(timer.map_or(at, |timer| timer.min(at)));
                }
            }
        }
        if self.gated {
            self.refuse_logins(&mut state);
        } else if self.more {
            timer = Some(now);
        }
        let bounded = pool.settings.max_lag_bytes.is_some() || pool.settings.max_link_down.is_some();
        if bounded || self.aside || state.routes.iter().any(|route| !route.ready) {
            timer = Some(timer.map_or(self.next_look, |timer| timer.min(self.next_look)));
        }
        timer
    }

    /// The dials that the waiters call for, and the probes of routes that are not ready.
    fn wanted(&mut self, state: &State, demand: Demand, probes: bool) -> Vec<(Use, Arc<Generation>)> {
        let settings = &self.pool.settings;
        let mut wanted = Vec::new();
        let dials = state.lease_dials();
        let room = settings.max_connections.saturating_sub(state.leases + dials);
        let mut due = demand.leases.saturating_sub(dials).min(room);
        for route in &state.routes {
            let generation = || Arc::clone(&route.generation);
            if !route.ready {
                if route.dialling + route.lane_dials + route.lease_dials > 0 || !(probes || demand.any()) {
                    continue;
                }
                // The first connection is of the kind that is asked for.
                let goal = match (demand.calls, demand.leases, demand.submitted) {
                    (0, 0, 1..) => Use::Lane,
                    (0, 1.., 0) if due > 0 => {
                        due -= 1;
                        Use::Lease
                    }
                    _ => Use::Direct,
                };
                wanted.push((goal, generation()));
                continue;
            }
            // Newer credentials are shown to the node before connections with the old ones are given up: where they are
            // refused, those serve on.
            let unshown = !route.generation.was_shown(self.login.vault.number());
            wanted.extend((unshown && route.dialling == 0).then(|| (Use::Direct, generation())));
            let open = route.generation.shared() + route.dialling + usize::from(unshown);
            let room = settings.direct.saturating_sub(open);
            let calls = demand.calls.max(usize::from(demand.missed));
            let more = calls.saturating_sub(route.dialling).min(room);
            wanted.extend((0..more).map(|_| (Use::Direct, generation())));
            // Who would still wait then shares a lane.
            let crowd = demand.lanes > route.dialling + more;
            let open = route.lanes.len() + route.lane_dials;
            let lanes = match crowd {
                true => settings.lanes.saturating_sub(open),
                false => usize::from(demand.submitted > 0 && open == 0),
            };
            wanted.extend((0..lanes).map(|_| (Use::Lane, generation())));
        }
        let ready: Vec<&Route> = state.routes.iter().filter(|route| route.ready).collect();
        self.more = due > AT_ONCE && !ready.is_empty();
        for _ in 0..due.min(AT_ONCE) {
            // Each one elsewhere: a replica that takes no connection costs one of them an attempt, not all.
            self.lease_turn = self.lease_turn.wrapping_add(1);
            let route = ready.get(self.lease_turn % ready.len().max(1));
            wanted.extend(route.map(|route| (Use::Lease, Arc::clone(&route.generation))));
        }
        wanted
    }

    /// Whether routes that failed are to be tried although nobody waits: while the client is used, so that a replica
    /// comes back by itself.
    fn probes(&mut self, state: &mut State, waiting: bool, now: Instant) -> bool {
        if self.next_look > now {
            return waiting;
        }
        self.next_look = now + IDLE_LOOK;
        std::mem::take(&mut state.used) || waiting
    }

    /// Discovery goes on asking by itself while anybody is unserved.
    fn await_primary(&mut self, waiting: bool, now: Instant) -> Option<Instant> {
        if !waiting {
            self.unserved = None;
            return None;
        }
        self.pool.refuse_if_final();
        if self.unserved.is_none() {
            self.unserved = Some(Unserved::new(&self.pool.service));
            self.pool.service.hint(Hint::Lost);
        }
        Some(now + Duration::from_millis(fastrand::u64(STILL_WAITING_MS)))
    }

    fn dial(&mut self, state: &mut State, goal: Use, generation: Arc<Generation>) {
        let route = |route: &&mut Route| Arc::ptr_eq(&route.generation, &generation);
        match (goal, state.routes.iter_mut().find(route)) {
            (Use::Lease, Some(route)) => route.lease_dials += 1,
            (Use::Direct, Some(route)) => route.dialling += 1,
            (Use::Lane, Some(route)) => route.lane_dials += 1,
            (_, None) => {}
        }
        let pass = self.common.gate.pass(&generation.endpoint);
        let login = Rc::clone(&self.login);
        generation.show(login.vault.number());
        let (transport, limits) = (Rc::clone(&self.transport), self.pool.settings.limits);
        let limit = self.pool.settings.connect_timeout;
        self.dials.spawn_local(async move {
            let result = handshake::greet_node(&generation.endpoint, &login, &transport, limits, limit).await;
            let result = result.and_then(|greeted| verify(greeted, generation.role));
            match &result {
                Ok(_) => pass.succeeded(),
                Err(error) => pass.failed(error),
            }
            Dialled {
                generation,
                goal,
                result,
            }
        });
    }

    fn finish(&mut self, dialled: Dialled) {
        let pool = Arc::clone(&self.pool);
        let mut state = pool.state.lock();
        let Dialled {
            generation,
            goal,
            result,
        } = dialled;
        let endpoint = generation.endpoint.clone();
        let route = state
            .routes
            .iter_mut()
            .find(|route| Arc::ptr_eq(&route.generation, &generation));
        let routed = route.is_some();
        match (goal, route) {
            (Use::Direct, Some(route)) => route.dialling -= 1,
            (Use::Lane, Some(route)) => route.lane_dials -= 1,
            (Use::Lease, Some(route)) => route.lease_dials -= 1,
            (_, None) => {}
        }
        match result {
            Ok(greeted) if routed => {
                if let Some(objection) = self.objection(&mut state, &generation, greeted.part()) {
                    state.note(&endpoint, objection.at(&endpoint));
                    return;
                }
                let admitted = self.admit(&mut state, goal, greeted, &generation);
                drop(state);
                if admitted {
                    let (observer, role) = (&pool.observer, generation.role);
                    observer.connection_made(&pool.calls, &endpoint, role, goal.word());
                }
            }
            Ok(_) => {}
            Err(error) => {
                self.duty = Some(endpoint.clone());
                if error.stage != Stage::Auth {
                    generation.unshow();
                }
                let attempt = error.at(&endpoint);
                let again = state.note(&endpoint, attempt.clone());
                let route = state
                    .routes
                    .iter_mut()
                    .find(|route| Arc::ptr_eq(&route.generation, &generation));
                if let Some(route) = route {
                    route.failed = true;
                    route.ready &= route.has_connection();
                }
                // A node that refuses the login is there.
                if !matches!(attempt.stage, Stage::Auth | Stage::Tls) {
                    state.outage.is_known();
                }
                self.refuse_logins(&mut state);
                drop(state);
                pool.observer.node_refused(&pool.calls, &endpoint, &attempt, again);
                let hint = if error.stage == Stage::Role {
                    Hint::WrongRole
                } else {
                    Hint::Lost
                };
                pool.service.hint(hint);
            }
        }
    }

    /// A node that refuses the login is told at once, for no retry cures it: when no route is left that could.
    fn refuse_logins(&self, state: &mut State) {
        let mut refusals = Vec::new();
        for route in &state.routes {
            let endpoint = &route.generation.endpoint;
            let error = self.common.gate.error(endpoint);
            match error.filter(|error| !route.ready && matches!(error.stage, Stage::Auth | Stage::Tls)) {
                Some(error) => refusals.push((endpoint, error)),
                None => return,
            }
        }
        let Some((endpoint, error)) = refusals.last() else {
            return;
        };
        let cause = error.cause.clone();
        let kind = match error.stage {
            Stage::Tls => ErrorKind::Tls { cause },
            _ => ErrorKind::Auth { cause },
        };
        let attempts = refusals.iter().map(|(endpoint, error)| error.at(endpoint)).collect();
        let refusal = Error::new(kind).at(endpoint.to_string()).with_attempts(attempts);
        state.refuse(&refusal);
    }
}

/// How the connections of a pool are made and logged in.
pub(crate) fn way_in(pool: &Pool, common: &Common) -> (Login, Transport) {
    let settings = &pool.settings;
    let login = Login {
        vault: Arc::clone(&pool.vault),
        database: settings.database,
        client_name: settings.client_name.clone(),
        client_info: settings.client_info,
        protocol: settings.protocol,
    };
    let tls = settings.tls.clone();
    let tls = tls.map(|tls| Tls::new(tls, common.names.clone()));
    (login, Transport::new(settings.tcp.clone(), tls))
}

impl Keeper {
    /// Puts a verified connection to use; false when there is no use for it any more.
    pub(super) fn admit(&self, state: &mut State, goal: Use, greeted: Greeted, generation: &Arc<Generation>) -> bool {
        generation.took(greeted.login);
        state.drop_outdated(generation);
        let admitted = match goal {
            Use::Lane => self.open_lane(state, greeted, generation, false),
            Use::Lease if state.is_call_next() => self.open_lane(state, greeted, generation, true),
            Use::Direct => self.open_direct(state, Want::Shared, greeted, generation),
            Use::Lease => self.open_direct(state, Want::Lease, greeted, generation),
        };
        if !admitted {
            return false;
        }
        let Common { gate, sentries, .. } = &*self.common;
        let holder = Arc::clone(&self.pool) as Arc<dyn Holder>;
        sentries.post(gate, &holder, &generation.endpoint, &self.login, &self.transport);
        state.attempts.retain(|(at, _)| *at != generation.endpoint);
        true
    }

    fn open_direct(&self, state: &mut State, want: Want, greeted: Greeted, of: &Arc<Generation>) -> bool {
        let Some(direct) = Direct::new(greeted, Arc::clone(of), &self.common) else {
            return false;
        };
        let holder = Arc::downgrade(&self.pool) as Weak<dyn Holder>;
        self.common
            .hangups
            .add(direct.id(), &of.endpoint, direct.socket(), holder);
        mark_ready(state, of);
        match want {
            Want::Shared | Want::Bulk => of.count_shared(),
            Want::Lease => state.leases += 1,
        }
        state.put(want, Box::new(direct), || self.pool.idle_until());
        true
    }

    fn open_lane(&self, state: &mut State, greeted: Greeted, of: &Arc<Generation>, own: bool) -> bool {
        let login = greeted.login;
        let (watching, decoder) = greeted.wire.into_parts();
        let (id, socket) = (next_id(), watching.stream.socket());
        let lane = Arc::new(Lane::new(id, Arc::clone(of), socket, login, own));
        let live = of.enter(id, socket);
        let driver = Driver::new(Arc::clone(&lane), &self.pool, &self.common, (watching, decoder));
        if !live {
            return false;
        }
        mark_ready(state, of);
        // A lane that found no route ends with its driver, which is dropped here.
        let opened = if own {
            state.open_own_lane(&lane, self.pool.idle_until())
        } else {
            state.open_lane(&lane)
        };
        if opened {
            tasks::start(driver.run());
        }
        opened
    }
}

/// A connection to the route's node has been verified.
fn mark_ready(state: &mut State, generation: &Arc<Generation>) {
    let of = |route: &&mut Route| Arc::ptr_eq(&route.generation, generation);
    for route in state.routes.iter_mut().filter(of) {
        route.ready = true;
        route.failed = false;
    }
    state.outage.is_over();
}
