//! What a caller has of a pool for one call: a connection, or a share of a lane; how it is taken, and given back.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::direct::Direct;
use super::flight::{Answers, Sink};
use super::generation::Generation;
use super::lane::{Lane, Refused};
use super::outbox::Parcel;
use super::silence::Patience;
use super::state::{State, is_of};
use super::want::{Line, Want};
use super::{Pool, seat, select};
use crate::base::clock::Moment;
use crate::base::deadline::Deadline;
use crate::base::error::{Error, ErrorKind, Outcome};
use crate::base::handoff::handoff;
use crate::base::sync::MutexGuard;
use crate::observe::{Timing, short_micros};
use crate::resp::{Reply, Request};

/// A connection in a caller's hands, or its share of a lane. It finds its way back by itself.
#[derive(Debug)]
pub struct Lent<'p> {
    /// Counted only by what outlives the call: two additions less for each.
    pub(super) pool: Cow<'p, Arc<Pool>>,
    pub(super) want: Want,
    pub(super) line: Option<Line>,
    /// Bytes of the last exchange that were not handed to the kernel.
    pub(super) unsent: usize,
    /// Its lane was left before anything of the last exchange was sent.
    pub(super) moved: bool,
    /// What is known of the time of the last exchange on a lane.
    pub(super) timing: Timing,
    /// How long its connection may owe a reply.
    pub(super) patience: Patience,
    /// What is asked next follows on what was sent before.
    pub(super) follows: bool,
}

impl<'p> Lent<'p> {
    /// Nothing yet; the call counts until this is dropped.
    #[inline]
    pub(super) fn none(pool: &'p Arc<Pool>, want: Want) -> Lent<'p> {
        Lent {
            pool: Cow::Borrowed(pool),
            want,
            line: None,
            unsent: 0,
            moved: false,
            timing: Timing::default(),
            patience: Patience::Usual,
            follows: false,
        }
    }
}

impl Pool {
    /// A connection to a node that holds the role; waits for one until the deadline.
    pub fn lend(self: &Arc<Pool>, want: Want, deadline: Deadline) -> Result<Lent<'_>, Error> {
        let mut crowded = false;
        if want != Want::Lease {
            let others = self.submitted.load(Ordering::Relaxed) + self.untaken.load(Ordering::Relaxed);
            let limit = self.settings.max_pending;
            // Counted only where there is room: a call that is refused takes none from another.
            let room = |calls: usize| (calls + others < limit).then_some(calls + 1);
            let before = self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room);
            let before = before.map_err(|_| Error::new(ErrorKind::QueueFull { limit }))?;
            crowded = before >= self.settings.direct;
        }
        let mut lent = Lent::none(self, want);
        loop {
            lent.line = Some(self.find(want, crowded, deadline)?);
            if lent.is_trusted(deadline) {
                return Ok(lent);
            }
            lent.give_back();
        }
    }

    fn find(&self, want: Want, crowded: bool, deadline: Deadline) -> Result<Line, Error> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Error::new(ErrorKind::Closed));
        }
        match state.take(want, crowded) {
            Some(line) => Ok(line),
            None => match self.turned_away(&mut state) {
                Some(error) => Err(error),
                None => self.wait(state, want, deadline),
            },
        }
    }

    /// Waits until there is a connection.
    #[cold]
    fn wait(&self, mut state: MutexGuard<'_, State>, want: Want, deadline: Deadline) -> Result<Line, Error> {
        let (giver, taker) = handoff();
        let (place, news) = state.wait(want, giver, self.settings.direct + self.settings.lanes);
        drop(state);
        if news {
            self.demand.notify_one();
        }
        if let Some(grant) = taker.take(deadline) {
            return grant;
        }
        self.state.lock().leave(want, place);
        Err(self.not_in_time(want))
    }

    fn put(&self, want: Want, direct: Box<Direct>) {
        let kept = self.state.lock().put(want, direct, || self.idle_until());
        // A dropped connection left a slot to be filled again; an idle lease has an end that the keeper must know.
        if !kept || want == Want::Lease {
            self.demand.notify_one();
        }
    }
}

impl State {
    /// A connection for `want`. `crowded`: there are more calls under way than may do their own I/O.
    pub(super) fn take(&mut self, want: Want, crowded: bool) -> Option<Line> {
        self.used = true;
        match want {
            Want::Shared | Want::Bulk => self.take_shared(want, crowded),
            Want::Lease => self.take_lease().map(Line::Direct),
        }
    }

    fn take_shared(&mut self, want: Want, crowded: bool) -> Option<Line> {
        let queued = self.callers.any();
        let count = self.routes.len();
        let first = if count > 1 { self.first() } else { 0 };
        let calls = self.calls;
        for step in 0..count {
            let place = if first + step < count {
                first + step
            } else {
                first + step - count
            };
            let Some(route) = self.routes.get_mut(place).filter(|route| route.ready) else {
                continue;
            };
            let lane = (want == Want::Shared).then(|| route.lane(calls)).flatten();
            let line = match lane {
                Some(lane) if crowded || queued => Some(Line::Lane(lane)),
                lane if queued => lane.map(Line::Lane),
                lane => route.take_idle().map(Line::Direct).or(lane.map(Line::Lane)),
            };
            if line.is_some() {
                self.calls = calls.wrapping_add(1);
                return line;
            }
        }
        None
    }

