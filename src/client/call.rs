//! Calls that a thread waits for: their life ([`Life`]) on connections that it lends, until their deadline.

use std::sync::Arc;
use std::time::Duration;

use super::CallOptions;
use super::batch::{Batch, BatchKind, EXEC, Encoded, MULTI};
use super::commands;
use super::learnt::{Learnt, question};
use super::life::{Commands, Ended, Event, Handed, Life, Message, Next, Scene, Shape, Step};
use super::replication::{PROBE, wait_command};
use crate::deadline::Deadline;
use crate::error::{Error, Outcome, Result};
use crate::observe::Timing;
use crate::pool::{Generation, Lent, Patience, Pool, Want, want_for};
use crate::resp::{Kind, Reply, Request};

/// Runs `args`, a command that the table knows and that nobody has to confirm. `own`: it waits in the server.
pub(super) fn run(
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
        Err(error) => return counted(pool, Err(error)),
    };
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
            let waiting = Waiting {
                pool,
                letter: Letter::Command(args),
                learnt,
                deadline,
                meet: None,
            };
            let life = Life::new(Shape::Command, call, own, Vec::new()).under_way();
            let ended = ended(&lent, reply.into_iter().collect(), done);
            counted(pool, waiting.go_on(life, lent, ended))
        }
    }
}

/// Counts how a whole call ended.
#[cold]
pub(super) fn counted(pool: &Pool, result: Result<(Reply, Timing)>) -> Result<Reply> {
    let timing = result.as_ref().map_or(Timing::default(), |(_, timing)| *timing);
    pool.calls.call_ended(&result, timing);
    result.map(|(reply, _)| reply)
}

/// What came of an exchange on `lent`.
fn ended(lent: &Lent<'_>, replies: Vec<Reply>, done: Result<()>) -> Ended {
    let handed = match &done {
        Err(error) if error.outcome() == Outcome::NotSent => Handed::Nothing,
        Err(_) if lent.unsent() > 0 => Handed::Begun,
        _ => Handed::Whole,
    };
    Ended { replies, done, handed }
}

/// What a call sends.
#[derive(Clone, Copy)]
pub(super) enum Letter<'a> {
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

impl Letter<'_> {
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
            Letter::Command(args) | Letter::Script { by_name: args, .. } => {
                look(args);
            }
            Letter::Batch(batch) => Encoded::new(batch.encoded(), self.1).show(look),
        }
    }

    fn only_read(&self) -> bool {
        match self.0 {
            Letter::Command(args) => commands::is_read_only(args) || self.1.only_reads(args),
            Letter::Script { by_name, .. } => commands::is_read_only(by_name),
            Letter::Batch(batch) => Encoded::new(batch.encoded(), self.1).only_read(),
        }
    }
}

/// A thread with its call.
pub(super) struct Waiting<'a, 'p> {
    pub(super) pool: &'p Arc<Pool>,
    pub(super) letter: Letter<'a>,
    pub(super) learnt: &'a Learnt,
    pub(super) deadline: Deadline,
    /// Is shown each connection before the call is sent on it.
    pub(super) meet: Option<Meet<'a, 'p>>,
}

/// Refuses a connection, or does not.
pub(super) struct Meet<'a, 'p> {
    /// The one to begin with.
    pub(super) first: Option<Lent<'p>>,
    pub(super) check: &'a mut dyn FnMut(&mut Lent<'_>) -> Result<()>,
    /// Takes the last one when all went well.
    pub(super) keep: &'a mut dyn FnMut(Lent<'p>),
}

impl<'p> Waiting<'_, 'p> {
    /// The whole life.
    pub(super) fn run(self, mut life: Life) -> Result<(Reply, Timing)> {
        let next = life.on(Event::Begun);
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
                            lent = Some(found);
                            life.on(Event::Connected)
                        }
                        Err(error) => life.on(Event::GivenUp(error, Handed::Nothing)),
                    }
                }
                Step::Send(message) => {
                    let came = match &mut lent {
                        Some(lent) => self.exchange(message, &life, lent),
                        None => return Err(Error::fault("nothing to send on")),
                    };
                    self.tell(&mut life, lent.as_ref(), came)
                }
                Step::Learn(answer) => {
                    let word = self.learnt.heard(life.question().map_or(b"", Vec::as_slice), answer);
                    life.on(Event::Told(word))
                }
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
        kept.map_or_else(|| self.pool.lend(want, self.deadline), Ok)
    }

    fn tell(&self, life: &mut Life, lent: Option<&Lent<'_>>, came: Ended) -> Next {
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
                // Of the call itself nothing was sent.
                let handed = Handed::Nothing;
                return Ended {
                    replies: Vec::new(),
                    done: Err(error),
                    handed,
                };
            }
        }
        lent.be(life.patience(message));
        let deadline = self.deadline;
        let mut one = |request: Request<'_>| {
            let mut replies = Vec::new();
            let done = lent.exchange(&request, 1, deadline, |reply| replies.push(reply));
            ended(lent, replies, done)
        };
        match (message, self.letter) {
            (Message::Info, _) => one(Request::Command(&question(life.question()))),
            (Message::Probe, _) => one(Request::Command(&PROBE)),
            (Message::Confirmation, _) => one(Request::Encoded(&[&wait_command(life.options(), deadline)])),
            (Message::Role, _) => one(Request::Command(&ROLE)),
            (Message::Exists, Letter::Command(args) | Letter::Script { by_name: args, .. }) => {
                one(Request::Command(&exists(args)))
            }
            (Message::Source, Letter::Script { by_source, .. }) => one(Request::Command(by_source)),
            (_, Letter::Command(args) | Letter::Script { by_name: args, .. }) => one(Request::Command(args)),
            (_, Letter::Batch(batch)) => exchange_batch(batch, lent, deadline),
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

fn exchange_batch(batch: &Batch, lent: &mut Lent<'_>, deadline: Deadline) -> Ended {
    let mut replies = Vec::new();
    let done = match batch.kind() {
        BatchKind::Pipeline => {
            let (all, done) = lent.exchange_all(&Request::Encoded(&[batch.encoded()]), batch.len(), deadline);
            replies.extend(all);
            done
        }
        BatchKind::Transaction => {
            let parts = [MULTI, batch.encoded(), EXEC];
            lent.exchange(&Request::Encoded(&parts), batch.len() + 2, deadline, |reply| {
                replies.push(reply);
            })
        }
    };
    ended(lent, replies, done)
}

/// Asks a node what it is.
pub(crate) const ROLE: [&[u8]; 1] = [b"ROLE"];

/// Asks whether the node has the script that `args`, an EVALSHA, names.
pub(crate) fn exists<'a>(args: &[&'a [u8]]) -> [&'a [u8]; 3] {
    [b"SCRIPT", b"EXISTS", args.get(1).copied().unwrap_or_default()]
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
pub(super) fn exchange_one(lent: &mut Lent<'_>, request: &Request<'_>, deadline: Deadline) -> Result<Reply> {
    let mut reply = None;
    lent.exchange(request, 1, deadline, |whole| reply = Some(whole))?;
    reply.ok_or_else(|| Error::fault("an exchange without a reply"))
}

pub(super) fn at_node(error: Error, generation: Option<&Arc<Generation>>) -> Error {
    match generation {
        Some(generation) => error.at(generation.endpoint.to_string()),
        None => error,
    }
}
