//! Which nodes a pool's calls may go to: the primary; or the fresh replicas, else the stale ones, else the primary. The
//! worse are there only while no better one serves.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::Pool;
use super::generation::Generation;
use super::holder::Holder;
use super::keeper::Keeper;
use super::select::{self, Standing};
use super::state::{Route, State};
use crate::base::clock;
use crate::base::error::Stage;
use crate::net::{DialError, Endpoint, Part};
use crate::topology::{Role, Snapshot};

/// So long what a replica said of itself is newer than anything a Sentinel knows of it. Where it is read from it is asked
/// each second.
const OWN_WORD_HOLDS: Duration = Duration::from_secs(2);

/// The replicas that may be read from, and whether each is stale.
type Readable<'a> = HashMap<&'a Endpoint, bool>;

impl Keeper {
    /// Makes the routes those of the snapshot. What no longer holds its place is cut at once.
    pub(super) fn apply(&mut self) {
        self.hear_out();
        let snapshot = self.pool.service.snapshot();
        let Some(primary) = &snapshot.primary else { return };
        if snapshot.generation != self.applied {
            self.applied = snapshot.generation;
            let service = self.pool.service.name();
            self.common.gate.named(service, snapshot.generation, &primary.endpoint);
            self.pool.state.lock().attempts.clear();
        }
        let pool = Arc::clone(&self.pool);
        if let (Role::Primary, Some(awaited)) = (pool.role, &snapshot.awaited) {
            let client = Arc::clone(&pool) as Arc<dyn Holder>;
            let way = (&self.login, &self.transport);
            self.common.scouts.post(awaited, &client, &pool.service, way);
        }
        let mut state = pool.state.lock();
        let readable = self.readable(&mut state, &snapshot);
        let retired = self.outdated(&mut state, &snapshot, &readable);
        let mut fell_back = None;
        if self.pool.role == Role::Primary {
            ensure_routes(&mut state, [&primary.endpoint], Role::Primary, snapshot.epoch);
        } else {
            enlist(&mut state, &snapshot, &readable);
            fell_back = self.fall_back(&mut state, &snapshot, &primary.endpoint);
            self.aside = state.routes.len() < snapshot.replicas.len();
        }
        drop(state);
        if let Some(back) = fell_back {
            pool.observer.fell_back(&pool.calls, &primary.endpoint, back);
        }
        for generation in retired {
            generation.retire();
        }
    }

    /// Ends the generations that said what they are not, and have had the time to answer the rest.
    fn hear_out(&self) {
        let now = clock::now();
        let is_over = |generation: &Generation| generation.last_words().is_some_and(|until| until <= now);
        let over = self.pool.state.lock().take_leaving(is_over);
        for generation in over {
            generation.retire();
        }
    }

    /// The replicas that this client may read from now. The others are noted with what keeps them out.
    fn readable<'a>(&self, state: &mut State, snapshot: &'a Snapshot) -> Readable<'a> {
        let mut readable = Readable::new();
        if self.pool.role == Role::Primary {
            return readable;
        }
        let now = clock::now();
        state.own_words.retain(|_, (_, at)| *at + OWN_WORD_HOLDS > now);
        for replica in &snapshot.replicas {
            let told = state.own_words.get(&replica.endpoint).map(|(part, _)| part);
            match select::standing(replica, snapshot, &self.pool.settings, told) {
                Standing::Fresh => _ = readable.insert(&replica.endpoint, false),
                Standing::Stale => _ = readable.insert(&replica.endpoint, true),
                Standing::Unfit(cause) => {
                    let attempt = DialError::new(Stage::Query, cause).at(&replica.endpoint);
                    state.note(&replica.endpoint, attempt);
                }
            }
        }
        readable
    }

    /// Takes the generations out that no longer stand for what the snapshot says.
    fn outdated(&mut self, state: &mut State, snapshot: &Snapshot, readable: &Readable<'_>) -> Vec<Arc<Generation>> {
        let mut outdated = state.take_leaving(|generation| !is_named(generation, snapshot, readable));
        for place in (0..state.routes.len()).rev() {
            let Some(route) = state.routes.get(place) else { continue };
            let generation = Arc::clone(&route.generation);
            let named = is_named(&generation, snapshot, readable);
            if named && !generation.is_left() {
                continue;
            }
            state.remove_route(place);
            if named {
                // What was gathered to be written to it, and not begun, goes elsewhere.
                state.hold_back(|of| Arc::ptr_eq(of, &generation));
                // Condemned by a caller: the node said that it does not serve.
                let said = DialError::new(Stage::Role, "it refused a command for what it is or does");
                state.note(&generation.endpoint, said.at(&generation.endpoint));
                self.common.gate.failed(&generation.endpoint, &said);
                // Its callers wait here: to look again is this keeper's duty, soon.
                self.duty = Some(generation.endpoint.clone());
                state.leaving.push(generation);
                continue;
            }
            outdated.push(generation);
        }
        outdated
    }

    /// A replica client with no replica to read from reads from the primary, and returns when there is one again. When it
    /// turns: whether it is back.
    fn fall_back(&self, state: &mut State, snapshot: &Snapshot, primary: &Endpoint) -> Option<bool> {
        let mut replicas = state.routes.iter().filter(|route| is_replica(route));
        let (ready, all_failed) = (
            replicas.clone().any(|route| route.ready),
            replicas.all(|route| route.failed),
        );
        let place = state
            .routes
            .iter()
            .position(|route| route.generation.role == Role::Primary);
        match place {
            Some(place) if ready => {
                set_aside(state, place);
                Some(true)
            }
            None if !ready && all_failed && self.pool.settings.fallback_to_primary => {
                ensure_routes(state, [primary], Role::Primary, snapshot.epoch);
                Some(false)
            }
            _ => None,
        }
    }

    /// What a replica said of itself in its greeting: why it is not to be used, `None` when it is.
    pub(super) fn objection(&self, state: &mut State, generation: &Arc<Generation>, part: Part) -> Option<DialError> {
        if generation.role != Role::Replica {
            return None;
        }
        let (endpoint, snapshot) = (&generation.endpoint, self.pool.service.snapshot());
        let listed = snapshot.replicas.iter().find(|node| node.endpoint == *endpoint)?;
        let standing = select::standing(listed, &snapshot, &self.pool.settings, Some(&part));
        state.own_words.insert(endpoint.clone(), (part, clock::now()));
        let mut others = state
            .routes
            .iter()
            .filter(|route| !Arc::ptr_eq(&route.generation, generation));
        let objection = |cause: String| Some(DialError::new(Stage::Query, cause));
        match standing {
            Standing::Unfit(cause) => objection(cause),
            Standing::Stale if others.any(may_be_fresh) => {
                objection("its link to the primary is down, and others may be fresher".to_owned())
            }
            Standing::Fresh | Standing::Stale => None,
        }
    }
}

