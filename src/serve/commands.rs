//! What a peer asks for: here, of a node, on a connection that is kept, or once what came before it is answered.

use std::sync::Arc;
use std::time::Instant;

use super::failure;
use super::form::form;
use super::gathered::Gathered;
use super::listening::{self, Listening, MOST_MESSAGES};
use super::out::Out;
use super::session::{Answer, Session, arity, misfit};
use super::shape::Writer;
use super::slots::{Call, Due, Slots};
use super::window::Window;
use crate::base::deadline::Deadline;
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::heavy::Bytes;
use crate::call::commands::{Class, is_read_only, look_up, shown_name};
use crate::completion::{CallId, ChannelKind, Hold, Queue};
use crate::handles::Port;

/// Requests under way at most; one more waits until one of them is done.
pub(super) const MOST_CALLS: usize = 1024;
/// Bytes of requests under way; one larger request goes out all the same.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// Whether a request was taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Yes,
    /// Once others are done.
    Later,
}

/// How the stream is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It is not.
    Open,
    /// Once everything is answered and sent.
    Behind,
    /// Now.
    Now,
}

/// All that is known of a peer but for the bytes.
pub(super) struct Core {
    pub(super) port: Port,
    /// Where the calls end.
    pub(super) queue: Arc<Queue>,
    pub(super) session: Session,
    pub(super) slots: Slots,
    /// Replies on their way to the peer.
    pub(super) out: Out,
    /// Bytes of replies that were given away and that the peer has not read yet.
    pub(super) unread: usize,
    pub(super) window: Window,
    pub(super) end: End,
    pub(super) listening: Option<Listening>,
    /// A call found too many under way, of this socket or of others: it is tried again until then.
    pub(super) full_until: Option<Deadline>,
    /// What the first of the slots asked for must be done before anything else is begun.
    alone: bool,
    pub(super) multi: Option<Gathered>,
    /// The reply to a PUBLISH, until what it published is heard; and its number.
    pub(super) held: Option<(u64, Out)>,
    /// The connection that is kept, from WATCH on.
    pub(super) watch: Option<Arc<Hold>>,
}

impl Drop for Core {
    fn drop(&mut self) {
        for id in self.slots.waiting() {
            self.port.cancel(id);
        }
        // Replies that nobody will read are let go of as they come.
        self.queue.free();
        self.let_go(false);
    }
}

impl Core {
    pub(super) fn new(port: Port, now: Instant) -> Core {
        let settings = port.settings();
        let session = Session::new(port.role(), settings.database, settings.protocol != 2, now);
        let window = Window::new(settings.limits.max_bytes);
        let core = Core {
            port,
            queue: Arc::new(Queue::new(2 * MOST_CALLS)),
            session,
            slots: Slots::default(),
            out: Out::default(),
            unread: 0,
            window,
            end: End::Open,
            listening: None,
            full_until: None,
            alone: false,
            multi: None,
            held: None,
            watch: None,
        };
        core.make_room();
        core
    }

    /// Whether the next request may be looked at.
    pub(super) fn is_open(&self) -> bool {
        let waits = self
            .listening
            .as_ref()
            .is_some_and(|listening| listening.waits_until().is_some());
        let full = self.slots.len() >= MOST_CALLS || self.slots.bytes() >= MOST_BYTES;
        self.end == End::Open && !waits && !full && !self.is_shut() && (self.slots.is_empty() || !self.alone)
    }

    /// Whether nothing more is asked for until the peer has read, or what was asked for has come.
    pub(super) fn is_shut(&self) -> bool {
        !self.window.admits(self.slots.calls(), self.waiting())
    }

    /// Bytes that wait for the peer.
    pub(super) fn waiting(&self) -> usize {
        let early = self.listening.as_ref().map_or(0, Listening::early_bytes);
        self.unread + self.out.len() + self.slots.parked() + early
    }

    /// Tells the queues how much may come until the next turn.
    pub(super) fn make_room(&self) {
        let room = self.window.room(self.waiting());
        self.queue.set_room(room);
        if let Some(listening) = &self.listening {
            listening.queue.set_room(room);
        }
    }

    /// Whether more came than the peer may leave unread.
    pub(super) fn is_overrun(&self) -> bool {
        let messages = self
            .listening
            .as_ref()
            .is_some_and(|listening| listening.queue.is_overrun());
        messages || self.queue.is_overrun()
    }

    /// Whether only the peer ends what is under way.
    pub(super) fn waits(&self) -> bool {
        self.slots.waiting().next().is_some()
    }

