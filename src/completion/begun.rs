//! Calls that a thread began and does not wait for any longer: they go on as if they had been submitted.

use std::sync::Arc;

use super::Queue;
use super::book::{Place, Target};
use super::calls::Calls;
use super::entry::CallId;
use crate::base::deadline::Deadline;
use crate::base::error::ErrorKind;
use crate::call::life::{Life, Message, Step};
use crate::pool::{BEGUN, Parcel, Passed, Pool, Submissions};
use crate::resp::Request;

/// Where such a call has got to.
pub(crate) enum Stands {
    /// Its reply is due on this connection.
    Due(Passed),
    /// This follows; what is to be sent goes over the same connection.
    Next(Step, Option<Passed>),
}

/// Such a call.
pub(crate) struct Begun<'a> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) life: Life,
    pub(crate) deadline: Deadline,
    pub(crate) stands: Stands,
}

impl Calls {
    /// Sees to the end of a call, for whose completion a place in `queue` was taken.
    pub(crate) fn see_to(&self, pool: &Arc<Pool>, begun: Begun<'_>, (queue, tag): (&Arc<Queue>, u64)) -> CallId {
        let Begun {
            request,
            life,
            deadline,
            stands,
        } = begun;
        let patience = life.patience(Message::Itself);
        let parcel = Parcel::of(request);
        let passed = match &stands {
            Stands::Due(passed) => Some(passed),
            Stands::Next(_, passed) => passed.as_ref(),
        };
        let lane = passed.map(|passed| Arc::clone(passed.lane()));
        let mut book = self.book.lock();
        let (id, next) = book.enter(Target::Queue(queue, tag), |call| {
            call.request.store(&parcel);
            call.life = life;
            call.deadline = deadline;
            call.began = None;
            call.thread = 0;
            call.place = lane
                .as_ref()
                .map_or(Place::Waiting, |lane| Place::Lane(lane.id(), BEGUN));
        });
        if let Some(lane) = &lane {
            book.use_lane(lane);
        }
        let mut closed = book.closed;
        pool.count_submitted(book.live());
        drop(book);
        if next {
            self.changed.notify_one();
        }
        let mut end = None;
        let passed = match stands {
            Stands::Due(mut passed) => {
                passed.carry(id);
                passed.owes(id, request, patience);
                Some(passed)
            }
            Stands::Next(step, passed) => {
                if let Some(passed) = &passed {
                    passed.carry(id);
                }
                match (step, &lane) {
                    (Step::Send(message), Some(lane)) => end = self.follow(pool, lane, id, message),
                    (Step::Again(error, failed), _) => self.again(pool, id, &error, failed),
                    (Step::End(result), _) => end = Some((id, result)),
                    _ => self.dispatch(pool, id),
                }
                passed
            }
        };
        self.complete(pool, end.into_iter().collect());
        closed |= passed.is_some_and(|passed| !pool.pass_on(passed));
        if closed {
            self.give_up(pool, &[id], &ErrorKind::Closed);
            lane.iter().for_each(|lane| self.forget(lane));
        }
        id
    }
}
