//! One life of a call: what it does next, after whatever happened to it. No I/O, no clock, no lock.
//!
//! Whoever drives it, a thread that waits (`waiting`) or sentinel-io for calls that no thread waits for (`completion`), feeds
//! it with [`Event`]s and does the [`Step`]s that it answers. What may be repeated, and what an outcome is, is decided
//! here alone.

use super::events::Word;
pub(crate) use super::events::{Commands, Ended, Event, Handed, Message, Next, Scene, Shape, Step};
use super::meaning::{Claim, Remedy, confirmed, confirms};
use super::reading::{self, Doubt, Read};
use super::replication::read_confirmation;
use super::terms::CallOptions;
use crate::base::error::{Error, ErrorKind, Outcome, Result};
use crate::pool::{Patience, Want};
use crate::resp::{Kind, Reply};

/// Where a call is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It waits for a connection.
    Waiting,
    /// This was sent, or is about to be.
    Sent(Message),
    /// The answer to its question is being read.
    Learning,
    /// It waits before a repetition.
    Resting,
    Over,
}

/// What is kept while something more is asked.
#[derive(Debug)]
enum Kept {
    /// The reply to a write that is not confirmed yet.
    Written(Reply),
    Doubt(Doubt),
}

/// A script that is sent by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    No,
    ByName,
    BySource,
}

#[derive(Debug)]
pub(crate) struct Life {
    shape: Shape,
    options: CallOptions,
    stage: Stage,
    script: Script,
    /// It waits in the server: on a connection of its own.
    own: bool,
    /// What it means rests on what its connection did before: it goes out on that one or not at all.
    bound: bool,
    /// The server was asked what it is: a module may run it.
    foreign: bool,
    /// The server said that it has no such command.
    absent: bool,
    /// What one attempt left unknown stays unknown, however a later one fails.
    so_far: Outcome,
    failed: u32,
    /// Names of commands that the server is asked for first, the next one last.
    unknown: Vec<Vec<u8>>,
    kept: Option<Box<Kept>>,
}

impl Life {
    /// A call of this shape. `own`: it waits in the server.
    #[inline]
    pub(crate) fn new(shape: Shape, options: &CallOptions, own: bool) -> Life {
        Life {
            shape,
            options: *options,
            stage: Stage::Waiting,
            script: Script::No,
            own,
            bound: false,
            foreign: false,
            absent: false,
            so_far: Outcome::NotSent,
            failed: 0,
            unknown: Vec::new(),
            kept: None,
        }
    }

    /// It has commands of these names, which the server is asked for first.
    pub(crate) fn asking(mut self, unknown: Vec<Vec<u8>>) -> Life {
        self.foreign = !unknown.is_empty();
        self.unknown = unknown;
        self
    }

    /// It goes out on one certain connection of its own, and is never repeated.
    pub(crate) fn bound(mut self) -> Life {
        (self.bound, self.own, self.options.no_retry) = (true, true, true);
        self
    }

    /// A script by its name, whose source can be had.
    pub(crate) fn of_script(mut self) -> Life {
        self.script = Script::ByName;
        self
    }

    /// What stands for a call whose next step is being decided: were it given up now, nobody could say what was done.
    pub(crate) fn undecided() -> Life {
        Life {
            stage: Stage::Resting,
            so_far: Outcome::Unknown,
            ..Life::new(Shape::Command, &CallOptions::default(), false)
        }
    }

