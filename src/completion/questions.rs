//! What is asked of the server before a submitted call itself is sent: what a command does that the library does not
//! know. Nothing waits for the answer but the call, and those that were submitted behind it.

use std::sync::Arc;

use super::book::{Book, Place};
use super::calls::Calls;
use super::entry::CallId;
use crate::base::error::Result;
use crate::call::Learnt;
use crate::pool::Pool;
use crate::resp::Reply;

/// Calls that have completed among those that wait behind a question, besides one for each that has not.
const STALE: usize = 1024;

impl Book {
    /// A call begins with its question, when it has one that nobody has asked before. That is decided under the lock under
    /// which the call was entered: whoever is entered next waits behind it.
    pub(super) fn ask(&mut self, id: CallId, learnt: &Learnt) {
        let Some(call) = self.get(id) else { return };
        learnt.recall(&mut call.life);
        if call.life.question().is_some() {
            self.asker = Some(id);
        }
    }

    /// Has a call wait behind a question. Those that have completed meanwhile do not gather.
    pub(super) fn hold(&mut self, id: CallId) {
        if self.held.len() >= 2 * self.live() + STALE {
            let mut held = std::mem::take(&mut self.held);
            held.retain(|id| self.get(*id).is_some());
            self.held = held;
        }
        self.held.push_back(id);
    }

    /// Whether a call that comes now waits behind a question.
    pub(super) fn holds(&self) -> bool {
        self.asker.is_some() || self.releasing || !self.held.is_empty()
    }
}

impl Calls {
    /// Lets a call begin: with its question, when it has one that nobody has asked before.
    pub(super) fn start(&self, pool: &Arc<Pool>, id: CallId) {
        {
            let mut book = self.book.lock();
            if book.get(id).is_none() {
                return;
            }
            book.ask(id, &self.learnt);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::CallOptions;
    use crate::call::life::{Life, Shape};
    use crate::completion::book::Target;

    fn enter(book: &mut Book) -> CallId {
        let life = || Life::new(Shape::Command, &CallOptions::default(), false);
        book.enter(Target::Done(Box::new(drop)), |call| call.life = life()).0
    }

    #[test]
    fn calls_that_completed_while_they_were_held_do_not_gather() {
        let mut book = Book::default();
        let first = enter(&mut book);
        book.hold(first);
        for _ in 0..100_000 {
            let id = enter(&mut book);
            book.hold(id);
            assert!(book.take(id).is_some());
        }
        assert!(book.held.len() <= 2 * 2 + STALE, "{}", book.held.len());
        assert_eq!(book.held.front(), Some(&first));
    }
}
