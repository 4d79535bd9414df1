//! Calls that a thread waits for: their life ([`Life`]) on connections that it lends, until their deadline.

use std::sync::Arc;
use std::time::Duration;

use super::batch::{Batch, BatchKind, Encoded};
use super::commands;
use super::learnt::{Learnt, question};
use super::life::{Commands, Ended, Event, Handed, Life, Message, Next, Scene, Shape, Step};
use super::meaning::{Claim, confirms};
use super::replication::{PROBE, wait_command};
use super::terms::CallOptions;
use crate::base::deadline::Deadline;
use crate::base::error::{Error, ErrorKind, Result};
use crate::observe::Timing;
use crate::pool::{Generation, Lent, Patience, Pool, Want, want_for};
use crate::resp::{Kind, Reply, Request, encode};

/// Runs `args`, a command that the table knows and that nobody has to confirm. `own`: it waits in the server.
pub(crate) fn run(
    pool: &Arc<Pool>,
    args: &[&[u8]],
    call: &CallOptions,
    own: bool,
    learnt: &Learnt,
    deadline: Deadline,
) -> Result<Reply> {
    let request = Request::Command(args);
    let want = if own { Want::Lease } else { want_for(&request) };
    let mut lent = match pool.lend(want, deadline) {
        Ok(lent) => lent,
        Err(error) => return not_lent(pool, error, || !commands::is_read_only(args)),
    };
    if pool.holds(lent.generation()) && !commands::is_read_only(args) {
        let mut life = Life::new(Shape::Command, call, own);
        let next = life.set_out().map_or(Step::Stay, Step::Send).into();
        let waiting = Waiting::new(pool, Letter::Command(args), learnt, deadline);
        return counted(pool, waiting.live(life, Some(lent), next));
    }
    if own {
        lent.be(Patience::Endless);
    }
    let mut reply = None;
    let done = lent.exchange(&request, 1, deadline, |whole| reply = Some(whole));
    match (done, reply) {
        (Ok(()), Some(reply)) if reply.kind() != Kind::Error => {
            let result = Ok(reply);
            pool.calls.call_ended(&result, lent.timing().since(deadline.since()));
            result
        }
        (done, reply) => {
            let waiting = Waiting::new(pool, Letter::Command(args), learnt, deadline);
            let mut life = Life::new(Shape::Command, call, own);
            life.set_out();
            let ended = Ended::new(reply.into_iter().collect(), done, lent.unsent());
            counted(pool, waiting.go_on(life, lent, ended))
        }
    }
}

/// No connection could be had in time.
#[cold]
fn not_lent(pool: &Pool, error: Error, writes: impl FnOnce() -> bool) -> Result<Reply> {
    counted(pool, Err(why_not_lent(pool, error, writes)))
}

/// The same of a write, which would not have gone out on any.
fn why_not_lent(pool: &Pool, error: Error, writes: impl FnOnce() -> bool) -> Error {
    let is_late = matches!(
        error.kind(),
        ErrorKind::PrimaryNotFound { .. } | ErrorKind::Timeout { .. } | ErrorKind::PoolExhausted { .. }
    );
    match is_late && pool.holds(None) && writes() {
        true => pool.writes_are_held(),
        false => error,
    }
}

/// Counts how a whole call ended.
#[cold]
pub(crate) fn counted(pool: &Pool, result: Result<(Reply, Timing)>) -> Result<Reply> {
    let timing = result.as_ref().map_or(Timing::default(), |(_, timing)| *timing);
    pool.calls.call_ended(&result, timing);
    result.map(|(reply, _)| reply)
}

/// What a call sends.
#[derive(Clone, Copy)]
pub(crate) enum Letter<'a> {
    /// One command.
    Command(&'a [&'a [u8]]),
    /// A script by its name, and by its source.
    Script {
        by_name: &'a [&'a [u8]],
        by_source: &'a [&'a [u8]],
    },
    /// Many commands.
    Batch(&'a Batch),
}

