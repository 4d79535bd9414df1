//! Submitted calls: their way onto a lane, what becomes of their replies, their deadlines and repetitions.
//!
//! They are the calls of `call::waiting` without a thread: the same life, kept in a [`Book`] instead of on a stack.
//! Whoever takes a call out of the book completes it, so that each completes once. The book's lock is never held while
//! a pool's is taken.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use crate::base::sync::Mutex;
use tokio::sync::Notify;
use tokio::task::yield_now;

use super::attempt::hand_over;
use super::book::{Book, Call, Place, Target};
use super::callbacks::Callbacks;
use super::deliveries::{Deliveries, Destination};
use super::entry::CallId;
use super::large::Large;
use super::untaken::Untaken;
use crate::base::clock::Moment;
use crate::base::deadline::Deadline;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::tasks::until;
use crate::call::Learnt;
use crate::call::life::{Event, Handed, Life, Shape};
use crate::call::reading::{in_one, incomplete};
use crate::call::waiting::backoff;
use crate::observe::{Timing, short_micros};
use crate::pool::{Parcel, Pool, Submissions, Waiter, Want};
use crate::resp::Reply;
use crate::topology::Role;

/// One call in so many is timed: a look at the clock would be a twentieth of what a submission costs.
const TIMED: u32 = 16;

/// Calls that are looked at in one turn of sentinel-io: a connection may have to be closed for each.
const LOAD: usize = 128;

/// A completion on its way.
pub(super) struct Completed {
    to: Destination,
    result: Result<Reply, Error>,
    /// When the call was accepted, if it is timed.
    began: Option<Moment>,
    commands: usize,
}

impl Completed {
    pub(super) fn new((call, to): (Call, Destination), result: Result<Reply, Error>) -> Completed {
        Completed {
            began: call.began,
            commands: call.commands(),
            to,
            result,
        }
    }

    /// Of a call for which nobody waits any more.
    pub(super) fn given_up((mut call, to): (Call, Destination), error: Error, handed: Handed) -> Completed {
        let result = call.given_up(error, handed);
        Completed::new((call, to), result)
    }
}

/// The submitted calls of one client. Any thread.
pub struct Calls {
    pub(super) book: Mutex<Book>,
    pub(super) learnt: Arc<Learnt>,
    /// The agenda has a new first entry, or the calls are over.
    pub(super) changed: Notify,
    pub(super) callbacks: Arc<Callbacks>,
    /// Calls about whose many commands is decided elsewhere.
    pub(super) large: Large,
}

/// Written out, since a pool has them as `dyn Submissions`: all that they hold would be in the shared object to be shown.
impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Calls")
    }
}

impl Calls {
    /// None yet.
    pub(crate) fn new(callbacks: Arc<Callbacks>, learnt: Arc<Learnt>) -> Calls {
        Calls {
            book: Mutex::default(),
            learnt,
            changed: Notify::new(),
            callbacks,
            large: Large::default(),
        }
    }

    /// Accepts a call: from here on it completes once, whatever happens. `by`: who submits it, whose later calls stay behind
    /// it where it waits.
    pub(crate) fn submit(
        &self,
        pool: &Arc<Pool>,
        parcel: &Parcel<'_>,
        life: Life,
        deadline: Deadline,
        by: u64,
        target: Target<'_>,
    ) -> Result<CallId> {
        match &target {
            Target::Queue(queue, _) | Target::Keeping(queue, ..) => queue.take_place()?,
            Target::Done(_) => self.callbacks.start().map_err(|error| not_started(&error))?,
        }
        let simple = life.is_simple();
        let mut book = self.book.lock();
        // Kept for those that follow; taken out, so that nothing but the book is borrowed.
        let mut lane = book.lane.take_if(|_| simple);
        if simple && !lane.as_ref().is_some_and(|lane| lane.is_usable()) {
            // The pool's lock is taken without the book's.
            drop(book);
            lane = pool.lane();
            book = self.book.lock();
        }
        let accepted = match book.closed {
            // Nobody would keep its time.
            true => Err(Error::new(ErrorKind::Closed)),
            false => pool.has_room(book.live()),
        };
        if let Err(error) = accepted {
            give_back(&target);
            return Err(error);
        }
        let empty = matches!(life.shape(), Shape::Pipeline(0) | Shape::Transaction(0));
        let (id, next) = book.enter(target, |call| {
            call.request.store(parcel);
            call.life = life;
            call.deadline = deadline;
            call.began = (fastrand::u32(..TIMED) == 0).then(Moment::now);
            call.place = Place::Waiting;
            call.thread = by;
        });
        if empty {
            drop(book);
            self.complete(pool, vec![(id, in_one(&[]).ok_or_else(incomplete))]);
            return Ok(id);
        }
        pool.count_submitted(book.live());
        let held = book.holds();
        if held {
            book.hold(id);
        } else if !simple {
            // Before the next one is entered.
            book.ask(id, &self.learnt);
        }
        let lines_up = pool.lines_up_writes();
        let free = lane.as_ref().filter(|_| !held && !lines_up);
        let sent = free.is_some_and(|lane| hand_over(&mut book, id, lane).is_ok());
        if pool.role == Role::Primary && lane.is_some() {
            book.lane = lane;
        }
        drop(book);
        if next {
            self.changed.notify_one();
        }
        if !sent && !held {
            self.dispatch(pool, id);
        }
        Ok(id)
    }