    pub(super) fn told(&self) -> [usize; 3] {
        self.listening.as_ref().map_or([0; 3], Listening::counts)
    }

    /// Answers without a node, behind all that was asked before.
    pub(super) fn say(&mut self, write: impl FnOnce(&mut Writer<'_>)) {
        let mut reply = Out::default();
        write(&mut Writer::new(&mut reply, self.session.protocol));
        self.slots.push_ready(reply, &mut self.out);
    }

    pub(super) fn refuse(&mut self, text: impl AsRef<[u8]>) {
        self.say(|to| _ = to.error(text));
    }

    /// Takes a request up.
    /// `whole`: its bytes, where they lie by themselves.
    pub(super) fn take_up(&mut self, args: &[&[u8]], whole: Option<&Arc<Bytes>>, now: Instant) -> Taken {
        let Some(name) = args.first().copied() else {
            return Taken::Yes;
        };
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        if self.must_be_alone(args) && !self.slots.is_empty() {
            return Taken::Later;
        }
        self.alone = false;
        let frames = ["MULTI", "EXEC", "DISCARD", "WATCH"].into_iter().any(is);
        if is("POST") || is("HOST:") {
            // A browser that was made to speak to this socket: no word of it is carried out.
            self.end = End::Now;
        } else if self.multi.is_some() && !frames && !is("QUIT") && !is("RESET") {
            self.gather(args);
        } else if self.multi.is_some() && is("RESET") && args.len() > 1 {
            self.misfits("reset");
        } else if self.told() != [0; 3] && !listening::is_allowed(self.session.protocol, name) {
            self.refuse_while_subscribed(args);
        } else if let Some((kind, begins)) = listening::kind_of(name) {
            self.listen(kind, begins, args);
        } else if is("MULTI") {
            self.multi(args);
        } else if is("EXEC") {
            return self.exec(args, now);
        } else if is("DISCARD") {
            self.discard(args);
        } else if is("WATCH") {
            return self.watch(args);
        } else if is("UNWATCH") {
            match args {
                [_] => self.unwatch(),
                _ => self.refuse(arity("unwatch")),
            }
        } else {
            return self.command(args, whole, now);
        }
        Taken::Yes
    }

    fn refuse_while_subscribed(&mut self, args: &[&[u8]]) {
        let name = full_name(args);
        let text = misfit(args).unwrap_or_else(|| {
            format!(
                "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in \
                 this context"
            )
        });
        match name.as_str() {
            "exec" => self.abort_exec(&text),
            _ => self.refuse(text),
        }
    }

    /// Whether what comes before must be done before this is begun.
    fn must_be_alone(&self, args: &[&[u8]]) -> bool {
        let Some(name) = args.first() else { return false };
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        let gathers = self.multi.is_some();
        match self.watch {
            _ if is("HELLO") || is("RESET") || listening::kind_of(name).is_some() => !gathers || is("RESET"),
            _ if is("WATCH") => !gathers,
            _ if is("EXEC") && self.multi.as_ref().is_some_and(Gathered::has_own) => true,
            Some(_) if is("EXEC") || is("DISCARD") || is("UNWATCH") => true,
            _ => !gathers && (self.hears(args) || look_up(args) == Some(Class::Blocking)),
        }
    }

    /// Whether this waits in the server.
    pub(super) fn would_wait(&self, args: &[&[u8]]) -> bool {
        self.multi.is_none() && look_up(args) == Some(Class::Blocking)
    }

    /// Whether the peer hears what this publishes.
    fn hears(&self, args: &[&[u8]]) -> bool {
        let listening = self.listening.as_ref();
        listening.is_some_and(|listening| {
            listening::published(args).is_some_and(|(kind, channel)| listening.hears(kind, channel))
        })
    }

    /// Answered here, or by a node.
    fn command(&mut self, args: &[&[u8]], whole: Option<&Arc<Bytes>>, now: Instant) -> Taken {
        let (mut reply, told) = (Out::default(), self.told());
        match self.session.answer(args, told, now, &mut reply) {
            Answer::None => return self.submit(args, whole),
            Answer::Given => self.slots.push_ready(reply, &mut self.out),
            Answer::Last => {
                self.slots.push_ready(reply, &mut self.out);
                self.end = End::Behind;
            }
            Answer::Reset => {
                (self.multi, self.listening) = (None, None);
                self.let_go(false);
                self.session.reset();
                self.say(|to| _ = to.status("RESET"));
            }
        }
        Taken::Yes
    }

    fn submit(&mut self, args: &[&[u8]], whole: Option<&Arc<Bytes>>) -> Taken {
        let class = look_up(args);
        if let Some(instead) = refused(class) {
            self.refuse(format!("ERR {} cannot run on this socket: {instead}", shown_name(args)));
            return Taken::Yes;
        }
        if !is_read_only(args) {
            if let Some(taken) = self.held_back() {
                return taken;
            }
        }
        let to = (&self.queue, self.slots.next());
        let call = match &self.watch {
            Some(hold) => self.port.submit_held(args, to, hold),
            None => self.port.submit(args, whole, to),
        };
        let bytes = args.iter().map(|arg| arg.len()).sum();
        let hears = self.hears(args);
        let taken = self.submitted(call, Due::Reply(form(args)), bytes, class == Some(Class::Blocking));
        if hears {
            self.alone = self.slots.wait_to_hear();
        }
        taken
    }

    /// Whether a call that was not accepted may be once others are done: as long as it would have waited for its reply.
    pub(super) fn comes_again(&mut self, error: &Error) -> bool {
        if !matches!(error.kind(), ErrorKind::QueueFull { .. }) {
            return false;
        }
        self.has_time()
    }

    /// Whether what cannot be done now is tried again.
    fn has_time(&mut self) -> bool {
        let until = match self.full_until {
            Some(until) => until,
            None => self.port.deadline().unwrap_or(Deadline::NEVER),
        };
        self.full_until = Some(until).filter(|until| !until.passed());
        self.full_until.is_some()
    }

    /// A write for the connection that is kept, while none may go out there: it waits, or is refused once it has waited for
    /// as long as it may.
    pub(super) fn held_back(&mut self) -> Option<Taken> {
        let error = self.port.held_back(self.watch.as_ref()?)?;
        if self.has_time() {
            return Some(Taken::Later);
        }
        self.refuse(failure::text(&error));
        Some(Taken::Yes)
    }

    /// What came of a submission; where there are too many under way, it comes again.
    pub(super) fn submitted(&mut self, call: Result<CallId>, due: Due, bytes: usize, alone: bool) -> Taken {
        match call {
            Ok(id) => {
                self.full_until = None;
                self.alone = alone;
                let waits = alone && matches!(due, Due::Reply(_));
                self.slots.push(Call {
                    id,
                    due,
                    bytes,
                    waits,
                    hears: false,
                });
            }
            Err(error) if self.comes_again(&error) => return Taken::Later,
            Err(error) => self.refuse(failure::text(&error)),
        }
        Taken::Yes
    }

    fn listen(&mut self, kind: ChannelKind, begins: bool, args: &[&[u8]]) {
        let names = args.get(1..).unwrap_or_default();
        let mut to = Writer::new(&mut self.out, self.session.protocol);
        if begins && names.is_empty() {
            to.error(arity(&kind.commands().0.to_ascii_lowercase()));
        } else if begins {
            let deadline = match self.port.deadline() {
                Ok(deadline) => deadline,
                Err(error) => {
                    to.error(failure::text(&error));
                    return;
                }
            };
            let listening = self.listening.get_or_insert_with(|| {
                let queue = Arc::new(Queue::new(MOST_MESSAGES));
                Listening::new(self.port.listen(&queue), queue)
            });
            listening.subscribe(kind, names, deadline, &mut to);
        } else if let Some(listening) = &mut self.listening {
            listening.unsubscribe(kind, names, &mut to);
            self.listening.take_if(|listening| listening.is_over());
        } else if names.is_empty() {
            listening::unsubscribed(kind, None, [0; 3], &mut to);
        } else {
            names
                .iter()
                .for_each(|name| listening::unsubscribed(kind, Some(name), [0; 3], &mut to));
        }
    }
}

/// A command as a server calls it, with its subcommand where it has some.
fn full_name(args: &[&[u8]]) -> String {
    const HAVE_SOME: [&str; 8] = [
        "client", "config", "object", "memory", "xgroup", "xinfo", "script", "pubsub",
    ];
    let lower = |at: usize| {
        let word = args
            .get(at)
            .map(|word| String::from_utf8_lossy(word).to_ascii_lowercase());
        word.unwrap_or_default()
    };
    let name = lower(0);
    match HAVE_SOME.contains(&name.as_str()) && args.len() > 1 {
        true => format!("{name}|{}", lower(1)),
        false => name,
    }
}

/// What to use in place of a command that no client may send.
pub(super) fn refused(class: Option<Class>) -> Option<&'static str> {
    match class? {
        Class::Confirming { instead } | Class::Stateful { instead } | Class::Never { instead } => Some(instead),
        Class::Shared | Class::Blocking => None,
    }
}