    /// Takes a connection back: to the first waiter, else to the idle ones. False when it could not be used again and
    /// was dropped.
    pub(super) fn put(&mut self, want: Want, direct: Box<Direct>, idle_until: impl FnOnce() -> Instant) -> bool {
        let routed = self.routes.iter().any(|route| is_of(route, &direct));
        if self.closed || !routed || !direct.is_usable() {
            self.discard(want, direct);
            return false;
        }
        if want == Want::Lease {
            self.idle_leases.push((direct, idle_until()));
            self.settle();
            return true;
        }
        let mut grant = Ok(Line::Direct(direct));
        while let Some(waiter) = self.callers.pop() {
            match waiter.give(grant) {
                Ok(()) => return true,
                Err(back) => grant = back,
            }
        }
        let Ok(Line::Direct(direct)) = grant else { return true };
        if let Some(route) = self.routes.iter_mut().find(|route| is_of(route, &direct)) {
            route.micros = select::smoothed(route.micros, direct.micros());
            route.idle.push(direct);
        }
        true
    }
}

impl Lent<'_> {
    /// The same for as long as its holder likes.
    pub fn kept(mut self) -> Lent<'static> {
        Lent {
            pool: Cow::Owned(Arc::clone(&self.pool)),
            // What is dropped here is no call any more.
            want: std::mem::replace(&mut self.want, Want::Lease),
            line: self.line.take(),
            unsent: self.unsent,
            moved: self.moved,
            timing: self.timing,
            patience: self.patience,
            follows: self.follows,
        }
    }

    /// How long the connection may owe the replies to what is asked next.
    pub(crate) fn be(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// Whether what is asked next follows on what was sent before: it goes over the same lane, though that was left meanwhile.
    pub(crate) fn follow(&mut self, follows: bool) {
        self.follows = follows;
    }

    /// The connection, when it is the caller's own.
    pub fn direct(&mut self) -> Option<&mut Direct> {
        match &mut self.line {
            Some(Line::Direct(direct)) => Some(direct),
            _ => None,
        }
    }

    /// Whether its connection is there, as far as can be known: one that was idle for long is asked first, for nothing
    /// tells the end of a peer that is cut off.
    pub(crate) fn is_trusted(&mut self, deadline: Deadline) -> bool {
        match &mut self.line {
            Some(Line::Direct(direct)) => direct.is_trusted(deadline),
            _ => true,
        }
    }

    /// Waits until writes go out to its node again, where they are held: its connection is given back for that, and another
    /// one is to be lent. Whether it has.
    pub(crate) fn await_writes(&mut self, deadline: Deadline) -> Result<bool, Error> {
        if !self.pool.holds(self.generation()) {
            return Ok(false);
        }
        self.give_back();
        self.pool.await_writes(deadline, || false).map(|()| true)
    }

    /// Whether another call may use the connection, when it is the caller's own.
    pub fn is_usable(&self) -> bool {
        matches!(&self.line, Some(Line::Direct(direct)) if direct.is_usable())
    }

    /// Sends `request` and receives `count` replies into `take`, all until the deadline.
    pub fn exchange(
        &mut self,
        request: &Request<'_>,
        count: usize,
        deadline: Deadline,
        take: impl FnMut(Reply),
    ) -> Result<(), Error> {
        let done = match &mut self.line {
            Some(Line::Direct(direct)) => {
                direct.be(self.patience);
                let done = direct.exchange(request, count, deadline, take);
                self.unsent = direct.unsent();
                done
            }
            Some(Line::Lane(lane)) => {
                let answers = Answers::each(count, self.patience).following(self.follows);
                let end = on_lane(lane, request, answers, deadline, take, &mut self.timing);
                self.unsent = end.as_ref().err().map_or(0, |failure| failure.unsent);
                self.moved = end.as_ref().is_err_and(|failure| failure.moved);
                end.map_err(|failure| failure.error)
            }
            None => Err(Error::new(ErrorKind::Closed)),
        };
        done.map_err(|error| self.pool.closed_under(error))
    }

    /// Sends `request` on a connection of the caller's own and receives its reply until `until`, which comes before its
    /// deadline. `None` when that is still to come then: all that is left to do is to pass it on.
    pub(crate) fn try_exchange(&mut self, request: &Request<'_>, until: Deadline) -> Option<Result<Reply, Error>> {
        let Some(direct) = self.direct() else {
            return Some(Err(Error::new(ErrorKind::Closed)));
        };
        let done = direct.try_exchange(request, until);
        let unsent = direct.unsent();
        self.unsent = unsent;
        Some(done?.map_err(|error| self.pool.closed_under(error)))
    }

    /// The same with all replies in one array; of an exchange that fails, those that came before.
    pub fn exchange_all(
        &mut self,
        request: &Request<'_>,
        count: usize,
        deadline: Deadline,
    ) -> (Option<Reply>, Result<(), Error>) {
        match &mut self.line {
            Some(Line::Direct(direct)) => {
                direct.be(self.patience);
                let (all, done) = direct.exchange_all(request, count, deadline);
                self.unsent = direct.unsent();
                (all, done)
            }
            Some(Line::Lane(lane)) => {
                let mut all = None;
                let (answers, take) = (Answers::in_one(count, self.patience), |whole| all = Some(whole));
                let end = on_lane(lane, request, answers, deadline, take, &mut self.timing);
                self.unsent = end.as_ref().err().map_or(0, |failure| failure.unsent);
                self.moved = end.as_ref().is_err_and(|failure| failure.moved);
                (all, end.map_err(|failure| failure.error))
            }
            None => (None, Err(Error::new(ErrorKind::Closed))),
        }
    }

    /// What is known of the time of the last exchange.
    pub fn timing(&self) -> Timing {
        match &self.line {
            Some(Line::Direct(direct)) => Timing {
                took: Some(direct.micros()),
                weight: 1,
                ended: direct.used(),
            },
            _ => self.timing,
        }
    }

    /// Bytes of the last exchange that were not handed to the kernel.
    pub fn unsent(&self) -> usize {
        self.unsent
    }

    /// Whether the last exchange failed because its lane was left before anything of it was sent: it goes on over another
    /// connection, and that is no repetition.
    pub fn was_moved(&self) -> bool {
        self.moved
    }

    /// The node said that it is not what it was taken for: nothing more is sent there before it is verified anew.
    pub fn condemn(&self) {
        if let Some(generation) = self.generation() {
            self.pool.condemn(generation);
        }
    }

    /// The node and epoch it belongs to.
    pub fn generation(&self) -> Option<&Arc<Generation>> {
        match &self.line {
            Some(Line::Direct(direct)) => Some(direct.generation()),
            Some(Line::Lane(lane)) => Some(lane.generation()),
            None => None,
        }
    }
}