    /// Ends a call with `Cancelled`, unless it has completed. An error for a number that no call ever had.
    pub(crate) fn cancel(&self, pool: &Arc<Pool>, id: CallId) -> Result<()> {
        if !self.book.lock().knows(id) {
            return Err(Error::invalid("call_id", format!("{id} is no call of this client")));
        }
        self.give_up(pool, &[id], &ErrorKind::Cancelled);
        Ok(())
    }

    /// What there is to do for them on sentinel-io.
    pub(crate) async fn run(self: Arc<Calls>, pool: Weak<Pool>) {
        tokio::select! {
            () = self.keep_time(&pool) => {}
            () = self.decide_large(&pool) => {}
        }
    }

    /// Keeps the deadlines and ends the pauses.
    async fn keep_time(&self, pool: &Weak<Pool>) {
        loop {
            let due = {
                let mut book = self.book.lock();
                if book.closed {
                    return;
                }
                book.agenda.next()
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = until(due.and_then(Moment::instant)) => {}
            }
            let Some(pool) = pool.upgrade() else { return };
            while self.look(&pool, Moment::now()) {
                yield_now().await;
            }
        }
    }

    /// Ends calls whose deadline has passed, and tries those again whose pause is over. True when there may be more.
    fn look(&self, pool: &Arc<Pool>, now: Moment) -> bool {
        let (mut late, mut rested) = (Vec::new(), Vec::new());
        let more = {
            let mut book = self.book.lock();
            let due = book.agenda.due(now, LOAD);
            let more = due.len() == LOAD;
            for id in due {
                let Some(call) = book.get(id) else { continue };
                if call.deadline.at() <= now {
                    late.push(id);
                } else if matches!(call.place, Place::Paused(until) if until <= now) {
                    call.life.on(Event::Rested);
                    call.place = Place::Waiting;
                    rested.push(id);
                }
            }
            more
        };
        if !late.is_empty() {
            let during = "waiting for the reply".to_owned();
            self.give_up(pool, &late, &ErrorKind::Timeout { during });
        }
        for id in rested {
            self.dispatch(pool, id);
        }
        more
    }

    /// Takes calls out and completes them without a reply. Once they are out nothing more of them is sent, so that
    /// what is known of them now stays true.
    pub(super) fn give_up(&self, pool: &Arc<Pool>, ids: &[CallId], why: &ErrorKind) {
        let taken: Vec<(CallId, (Call, Destination))> = {
            let mut book = self.book.lock();
            ids.iter().filter_map(|id| Some((*id, book.take(*id)?))).collect()
        };
        let unsent = self.take_back(pool, &taken);
        let waiters: Vec<Waiter> = taken
            .iter()
            .filter(|(_, (call, _))| call.place == Place::Waiting)
            .map(|(id, (call, _))| call.waiter(*id))
            .collect();
        pool.withdraw_waiting(&waiters);
        // Made once for all: the last one of each kind.
        let mut known: Vec<(Option<Want>, Error)> = Vec::new();
        let held = pool.holds(None);
        let mut not_in_time = |call: &Call| {
            let want = Some(call.life.want()).filter(|_| !held || !call.writes(&self.learnt));
            match known.iter().find(|(of, _)| *of == want) {
                Some((_, error)) => error.clone(),
                None => {
                    let error = want.map_or_else(|| pool.writes_are_held(), |want| pool.not_in_time(want));
                    known.push((want, error.clone()));
                    error
                }
            }
        };
        let plain = Error::new(why.clone());
        let completed = taken.into_iter().map(|(id, (call, to))| {
            let on_lane = matches!(call.place, Place::Lane(..));
            let handed = match on_lane && !unsent.contains(&id) {
                true => Handed::Whole,
                false => Handed::Nothing,
            };
            let error = match why {
                ErrorKind::Timeout { .. } if !on_lane => not_in_time(&call),
                _ => plain.clone(),
            };
            Completed::given_up((call, to), error, handed)
        });
        let completed = completed.collect();
        self.deliver(pool, completed);
    }