impl Pool {
    /// What a replica says of itself, now.
    pub(super) fn told(&self, endpoint: &Endpoint, part: &Part) {
        let mut state = self.state.lock();
        let said = (part.clone(), clock::now());
        let before = state.own_words.insert(endpoint.clone(), said);
        let news = before.is_none_or(|(before, _)| before != *part);
        drop(state);
        if news {
            self.demand.notify_one();
        }
    }

    /// Whether it reads from `endpoint` as a replica.
    pub(super) fn reads_replica(&self, endpoint: &Endpoint) -> bool {
        let state = self.state.lock();
        let mut replicas = state.routes.iter().filter(|route| is_replica(route));
        replicas.any(|route| route.generation.endpoint == *endpoint)
    }
}

fn is_replica(route: &Route) -> bool {
    route.generation.role == Role::Replica
}

/// A replica that serves as a fresh one, or may do so as soon as it is connected.
fn may_be_fresh(route: &Route) -> bool {
    is_replica(route) && !route.stale && (route.ready || !route.failed)
}

/// Whether the snapshot names the node in the role and epoch of the generation.
fn is_named(generation: &Generation, snapshot: &Snapshot, readable: &Readable<'_>) -> bool {
    match generation.role {
        Role::Primary => {
            let primary = snapshot.primary.as_ref();
            generation.epoch == snapshot.epoch && primary.is_some_and(|node| node.endpoint == generation.endpoint)
        }
        _ => readable.contains_key(&generation.endpoint),
    }
}

/// Routes to the fresh replicas; to the stale ones when those have failed. A stale one that serves goes on until a fresh
/// one does.
fn enlist(state: &mut State, snapshot: &Snapshot, readable: &Readable<'_>) {
    let listed = snapshot.replicas.iter().map(|node| &node.endpoint);
    let of = |stale: bool| {
        listed
            .clone()
            .filter(move |endpoint| readable.get(endpoint) == Some(&stale))
    };
    ensure_routes(state, of(false), Role::Replica, snapshot.epoch);
    for route in state.routes.iter_mut().filter(|route| is_replica(route)) {
        route.stale = readable.get(&route.generation.endpoint) == Some(&true);
    }
    let mut fresh = state.routes.iter().filter(|route| is_replica(route) && !route.stale);
    if fresh.clone().all(|route| !route.ready && route.failed) {
        return ensure_routes(state, of(true), Role::Replica, snapshot.epoch);
    }
    let is_served = fresh.any(|route| route.ready);
    let of_no_use = |route: &Route| is_replica(route) && route.stale && (is_served || !route.ready);
    while let Some(place) = state.routes.iter().rposition(of_no_use) {
        set_aside(state, place);
    }
}

/// Calls under way on a route that is set aside end there, unless it is cut; only its idle connections go.
fn set_aside(state: &mut State, place: usize) {
    let leaving = state.remove_route(place);
    state.leaving.push(leaving);
}

fn ensure_routes<'a>(state: &mut State, endpoints: impl IntoIterator<Item = &'a Endpoint>, role: Role, epoch: u64) {
    let of_role = state.routes.iter().filter(|route| route.generation.role == role);
    let known: HashSet<Endpoint> = of_role.map(|route| route.generation.endpoint.clone()).collect();
    for endpoint in endpoints.into_iter().filter(|endpoint| !known.contains(endpoint)) {
        let generation = Generation::new(endpoint.clone(), role, epoch);
        state.routes.push(Route::new(generation));
    }
}
