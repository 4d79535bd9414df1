//! Calls for a connection that is kept: they go out on that one, or fail.

use std::sync::Arc;

use super::attempt::hand_over;
use super::book::{Place, Target};
use super::calls::{Calls, give_back};
use super::entry::CallId;
use super::hold::Hold;
use crate::base::deadline::Deadline;
use crate::base::error::{Error, ErrorKind, Outcome, Result};
use crate::call::life::Life;
use crate::pool::{Parcel, Pool};
use crate::resp::Request;

impl Calls {
    /// Accepts a call that goes out on the connection that is kept, or fails.
    pub(crate) fn submit_held(
        &self,
        pool: &Arc<Pool>,
        request: &Request<'_>,
        (life, hold): (Life, &Hold),
        deadline: Deadline,
        target: Target<'_>,
    ) -> Result<CallId> {
        let Some(lane) = hold.lane() else {
            let cause = "the connection was given up".to_owned();
            return Err(Error::new(ErrorKind::ConnectionLost { cause }).with_outcome(Outcome::NotSent));
        };
        if let Target::Queue(queue, _) = &target {
            queue.take_place()?;
        }
        let parcel = Parcel::of(request);
        let mut book = self.book.lock();
        if book.closed {
            drop(book);
            give_back(&target);
            return Err(Error::new(ErrorKind::Closed));
        }
        let (id, next) = book.enter(target, |call| {
            call.request.store(&parcel);
            call.life = life.bound();
            call.deadline = deadline;
            call.began = None;
            call.place = Place::Waiting;
        });
        pool.count_submitted(book.live());
        drop(book);
        // The pool's lock is taken without the book's.
        pool.carry_held(&lane, id);
        let refused = hand_over(&mut self.book.lock(), id, &lane).err();
        if next {
            self.changed.notify_one();
        }
        if let Some(refused) = refused {
            self.complete(pool, vec![(id, Err(lane.refusal(refused)))]);
        }
        Ok(id)
    }
}
