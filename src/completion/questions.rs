//! What is asked of the server before a submitted call itself is sent: what a command does that the library does not
//! know. Nothing waits for the answer but the call, and those that were submitted behind it.

use std::sync::Arc;

use super::book::{CallId, Place};
use super::calls::Calls;
use crate::error::Result;
use crate::pool::Pool;
use crate::resp::Reply;

impl Calls {
    /// Lets a call begin: with its question, when it has one that nobody has asked before.
    pub(super) fn start(&self, pool: &Arc<Pool>, id: CallId) {
        {
            let mut book = self.book.lock();
            let Some(call) = book.get(id) else { return };
            self.learnt.recall(&mut call.life);
            if call.life.question().is_some() {
                book.asker = Some(id);
            }
        }
        self.dispatch(pool, id);
    }

    /// Lets the calls go on that were held while a question was under way, up to the next one with a question.
    pub(super) fn go_on(&self, pool: &Arc<Pool>) {
        {
            let mut book = self.book.lock();
            // Who lets them go already sees that the question is over.
            if book.releasing || book.asker.is_some() || book.held.is_empty() {
                return;
            }
            book.releasing = true;
        }
        loop {
            let next = {
                let mut book = self.book.lock();
                let next = if book.asker.is_none() {
                    book.held.pop_front()
                } else {
                    None
                };
                book.releasing = next.is_some();
                next
            };
            match next {
                Some(id) => self.start(pool, id),
                None => return,
            }
        }
    }

    /// The answer to the question what a command does.
    pub(super) fn learn(&self, pool: &Arc<Pool>, id: CallId, answer: Result<Reply>) {
        {
            let mut book = self.book.lock();
            let Some(call) = book.get(id) else { return };
            self.learnt.heard(&mut call.life, answer);
            call.place = Place::Waiting;
        }
        // A batch may have another question, which keeps its place.
        self.start(pool, id);
        {
            let mut book = self.book.lock();
            let asks = book.get(id).is_some_and(|call| call.life.question().is_some());
            book.asker.take_if(|asker| *asker == id && !asks);
        }
        self.go_on(pool);
    }
}