/// One call of this thread on a lane.
fn on_lane(
    lane: &Lane,
    request: &Request<'_>,
    answers: Answers,
    deadline: Deadline,
    mut take: impl FnMut(Reply),
    timing: &mut Timing,
) -> seat::End {
    *timing = Timing::default();
    let late = |outcome, unsent| {
        let during = "waiting for the reply".to_owned();
        Err(seat::Failure {
            error: lane.failed(ErrorKind::Timeout { during }, outcome),
            unsent,
            moved: false,
        })
    };
    seat::with_mine(|seat| {
        let ticket = seat.ticket();
        let began = ticket.is_timed().then(Moment::now);
        let room = (answers.count == 1 && !answers.in_one)
            .then(|| seat.rooms.bring())
            .flatten();
        let sent = lane.send(Parcel::of(request), answers, Sink::Seat(ticket, room));
        let number = sent.map_err(|refused| seat::Failure {
            error: lane.refusal(refused),
            unsent: request.size(),
            moved: refused == Refused::Ended,
        })?;
        let take = |reply: Reply| {
            seat.rooms.saw(&reply);
            take(reply);
        };
        let end = seat.wait(deadline, take);
        if let Some(began) = began {
            timing.ended = Moment::now();
            timing.took = Some(short_micros(timing.ended.since(began)));
            timing.weight = seat::TIMED;
        }
        if let Some(end) = end {
            return end;
        }
        match lane.take_back(number) {
            true => late(Outcome::NotSent, request.size()),
            false => late(Outcome::Unknown, 0),
        }
    })
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if self.want != Want::Lease {
            self.pool.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
        self.give_back();
    }
}

impl Lent<'_> {
    /// The connection finds its way back.
    pub(super) fn give_back(&mut self) {
        if let Some(Line::Direct(direct)) = self.line.take() {
            if direct.is_lost() {
                self.pool.lost();
                let generation = direct.generation();
                if !generation.is_retired() {
                    // Who gives up what waits in the server ends its connection at will.
                    if self.patience != Patience::Endless {
                        generation.shake();
                    }
                    let (observer, calls) = (&self.pool.observer, &self.pool.calls);
                    observer.connection_lost(calls, &generation.endpoint, generation.role, direct.end());
                }
            }
            self.pool.put(self.want, direct);
        }
    }
}

impl Pool {
    /// The error of a call whose connection was taken from it by the end of the pool.
    fn closed_under(&self, error: Error) -> Error {
        if matches!(error.kind(), ErrorKind::ConnectionLost { .. }) && self.is_closed() {
            return Error::new(ErrorKind::Closed).with_outcome(error.outcome());
        }
        error
    }
}

/// How a request travels when it needs no connection of its own.
pub fn want_for(request: &Request<'_>) -> Want {
    if request.is_large() { Want::Bulk } else { Want::Shared }
}
