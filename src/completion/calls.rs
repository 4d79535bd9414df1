//! Submitted calls: their way onto a lane, what becomes of their replies, their deadlines and repetitions.
//!
//! They are the calls of `client::call` without a thread: the same decisions, kept in a [`Book`] instead of on a stack.
//! Whoever takes a call out of the book completes it, so that each completes once. The book's lock is never held while
//! a pool's is taken.

use std::collections::{HashMap, HashSet};
use std::future::pending;
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::sync::Mutex;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::sleep_until;

use super::attempt::{hand_over, read};
use super::book::{Book, Call, CallId, Place, Shape, Step, Target};
use super::callbacks::Callbacks;
use super::deliveries::{Deliveries, Destination};
use crate::client::batch::{all_read_only, in_one, incomplete};
use crate::client::call::{Failed, Next, Tries};
use crate::client::{CallOptions, Learnt};
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::net::clock;
use crate::net::clock::Moment;
use crate::observe::{Timing, short_micros};
use crate::pool::{Ended, Generation, Lane, Parcel, Pool, Refused, Submissions, Waiter, Want};
use crate::resp::{Kind, Reply, Request};
use crate::topology::Role;

/// What a submission asks for.
#[derive(Debug)]
pub(crate) struct Submission<'a> {
    pub(crate) request: Request<'a>,
    pub(crate) kind: SubmissionKind,
    /// It waits in the server.
    pub(crate) own: bool,
    /// Names of commands that the server is asked for first.
    pub(crate) unknown: Vec<Vec<u8>>,
    pub(crate) options: &'a CallOptions,
    pub(crate) deadline: &'a Deadline,
}

/// What kind of submission it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubmissionKind {
    /// One command.
    Command,
    /// So many commands, one after the other.
    Pipeline(usize),
    /// MULTI, so many commands, EXEC.
    Transaction(usize),
}

/// One call in so many is timed: a look at the clock would be a twentieth of what a submission costs.
const TIMED: u32 = 16;

/// Calls that are looked at in one turn of sentinel-io.
const LOAD: usize = 512;

/// A completion on its way.
struct Completed {
    to: Destination,
    result: Result<Reply, Error>,
    /// When the call was accepted, if it is timed.
    began: Option<Moment>,
    commands: usize,
}

impl Completed {
    fn new((call, to): (Call, Destination), result: Result<Reply, Error>) -> Completed {
        Completed {
            began: call.began,
            commands: call.commands(),
            to,
            result,
        }
    }
}

/// The submitted calls of one client. Any thread.
#[derive(Debug)]
pub struct Calls {
    pub(super) book: Mutex<Book>,
    pub(super) learnt: Arc<Learnt>,
    /// The agenda has a new first entry, or the calls are over.
    changed: Notify,
    callbacks: Arc<Callbacks>,
}

impl Calls {
    /// None yet.
    pub(crate) fn new(callbacks: Arc<Callbacks>, learnt: Arc<Learnt>) -> Calls {
        Calls {
            book: Mutex::default(),
            learnt,
            changed: Notify::new(),
            callbacks,
        }
    }

