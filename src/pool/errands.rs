//! Submitted calls in a pool: which lane carries them, and what is done about those that wait. They are told outside
//! of the pool's lock, by errands.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Pool;
use super::lane::{Call, Ended, Lane, Refused, Sink, Submissions, Waiter};
use super::seat::{Failure, Wakes};
use super::state::State;
use crate::error::{Error, ErrorKind};

/// Something to tell submitted calls, or those that wait for a reply.
#[derive(Debug)]
pub(super) enum Errand {
    /// This lane takes no more: what it has not sent, `unsent` in front, waits again or ends.
    TakeBack {
        lane: Arc<Lane>,
        unsent: VecDeque<Call>,
        /// Why, where its connection was lost.
        lost: Option<Error>,
    },
    /// They may go out on this lane.
    Send(Arc<Lane>, Vec<u64>),
    /// They cannot be sent.
    Fail(Vec<u64>, Error),
}

/// Calls that are let go at once: other tasks of sentinel-io have their turn between two such loads.
const LOAD: usize = 1024;

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
            let Some(route) = self.routes.get(place).filter(|route| route.ready) else {
                continue;
            };
            if let Some(lane) = route.lane(0) {
                self.calls = self.calls.wrapping_add(1);
                return Some(lane);
            }
        }
        None
    }

    /// Enters calls that wait again, each at its place in the order of submissions.
    fn wait_again(&mut self, waiters: Vec<Waiter>) {
        self.lane_waiters
            .enter_all(waiters.iter().filter(|waiter| !waiter.own).copied());
        let own = waiters.iter().filter(|waiter| waiter.own).map(|waiter| waiter.id);
        for id in own.rev() {
            self.own_waiters.push_front(id);
        }
    }

    /// Puts a connection of a submitted call's own to use.
    pub(super) fn open_own_lane(&mut self, lane: &Arc<Lane>, idle_until: Instant) -> bool {
        let routed = self
            .routes
            .iter()
            .any(|route| Arc::ptr_eq(&route.generation, &lane.generation));
        if self.closed || !routed || !lane.is_usable() {
            return false;
        }
        self.leases += 1;
        self.own_lanes.push((Arc::clone(lane), None));
        self.settle_own_lane(lane, idle_until);
        true
    }

    /// An own connection without a call: for the first that waits, else idle until `idle_until`.
    fn settle_own_lane(&mut self, lane: &Arc<Lane>, idle_until: Instant) {
        let Some(place) = self.own_lanes.iter().position(|(known, _)| Arc::ptr_eq(known, lane)) else {
            return;
        };
        let next = self.own_waiters.pop_front();
        lane.carry(next.unwrap_or(0));
        if let Some((_, idle)) = self.own_lanes.get_mut(place) {
            *idle = if next.is_some() { None } else { Some(idle_until) };
        }
        if let Some(id) = next {
            self.errands.push_back(Errand::Send(Arc::clone(lane), vec![id]));
        }
    }

    /// An idle connection for a call of its own.
    fn take_own_lane(&mut self, id: u64) -> Option<Arc<Lane>> {
        let free = |(lane, idle): &&mut (Arc<Lane>, Option<Instant>)| idle.is_some() && lane.is_usable();
        let (lane, idle) = self.own_lanes.iter_mut().find(free)?;
        *idle = None;
        lane.carry(id);
        Some(Arc::clone(lane))
    }

    /// Lets go of own connections, and gives their slots free.
    pub(super) fn drop_own_lanes(&mut self, which: impl Fn(&Arc<Lane>, Option<Instant>) -> bool) {
        let gone: Vec<_> = self
            .own_lanes
            .extract_if(.., |(lane, idle)| which(lane, *idle))
            .collect();
        self.leases -= gone.len();
        self.leave(gone.into_iter().map(|(lane, _)| lane));
    }

    /// Submitted calls and acquired connections share their slots: one that is idle on the one side makes room for who
    /// waits on the other.
    pub(super) fn make_room(&mut self, limit: usize) {
        if self.leases + self.lease_dials < limit {
            return;
        }
        if !self.own_waiters.is_empty() && self.drop_one_idle_lease() {
            return;
        }
        let idle = self.own_lanes.iter().find(|(_, idle)| idle.is_some());
        if let Some(lane) = idle
            .map(|(lane, _)| Arc::clone(lane))
            .filter(|_| !self.lease_waiters.is_empty())
        {
            self.drop_own_lanes(|known, _| Arc::ptr_eq(known, &lane));
        }
    }

    /// The next errand; none when there is nothing to do any more. What a lane gave back comes before anything is sent
    /// over another one.
    fn next_errand(&mut self) -> Option<Errand> {
        let errand = self.errands.pop_front().or_else(|| {
            let lane = (!self.lane_waiters.is_empty()).then(|| self.next_lane()).flatten()?;
            Some(Errand::Send(lane, self.lane_waiters.take(LOAD)))
        });
        self.errands_run = errand.is_some();
        errand
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
        let others = self.in_flight.load(Ordering::Relaxed) + self.untaken.load(Ordering::Relaxed);
        if count + others < limit {
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
    pub fn lane_or_wait(&self, waiter: Waiter) -> Result<Option<Arc<Lane>>, Error> {
        let Waiter { id, own, .. } = waiter;
        let mut state = self.state.lock();
        if state.closed {
            return Err(Error::new(ErrorKind::Closed));
        }
        state.used = true;
        let lane = if own {
            state.take_own_lane(id)
        } else {
            state.lane_for_submitted()
        };
        if lane.is_some() {
            return Ok(lane);
        }
        if own {
            state.own_waiters.push_back(id);
        } else {
            state.lane_waiters.enter(waiter);
        }
        // Who comes while many wait changes nothing that the keeper does.
        let news = own || state.lane_waiters.len() == 1;
        drop(state);
        if news {
            self.demand.notify_one();
        }
        Ok(None)
    }

    /// Calls that a lane did not take, since it had just been left.
    pub fn wait_again(self: &Arc<Pool>, waiters: Vec<Waiter>) {
        if !waiters.is_empty() {
            self.state.lock().wait_again(waiters);
            self.demand.notify_one();
        }
    }

    /// Calls that wait no more.
    pub fn withdraw_waiting(&self, waiters: &[Waiter]) {
        let mut state = self.state.lock();
        for waiter in waiters {
            match waiter.own {
                true => state.own_waiters.retain(|id| *id != waiter.id),
                false => state.lane_waiters.remove(waiter.order),
            }
        }
    }

    /// Closes a connection of a submitted call's own under that call, for its reply would be taken for the next call's.
    pub fn close_own_lane(self: &Arc<Pool>, lane: &Arc<Lane>, id: u64) {
        {
            let mut state = self.state.lock();
            // It may have done the call meanwhile, and carry another one by now.
            if !lane.carries(id) {
                return;
            }
            state.drop_own_lanes(|known, _| Arc::ptr_eq(known, lane));
        }
        if let Some(socket) = lane.socket.upgrade() {
            socket.cut();
        }
        self.run_errands();
        self.demand.notify_one();
    }

    /// Tells the calls of a lane how they ended.
    pub(super) fn calls_ended(self: &Arc<Pool>, lane: &Arc<Lane>, ends: &mut Vec<Ended>) {
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
        let mut next = {
            let mut state = self.state.lock();
            // Who runs them already takes these as well.
            if state.errands_run {
                return;
            }
            state.next_errand()
        };
        let mut done = 0;
        while let Some(errand) = next {
            let (count, waiters) = self.run_errand(errand);
            done += count;
            let mut state = self.state.lock();
            state.wait_again(waiters);
            if done >= LOAD {
                // The keeper goes on, after other tasks had their turn.
                state.errands_run = false;
                drop(state);
                self.demand.notify_one();
                return;
            }
            next = state.next_errand();
        }
    }

    /// How many calls it was about, and which of them wait again.
    fn run_errand(self: &Arc<Pool>, errand: Errand) -> (usize, Vec<Waiter>) {
        match (errand, self.submissions.get()) {
            (Errand::TakeBack { lane, unsent, lost }, submissions) => {
                let ids = self.take_back(&lane, unsent, lost.as_ref());
                let waiters = submissions.map(|submissions| submissions.taken_back(self, &lane, &ids, lost.as_ref()));
                (ids.len(), waiters.unwrap_or_default())
            }
            (Errand::Send(lane, ids), Some(submissions)) => (ids.len(), submissions.send(self, &lane, &ids)),
            (Errand::Fail(ids, error), Some(submissions)) => {
                submissions.fail(self, &ids, &error);
                (ids.len(), Vec::new())
            }
            (_, None) => (0, Vec::new()),
        }
    }

    /// What a lane has not sent: whoever waits for it is told, the submitted calls are named.
    fn take_back(&self, lane: &Arc<Lane>, mut unsent: VecDeque<Call>, lost: Option<&Error>) -> Vec<u64> {
        unsent.append(&mut lane.take_unsent());
        let error = lost.cloned().unwrap_or_else(|| lane.refusal(Refused::Ended));
        let (mut ids, mut wakes) = (Vec::new(), Wakes::default());
        for call in unsent {
            match call.sink {
                Sink::Call(id, _) => ids.push(id),
                Sink::Seat(ticket, _) => {
                    let failure = Failure {
                        error: error.clone(),
                        unsent: call.bytes,
                        moved: lost.is_none(),
                    };
                    ticket.end(None, Err(failure), &mut wakes);
                }
                Sink::Gone => {}
            }
        }
        wakes.flush();
        ids
    }
}