impl<'a> Letter<'a> {
    /// The arguments of its one command.
    fn args(&self) -> &'a [&'a [u8]] {
        match self {
            Letter::Command(args) | Letter::Script { by_name: args, .. } => args,
            Letter::Batch(_) => &[],
        }
    }

    /// How it travels when it needs no connection of its own.
    fn want(&self) -> Want {
        match self {
            Letter::Command(args) => want_for(&Request::Command(args)),
            Letter::Script { by_name, by_source } => match want_for(&Request::Command(by_name)) {
                Want::Shared => want_for(&Request::Command(by_source)),
                large => large,
            },
            Letter::Batch(batch) => want_for(&Request::Encoded(&[batch.encoded()])),
        }
    }
}

/// Its commands, and what is known of those that the table does not have.
struct Contents<'a>(Letter<'a>, &'a Learnt);

impl Commands for Contents<'_> {
    fn show(&self, look: &mut dyn FnMut(&[&[u8]]) -> bool) {
        match self.0 {
            Letter::Batch(batch) => Encoded::new(batch.encoded(), self.1).show(look),
            one => {
                look(one.args());
            }
        }
    }

    fn only_read(&self) -> bool {
        match self.0 {
            Letter::Batch(batch) => Encoded::new(batch.encoded(), self.1).only_read(),
            one => commands::is_read_only(one.args()) || self.1.only_reads(one.args()),
        }
    }
}

/// A thread with its call.
pub(crate) struct Waiting<'a, 'p> {
    pool: &'p Arc<Pool>,
    letter: Letter<'a>,
    learnt: &'a Learnt,
    deadline: Deadline,
    /// Is shown each connection before the call is sent on it.
    meet: Option<Meet<'a, 'p>>,
}

/// Refuses a connection, or does not.
pub(super) struct Meet<'a, 'p> {
    /// The one to begin with.
    pub(super) first: Option<Lent<'p>>,
    pub(super) check: &'a mut dyn FnMut(&mut Lent<'_>) -> Result<()>,
    /// Takes the last one when all went well.
    pub(super) keep: &'a mut dyn FnMut(Lent<'p>),
}

impl<'a, 'p> Waiting<'a, 'p> {
    pub(crate) fn new(pool: &'p Arc<Pool>, letter: Letter<'a>, learnt: &'a Learnt, deadline: Deadline) -> Self {
        Waiting {
            pool,
            letter,
            learnt,
            deadline,
            meet: None,
        }
    }

    /// The whole life, counted.
    #[inline(never)]
    pub(crate) fn run(self, life: Life) -> Result<Reply> {
        counted(self.pool, self.begin(life))
    }

    /// The same with a say in its connections. It is a page of something, and not counted.
    pub(super) fn run_meeting(mut self, life: Life, meet: Meet<'a, 'p>) -> Result<Reply> {
        self.meet = Some(meet);
        self.begin(life).map(|(reply, _)| reply)
    }

    fn begin(self, life: Life) -> Result<(Reply, Timing)> {
        let next = Step::Connect(life.want()).into();
        self.live(life, None, next)
    }

    /// The rest of it, after what was sent on `lent`.
    #[cold]
    fn go_on(self, mut life: Life, lent: Lent<'p>, came: Ended) -> Result<(Reply, Timing)> {
        let next = self.tell(&mut life, Some(&lent), came);
        self.live(life, Some(lent), next)
    }

