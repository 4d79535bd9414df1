//! The places of `pool.max_connections`: connections in one caller's hands and those of submitted calls' own, and who
//! waits for one of them. No I/O.

use std::sync::Arc;
use std::time::Instant;

use super::direct::Direct;
use super::errand::Errand;
use super::generation::Generation;
use super::lane::Lane;
use super::state::{Route, State};
use super::trust::TRUSTED;
use super::waiters::{Claim, Place};
use super::want::Line;
use crate::base::clock;

impl State {
    /// An idle connection for a caller that keeps it, unless others have waited longer.
    pub(super) fn take_lease(&mut self) -> Option<Box<Direct>> {
        match self.claims.next(0) {
            Some(_) => None,
            None => self.pop_idle_lease().map(|(direct, _)| direct),
        }
    }

    fn pop_idle_lease(&mut self) -> Option<(Box<Direct>, Instant)> {
        while let Some((direct, until)) = self.idle_leases.pop() {
            if direct.is_usable() && is_routed(&self.routes, direct.generation()) {
                return Some((direct, until));
            }
            self.leases -= 1;
        }
        None
    }

    /// The idle connection for a submitted call of its own; where there is none, or others have waited longer, the call
    /// is entered among those that wait.
    pub(super) fn own_lane_or_wait(&mut self, id: u64) -> Option<Arc<Lane>> {
        if self.claims.next(0).is_none() {
            if let Some(lane) = self.take_own_lane(id) {
                return Some(lane);
            }
        }
        self.claims.push_call(id);
        self.settle();
        None
    }

    /// An idle connection for a call of its own. Those that are of no use any more go.
    fn take_own_lane(&mut self, id: u64) -> Option<Arc<Lane>> {
        let now = clock::now();
        while let Some((lane, until)) = self.own_lanes.take_idle() {
            if until > now && lane.is_usable() && is_routed(&self.routes, &lane.generation) {
                lane.carry(id);
                return Some(lane);
            }
            self.drop_own_lane(&lane);
        }
        None
    }

    /// Puts a connection of a submitted call's own to use.
    pub(super) fn open_own_lane(&mut self, lane: &Arc<Lane>, idle_until: Instant) -> bool {
        if self.closed || !is_routed(&self.routes, &lane.generation) || !lane.is_usable() {
            return false;
        }
        self.leases += 1;
        self.own_lanes.add(lane);
        self.rest_own_lane(lane, idle_until);
        true
    }

    /// What an own connection carried of this call has ended. Another call may have it by now, of which nothing was
    /// handed over yet: that one keeps it.
    pub(super) fn settle_own_lane(&mut self, lane: &Arc<Lane>, id: u64, idle_until: Instant) {
        if lane.carries(id) && !lane.is_held() {
            self.rest_own_lane(lane, idle_until);
        }
    }

    /// An own connection without a call: for the first that waits, else idle until `idle_until`, but not so long that it
    /// would have to be asked whether it is still there.
    pub(super) fn rest_own_lane(&mut self, lane: &Arc<Lane>, idle_until: Instant) {
        if !self.own_lanes.rest(lane.id, idle_until.min(clock::now() + TRUSTED)) {
            // One that was begun elsewhere, for the call that it has done.
            return self.leave_lanes([Arc::clone(lane)]);
        }
        lane.carry(0);
        if !is_routed(&self.routes, &lane.generation) {
            self.drop_own_lane(lane);
        }
        self.settle();
    }

    /// Lets go of an own connection, and gives its slot free.
    pub(super) fn drop_own_lane(&mut self, lane: &Arc<Lane>) {
        match self.own_lanes.remove(lane.id) {
            Some(gone) => self.left_own_lanes(vec![gone]),
            None => self.leave_lanes([Arc::clone(lane)]),
        }
    }

    /// The same for some of the idle ones.
    pub(super) fn drop_idle_own_lanes(&mut self, which: impl Fn(&Lane, Instant) -> bool) {
        let gone = self.own_lanes.remove_idle_if(which);
        self.left_own_lanes(gone);
    }

    fn left_own_lanes(&mut self, gone: Vec<Arc<Lane>>) {
        self.leases -= gone.len();
        self.leave_lanes(gone);
    }

