//! What follows the end of what was sent for a call. Where that is about many commands it is found out elsewhere: each is
//! to be looked at, and sentinel-io has others to serve.

use std::sync::{Arc, Weak};

use super::attempt::{came, follow};
use super::book::{Call, EndOf, Place, Stored};
use super::calls::Calls;
use super::entry::CallId;
use super::large::Case;
use crate::base::elsewhere::{MANY, discard, elsewhere};
use crate::base::error::Error;
use crate::call::Learnt;
use crate::call::batch::Encoded;
use crate::call::life::{self, Event, Life, Message, Next, Scene, Shape, Step};
use crate::pool::{Ended, Lane, Pool, Refused};

/// The same with what is to be done.
struct Decided {
    id: CallId,
    life: Life,
    request: Stored,
    lane: Arc<Lane>,
    next: Next,
}

impl Case {
    /// Commands that may have to be looked at one by one.
    fn commands(&self) -> usize {
        match self.life.shape() {
            Shape::Command | Shape::Confirmed => 0,
            Shape::Pipeline(len) | Shape::Transaction(len) => len,
        }
    }

    fn decide(self, learnt: &Learnt) -> Decided {
        let Case {
            id,
            mut life,
            request,
            lane,
            came,
            ..
        } = self;
        let scene = Scene {
            commands: &Encoded::new(request.body(life.shape()), learnt),
            node: Some(&lane.generation().endpoint),
            wanted: self.wanted,
            closed: self.closed,
            late: self.late,
        };
        let next = life.on(Event::Ended(came, scene));
        Decided {
            id,
            life,
            request,
            lane,
            next,
        }
    }
}

impl Calls {
    /// Attempts have ended with more than a plain reply.
    pub(super) fn attempts_ended(&self, pool: &Arc<Pool>, lane: &Arc<Lane>, ended: impl Iterator<Item = Ended>) {
        let (mut ends, mut large, mut room) = (Vec::new(), Vec::new(), MANY);
        for ended in ended {
            let Some(case) = self.case(pool, lane, ended.id, came(ended)) else {
                continue;
            };
            if case.commands() > room {
                large.push(case);
                continue;
            }
            room -= case.commands();
            ends.extend(self.go_on_with(pool, case.decide(&self.learnt)));
        }
        if !large.is_empty() {
            self.large.waiting.lock().append(&mut large);
            self.large.more.notify_one();
        }
        self.complete(pool, ends);
    }

    /// Has decided about those that came, one after the other, on sentinel-io.
    pub(super) async fn decide_large(&self, pool: &Weak<Pool>) {
        loop {
            let cases = std::mem::take(&mut *self.large.waiting.lock());
            if cases.is_empty() {
                self.large.more.notified().await;
                continue;
            }
            let ids: Vec<CallId> = cases.iter().map(|case| case.id).collect();
            let learnt = Arc::clone(&self.learnt);
            let all = move || cases.into_iter().map(|case| case.decide(&learnt)).collect::<Vec<_>>();
            let decided = elsewhere(all).await;
            let Some(pool) = pool.upgrade() else { return };
            let ends = match decided {
                Ok(decided) => {
                    let ends = decided.into_iter().filter_map(|one| self.go_on_with(&pool, one));
                    ends.collect()
                }
                Err(fault) => ids.into_iter().map(|id| (id, Err(Error::fault(fault)))).collect(),
            };
            self.complete(&pool, ends);
        }
    }

    /// Lends out what is needed to decide about a call, unless it has completed.
    fn case(&self, pool: &Arc<Pool>, lane: &Arc<Lane>, id: CallId, came: life::Ended) -> Option<Case> {
        let Some((life, request, deadline)) = self.book.lock().get(id).map(Call::borrow) else {
            if came.replies.len() > MANY {
                discard(Box::new(came));
            }
            return None;
        };
        Some(Case {
            id,
            life,
            request,
            lane: Arc::clone(lane),
            came,
            wanted: pool.role,
            closed: pool.is_closed(),
            late: deadline.passed(),
        })
    }

    /// Does what was decided. The end of the call, where it has come.
    fn go_on_with(&self, pool: &Arc<Pool>, decided: Decided) -> Option<EndOf> {
        let Decided {
            id,
            life,
            request,
            lane,
            next,
        } = decided;
        if next.condemn {
            pool.condemn(lane.generation());
        }
        // Of one command that has ended nothing is needed any more.
        let is_over = matches!(next.step, Step::End(_)) && life.shape() == Shape::Command;
        if let Some(call) = (!is_over)
            .then(|| self.book.lock())
            .as_mut()
            .and_then(|book| book.get(id))
        {
            (call.life, call.request) = (life, request);
        }
        match next.step {
            Step::Send(message) => return self.follow(pool, &lane, id, message),
            Step::Learn(answer) => self.learn(pool, id, answer),
            Step::Again(error, failed) => self.again(pool, id, &error, failed),
            Step::End(result) => return Some((id, result)),
            Step::Connect(_) => self.dispatch(pool, id),
            Step::Stay => {}
        }
        None
    }

    /// A call whose question was answered goes out later, on whatever connection there is then, where it is a write.
    fn hold_back(&self, id: CallId) -> bool {
        let mut book = self.book.lock();
        let Some(call) = book.get(id).filter(|call| call.writes(&self.learnt)) else {
            return false;
        };
        call.place = Place::Waiting;
        matches!(call.life.on(Event::TakenBack(None)).step, Step::Connect(_))
    }

    /// Sends what follows on the same connection.
    pub(super) fn follow(&self, pool: &Arc<Pool>, lane: &Arc<Lane>, id: CallId, message: Message) -> Option<EndOf> {
        let is_the_call = matches!(message, Message::Itself | Message::Source);
        if is_the_call && pool.holds(Some(lane.generation())) && self.hold_back(id) {
            self.dispatch(pool, id);
            return None;
        }
        // One of a retired generation takes no more, nor one that went to another call while this was decided.
        let is_ours = !lane.is_own() || lane.carries(id);
        let sent = match lane.generation().is_retired() || !is_ours {
            true => Err(Refused::Ended),
            false => follow(&mut self.book.lock(), id, message, lane),
        };
        let came = life::Ended::unsent(lane.refusal(sent.err()?));
        let case = self.case(pool, lane, id, came)?;
        self.go_on_with(pool, case.decide(&self.learnt))
    }
}