    /// Takes calls back from their lanes: those of which nothing was or will be sent.
    fn take_back(&self, pool: &Arc<Pool>, taken: &[(CallId, (Call, Destination))]) -> HashSet<CallId> {
        let mut by_lane: HashMap<u64, Vec<(CallId, u64)>> = HashMap::new();
        let mut alone = Vec::new();
        for (id, (call, _)) in taken {
            if let Place::Lane(lane, number) = call.place {
                by_lane.entry(lane).or_default().push((*id, number));
                alone.extend(call.is_alone().then_some((*id, lane)));
            }
        }
        let mut unsent = HashSet::new();
        for (lane, calls) in by_lane {
            let Some(lane) = self.book.lock().find_lane(lane) else {
                continue;
            };
            let back = lane.take_back_all(calls.iter().map(|(_, number)| *number));
            let back = calls.iter().zip(back).filter(|(_, back)| *back);
            unsent.extend(back.map(|((id, _), _)| *id));
        }
        for (id, lane) in alone {
            // The book's lock is given back first: what the lane has not sent is entered there again.
            let lane = self.book.lock().find_lane(lane);
            if let Some(lane) = lane {
                pool.close_own_lane(&lane, id);
            }
        }
        unsent
    }

    /// Sends a call on a lane, or lets it wait for one.
    pub(super) fn dispatch(&self, pool: &Arc<Pool>, id: CallId) {
        let lined_up = pool.lines_up_writes();
        let waiter = |call: &mut Call| call.waiter_of(id, lined_up, &self.learnt);
        let Some(waiter) = self.book.lock().get(id).map(waiter) else {
            return;
        };
        match pool.lane_or_wait(waiter) {
            Ok(Some(lane)) => pool.wait_again(self.send(pool, &lane, &[id])),
            // It may have been given up just before it was entered.
            Ok(None) if self.book.lock().get(id).is_none() => pool.withdraw_waiting(&[waiter]),
            Ok(None) => {}
            Err(error) => self.fail(pool, &[id], &error),
        }
    }

    /// Tries a failed call again, after a pause where it failed more than once.
    pub(super) fn again(&self, pool: &Arc<Pool>, id: CallId, error: &Error, failed: u32) {
        pool.observer.retried(&pool.calls, error);
        let until = (failed > 1).then(|| Moment::now().plus(backoff(pool, failed)));
        let first = {
            let mut book = self.book.lock();
            let Some(call) = book.get(id) else { return };
            call.place = until.map_or(Place::Waiting, Place::Paused);
            if until.is_none() {
                call.life.on(Event::Rested);
            }
            until.is_some_and(|until| book.remind(until, id))
        };
        if first {
            self.changed.notify_one();
        }
        if until.is_none() {
            self.dispatch(pool, id);
        }
    }

    /// Ends calls, those that somebody else did not end meanwhile.
    pub(super) fn complete(&self, pool: &Arc<Pool>, ends: Vec<(CallId, Result<Reply, Error>)>) {
        let taken: Vec<_> = {
            let mut book = self.book.lock();
            let ended = ends.into_iter();
            ended.map(|(id, result)| (book.take(id), result)).collect()
        };
        // Out of the book: what goes with a call may be large, and is let go of here.
        let completed = taken
            .into_iter()
            .filter_map(|(call, result)| Some(Completed::new(call?, result)));
        let completed: Vec<Completed> = completed.collect();
        if !completed.is_empty() {
            self.deliver(pool, completed);
        }
    }

    /// Hands completions out, those for one queue in a row at once, and lets those go on that waited behind them.
    pub(super) fn deliver(&self, pool: &Arc<Pool>, completed: Vec<Completed>) {
        let mut entries = Deliveries::default();
        let now = Moment::now();
        let untaken = {
            let book = self.book.lock();
            pool.count_submitted(book.live());
            Untaken::new(&pool.untaken, completed.len())
        };
        for each in completed {
            let took = each.began.map(|began| short_micros(now.since(began)));
            pool.calls.call_ended(&each.result, timing(took, now));
            if each.commands > 1 {
                pool.calls.more_commands.add(each.commands.saturating_sub(1) as u64);
            }
            entries.add(each.to, each.result);
        }
        entries.send(&self.callbacks, untaken);
        self.go_on(pool);
    }
}

/// What is known of the time of calls that ended now; one in [`TIMED`] knows how long it took.
pub(super) fn timing(took: Option<u32>, now: Moment) -> Timing {
    Timing {
        took,
        weight: TIMED,
        ended: now,
    }
}

fn not_started(error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Internal {
        problem: format!("sentinel-cb could not be started: {error}"),
    })
}

/// Gives back what a target holds for a call that is not accepted.
pub(super) fn give_back(target: &Target<'_>) {
    if let Target::Queue(queue, _) | Target::Keeping(queue, ..) = target {
        queue.give_back(1);
    }
}