    fn live(mut self, mut life: Life, mut lent: Option<Lent<'p>>, mut next: Next) -> Result<(Reply, Timing)> {
        loop {
            if let Some(lent) = lent.as_ref().filter(|_| next.condemn) {
                lent.condemn();
            }
            next = match next.step {
                Step::Connect(want) => {
                    lent = None;
                    match self.connect(want, &life) {
                        Ok(found) => {
                            let has_script = || self.has_script(found.generation());
                            let message = life.set_out_on(has_script);
                            lent = Some(found);
                            message.map_or(Step::Stay, Step::Send).into()
                        }
                        Err(error) => life.on(Event::GivenUp(error, Handed::Nothing)),
                    }
                }
                Step::Send(message) => match &mut lent {
                    None => return Err(Error::fault("nothing to send on")),
                    Some(held) => match self.await_writes(message, held) {
                        Ok(false) => {
                            let came = self.exchange(message, &life, held);
                            self.tell(&mut life, lent.as_ref(), came)
                        }
                        // Whatever was asked of the connection before is asked of the next one.
                        Ok(true) => life.on(Event::TakenBack(None)),
                        Err(error) => life.on(Event::GivenUp(error, Handed::Nothing)),
                    },
                },
                Step::Learn(answer) => self.learnt.heard(&mut life, answer),
                Step::Again(error, failed) => {
                    self.pool.observer.retried(&self.pool.calls, &error);
                    lent = None;
                    if failed > 1 {
                        self.pool.pause(self.deadline.within(backoff(self.pool, failed)));
                    }
                    life.on(Event::Rested)
                }
                Step::End(result) => return self.end(result?, lent),
                Step::Stay => return Err(Error::fault("a call without a next step")),
            };
        }
    }

    fn connect(&mut self, want: Want, life: &Life) -> Result<Lent<'p>> {
        let kept = self.meet.as_mut().and_then(|meet| meet.first.take());
        let want = match want {
            Want::Shared if life.question().is_none() => self.letter.want(),
            want => want,
        };
        let lent = kept.map_or_else(|| self.pool.lend(want, self.deadline), Ok);
        lent.map_err(|error| why_not_lent(self.pool, error, || self.writes(life)))
    }

    /// Whether what it is about to send may write.
    fn writes(&self, life: &Life) -> bool {
        life.question().is_none() && !Contents(self.letter, self.learnt).only_read()
    }

    /// Waits while writes are held, where this message is one. Whether it has.
    fn await_writes(&self, message: Message, lent: &mut Lent<'_>) -> Result<bool> {
        let holds = matches!(message, Message::Itself | Message::Source)
            && self.pool.holds(lent.generation())
            && !Contents(self.letter, self.learnt).only_read();
        match holds {
            true => lent.await_writes(self.deadline),
            false => Ok(false),
        }
    }

    pub(crate) fn tell(&self, life: &mut Life, lent: Option<&Lent<'_>>, came: Ended) -> Next {
        let closed = self.pool.is_closed();
        if came.done.is_err() && !closed && lent.is_some_and(Lent::was_moved) {
            return life.on(Event::TakenBack(None));
        }
        let scene = Scene {
            commands: &Contents(self.letter, self.learnt),
            node: lent.and_then(Lent::generation).map(|generation| &generation.endpoint),
            wanted: self.pool.role,
            closed,
            late: self.deadline.passed(),
        };
        life.on(Event::Ended(came, scene))
    }

    /// One message out, its replies in.
    fn exchange(&mut self, message: Message, life: &Life, lent: &mut Lent<'_>) -> Ended {
        if let Some(meet) = self.meet.as_mut().filter(|_| message == Message::Itself) {
            if let Err(error) = (meet.check)(lent) {
                return Ended::unsent(error);
            }
        }
        lent.be(life.patience(message));
        lent.follow(message.follows());
        let deadline = self.deadline;
        let mut one = |request: Request<'_>| {
            let mut replies = Vec::new();
            let done = lent.exchange(&request, 1, deadline, |reply| replies.push(reply));
            Ended::new(replies, done, lent.unsent())
        };
        let came = match (message, self.letter) {
            (Message::Itself | Message::Source, Letter::Batch(batch)) => exchange_batch(batch, lent, deadline),
            (Message::Source, Letter::Script { by_source, .. }) => one(Request::Command(by_source)),
            (Message::Itself | Message::Source, letter) => one(Request::Command(letter.args())),
            (own, letter) => one(Request::Encoded(&[&own_words(own, life, letter.args(), deadline)])),
        };
        if let Letter::Script { by_name, .. } = self.letter {
            note_script(by_name, message, &came, lent.generation());
        }
        came
    }

    /// Whether the node is known to have the script, where it is one.
    fn has_script(&self, generation: Option<&Arc<Generation>>) -> bool {
        match self.letter {
            Letter::Script { by_name, .. } => generation.is_some_and(|node| node.has_script(name_of(by_name))),
            _ => true,
        }
    }

    fn end(self, reply: Reply, lent: Option<Lent<'p>>) -> Result<(Reply, Timing)> {
        let timing = lent.as_ref().map_or(Timing::default(), Lent::timing);
        if let (Some(meet), Some(lent)) = (self.meet, lent) {
            (meet.keep)(lent);
        }
        Ok((reply, timing.since(self.deadline.since())))
    }
}