    /// Accepts a call: from here on it completes once, whatever happens.
    pub(crate) fn submit(&self, pool: &Arc<Pool>, submission: Submission<'_>, target: Target<'_>) -> Result<CallId> {
        match &target {
            Target::Queue(queue, _) => queue.take_place()?,
            Target::Done(_) => self.callbacks.start().map_err(|error| not_started(&error))?,
        }
        let simple = !submission.own && !submission.options.wait_aof && submission.unknown.is_empty();
        // A large one is copied here, without a lock.
        let request = submission.request;
        let parcel = Parcel::of(&request);
        let mut book = self.book.lock();
        // Kept for those that follow; taken out, so that nothing but the book is borrowed.
        let mut lane = book.lane.take_if(|_| simple);
        if simple && !lane.as_ref().is_some_and(|lane| lane.is_usable()) {
            // The pool's lock is taken without the book's.
            drop(book);
            lane = pool.lane();
            book = self.book.lock();
        }
        if let Err(error) = pool.has_room(book.live()) {
            give_back(&target);
            return Err(error);
        }
        let empty = matches!(
            submission.kind,
            SubmissionKind::Pipeline(0) | SubmissionKind::Transaction(0)
        );
        let (id, next) = book.enter(target, |call| {
            call.request.store(&parcel);
            call.shape = submission.shape();
            call.options = *submission.options;
            call.deadline = *submission.deadline;
            call.own = submission.own;
            call.unknown = submission.unknown;
            call.step = Step::Run;
            call.began = (fastrand::u32(..TIMED) == 0).then(Moment::now);
            call.tries = Tries::new();
            call.place = Place::Waiting;
        });
        if empty {
            drop(book);
            self.complete(pool, id, in_one(&[]).ok_or_else(incomplete));
            return Ok(id);
        }
        pool.count_submitted(book.live());
        let held = book.holds();
        if held {
            book.held.push_back(id);
        }
        let sent = !held && lane.as_ref().is_some_and(|lane| hand_over(&mut book, id, lane).is_ok());
        if pool.role == Role::Primary && lane.is_some() {
            book.lane = lane;
        }
        drop(book);
        if next {
            self.changed.notify_one();
        }
        if !sent && !held {
            self.start(pool, id);
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

    /// Keeps the deadlines and ends the pauses, on sentinel-io.
    pub(crate) async fn run(self: Arc<Calls>, pool: Weak<Pool>) {
        loop {
            let due = {
                let mut book = self.book.lock();
                if book.closed {
                    return;
                }
                book.next_due()
            };
            let timer = async {
                match due {
                    Some(at) => sleep_until(at.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = timer => {}
            }
            let Some(pool) = pool.upgrade() else { return };
            while self.look(&pool, clock::now()) {
                yield_now().await;
            }
        }
    }

    /// Ends calls whose deadline has passed, and tries those again whose pause is over. True when there may be more.
    fn look(&self, pool: &Arc<Pool>, now: Instant) -> bool {
        let (mut late, mut rested) = (Vec::new(), Vec::new());
        let more = {
            let mut book = self.book.lock();
            let due = book.due(now, LOAD);
            let more = due.len() == LOAD;
            for id in due {
                let Some(call) = book.get(id) else { continue };
                if call.deadline.instant().is_some_and(|at| at <= now) {
                    late.push(id);
                } else if matches!(call.place, Place::Paused(until) if until <= now) {
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
    fn give_up(&self, pool: &Arc<Pool>, ids: &[CallId], why: &ErrorKind) {
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
        let mut known: Vec<(Want, Error)> = Vec::new();
        let mut not_in_time = |want: Want| match known.iter().find(|(of, _)| *of == want) {
            Some((_, error)) => error.clone(),
            None => {
                let error = pool.not_in_time(want);
                known.push((want, error.clone()));
                error
            }
        };
        let plain = Error::new(why.clone());
        let unknown = plain.clone().with_outcome(Outcome::Unknown);
        let completed = taken.into_iter().map(|(id, (call, to))| {
            let on_lane = matches!(call.place, Place::Lane(..));
            let sent = on_lane && call.step == Step::Run && !unsent.contains(&id);
            let error = match why {
                ErrorKind::Timeout { .. } if !on_lane => not_in_time(call.want()),
                _ if sent => unknown.clone(),
                _ => plain.clone(),
            };
            let error = call.tries.end(error);
            Completed::new((call, to), Err(error))
        });
        let completed = completed.collect();
        self.deliver(pool, completed);
        self.go_on(pool);
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
            // Not in the condition itself: the lock would be held to the end of the block, and is taken in there.
            let lane = self.book.lock().find_lane(lane);
            if let Some(lane) = lane {
                pool.close_own_lane(&lane, id);
            }
        }
        unsent
    }

    /// Sends a call on a lane, or lets it wait for one.
    pub(super) fn dispatch(&self, pool: &Arc<Pool>, id: CallId) {
        let Some(waiter) = self.book.lock().get(id).map(|call| call.waiter(id)) else {
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

    /// The end of an attempt that is more than a plain reply.
    fn attempt_ended(&self, pool: &Arc<Pool>, lane: &Arc<Lane>, ended: Ended) {
        let generation = lane.generation();
        let (id, read) = {
            let mut book = self.book.lock();
            let Some(call) = book.get(ended.id) else { return };
            match call.step {
                Step::Ask => {
                    drop(book);
                    return self.answered(pool, lane, ended);
                }
                Step::Probe => {
                    drop(book);
                    return self.probed(pool, lane, ended);
                }
                Step::Run => (ended.id, read(call, ended, generation)),
            }
        };
        match read {
            Ok(ran) => {
                if ran.condemn {
                    pool.condemn(generation);
                }
                self.complete(pool, id, Ok(ran.reply));
            }
            Err(failed) => self.attempt_failed(pool, generation, id, failed),
        }
    }

    pub(super) fn attempt_failed(&self, pool: &Arc<Pool>, generation: &Arc<Generation>, id: CallId, failed: Failed) {
        // What is decided takes the pool's lock, so not under the book's.
        let known = self.book.lock().get(id).map(|call| {
            let request = (call.request.clone(), call.shape, call.commands());
            (call.tries, call.options, call.deadline, request)
        });
        let Some((mut tries, options, deadline, (request, shape, commands))) = known else {
            return;
        };
        let read_only = || all_read_only(shape.body(&request), commands, Some(&self.learnt));
        let next = tries.failed(pool, Some(generation), failed, (&options, deadline), read_only);
        let pause = match next {
            Next::Fail(error) => return self.complete(pool, id, Err(error)),
            Next::Again(pause) => pause,
        };
        let first = {
            let mut book = self.book.lock();
            let Some(call) = book.get(id) else { return };
            call.tries = tries;
            call.begin();
            let until = pause.map(|pause| clock::now() + pause);
            call.place = until.map_or(Place::Waiting, Place::Paused);
            until.is_some_and(|until| book.remind(until, id))
        };
        if first {
            self.changed.notify_one();
        }
        if pause.is_none() {
            self.dispatch(pool, id);
        }
    }

    pub(super) fn complete(&self, pool: &Arc<Pool>, id: CallId, result: Result<Reply, Error>) {
        let taken = self.book.lock().take(id);
        if let Some(taken) = taken {
            self.deliver(pool, vec![Completed::new(taken, result)]);
            self.go_on(pool);
        }
    }

    /// Hands completions out, those for one queue in a row at once.
    fn deliver(&self, pool: &Pool, completed: Vec<Completed>) {
        let mut entries = Deliveries::default();
        let now = Moment::now();
        {
            let book = self.book.lock();
            pool.count_submitted(book.live());
        }
        for each in completed {
            let took = each.began.map(|began| short_micros(now.since(began)));
            pool.calls.call_ended(&each.result, timing(took, now));
            if each.commands > 1 {
                pool.calls.more_commands.add(each.commands.saturating_sub(1) as u64);
            }
            entries.add(each.to, each.result);
        }
        entries.send(&self.callbacks);
    }
}

/// What is known of the time of calls that ended now; one in [`TIMED`] knows how long it took.
fn timing(took: Option<u32>, now: Moment) -> Timing {
    Timing {
        took,
        weight: TIMED,
        ended: now,
    }
}

impl Submissions for Calls {
    fn ended(&self, pool: &Arc<Pool>, lane: &Arc<Lane>, ends: &mut Vec<Ended>) {
        let mut done = Deliveries::default();
        let (mut finished, mut timed) = (0, Vec::new());
        {
            let mut book = self.book.lock();
            for end in ends.iter_mut() {
                let plain = end.end.is_ok() && end.last.as_ref().is_some_and(|last| last.kind() != Kind::Error);
                if !plain {
                    continue;
                }
                if let Some(began) = book.finish(end.id, &mut end.last, &mut done) {
                    timed.extend(began);
                    finished += 1;
                    end.id = 0;
                }
            }
            pool.count_submitted(book.live());
        }
        if finished > 0 {
            let now = Moment::now();
            let took = timed.iter().map(|began| short_micros(now.since(*began)));
            pool.calls.succeeded_together(finished, took, timing(None, now));
            done.send(&self.callbacks);
        }
        if finished < ends.len() {
            for end in ends.drain(..).filter(|end| end.id != 0) {
                self.attempt_ended(pool, lane, end);
            }
        }
    }

    fn send(&self, pool: &Arc<Pool>, lane: &Arc<Lane>, ids: &[CallId]) -> Vec<Waiter> {
        let (mut full, mut waiters, mut sent) = (Vec::new(), Vec::new(), false);
        {
            let mut book = self.book.lock();
            for id in ids {
                match hand_over(&mut book, *id, lane) {
                    Ok(handed) => sent |= handed,
                    Err(Refused::Ended) => waiters.extend(book.get(*id).map(|call| call.waiter(*id))),
                    Err(refused) => full.push((*id, refused)),
                }
            }
        }
        if !sent && full.is_empty() && waiters.is_empty() && lane.is_own() {
            // Given up just before: the connection is free for the next.
            pool.own_lane_free(lane);
        }
        for (id, refused) in full {
            self.attempt_failed(pool, lane.generation(), id, lane.refusal(refused).into());
        }
        waiters
    }

    fn taken_back(&self, pool: &Arc<Pool>, lane: &Lane, ids: &[CallId], lost: Option<&Error>) -> Vec<Waiter> {
        let (mut waiters, mut failed) = (Vec::new(), Vec::new());
        {
            let mut book = self.book.lock();
            for waiter in book.wait_again(lane.id(), ids) {
                // A connection that was lost is an attempt that failed.
                let ends = lost.is_some() && book.get(waiter.id).is_some_and(|call| call.options.no_retry);
                if ends { &mut failed } else { &mut waiters }.push(waiter);
            }
        }
        if let Some(error) = lost {
            let failed: Vec<CallId> = failed.iter().map(|waiter| waiter.id).collect();
            self.fail(pool, &failed, error);
        }
        waiters
    }

    fn forget(&self, lane: &Lane) {
        self.book.lock().forget_lane(lane.id());
    }

    fn fail(&self, pool: &Arc<Pool>, ids: &[CallId], error: &Error) {
        let completed = {
            let mut book = self.book.lock();
            let taken = ids.iter().filter_map(|id| book.take(*id));
            taken
                .map(|(call, to)| {
                    let error = call.tries.end(error.clone());
                    Completed::new((call, to), Err(error))
                })
                .collect()
        };
        self.deliver(pool, completed);
        self.go_on(pool);
    }

    fn close(&self, pool: &Arc<Pool>) {
        let ids = {
            let mut book = self.book.lock();
            book.closed = true;
            book.lane = None;
            book.ids()
        };
        self.give_up(pool, &ids, &ErrorKind::Closed);
        self.changed.notify_one();
    }
}

impl Submission<'_> {
    fn shape(&self) -> Shape {
        match self.kind {
            SubmissionKind::Command if self.options.is_confirmed() => Shape::Confirmed,
            SubmissionKind::Command => Shape::Command,
            SubmissionKind::Pipeline(len) => Shape::Pipeline(len),
            SubmissionKind::Transaction(len) => Shape::Transaction(len),
        }
    }
}

fn not_started(error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Internal {
        problem: format!("sentinel-cb could not be started: {error}"),
    })
}

/// Gives back what a target holds for a call that is not accepted.
fn give_back(target: &Target<'_>) {
    if let Target::Queue(queue, _) = target {
        queue.give_back(1);
    }
}