    /// Lends it out to decide on what follows. Of what stands for it only a question was sent, where that is what was
    /// answered: given up meanwhile, the call goes nowhere any more.
    pub(crate) fn lend(&mut self) -> Life {
        let so_far = match self.stage {
            Stage::Sent(Message::Info | Message::Has | Message::Probe) => self.so_far,
            _ => Outcome::Unknown,
        };
        let stands_for_it = Life {
            so_far,
            ..Life::undecided()
        };
        std::mem::replace(self, stands_for_it)
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    pub(crate) fn options(&self) -> &CallOptions {
        &self.options
    }

    /// The name that the server is asked for next.
    pub(crate) fn question(&self) -> Option<&Vec<u8>> {
        self.unknown.last()
    }

    /// The connection that it needs next. A question is nothing that waits in the server.
    #[inline]
    pub(crate) fn want(&self) -> Want {
        let own = self.own || self.shape == Shape::Confirmed;
        match own && self.unknown.is_empty() {
            true => Want::Lease,
            false => Want::Shared,
        }
    }

    /// How long a connection may owe the replies to this message of it.
    #[inline]
    pub(crate) fn patience(&self, message: Message) -> Patience {
        match message {
            Message::Confirmation => Patience::Endless,
            Message::Itself | Message::Source if self.own => Patience::Endless,
            Message::Itself | Message::Source if self.foreign => Patience::Long,
            _ => Patience::Usual,
        }
    }

    /// Whether it goes out as it is, on a connection that others share.
    pub(crate) fn is_simple(&self) -> bool {
        self.unknown.is_empty() && self.want() == Want::Shared
    }

    /// Whether nothing of it is left but the reply to one command.
    #[inline]
    pub(crate) fn is_all_but_answered(&self) -> bool {
        self.shape == Shape::Command && self.stage == Stage::Sent(Message::Itself)
    }

    /// What is known of the command that is asked for next.
    pub(crate) fn knows(&mut self, word: Word) {
        self.unknown.pop();
        match word {
            Word::Command(traits) => self.own |= traits.blocking,
            Word::Absent => self.absent = true,
            Word::Silent => {}
        }
    }

    /// What follows this event.
    #[inline]
    pub(crate) fn on(&mut self, event: Event<'_>) -> Next {
        match (event, self.stage) {
            (_, Stage::Over) => Step::Stay.into(),
            (Event::GivenUp(error, handed), _) => self.give_up(error, handed),
            (Event::Ended(ended, scene), Stage::Sent(message)) => self.ended(message, ended, scene),
            (Event::Rested, Stage::Resting) => self.connect(),
            (Event::TakenBack(lost), Stage::Sent(message)) => self.take_back(message, lost),
            (Event::Told(word), Stage::Learning) => {
                self.knows(word);
                self.failed = 0;
                self.connect()
            }
            _ => Step::Stay.into(),
        }
    }

    /// Has a connection: what goes out on it, if anything.
    #[inline]
    pub(crate) fn set_out(&mut self) -> Option<Message> {
        self.set_out_on(|| true)
    }

    /// The same. `has_script`: whether the node is known to have the script. Where it is not, it is asked first: told by a
    /// failure, it could not be told from the words of a script that another caller has brought there meanwhile.
    #[inline]
    pub(crate) fn set_out_on(&mut self, has_script: impl FnOnce() -> bool) -> Option<Message> {
        if self.stage != Stage::Waiting {
            return None;
        }
        let message = match self.script {
            _ if !self.unknown.is_empty() => Message::Info,
            Script::ByName if !has_script() => Message::Has,
            _ => self.after_questions(),
        };
        self.stage = Stage::Sent(message);
        Some(message)
    }

    fn after_questions(&self) -> Message {
        match self.shape {
            Shape::Confirmed if self.options.wait_aof => Message::Probe,
            _ => self.body(),
        }
    }

    fn body(&self) -> Message {
        match self.script {
            Script::BySource => Message::Source,
            Script::No | Script::ByName => Message::Itself,
        }
    }

    fn connect(&mut self) -> Next {
        self.stage = Stage::Waiting;
        Step::Connect(self.want()).into()
    }

    fn send(&mut self, message: Message) -> Next {
        self.stage = Stage::Sent(message);
        Step::Send(message).into()
    }

    fn end(&mut self, result: Result<Reply>) -> Next {
        self.stage = Stage::Over;
        Step::End(result).into()
    }

    /// `error` with what is known of the call as a whole.
    fn so_far(&self, error: Error) -> Error {
        match self.so_far {
            Outcome::Unknown => error.with_outcome(Outcome::Unknown),
            _ => error,
        }
    }

    fn ended(&mut self, message: Message, mut ended: Ended, scene: Scene<'_>) -> Next {
        if self.so_far == Outcome::Unknown {
            // Some of it may have been done before, whatever was handed over now.
            ended.unsent = 0;
        }
        match message {
            Message::Info | Message::Has | Message::Probe => self.asked(message, ended, scene),
            Message::Confirmation => self.confirmed(ended, scene),
            Message::Role | Message::Exists => self.looked(ended, scene),
            Message::Itself | Message::Source => match reading::read(self.shape, ended, scene.commands, self.absent) {
                Read::Done(reply, blame) => self.done(reply, blame.is_some_and(|error| scene.moves_on(&error)), scene),
                Read::Failed(error, remedy) => self.fail(scene.at(error), remedy == Remedy::AnotherNode, scene),
                Read::Doubtful(doubt) => self.doubt(doubt, scene),
            },
        }
    }

    /// A question that comes before the call: of that nothing was sent, whatever comes of it.
    fn asked(&mut self, message: Message, ended: Ended, scene: Scene<'_>) -> Next {
        let (answer, remedy) = match (ended.done, ended.replies.into_iter().next()) {
            (Err(error), _) => (Err(error), Remedy::None),
            (Ok(()), None) => (Err(reading::incomplete()), Remedy::None),
            (Ok(()), Some(reply)) if reply.kind() == Kind::Error => {
                let (error, remedy) = reading::of_question(&reply);
                (Err(scene.at(error)), remedy)
            }
            (Ok(()), Some(reply)) => (Ok(reply), Remedy::None),
        };
        // A user without the right to ask, or a server that cannot be asked, is an answer too.
        let is_word = message != Message::Probe && remedy == Remedy::None && is_word(&answer);
        match (answer, scene.over()) {
            (Err(error), _) if !is_word => {
                let error = error.with_outcome(Outcome::NotSent);
                self.fail(error, remedy == Remedy::AnotherNode, scene)
            }
            (_, Some(kind)) => self.fail(Error::new(kind), false, scene),
            (answer, None) if message == Message::Has => {
                if answer.is_ok_and(|answer| confirms(Claim::NoScript, scene.wanted, &answer)) {
                    self.script = Script::BySource;
                }
                self.send(self.after_questions())
            }
            (answer, None) if is_word => {
                self.stage = Stage::Learning;
                Step::Learn(answer).into()
            }
            _ => self.send(self.body()),
        }
    }

    fn done(&mut self, reply: Reply, condemn: bool, scene: Scene<'_>) -> Next {
        let step = match (self.shape, scene.over()) {
            (Shape::Confirmed, Some(kind)) => self.end(Err(Error::new(kind).with_outcome(Outcome::Unknown))),
            (Shape::Confirmed, None) => {
                self.kept = Some(Box::new(Kept::Written(reply)));
                self.send(Message::Confirmation)
            }
            _ => self.end(Ok(reply)),
        };
        Next { condemn, ..step }
    }

    /// The write itself was done: whatever happens now, it may be on this node, or in its memory, alone.
    fn confirmed(&mut self, ended: Ended, scene: Scene<'_>) -> Next {
        let Some(Kept::Written(reply)) = self.kept.take().map(|kept| *kept) else {
            return self.end(Err(Error::fault("a confirmation of no write")));
        };
        let kind = scene.closed.then_some(ErrorKind::Closed);
        let confirmed = match (ended.done, ended.replies.into_iter().next()) {
            (Err(error), _) => Err(kind.map_or(error, Error::new)),
            (Ok(()), wait) => read_confirmation(wait, &self.options).map_err(|error| scene.at(error)),
        };
        let unknown = |error: Error| error.with_outcome(Outcome::Unknown);
        self.end(confirmed.map(|()| reply).map_err(unknown))
    }

    /// What was answered says something that only the server can confirm.
    fn doubt(&mut self, doubt: Doubt, scene: Scene<'_>) -> Next {
        let doubt = Doubt {
            otherwise: doubt.otherwise.map_err(|error| scene.at(error)),
            ..doubt
        };
        if scene.over().is_some() {
            return self.fall_back(doubt, scene);
        }
        let question = match doubt.claim {
            Claim::Readonly | Claim::NotServing => Message::Role,
            Claim::NoScript => Message::Exists,
        };
        self.kept = Some(Box::new(Kept::Doubt(doubt)));
        self.send(question)
    }

    /// The server's own word on a claim.
    fn looked(&mut self, ended: Ended, scene: Scene<'_>) -> Next {
        let Some(Kept::Doubt(doubt)) = self.kept.take().map(|kept| *kept) else {
            return self.end(Err(Error::fault("an answer to no question")));
        };
        let answer = ended.replies.first().filter(|_| ended.done.is_ok());
        if !answer.is_some_and(|answer| confirms(doubt.claim, scene.wanted, answer)) {
            return self.fall_back(doubt, scene);
        }
        let by_name = self.script == Script::ByName;
        if doubt.claim == Claim::NoScript && by_name && scene.over().is_none() {
            self.script = Script::BySource;
            return self.send(Message::Source);
        }
        let error = scene.at(confirmed(doubt.claim, &doubt.text));
        match doubt.otherwise {
            // Refused in the middle: the caller sees which.
            Ok(reply) if !doubt.whole => {
                let condemn = scene.moves_on(&error);
                self.done(reply, condemn, scene)
            }
            _ => self.fail(error, doubt.claim != Claim::NoScript, scene),
        }
    }

    /// Nothing confirms it: it is the caller's to judge.
    fn fall_back(&mut self, doubt: Doubt, scene: Scene<'_>) -> Next {
        let condemn = doubt.blame.is_some_and(|error| scene.moves_on(&error));
        match doubt.otherwise {
            Ok(reply) => self.done(reply, condemn, scene),
            Err(error) => self.fail(error, false, scene),
        }
    }

    /// After a failed attempt.
    #[cold]
    fn fail(&mut self, error: Error, another_node: bool, scene: Scene<'_>) -> Next {
        let moves_on = another_node && scene.moves_on(&error);
        let cured = moves_on || matches!(error.kind(), ErrorKind::ConnectionLost { .. });
        let error = self.so_far(match scene.closed {
            true => Error::new(ErrorKind::Closed).with_outcome(error.outcome()),
            false => error,
        });
        let safe = || error.outcome() != Outcome::Unknown || self.options.retry_unknown || scene.commands.only_read();
        let next = if self.options.no_retry || scene.closed || scene.late || !cured || !safe() {
            self.end(Err(error))
        } else {
            self.so_far = error.outcome();
            self.failed = self.failed.saturating_add(1);
            self.stage = Stage::Resting;
            Step::Again(error, self.failed).into()
        };
        Next {
            condemn: moves_on,
            ..next
        }
    }

    /// It goes to another connection, and that is no repetition. Only what follows on the same one cannot.
    fn take_back(&mut self, message: Message, lost: Option<Error>) -> Next {
        let result = match (message, self.kept.take().map(|kept| *kept), lost) {
            (Message::Role | Message::Exists, Some(Kept::Doubt(doubt)), _) => doubt.otherwise,
            (Message::Confirmation | Message::Role | Message::Exists, _, lost) => {
                Err(lost.unwrap_or_else(given_up).with_outcome(Outcome::Unknown))
            }
            (_, _, lost) if self.bound => Err(lost.unwrap_or_else(given_up).with_outcome(Outcome::NotSent)),
            // A connection that was lost is an attempt that failed.
            (_, _, Some(error)) if self.options.no_retry => Err(error.with_outcome(Outcome::NotSent)),
            _ => return self.connect(),
        };
        let result = result.map_err(|error| self.so_far(error));
        self.end(result)
    }

    /// Nobody waits any more: what is known now stays true, for nothing more is sent.
    fn give_up(&mut self, error: Error, handed: Handed) -> Next {
        let kept = self.kept.take().map(|kept| *kept);
        let outcome = match self.stage {
            // An answer came, and its time is up: that is what there is to tell.
            Stage::Sent(Message::Role | Message::Exists) => match kept {
                Some(Kept::Doubt(doubt)) if matches!(error.kind(), ErrorKind::Timeout { .. }) => {
                    let otherwise = doubt.otherwise.map_err(|error| self.so_far(error));
                    return self.end(otherwise);
                }
                _ => Outcome::Unknown,
            },
            Stage::Sent(Message::Confirmation) => Outcome::Unknown,
            Stage::Sent(Message::Itself | Message::Source) if handed != Handed::Nothing => Outcome::Unknown,
            _ => Outcome::NotSent,
        };
        let error = self.so_far(error.with_outcome(outcome));
        self.end(Err(error))
    }
}

fn given_up() -> Error {
    let cause = "the connection was given up".to_owned();
    Error::new(ErrorKind::ConnectionLost { cause })
}

/// Whether it is the server's answer to what it was asked.
fn is_word(answer: &Result<Reply>) -> bool {
    match answer {
        Ok(_) => true,
        Err(error) => error.server_code().is_some(),
    }
}
