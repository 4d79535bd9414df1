//! A connection on which a thread began a call goes over to sentinel-io, which sees to the call's end: what is due on it
//! stays due, and nothing is sent twice.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Pool;
use super::common::Common;
use super::direct::Direct;
use super::driver::Driver;
use super::flight::{Call, Ended, Sink};
use super::generation::next_id;
use super::keeper::Keeper;
use super::lane::Lane;
use super::lent::Lent;
use super::passing::{Due, Passed};
use super::seat::Failure;
use super::state::State;
use super::want::{Line, Want};
use crate::base::clock::Moment;
use crate::base::deadline::Deadline;
use crate::base::error::Outcome;
use crate::base::tasks;
use crate::net::plain;
use crate::net::stream::Watching;

impl Passed {
    fn drive(self, pool: &Arc<Pool>, common: &Rc<Common>) {
        let Passed { direct, lane, due } = self;
        let (stream, decoder) = direct.pass(lane.id());
        let watching = match Watching::new(stream) {
            Ok(watching) => watching,
            Err(error) => return give_up(pool, &lane, due, &plain(&error)),
        };
        if due.is_none() {
            // Else the call was given up before what follows was sent.
            lane.leave_if_empty();
        }
        let driver = Driver::new(lane, pool, common, (watching, decoder));
        tasks::start(driver.owing(due).run());
    }
}

/// Nobody drives it.
#[cold]
fn give_up(pool: &Arc<Pool>, lane: &Arc<Lane>, due: Option<Due>, cause: &str) {
    let unsent: VecDeque<Call> = lane.take_unsent();
    let ended = |call: Call, outcome, unsent| match call.sink {
        Sink::Call(id, replies) => Some(Ended {
            id,
            replies,
            last: None,
            end: Err(Failure {
                error: lane.lost(cause, outcome),
                unsent,
                moved: false,
            }),
        }),
        Sink::Seat(..) | Sink::Gone => None,
    };
    let begun = due.and_then(|due| ended(due.call, Outcome::Unknown, 0));
    let waiting = unsent.into_iter().filter_map(|call| {
        let bytes = call.bytes;
        ended(call, Outcome::NotSent, bytes)
    });
    let mut ends: Vec<Ended> = begun.into_iter().chain(waiting).collect();
    pool.calls_ended(lane, &mut ends);
    pool.lane_done(lane);
    lane.generation().leave(lane.id());
}

impl Lent<'_> {
    /// Its connection goes over to sentinel-io, where it ends with this call; none: it is a share of a lane.
    pub(crate) fn pass(&mut self) -> Option<Passed> {
        match self.line.take()? {
            Line::Direct(direct) => {
                let lane = Lane::begun(next_id(), direct.generation(), direct.socket(), direct.begun().login);
                direct.generation().discount_shared();
                Some(Passed {
                    direct,
                    lane: Arc::new(lane),
                    due: None,
                })
            }
            line @ Line::Lane(_) => {
                self.line = Some(line);
                None
            }
        }
    }
}

impl Pool {
    /// A connection that the caller may have at once, to itself, for a call that is none of many. Where there is none it is
    /// missed: the keeper makes one, if there may be more.
    pub(crate) fn lend_free(self: &Arc<Pool>, until: Deadline) -> Option<Lent<'_>> {
        let others = self.submitted.load(Ordering::Relaxed) + self.untaken.load(Ordering::Relaxed);
        let room = self
            .settings
            .max_pending
            .saturating_sub(others)
            .min(self.settings.direct);
        let free = |calls: usize| (calls < room).then_some(calls + 1);
        let counted = self.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free);
        counted.ok()?;
        let mut lent = Lent::none(self, Want::Shared);
        loop {
            let (direct, is_news) = self.state.lock().take_free(self.settings.direct);
            if is_news {
                self.demand.notify_one();
            }
            lent.line = Some(Line::Direct(direct?));
            if lent.is_trusted(until) {
                return Some(lent);
            }
            lent.give_back();
        }
    }

    /// Sentinel-io drives it from here on. False when the pool is closed.
    pub(crate) fn pass_on(&self, passed: Passed) -> bool {
        let mut state = self.state.lock();
        if state.closed {
            return false;
        }
        state.passing.last = Some(Moment::now());
        state.passing.away += 1;
        state.passing.passed.push(passed);
        drop(state);
        self.demand.notify_one();
        true
    }
}

impl State {
    /// An idle connection of shared use, unless others wait for one, or `most` are away with calls that took long. Where there
    /// is none: whether that is news.
    fn take_free(&mut self, most: usize) -> (Option<Box<Direct>>, bool) {
        self.used = true;
        if self.passing.is_slow(most) {
            return (None, false);
        }
        let count = self.routes.len();
        let first = if count > 1 { self.first() } else { 0 };
        let mut places = (0..count).map(|step| (first + step) % count);
        let is_free = !self.closed && !self.callers.any();
        let found = is_free.then(|| {
            places.find_map(|place| {
                let route = self.routes.get_mut(place).filter(|route| route.ready)?;
                route.take_idle()
            })
        });
        if let Some(direct) = found.flatten() {
            self.calls = self.calls.wrapping_add(1);
            return (Some(direct), false);
        }
        (None, !std::mem::replace(&mut self.passing.missed, true))
    }
}

impl Keeper {
    /// Takes over what was passed on.
    pub(super) fn take_over(&self) {
        let passed = std::mem::take(&mut self.pool.state.lock().passing.passed);
        for one in passed {
            one.drive(&self.pool, &self.common);
        }
    }
}

impl Driver {
    /// What is due on its connection was asked before.
    fn owing(mut self, due: Option<Due>) -> Driver {
        if let Some(Due { call, begin, rest }) = due {
            self.owe(call, begin, rest);
        }
        self
    }
}
