//! What is asked of the server before a submitted call itself is sent: what a command does that the library does not
//! know, and whether the node can have a write on disk. Nothing waits for the answer but the call, and those that were
//! submitted behind it.

use std::sync::Arc;

use super::attempt::{hand_over, read_question};
use super::book::{CallId, Place, Step};
use super::calls::Calls;
use crate::client::call::{Failed, Tries};
use crate::client::learnt::question;
use crate::client::meaning::Remedy;
use crate::client::replication::PROBE;
use crate::error::{Error, ErrorKind};
use crate::pool::{Ended, Lane, Pool};

impl Calls {
    /// Lets a call begin: with its question, when it has one that nobody has asked before.
    pub(super) fn start(&self, pool: &Arc<Pool>, id: CallId) {
        {
            let mut book = self.book.lock();
            let Some(call) = book.get(id) else { return };
            call.begin();
            while let Some(known) = call.unknown.last().and_then(|name| self.learnt.known(name)) {
                call.told(known);
            }
            if call.step == Step::Ask {
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

    /// The end of the question what a command does.
    pub(super) fn answered(&self, pool: &Arc<Pool>, lane: &Arc<Lane>, ended: Ended) {
        let (id, name) = {
            let mut book = self.book.lock();
            let id = ended.id;
            let Some(name) = book.get(id).and_then(|call| call.unknown.last().cloned()) else {
                return;
            };
            (id, name)
        };
        let generation = lane.generation();
        let told = match read_question(&question(Some(&name)), ended, generation) {
            Ok(reply) => self.learnt.heard(&name, Ok(reply)),
            Err(Failed {
                error,
                remedy: Remedy::None,
            }) if error.server_code().is_some() => self.learnt.heard(&name, Err(error)),
            Err(failed) => return self.attempt_failed(pool, generation, id, failed),
        };
        let traits = match told {
            Ok(traits) => traits,
            Err(error) => return self.complete(pool, id, Err(error)),
        };
        {
            let mut book = self.book.lock();
            if let Some(call) = book.get(id) {
                call.told(traits);
                call.tries = Tries::new();
                call.place = Place::Waiting;
            }
        }
        // A batch may have another question, which keeps its place.
        self.start(pool, id);
        {
            let mut book = self.book.lock();
            let asks = book.get(id).is_some_and(|call| call.step == Step::Ask);
            book.asker.take_if(|asker| *asker == id && !asks);
        }
        self.go_on(pool);
    }

    /// The end of the question whether the node can have a write on disk. The write follows on the same connection.
    pub(super) fn probed(&self, pool: &Arc<Pool>, lane: &Arc<Lane>, ended: Ended) {
        let (id, generation) = (ended.id, lane.generation());
        let mut probed = read_question(&PROBE, ended, generation).map(drop);
        if generation.is_retired() {
            let cause = "the service moved to another node".into();
            probed = probed.and(Err(Error::new(ErrorKind::ConnectionLost { cause }).into()));
        }
        let sent = probed.and_then(|()| {
            let mut book = self.book.lock();
            if let Some(call) = book.get(id) {
                call.step = Step::Run;
                call.place = Place::Waiting;
            }
            match hand_over(&mut book, id, lane) {
                Ok(_) => Ok(()),
                Err(refused) => Err(Failed::from(lane.refusal(refused))),
            }
        });
        if let Err(failed) = sent {
            self.attempt_failed(pool, generation, id, failed);
        }
    }
}
