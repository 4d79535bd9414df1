//! From a greeted connection to one in use: its role verified, its kind made, its watchers posted.

use std::sync::{Arc, Weak};

use super::common::Common;
use super::direct::Direct;
use super::driver::Driver;
use super::generation::{Generation, next_id};
use super::holder::Holder;
use super::keeper::Keeper;
use super::lane::Lane;
use super::state::{Route, State};
use super::verify::Use;
use super::want::Want;
use crate::base::tasks;
use crate::net::Greeted;

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
        let Common { gate, sentries, .. } = &*self.common;
        let driver = Driver::new(Arc::clone(&lane), &self.pool, (gate, sentries), (watching, decoder));
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
}
