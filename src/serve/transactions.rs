//! MULTI, WATCH and their kin: what is gathered until EXEC, and the connection that is kept meanwhile.

use std::sync::Arc;
use std::time::Instant;

use super::commands::{Core, Taken, refused};
use super::failure;
use super::form::Form;
use super::gathered::Gathered;
use super::out::Out;
use super::request::MOST_REQUEST;
use super::session::arity;
use super::slots::Due;
use crate::call::commands::look_up;
use crate::completion::Hold;

impl Core {
    pub(super) fn multi(&mut self, args: &[&[u8]]) {
        match args {
            [_] if self.multi.is_some() => self.refuse("ERR MULTI calls can not be nested"),
            [_] => {
                self.multi = Some(Gathered::new(MOST_REQUEST));
                self.say(|to| _ = to.status("OK"));
            }
            _ => self.misfits("multi"),
        }
    }

    /// One of those that frame a transaction has too many words or too few: within one, none of it is executed.
    pub(super) fn misfits(&mut self, name: &str) {
        if let Some(gathered) = &mut self.multi {
            gathered.spoil();
        }
        self.refuse(arity(name));
    }

    /// EXEC itself is refused: a server ends the transaction with it, and watches nothing more, also where there is none.
    pub(super) fn abort_exec(&mut self, text: &str) {
        self.multi = None;
        self.let_go(false);
        let why = text.strip_prefix("ERR ").unwrap_or(text);
        self.refuse(format!("EXECABORT Transaction discarded because of: {why}"));
    }

    /// Keeps a command until EXEC.
    pub(super) fn gather(&mut self, args: &[&[u8]]) {
        let Some(gathered) = &mut self.multi else { return };
        match gathered.add(args, refused(look_up(args))) {
            Ok(()) => self.say(|to| _ = to.status("QUEUED")),
            Err(text) => self.refuse(text),
        }
    }

    pub(super) fn exec(&mut self, args: &[&[u8]], now: Instant) -> Taken {
        if args.len() > 1 {
            self.abort_exec(&arity("exec"));
            return Taken::Yes;
        }
        // One that is not executed waits for nothing.
        if self.multi.as_ref().is_some_and(|gathered| !gathered.is_spoilt()) {
            if let Some(taken) = self.held_back() {
                if taken == Taken::Yes {
                    self.multi = None;
                    self.let_go(false);
                }
                return taken;
            }
        }
        let Some(mut gathered) = self.multi.take() else {
            self.refuse("ERR EXEC without MULTI");
            return Taken::Yes;
        };
        if self.watch.is_some() {
            gathered.ask_something();
        }
        if gathered.is_spoilt() {
            self.let_go(false);
            self.refuse("EXECABORT Transaction discarded because of previous errors.");
        } else if gathered.batch().is_empty() {
            let mut reply = Out::default();
            self.write_transaction(gathered.into_parts(), None, now, &mut reply);
            self.slots.push_ready(reply, &mut self.out);
        } else {
            let to = (&self.queue, self.slots.next());
            let call = match &self.watch {
                Some(hold) => self.port.submit_batch_held(gathered.batch(), to, hold),
                None => self.port.submit_batch(gathered.batch(), to),
            };
            if let Err(error) = &call {
                if self.comes_again(error) {
                    self.multi = Some(gathered);
                    return Taken::Later;
                }
                self.let_go(false);
                self.refuse(failure::text(error));
                return Taken::Yes;
            }
            let (bytes, alone) = (gathered.bytes(), self.watch.is_some() || gathered.has_own());
            return self.submitted(call, Due::Transaction(gathered.into_parts()), bytes, alone);
        }
        Taken::Yes
    }

    pub(super) fn discard(&mut self, args: &[&[u8]]) {
        match args {
            [_] if self.multi.take().is_none() => self.refuse("ERR DISCARD without MULTI"),
            [_] => self.unwatch(),
            _ => self.misfits("discard"),
        }
    }

    pub(super) fn watch(&mut self, args: &[&[u8]]) -> Taken {
        if args.len() < 2 {
            self.misfits("watch");
            return Taken::Yes;
        }
        if self.multi.is_some() {
            self.refuse("ERR WATCH inside MULTI is not allowed");
            return Taken::Yes;
        }
        let to = (&self.queue, self.slots.next());
        let bytes = args.iter().map(|arg| arg.len()).sum();
        if let Some(hold) = &self.watch {
            let call = self.port.submit_held(args, to, hold);
            return self.submitted(call, Due::Reply(Form::default()), bytes, false);
        }
        let hold = Arc::<Hold>::default();
        let call = self.port.submit_keeping(args, to, &hold);
        self.watch = call.is_ok().then_some(hold);
        self.submitted(call, Due::Watch, bytes, true)
    }

    /// The keys are watched no more.
    pub(super) fn unwatch(&mut self) {
        let unwatch: [&[u8]; 1] = [b"UNWATCH"];
        let to = (&self.queue, self.slots.next());
        match self
            .watch
            .as_ref()
            .map(|hold| self.port.submit_held(&unwatch, to, hold))
        {
            Some(Ok(id)) => _ = self.submitted(Ok(id), Due::Unwatch, 0, true),
            // A connection that is gone watches nothing.
            _ => {
                self.let_go(false);
                self.say(|to| _ = to.status("OK"));
            }
        }
    }

    /// Lets go of the connection that is kept, if one is.
    pub(super) fn let_go(&mut self, clean: bool) {
        if let Some(hold) = self.watch.take() {
            self.port.release(&hold, clean);
        }
    }
}
