//! Submitted calls in a pool: which lane carries them, and what is done about those that wait. They are told outside
//! of the pool's lock, by errands.

use std::collections::HashSet;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Pool;
use super::generation::ConnectionId;
use super::lane::{Ended, Lane, Submissions};
use super::state::State;
use crate::error::{Error, ErrorKind};

/// Something to tell submitted calls.
#[derive(Debug)]
pub(super) enum Errand {
    /// They may go out on this lane.
    Send(Arc<Lane>, Vec<u64>),
    /// They cannot be sent.
    Fail(Vec<u64>, Error),
}

impl State {
    /// The lane for a submitted call: the first one, so that the calls of a thread stay in their order. None while
    /// others wait.
    fn lane_for_submitted(&mut self) -> Option<Arc<Lane>> {
        self.used = true;
        if self.errands_run || !self.errands.is_empty() || !self.lane_waiters.is_empty() {
            return None;
        }
        self.next_lane()
    }

    fn next_lane(&mut self) -> Option<Arc<Lane>> {
        let count = self.routes.len();
        let first = if count > 1 { self.first() } else { 0 };
        for step in 0..count {
            let place = (first + step) % count;
            let Some(route) = self.routes.get_mut(place).filter(|route| route.ready) else {
                continue;
            };
            if let Some(lane) = route.lane(0) {
                self.calls = self.calls.wrapping_add(1);
                return Some(lane);
            }
        }
        None
    }

    /// Lets everything that waits for a lane go out on `lane`.
    pub(super) fn send_waiting(&mut self, lane: &Arc<Lane>) {
        if !self.lane_waiters.is_empty() {
            let waiting = self.lane_waiters.drain(..).collect();
            self.errands.push(Errand::Send(Arc::clone(lane), waiting));
        }
    }

    /// The lane of that number.
    fn find_lane(&self, id: ConnectionId) -> Option<Arc<Lane>> {
        let shared = self.routes.iter().flat_map(|route| &route.lanes);
        let own = self.own_lanes.iter().map(|(lane, _)| lane);
        shared.chain(own).find(|lane| lane.id == id).map(Arc::clone)
    }

    /// The next errands; none when there is nothing to do any more.
    fn next_errands(&mut self) -> Vec<Errand> {
        if self.errands.is_empty() && !self.lane_waiters.is_empty() {
            // They came while errands were run.
            if let Some(lane) = self.next_lane() {
                self.send_waiting(&lane);
            }
        }
        self.errands_run = !self.errands.is_empty();
        std::mem::take(&mut self.errands)
    }
}

impl Pool {
    /// Has submitted calls carried for `submissions`.
    pub fn serve(&self, submissions: Arc<dyn Submissions>) {
        let _ = self.submissions.set(submissions);
    }

    /// Whether one more submitted call may come where there are `count`; `QueueFull` otherwise.
    pub fn has_room(&self, count: usize) -> Result<(), Error> {
        let limit = self.settings.max_pending;
        if count + self.in_flight.load(Ordering::Relaxed) < limit {
            return Ok(());
        }
        Err(Error::new(ErrorKind::QueueFull { limit }))
    }

    /// There are so many submitted calls that have not completed.
    pub fn count_submitted(&self, count: usize) {
        self.submitted.store(count, Ordering::Relaxed);
    }

    /// The lane for a submitted call, where there is one.
    pub fn lane(&self) -> Option<Arc<Lane>> {
        let mut state = self.state.lock();
        if state.closed {
            return None;
        }
        state.lane_for_submitted()
    }

    /// The connection for a submitted call, `own`: for it alone; `None` when it is now entered among those that wait.
    pub fn lane_or_wait(&self, id: u64, own: bool) -> Result<Option<Arc<Lane>>, Error> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Error::new(ErrorKind::Closed));
        }
        state.used = true;
        if own {
            let lane = state.own_lane_or_wait(id);
            drop(state);
            if lane.is_none() {
                self.demand.notify_one();
            }
            return Ok(lane);
        }
        let lane = state.lane_for_submitted();
        if lane.is_some() {
            return Ok(lane);
        }
        state.lane_waiters.push_back(id);
        // Who comes while many wait changes nothing that the keeper does.
        let news = state.lane_waiters.len() == 1;
        drop(state);
        if news {
            self.demand.notify_one();
        }
        Ok(None)
    }

    /// Calls that wait no more.
    pub fn withdraw_waiting(&self, ids: &HashSet<u64>) {
        let mut state = self.state.lock();
        state.lane_waiters.retain(|id| !ids.contains(id));
        ids.iter().for_each(|id| state.claims.remove_call(*id));
    }

    /// Takes calls back from a lane: those of which nothing was or will be sent. A connection of a call's own is closed
    /// under it, for its reply would be taken for the next call's.
    pub fn withdraw(&self, lane: ConnectionId, own: bool, ids: &HashSet<u64>) -> HashSet<u64> {
        let lane = {
            let mut state = self.state.lock();
            let Some(lane) = state.find_lane(lane) else {
                return HashSet::new();
            };
            if own {
                // It may have done the call meanwhile, and carry another one by now.
                if !lane.carries_one_of(ids) {
                    return HashSet::new();
                }
                state.drop_own_lanes(|known, _| Arc::ptr_eq(known, &lane));
            }
            lane
        };
        let withdrawn = lane.withdraw_calls(ids);
        if own {
            let _ = lane.socket.upgrade().map(|socket| socket.shutdown(Shutdown::Both));
            self.demand.notify_one();
        }
        withdrawn
    }

    /// Tells the calls of a lane how they ended.
    pub(super) fn calls_ended(self: &Arc<Pool>, lane: &Lane, ends: &mut Vec<Ended>) {
        if let Some(submissions) = self.submissions.get() {
            submissions.ended(self, lane, ends);
        }
    }

    /// A connection of a call's own has done its call.
    pub fn own_lane_free(self: &Arc<Pool>, lane: &Arc<Lane>) {
        let until = self.idle_until();
        self.state.lock().settle_own_lane(lane, until);
        self.run_errands();
        self.demand.notify_one();
    }

    /// Does what the state asks for. Whoever changed it calls this without its lock.
    pub(super) fn run_errands(self: &Arc<Pool>) {
        let mut errands = {
            let mut state = self.state.lock();
            // Who runs them already takes these as well.
            if state.errands_run {
                return;
            }
            state.next_errands()
        };
        while let Some(submissions) = self.submissions.get().filter(|_| !errands.is_empty()) {
            for errand in errands {
                match errand {
                    Errand::Send(lane, ids) => submissions.send(self, &lane, &ids),
                    Errand::Fail(ids, error) => submissions.fail(self, &ids, &error),
                }
            }
            errands = self.state.lock().next_errands();
        }
    }
}