/// The SHA-1 by which `args`, an EVALSHA, names a script.
fn name_of<'a>(args: &[&'a [u8]]) -> &'a [u8] {
    args.get(1).copied().unwrap_or_default()
}

/// What came of a message tells whether the node has the script.
fn note_script(by_name: &[&[u8]], message: Message, came: &Ended, generation: Option<&Arc<Generation>>) {
    let (Some(node), Some(reply)) = (generation, came.replies.first()) else {
        return;
    };
    let name = name_of(by_name);
    match message {
        Message::Source if reply.kind() != Kind::Error => node.note_script(name, true),
        Message::Has => node.note_script(name, !confirms(Claim::NoScript, node.role, reply)),
        Message::Itself if reply.kind() == Kind::Error && reply.text().starts_with("NOSCRIPT") => {
            node.note_script(name, false);
        }
        _ => {}
    }
}

fn exchange_batch(batch: &Batch, lent: &mut Lent<'_>, deadline: Deadline) -> Ended {
    let (parts, mut replies) = (batch.parts(), Vec::new());
    let request = Request::Encoded(&parts);
    let done = match batch.kind() {
        BatchKind::Pipeline => {
            let (all, done) = lent.exchange_all(&request, batch.len(), deadline);
            replies.extend(all);
            done
        }
        BatchKind::Transaction => lent.exchange(&request, batch.len() + 2, deadline, |reply| replies.push(reply)),
    };
    Ended::new(replies, done, lent.unsent())
}

/// What the library itself says in the course of a call to `args`, as it goes over the wire.
#[cold]
pub(crate) fn own_words(message: Message, life: &Life, args: &[&[u8]], deadline: Deadline) -> Vec<u8> {
    let mut words = Vec::new();
    match message {
        Message::Itself | Message::Source => {}
        Message::Info => encode(&mut words, &question(life.question())),
        Message::Probe => encode(&mut words, &PROBE),
        Message::Confirmation => words = wait_command(life.options(), deadline),
        Message::Role => encode(&mut words, &ROLE),
        Message::Has | Message::Exists => encode(&mut words, &exists(args)),
    }
    words
}

/// Asks a node what it is.
pub(crate) const ROLE: [&[u8]; 1] = [b"ROLE"];

/// Asks whether the node has the script that `args`, an EVALSHA, names.
pub(crate) fn exists<'a>(args: &[&'a [u8]]) -> [&'a [u8]; 3] {
    [b"SCRIPT", b"EXISTS", name_of(args)]
}

/// How long to wait before the repetition of what has failed so often.
pub(crate) fn backoff(pool: &Pool, failed: u32) -> Duration {
    let ceiling = pool
        .settings
        .backoff_min
        .saturating_mul(1 << failed.min(10))
        .min(pool.settings.backoff_max);
    ceiling.mul_f64(fastrand::f64())
}

/// One command out, one reply in.
pub(crate) fn exchange_one(lent: &mut Lent<'_>, request: &Request<'_>, deadline: Deadline) -> Result<Reply> {
    let mut reply = None;
    lent.exchange(request, 1, deadline, |whole| reply = Some(whole))?;
    reply.ok_or_else(|| Error::fault("an exchange without a reply"))
}

pub(crate) fn at_node(error: Error, generation: Option<&Arc<Generation>>) -> Error {
    match generation {
        Some(generation) => error.at(generation.endpoint.to_string()),
        None => error,
    }
}