    /// Serves those that wait, in the order of asking, with what is idle. Where every slot is taken, what is idle of the
    /// other kind makes room for the first: a connection of the right kind is dialled for it then.
    pub(super) fn settle(&mut self) {
        let mut open = self.max_connections.saturating_sub(self.leases);
        if self.claims.len() <= open {
            return self.settle_with_slots();
        }
        let mut from = 0;
        // Each way to the end of `open` serves one of them or makes room: nothing is looked at in vain.
        while self.is_any_idle() {
            let Some((place, claim)) = self.claims.next(from) else {
                return;
            };
            from = place + 1;
            let served = match claim {
                Claim::Thread => self.serve_thread(place),
                Claim::Call(id) => self.serve_call(id),
            };
            if served {
                continue;
            }
            if open > 0 {
                // There is a slot for it, or a dial under way.
                open -= 1;
            } else if !self.drop_one_idle() {
                return;
            }
        }
    }

    /// The same where there is a slot for each of them: nobody waits for what another has.
    fn settle_with_slots(&mut self) {
        while let Some(place) = (!self.idle_leases.is_empty())
            .then(|| self.claims.next_thread(0))
            .flatten()
        {
            self.serve_thread(place);
        }
        while let Some((_, id)) = self.own_lanes.any_idle().then(|| self.claims.next_call(0)).flatten() {
            self.serve_call(id);
        }
    }

    fn is_any_idle(&self) -> bool {
        !self.idle_leases.is_empty() || self.own_lanes.any_idle()
    }

    fn serve_thread(&mut self, place: Place) -> bool {
        let Some((direct, until)) = self.pop_idle_lease() else {
            return false;
        };
        let waiter = self.claims.remove(place);
        let refused = match waiter {
            Some(waiter) => waiter.give(Ok(Line::Direct(direct))).err(),
            None => Some(Ok(Line::Direct(direct))),
        };
        if let Some(Ok(Line::Direct(direct))) = refused {
            self.idle_leases.push((direct, until));
        }
        true
    }

    fn serve_call(&mut self, id: u64) -> bool {
        let Some(lane) = self.take_own_lane(id) else {
            return false;
        };
        self.claims.remove_call(id);
        self.errands.push_back(Errand::Send(lane, vec![id]));
        true
    }

    /// Whether the next connection is for a submitted call.
    pub(super) fn is_call_next(&mut self) -> bool {
        matches!(self.claims.next(0), Some((_, Claim::Call(_))))
    }

    fn drop_one_idle(&mut self) -> bool {
        if self.idle_leases.pop().is_some() {
            self.leases -= 1;
            return true;
        }
        let idle = self.own_lanes.remove_idle();
        let was_idle = idle.is_some();
        self.left_own_lanes(idle.into_iter().collect());
        was_idle
    }

    /// Drops what is idle there of a generation that takes no more calls.
    pub(super) fn drop_idle_slots(&mut self, of: &Arc<Generation>) {
        let before = self.idle_leases.len();
        self.idle_leases
            .retain(|(direct, _)| !Arc::ptr_eq(direct.generation(), of));
        self.leases -= before - self.idle_leases.len();
        self.drop_idle_own_lanes(|lane, _| Arc::ptr_eq(&lane.generation, of));
    }

    /// Drops the connections kept after leases.
    pub(super) fn drop_idle_leases(&mut self) {
        self.leases -= self.idle_leases.drain(..).count();
        self.drop_idle_own_lanes(|_, _| true);
    }

    /// When the next idle one is due to be closed.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let leases = self.idle_leases.iter().map(|(_, until)| *until);
        leases.chain(self.own_lanes.next_expiry()).min()
    }
}

