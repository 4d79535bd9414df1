//! Writes that wait while reads go on: discovery does not know, or not any more, that the primary is the primary. They go
//! out when it does again, submitted ones in their order, or end at their deadlines without having been sent.
//!
//! What is in flight ends as it ends; what lies in a lane and was not begun comes back from there.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Pool;
use super::driver::Driver;
use super::errand::Errand;
use super::flight::Call;
use super::generation::Generation;
use super::keeper::Keeper;
use super::lane::Lane;
use super::line::Waiter;
use super::outbox::Piece;
use super::state::{Route, State};
use crate::base::deadline::Deadline;
use crate::base::error::{Error, ErrorKind, Reason};
use crate::base::handoff::handoff;
use crate::topology::{Role, is_held, why_unknown};

impl State {
    /// Whether the call is one of those that wait until writes go out again, or has to stay behind them: a write behind all,
    /// what only reads behind those of its thread. `held`: writes are held now.
    pub(super) fn is_held(&self, waiter: &Waiter, held: bool) -> bool {
        (waiter.writes && (held || self.held.has_calls())) || self.held.has_of(waiter.thread)
    }

    /// Enters calls of which that is true.
    pub(super) fn hold(&mut self, waiters: Vec<Waiter>) {
        self.held.enter_all(waiters);
    }

    /// What lanes to the primary have not begun to send comes back. Those with nothing to give back are kept.
    fn hold_lanes(&mut self) {
        let mut left = Vec::new();
        let of_primary = |route: &&mut Route| route.generation.role == Role::Primary;
        for route in self.routes.iter_mut().filter(of_primary) {
            left.extend(route.take_lanes(|lane| lane.has_unsent()));
            route.ready &= route.has_connection();
        }
        self.leave_lanes(left);
        // With them those that were left before, and still write.
        self.hold_back(|generation| generation.role == Role::Primary);
    }

    /// Lanes that were left give back what they have gathered and not begun to write.
    pub(super) fn hold_back(&self, of: impl Fn(&Arc<Generation>) -> bool) {
        let lanes = self.going_out.iter().filter(|lane| of(lane.generation()));
        lanes.for_each(|lane| lane.hold_back());
    }

    /// Everything that waits may go out.
    fn let_go(&mut self) {
        self.held.wake();
        let waiters = self.held.drain();
        self.wait_again(waiters, false);
    }
}

impl Pool {
    /// Whether writes are held, or were and the keeper has not let them go yet: with the word that they may go out comes
    /// that of another primary, and what is left of the old one's connections must be gone by then.
    #[inline]
    pub(super) fn writes_wait(&self) -> bool {
        let turns = self.service.turns();
        is_held(turns) || self.turns.now() != turns
    }

    /// Whether no write is to be handed over to this node now; none: to the one that the client wants.
    #[inline]
    pub(crate) fn holds(&self, generation: Option<&Arc<Generation>>) -> bool {
        self.writes_wait() && generation.map_or(self.role, |of| of.role) == Role::Primary
    }

    /// Whether a submitted write has to stand in line with those that are held, or were and have not all gone out yet.
    #[inline]
    pub(crate) fn lines_up_writes(&self) -> bool {
        self.behind.load(Ordering::Relaxed) || (self.role == Role::Primary && self.writes_wait())
    }

    /// The threads behind whose submissions others of theirs have to stay.
    #[cold]
    pub(crate) fn held_submitters(&self) -> HashSet<u64> {
        self.state.lock().held.submitters()
    }

    /// Waits until writes go out again, or `given_up` says that nobody wants that any more: whoever has changed what it
    /// says tells of it by [`Pool::look_again`].
    #[cold]
    pub(crate) fn await_writes(&self, deadline: Deadline, given_up: impl Fn() -> bool) -> Result<(), Error> {
        while self.writes_wait() {
            let (giver, taker) = handoff();
            let place = {
                let mut state = self.state.lock();
                if state.closed {
                    return Err(Error::new(ErrorKind::Closed));
                }
                // The keeper lets go of all after they were let go: it looks under this lock.
                if !self.writes_wait() || given_up() {
                    return Ok(());
                }
                state.held.threads.push(giver)
            };
            match taker.take(deadline) {
                Some(told) => told?,
                None => {
                    self.state.lock().held.threads.remove(place);
                    return Err(self.writes_are_held());
                }
            }
        }
        Ok(())
    }

    /// Has the threads that wait look whether they still have to.
    pub(crate) fn look_again(&self) {
        self.state.lock().held.wake();
    }

    /// Why a write could not go out until its deadline.
    #[cold]
    pub(crate) fn writes_are_held(&self) -> Error {
        if self.is_closed() {
            return Error::new(ErrorKind::Closed);
        }
        let reason = self.service.snapshot().writes.reason();
        let kind = ErrorKind::PrimaryNotFound {
            service: self.service.name().to_owned(),
            // They may have been let go just now.
            reason: reason.unwrap_or(Reason::NodeUnreachable),
        };
        let (_, attempts) = why_unknown(&self.service.words());
        Error::new(kind).with_attempts(attempts)
    }

    /// A lane that was left gives these back.
    fn held_back(self: &Arc<Pool>, lane: &Arc<Lane>, unsent: VecDeque<Call>) {
        let (lane, lost) = (Arc::clone(lane), None);
        let errand = Errand::TakeBack { lane, unsent, lost };
        self.state.lock().errands.push_back(errand);
        self.run_errands();
        self.demand.notify_one();
    }

    /// Whoever comes stands behind those that are held, until the last of them has gone out. To be called under the lock,
    /// after each change of who waits.
    pub(super) fn keep_in_line(&self, state: &State) {
        let goes_out = state.has_errands();
        if state.held.has_calls() {
            self.behind.store(true, Ordering::Relaxed);
        } else if !goes_out {
            self.behind.store(false, Ordering::Relaxed);
        }
    }
}

impl Driver {
    /// Gives back the calls of which nothing was taken to be written: the lane was left, for writes are held.
    #[cold]
    pub(super) fn give_back(&mut self) {
        let taken = self.watching.stream.taken();
        let mut end = self.begin;
        let begun = self.flying.iter().take_while(|call| {
            let begins = end < taken;
            end += if begins { call.bytes as u64 } else { 0 };
            begins
        });
        let begun = begun.count();
        let unsent = self.flying.split_off(begun);
        if unsent.is_empty() {
            return;
        }
        // What is left to be written of those that were begun, behind what was written of the first piece.
        let rest = usize::try_from(end.saturating_sub(taken)).unwrap_or(usize::MAX);
        let mut keep = rest.saturating_add(self.written);
        self.writing.retain_mut(|piece| {
            let len = piece.bytes().len().min(keep);
            keep -= len;
            if let Piece::Together(bytes) = piece {
                bytes.truncate(len);
            }
            len > 0
        });
        if self
            .writing
            .front()
            .is_some_and(|first| first.bytes().len() == self.written)
        {
            self.writing.pop_front();
        }
        if self.writing.is_empty() {
            self.written = 0;
        }
        if let Some(pool) = self.pool.upgrade() {
            pool.held_back(&self.lane, unsent);
        }
    }
}

impl Keeper {
    /// Holds writes, or lets them go, as the service has it.
    pub(super) fn hold_or_let_go(&mut self) {
        if self.pool.turns.now() == self.turns {
            return;
        }
        let mut state = self.pool.state.lock();
        self.pool.turns.set(self.turns);
        match is_held(self.turns) {
            true => state.hold_lanes(),
            false => state.let_go(),
        }
        self.pool.keep_in_line(&state);
    }
}
