//! A connection that stays with one user for several calls: what the later ones mean rests on what the first one did there.

use std::sync::Arc;

use crate::base::sync::Mutex;
use crate::pool::{Lane, Pool};

#[derive(Debug, Default)]
struct State {
    lane: Option<Arc<Lane>>,
    /// Nobody wants it any more.
    over: bool,
}

/// Where such a connection is kept from the success of its first call on.
#[derive(Debug, Default)]
pub struct Hold(Mutex<State>);

impl Hold {
    /// Keeps the connection on which the first call has succeeded.
    pub(super) fn keep(&self, lane: &Arc<Lane>) {
        let mut state = self.0.lock();
        if !state.over {
            lane.hold(true);
            state.lane = Some(Arc::clone(lane));
        }
    }

    /// It, once the first call has succeeded.
    pub(super) fn lane(&self) -> Option<Arc<Lane>> {
        self.0.lock().lane.clone()
    }

    /// Whether its node is not sure to be the primary: no write is handed over to it.
    pub(crate) fn is_held_back(&self, pool: &Pool) -> bool {
        self.lane().is_some_and(|lane| pool.holds(Some(lane.generation())))
    }

    /// Lets go of it. `clean`: nothing of what was done on it is left there.
    pub(crate) fn release(&self, pool: &Arc<Pool>, clean: bool) {
        let lane = {
            let mut state = self.0.lock();
            state.over = true;
            state.lane.take()
        };
        if let Some(lane) = lane {
            pool.let_go(&lane, clean);
        }
    }
}
