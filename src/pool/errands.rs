//! Submitted calls in a pool: which lane carries them, and what is done about those that wait. They are told outside
//! of the pool's lock, by errands.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::errand::Errand;
use super::flight::{Call, Ended, Sink};
use super::lane::{Lane, Refused};
use super::line::Waiter;
use super::seat::{Failure, Wakes};
use super::state::State;
use super::{Pool, Submissions};
use crate::base::error::{Error, ErrorKind};

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
        // Between several nodes there is no order.
        if count == 1 && !self.going_out.is_empty() {
            return None;
        }
        let first = if count > 1 { self.first() } else { 0 };
        for step in 0..count {
            let place = (first + step) % count;
            let Some(route) = self.routes.get(place).filter(|route| route.ready) else {
                continue;
            };
            if let Some(lane) = route.submitted_lane() {
                self.calls = self.calls.wrapping_add(1);
                return Some(lane);
            }
        }
        None
    }

    /// Enters calls that wait again, each at its place in the order of submissions. `held`: writes are held now.
    pub(super) fn wait_again(&mut self, waiters: Vec<Waiter>, held: bool) {
        let mut behind = HashSet::new();
        let (hold, waiters): (Vec<Waiter>, Vec<Waiter>) = waiters.into_iter().partition(|waiter| {
            let is_held = self.is_held(waiter, held) || behind.contains(&waiter.thread);
            if is_held && waiter.thread != 0 {
                behind.insert(waiter.thread);
            }
            is_held
        });
        self.hold(hold);
        self.lane_waiters
            .enter_all(waiters.iter().filter(|waiter| !waiter.own).copied());
        let own = waiters.iter().filter(|waiter| waiter.own).map(|waiter| waiter.id);
        own.rev().for_each(|id| self.claims.push_call_first(id));
        self.settle();
    }

    /// Whether submitted calls are on their way to a lane or from one.
    pub(super) fn has_errands(&self) -> bool {
        self.errands_run || !self.errands.is_empty() || !self.lane_waiters.is_empty()
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
        if state.is_held(&waiter, self.writes_wait()) {
            state.hold(vec![waiter]);
            self.keep_in_line(&state);
            // The keeper, which lets go of it, begins with the first call.
            self.demand.notify_one();
            return Ok(None);
        }
        if let Some(error) = self.turned_away(&mut state) {
            return Err(error);
        }
        if own {
            let lane = state.own_lane_or_wait(id);
            let errands = !state.errands.is_empty();
            drop(state);
            if lane.is_none() || errands {
                self.demand.notify_one();
            }
            return Ok(lane);
        }
        // What was held, or is about to be, may be on its way back.
        let stands_behind = waiter.thread != 0 && state.has_errands();
        let lane = if stands_behind {
            None
        } else {
            state.lane_for_submitted()
        };
        if lane.is_some() {
            return Ok(lane);
        }
        state.lane_waiters.enter(waiter);
        // Who comes while many wait changes nothing that the keeper does.
        let news = state.lane_waiters.len() == 1;
        drop(state);
        if news {
            self.demand.notify_one();
        }
        Ok(None)
    }

    /// Calls that a lane did not take, since it had just been left.
    pub fn wait_again(self: &Arc<Pool>, waiters: Vec<Waiter>) {
        if !waiters.is_empty() {
            let mut state = self.state.lock();
            state.wait_again(waiters, self.writes_wait());
            self.keep_in_line(&state);
            drop(state);
            self.demand.notify_one();
        }
    }

    /// Calls that wait no more.
    pub fn withdraw_waiting(&self, waiters: &[Waiter]) {
        let mut state = self.state.lock();
        for waiter in waiters {
            state.held.remove(waiter.order);
            match waiter.own {
                true => state.claims.remove_call(waiter.id),
                false => _ = state.lane_waiters.remove(waiter.order),
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
            state.drop_own_lane(lane);
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

    /// A connection that somebody keeps carries this call of theirs from here on.
    pub fn carry_held(&self, lane: &Lane, id: u64) {
        let _state = self.state.lock();
        lane.carry(id);
    }

    /// Nobody keeps this connection any more. `clean`: the next call may have it.
    pub fn let_go(self: &Arc<Pool>, lane: &Arc<Lane>, clean: bool) {
        lane.hold(false);
        let until = self.idle_until();
        {
            let mut state = self.state.lock();
            match clean && lane.is_usable() {
                true => state.rest_own_lane(lane, until),
                false => state.drop_own_lane(lane),
            }
        }
        if let Some(socket) = lane.socket.upgrade().filter(|_| !clean) {
            socket.cut();
        }
        self.run_errands();
        self.demand.notify_one();
    }

    /// A connection of a call's own has done this call.
    pub fn own_lane_free(self: &Arc<Pool>, lane: &Arc<Lane>, id: u64) {
        let until = self.idle_until();
        self.state.lock().settle_own_lane(lane, id, until);
        self.run_errands();
        self.demand.notify_one();
    }

    /// Does what the state asks for. Whoever changed it calls this without its lock.
    pub(super) fn run_errands(self: &Arc<Pool>) {
        self.run_errands_of(LOAD);
    }

    /// The same to the end: nobody goes on behind it.
    pub(super) fn run_all_errands(self: &Arc<Pool>) {
        self.run_errands_of(usize::MAX);
    }

    /// Until they were about `most` calls.
    fn run_errands_of(self: &Arc<Pool>, most: usize) {
        let mut next = {
            let mut state = self.state.lock();
            // Who runs them already takes these as well.
            if state.errands_run {
                return;
            }
            let next = state.next_errand();
            self.keep_in_line(&state);
            next
        };
        let mut done = 0;
        while let Some(errand) = next {
            let (count, waiters) = self.run_errand(errand);
            done += count;
            let mut state = self.state.lock();
            state.wait_again(waiters, self.writes_wait());
            if done >= most && !state.closed {
                // The keeper goes on, after other tasks had their turn. Of a pool that was closed there is none any more.
                state.errands_run = false;
                drop(state);
                self.demand.notify_one();
                return;
            }
            next = state.next_errand();
            self.keep_in_line(&state);
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
        if lost.is_some() {
            // What came to it until it was known to be lost.
            unsent.append(&mut lane.take_unsent());
        }
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