fn is_routed(routes: &[Route], generation: &Arc<Generation>) -> bool {
    routes.iter().any(|route| Arc::ptr_eq(&route.generation, generation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Endpoint, Socket};
    use crate::options::Select;
    use crate::topology::Role;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    fn state(limit: usize) -> (State, Arc<Generation>) {
        let mut state = State::new(Select::RoundRobin, limit, None);
        let generation = Generation::new(Endpoint::new("n", 1), Role::Primary, 1);
        state.routes.push(Route::new(generation));
        let generation = Arc::clone(&state.routes[0].generation);
        (state, generation)
    }

    fn socket() -> Arc<Socket> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Arc::new(Socket::new(stream).unwrap())
    }

    fn own_lane(state: &mut State, generation: &Arc<Generation>) -> Arc<Lane> {
        let id = crate::pool::generation::ConnectionId::from(fastrand::u32(..));
        let lane = Arc::new(Lane::new(id, Arc::clone(generation), &socket(), 0, true));
        let until = clock::now() + Duration::from_secs(60);
        assert!(state.open_own_lane(&lane, until));
        lane
    }

    #[test]
    fn an_idle_connection_is_for_a_call_while_its_node_is_routed_to() {
        let (mut state, generation) = state(4);
        own_lane(&mut state, &generation);
        let taken = state.own_lane_or_wait(1).unwrap();
        state.settle_own_lane(&taken, 1, clock::now() + Duration::from_secs(60));
        assert!(state.own_lane_or_wait(2).is_some_and(|lane| Arc::ptr_eq(&lane, &taken)));
        state.settle_own_lane(&taken, 2, clock::now() + Duration::from_secs(60));
        state.routes.clear();
        assert!(state.own_lane_or_wait(3).is_none(), "its node takes no more calls");
        assert_eq!((state.leases, state.own_lanes.len()), (0, 0));
    }

    #[test]
    fn what_is_idle_of_a_node_that_was_left_gives_its_slot_back() {
        let (mut state, generation) = state(4);
        let carrying = own_lane(&mut state, &generation);
        assert!(state.own_lane_or_wait(1).is_some());
        own_lane(&mut state, &generation);
        assert_eq!(state.leases, 2);
        state.remove_route(0);
        assert_eq!(state.leases, 1);
        state.settle_own_lane(&carrying, 1, clock::now() + Duration::from_secs(60));
        assert_eq!((state.leases, state.own_lanes.len()), (0, 0));
    }

    #[test]
    fn an_idle_own_connection_is_kept_only_as_long_as_it_is_trusted() {
        let (mut state, generation) = state(4);
        own_lane(&mut state, &generation);
        state.sweep(&[], clock::now() + TRUSTED);
        assert_eq!(state.leases, 0);
    }

    #[test]
    fn an_idle_connection_of_the_wrong_kind_makes_room_for_the_first_that_waits() {
        let (mut state, generation) = state(1);
        own_lane(&mut state, &generation);
        let (giver, _taker) = crate::base::handoff::handoff();
        state.claims.push(giver);
        assert!(state.own_lane_or_wait(2).is_none(), "another has waited longer");
        assert_eq!((state.leases, state.claims.len()), (0, 2));
        assert!(!state.is_call_next());
    }
    #[test]
    fn a_connection_stays_with_its_call_until_that_has_ended() {
        let (mut state, generation) = state(4);
        let until = clock::now() + Duration::from_secs(60);
        let lane = own_lane(&mut state, &generation);
        assert!(state.own_lane_or_wait(1).is_some());
        // What is told late of the call before, or of none.
        state.settle_own_lane(&lane, 7, until);
        state.settle_own_lane(&lane, 0, until);
        assert!(lane.carries(1) && state.own_lane_or_wait(2).is_none());
        state.settle_own_lane(&lane, 1, until);
        assert!(lane.carries(2), "it was for the one that waited");
        assert_eq!(state.errands.len(), 1);
        state.settle_own_lane(&lane, 1, until);
        assert!(lane.carries(2) && state.claims.len() == 0);
    }

    #[test]
    fn a_call_has_what_is_idle_where_those_in_front_have_slots_of_their_own() {
        for limit in [2, 3] {
            let (mut state, generation) = state(limit);
            let lane = own_lane(&mut state, &generation);
            assert!(state.own_lane_or_wait(1).is_some());
            let (giver, _taker) = crate::base::handoff::handoff();
            state.claims.push(giver);
            assert!(state.own_lane_or_wait(2).is_none());
            state.settle_own_lane(&lane, 1, clock::now() + Duration::from_secs(60));
            assert!(lane.carries(2));
            assert_eq!((state.leases, state.claims.len()), (1, 1));
        }
    }

    #[test]
    fn what_one_call_costs_does_not_grow_with_those_that_wait() {
        const CALLS: u64 = 3000;
        for limit in [1, 10, 4000] {
            let (mut state, generation) = state(limit);
            let lane = own_lane(&mut state, &generation);
            assert!(state.own_lane_or_wait(1).is_some());
            (2..=CALLS).for_each(|id| assert!(state.own_lane_or_wait(id).is_none()));
            let until = clock::now() + Duration::from_secs(60);
            for id in 1..=CALLS {
                assert!(lane.carries(id));
                state.settle_own_lane(&lane, id, until);
            }
            assert_eq!((state.claims.len(), state.own_lanes.len()), (0, 1));
            let looks = state.claims.looks.get();
            assert!(looks as u64 <= 20 * CALLS, "{looks} looks where {limit} are open");
        }
    }
}
