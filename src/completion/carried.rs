//! What the pool tells submitted calls: how attempts have ended, and on which lane they may go out.

use std::collections::HashSet;
use std::sync::Arc;

use super::attempt::hand_over;
use super::calls::{Calls, Completed, timing};
use super::deliveries::Deliveries;
use super::entry::CallId;
use super::untaken::Untaken;
use crate::base::clock::Moment;
use crate::base::error::{Error, ErrorKind};
use crate::call::life::Handed;
use crate::observe::short_micros;
use crate::pool::{Ended, Lane, Pool, Refused, Submissions, Waiter};
use crate::resp::Kind;

impl Submissions for Calls {
    fn ended(&self, pool: &Arc<Pool>, lane: &Arc<Lane>, ends: &mut Vec<Ended>) {
        let mut done = Deliveries::default();
        let (mut finished, mut timed, mut spent) = (0, Vec::new(), Vec::new());
        let untaken = {
            let mut book = self.book.lock();
            for end in ends.iter_mut() {
                let plain = end.end.is_ok() && end.last.as_ref().is_some_and(|last| last.kind() != Kind::Error);
                if !plain {
                    continue;
                }
                if let Some(began) = book.finish((end.id, Some(lane)), &mut end.last, (&mut done, &mut spent)) {
                    timed.extend(began);
                    finished += 1;
                    end.id = 0;
                }
            }
            pool.count_submitted(book.live());
            // Still counted by the book until here: no moment in which it is not.
            Untaken::new(&pool.untaken, finished)
        };
        drop(spent);
        if finished > 0 {
            let now = Moment::now();
            let took = timed.iter().map(|began| short_micros(now.since(*began)));
            pool.calls.succeeded_together(finished, took, timing(None, now));
            done.send(&self.callbacks, untaken);
        }
        if finished < ends.len() {
            let others = ends.drain(..).filter(|end| end.id != 0);
            self.attempts_ended(pool, lane, others);
        }
    }

    fn send(&self, pool: &Arc<Pool>, lane: &Arc<Lane>, ids: &[CallId]) -> Vec<Waiter> {
        let (mut full, mut waiters, mut sent, mut held) = (Vec::new(), Vec::new(), false, false);
        let holds = pool.holds(Some(lane.generation()));
        let mut behind = if holds { pool.held_submitters() } else { HashSet::new() };
        {
            let mut book = self.book.lock();
            for id in ids {
                let waits = holds.then(|| book.get(*id)).flatten();
                let waiter = waits.map(|call| call.waiter_of(*id, true, &self.learnt));
                if let Some(waiter) = waiter.filter(|waiter| waiter.writes || behind.contains(&waiter.thread)) {
                    held = true;
                    behind.extend(Some(waiter.thread).filter(|thread| *thread != 0));
                    waiters.push(waiter);
                    continue;
                }
                match hand_over(&mut book, *id, lane) {
                    Ok(handed) => sent |= handed,
                    Err(Refused::Ended) => waiters.extend(book.get(*id).map(|call| call.waiter(*id))),
                    Err(refused) => full.push((*id, refused)),
                }
            }
        }
        if !sent && full.is_empty() && (held || waiters.is_empty()) && lane.is_own() {
            // Given up just before, or held: the connection is free for the next.
            ids.iter().for_each(|id| pool.own_lane_free(lane, *id));
        }
        for (id, refused) in full {
            self.fail(pool, &[id], &lane.refusal(refused));
        }
        waiters
    }

    fn taken_back(&self, pool: &Arc<Pool>, lane: &Lane, ids: &[CallId], lost: Option<&Error>) -> Vec<Waiter> {
        let (waiters, ends) = self.book.lock().wait_again(lane.id(), ids, lost);
        self.complete(pool, ends);
        waiters
    }

    fn forget(&self, lane: &Lane) {
        self.book.lock().forget_lane(lane.id());
    }

    fn fail(&self, pool: &Arc<Pool>, ids: &[CallId], error: &Error) {
        let taken: Vec<_> = {
            let mut book = self.book.lock();
            ids.iter().filter_map(|id| book.take(*id)).collect()
        };
        let completed = taken
            .into_iter()
            .map(|call| Completed::given_up(call, error.clone(), Handed::Nothing));
        self.deliver(pool, completed.collect());
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
