//! How calls end: what the peer is told, in its turn.

use std::rc::Rc;
use std::time::Instant;

use super::commands::{Core, End};
use super::failure;
use super::form::Form;
use super::listening::Listening;
use super::out::Out;
use super::session::Answer;
use super::shape::{Writer, is_mostly_large};
use super::slots::{Due, Part};
use crate::base::error::{Error, Outcome, Result};
use crate::completion::Entry;
use crate::resp::Reply;

impl Core {
    /// A call has ended.
    pub(super) fn completed(&mut self, Entry { tag, result, .. }: Entry, now: Instant) {
        let Some(call) = self.slots.take(tag) else { return };
        self.window.saw(result.as_ref().map_or(0, Reply::memory));
        let heard = self.listening.as_mut().filter(|_| call.hears && result.is_ok());
        if let Some((listening, deadline)) = heard.zip(self.port.deadline().ok()) {
            listening.await_own(deadline);
            let mut reply = Out::default();
            self.write(call.due, result, now, &mut reply);
            self.held = Some((tag, reply));
            return self.tell_what_was_held();
        }
        // The first one's is written where it goes, and copied no more.
        let mut reply = match self.slots.is_first(tag) {
            true => std::mem::take(&mut self.out),
            false => Out::default(),
        };
        self.write(call.due, result, now, &mut reply);
        if self.slots.is_first(tag) {
            self.out = reply;
            reply = Out::default();
        }
        self.slots.put(tag, reply, &mut self.out);
    }

    /// Tells the end of a PUBLISH behind what it published.
    fn tell_what_was_held(&mut self) {
        if !self.listening.as_ref().is_some_and(Listening::awaits_own) {
            if let Some((tag, reply)) = self.held.take() {
                self.slots.put(tag, reply, &mut self.out);
            }
        }
    }

    fn write(&mut self, due: Due, result: Result<Reply>, now: Instant, out: &mut Out) {
        let mut to = Writer::new(out, self.session.protocol);
        match (due, result) {
            (Due::Reply(form), Ok(reply)) => _ = to.reply(reply, form),
            (Due::Reply(_), Err(error)) => _ = to.error(failure::text(&error)),
            (Due::Transaction(parts), Ok(reply)) => {
                self.let_go(true);
                self.write_transaction(parts, Some(Rc::new(reply)), now, out);
            }
            (Due::Transaction(_), Err(error)) => {
                match failure::is_watched_key(&error) {
                    true => to.nil_array(),
                    false => to.error(failure::text_of_exec(&error)),
                };
                self.let_go(is_told(&error));
            }
            (Due::Watch, Ok(reply)) => _ = to.reply(reply, Form::default()),
            (Due::Watch, Err(error)) => {
                to.error(failure::text(&error));
                self.let_go(false);
            }
            (Due::Unwatch, result) => {
                to.status("OK");
                self.let_go(result.is_ok());
            }
        }
    }

    /// The replies to a transaction, those that are given here in their places.
    pub(super) fn write_transaction(
        &mut self,
        parts: Vec<Part>,
        replies: Option<Rc<Reply>>,
        now: Instant,
        out: &mut Out,
    ) {
        Writer::new(out, self.session.protocol).array(parts.len());
        let replies = replies.as_ref();
        let kept = replies.filter(|all| is_mostly_large(all));
        let mut replies = replies.iter().flat_map(|all| all.elements());
        for part in parts {
            match part {
                Part::Remote(form) => {
                    let mut to = Writer::new(out, self.session.protocol);
                    match replies.next() {
                        Some(reply) => to.element(reply, form, kept),
                        None => to.error("UNKNOWN the transaction has fewer replies than commands"),
                    };
                }
                Part::Local(args) => {
                    let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
                    if self.session.answer(&args, self.told(), now, out) == Answer::None {
                        Writer::new(out, self.session.protocol).status("OK");
                    }
                }
            }
        }
    }

    /// Takes what has come of the subscription.
    pub(super) fn heard(&mut self, entry: Entry) {
        if let Some(listening) = &mut self.listening {
            let mut to = Writer::new(&mut self.out, self.session.protocol);
            if !listening.take(entry, &mut to) {
                self.end = End::Now;
            }
        }
        self.tell_what_was_held();
        self.listening.take_if(|listening| listening.is_over());
    }

    /// Looks whether a SUBSCRIBE has waited for too long.
    pub(super) fn look_at_the_time(&mut self) {
        if let Some(listening) = &mut self.listening {
            if listening.waits_until().is_some_and(|until| until.passed()) {
                listening.late(&mut Writer::new(&mut self.out, self.session.protocol));
            }
        }
        self.tell_what_was_held();
        self.listening.take_if(|listening| listening.is_over());
    }
}

/// Whether the server said it: then nothing is watched any more.
fn is_told(error: &Error) -> bool {
    error.outcome() == Outcome::Refused
}
