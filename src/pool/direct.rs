//! A connection on which the caller's own thread sends and receives.

mod sleep;
mod trying;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::common::Common;
use super::generation::{ConnectionId, Generation};
use super::outgoing::Outgoing;
use super::silence::{Patience, SILENT};
use super::watchers::{Breaker, Watchers};
use crate::base::clock::Moment;
use crate::base::deadline::Deadline;
use crate::base::error::{Error, ErrorKind, Outcome};
use crate::net::stream::is_transient;
use crate::net::sys::Ready;
use crate::net::{Greeted, Socket, Stream, plain};
use crate::observe::short_micros;
use crate::resp::{Decoder, Kind, Reply, Request, Room, Rooms};
use sleep::Sleep;

/// Bytes of encoded commands that an idle connection keeps for the next call.
const KEEP_OUT: usize = 64 << 10;

/// After so long without a call a connection is looked at before it is written to: less than the kernel needs to bring
/// anything over loopback.
const IDLE: Duration = Duration::from_micros(20);

/// What is wrong with bytes that come while no call waits.
const UNASKED: &str = "the server sent a reply that nobody asked for";

/// What is wrong with a reply to a request that the server does not have yet, in its own words where it complains.
#[cold]
pub(super) fn too_soon(reply: &Reply) -> String {
    let problem = "the server answered before it had the request".to_owned();
    match reply.kind() {
        Kind::Error => format!("{problem}: {}", reply.text()),
        _ => problem,
    }
}

/// Reads until a peer that goes on talking is given up.
const MOST_LOOKS: usize = 16;

/// A verified connection in one thread's hands at a time.
#[derive(Debug)]
pub struct Direct {
    watchers: Watchers,
    stream: Stream,
    decoder: Decoder,
    rooms: Rooms,
    out: Vec<u8>,
    healthy: bool,
    /// It was given up by its user and not lost.
    dismissed: bool,
    /// What ended it, when that was an exchange.
    end: Option<String>,
    /// Where in the stream the request of the last exchange begins, and how long it is.
    begin: u64,
    len: usize,
    protocol: u8,
    /// The number of the credentials it logged in with.
    login: u64,
    /// How long the last exchange took.
    micros: u32,
    /// When it ended.
    used: Moment,
}

impl Direct {
    /// Takes a greeted connection out of sentinel-io's hands. `None` when the generation was retired meanwhile.
    pub(super) fn new(greeted: Greeted, generation: Arc<Generation>, common: &Common) -> Option<Direct> {
        let Greeted {
            wire, protocol, login, ..
        } = greeted;
        let (watching, decoder) = wire.into_parts();
        let stream = watching.stream;
        let (watchers, live) = Watchers::post(generation, stream.socket(), common);
        let direct = Direct {
            watchers,
            stream,
            decoder,
            rooms: Rooms::default(),
            out: Vec::new(),
            healthy: true,
            dismissed: false,
            end: None,
            begin: 0,
            len: 0,
            protocol,
            login,
            micros: 0,
            used: Moment::now(),
        };
        live.then_some(direct)
    }

    /// Its number, unique in this process.
    pub fn id(&self) -> ConnectionId {
        self.watchers.id
    }

    /// The node and epoch it belongs to.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.watchers.generation
    }

    /// The RESP version in force on it.
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// When its last exchange ended.
    pub fn used(&self) -> Moment {
        self.used
    }

    /// How long its last exchange took, in microseconds.
    pub fn micros(&self) -> u32 {
        self.micros
    }

    /// Its socket, for the watch on hang-ups.
    pub fn socket(&self) -> &Arc<Socket> {
        self.stream.socket()
    }

    /// How another thread ends it.
    pub(crate) fn breaker(&self) -> Breaker {
        Breaker::of(&self.watchers, self.socket())
    }

    /// Whether another call may use it: nothing is left of an earlier one, the service has not moved on, and no newer
    /// credentials are in force.
    pub fn is_usable(&self) -> bool {
        let generation = &self.watchers.generation;
        self.is_alive() && !generation.is_left() && generation.takes(self.login)
    }

    fn is_alive(&self) -> bool {
        self.healthy && !self.watchers.generation.is_retired()
    }

    /// How long it may owe the replies to what is asked next.
    pub(super) fn be(&mut self, patience: Patience) {
        self.watchers.alarm.be(patience);
    }

    /// Gives up the connection: no later call may use it.
    pub fn spoil(&mut self) {
        self.healthy = false;
    }

    /// Gives up the connection because of what its user left on it: that says nothing about the node.
    pub fn dismiss(&mut self) {
        self.spoil();
        self.dismissed = true;
    }

    /// Whether it ended without its user's doing.
    pub fn is_lost(&self) -> bool {
        !self.is_alive() && !self.dismissed
    }

    /// What ended it.
    pub fn end(&self) -> &str {
        self.end
            .as_deref()
            .unwrap_or("the server sent more than it was asked for")
    }

    /// Bytes of the last exchange that were not handed to the kernel.
    pub fn unsent(&self) -> usize {
        let sent = self.stream.sent().saturating_sub(self.begin);
        self.len.saturating_sub(usize::try_from(sent).unwrap_or(usize::MAX))
    }

    /// The first byte of it that is still to be given.
    fn from(&self) -> usize {
        let taken = self.stream.taken().saturating_sub(self.begin);
        usize::try_from(taken).unwrap_or(usize::MAX).min(self.len)
    }

    /// What became of its request, when no reply tells.
    fn outcome(&self) -> Outcome {
        match self.unsent() == self.len {
            true => Outcome::NotSent,
            false => Outcome::Unknown,
        }
    }

    /// Sends `request` and receives `count` replies into `take`, all until the deadline. After any error but that of a
    /// deadline that had passed before, the connection is spoilt: a late reply can never meet another call.
    pub fn exchange(
        &mut self,
        request: &Request<'_>,
        count: usize,
        deadline: Deadline,
        mut take: impl FnMut(Reply),
    ) -> Result<(), Error> {
        let began = Moment::now();
        self.is_in_time(began, deadline, request)?;
        let mut out = std::mem::take(&mut self.out);
        let mut large = Vec::new();
        out.clear();
        request.split(&mut out, &mut large);
        let done = self.run_watched(&Outgoing::new(&out, &large), count, (began, deadline), &mut take);
        self.ends(out, began, &done);
        done
    }

    /// After an exchange, which took its bytes from `out`.
    fn ends(&mut self, out: Vec<u8>, began: Moment, done: &Result<(), Error>) {
        self.out = out;
        self.out.shrink_to(KEEP_OUT);
        self.decoder.trim();
        self.used = Moment::now();
        self.micros = short_micros(self.used.since(began));
        if let Err(error) = done {
            self.end = Some(error.kind().cause());
            self.spoil();
        } else if !self.is_quiet() {
            self.spoil();
        }
    }

    /// An error when it is too late for a call to begin: then nothing touches the connection, and it is as good as before.
    fn is_in_time(&mut self, now: Moment, deadline: Deadline, request: &Request<'_>) -> Result<(), Error> {
        if deadline.at() > now || self.watchers.generation.is_retired() {
            return Ok(());
        }
        (self.begin, self.len) = (self.stream.taken(), request.size());
        Err(self.timed_out(Outcome::NotSent))
    }

    /// The same with all replies in one array; of an exchange that fails, those that came before.
    pub fn exchange_all(
        &mut self,
        request: &Request<'_>,
        count: usize,
        deadline: Deadline,
    ) -> (Option<Reply>, Result<(), Error>) {
        let mut all = None;
        if let Err(late) = self.is_in_time(Moment::now(), deadline, request) {
            return (None, Err(late));
        }
        self.decoder.gather(count);
        let done = self.exchange(request, 1, deadline, |reply| all = Some(reply));
        (all.or_else(|| self.decoder.take_gathered()), done)
    }

    /// Bytes beyond the replies asked for would be taken for the next call's reply. Pushes are nobody's.
    fn is_quiet(&mut self) -> bool {
        if self.stream.is_closed() {
            return false;
        }
        while !self.decoder.is_empty() {
            match self.decoder.next() {
                Ok(Some(reply)) if reply.kind() == Kind::Push => {}
                Ok(None) => return self.decoder.is_push(),
                _ => return false,
            }
        }
        true
    }

    /// Runs a call whose end the watchdog sees to where it is far.
    fn run_watched(
        &mut self,
        out: &Outgoing<'_>,
        count: usize,
        (began, deadline): (Moment, Deadline),
        take: &mut impl FnMut(Reply),
    ) -> Result<(), Error> {
        let watched = deadline.is_far(began);
        if watched {
            self.watchers.alarm.set(deadline.at(), began);
        }
        let sleep = if watched { Sleep::Watched } else { Sleep::Polls };
        let done = self.run(out, count, (began, deadline, sleep), take);
        if !watched || !self.watchers.alarm.unset() {
            return done;
        }
        // The reply may have come at the last moment; the connection is gone all the same.
        self.spoil();
        done.map_err(|error| match error.kind() {
            ErrorKind::ConnectionLost { .. } if deadline.passed() => self.timed_out(error.outcome()),
            ErrorKind::ConnectionLost { .. } => self.lost(SILENT, error.outcome()),
            _ => error,
        })
    }

    fn run(
        &mut self,
        out: &Outgoing<'_>,
        count: usize,
        (mut now, deadline, mut sleep): (Moment, Deadline, Sleep),
        take: &mut impl FnMut(Reply),
    ) -> Result<(), Error> {
        let mut missing = count;
        let single = count == 1 && !self.decoder.is_gathering();
        let mut room = if single { self.rooms.bring() } else { None };
        (self.begin, self.len) = (self.stream.taken(), out.len);
        if self.watchers.generation.is_retired() {
            return Err(self.lost("the service has another primary now", Outcome::NotSent));
        }
        if now.is_beyond(self.used, IDLE) {
            self.look().map_err(|cause| self.lost(&cause, Outcome::NotSent))?;
        }
        while missing > 0 {
            let mut blocked = false;
            if self.is_sending() {
                blocked = self
                    .send(out)
                    .map_err(|error| self.lost(&plain(&error), self.outcome()))?;
            }
            if !self
                .receive((now, deadline, sleep), blocked)
                .map_err(|cause| self.lost(&cause, self.outcome()))?
            {
                return Err(self.timed_out(self.outcome()));
            }
            missing = self.take_whole((missing, &mut room), take)?;
            if missing > 0 {
                now = Moment::now();
                match sleep {
                    Sleep::Watched => self.watchers.alarm.goes_on(now),
                    Sleep::Polls | Sleep::Within(_) => sleep = Sleep::Polls,
                }
            }
        }
        Ok(())
    }

    /// Looks whether something came while nobody asked: the end of the stream, or a reply that would be taken for the
    /// next call's. Pushes are read, the end of one that has begun with them; so are session tickets and key updates,
    /// which only the records tell. Only after a pause, so that calls in a row pay no system call for it.
    fn look(&mut self) -> Result<(), String> {
        for _ in 0..MOST_LOOKS {
            let drained = match self.stream.pull(&mut self.decoder) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                pulled => pulled.map_err(|error| plain(&error))?,
            };
            if !self.is_quiet() {
                return Err(match self.decoder.is_empty() {
                    true => "the server closed the connection".to_owned(),
                    false => UNASKED.to_owned(),
                });
            }
            if drained {
                return Ok(());
            }
        }
        Err("the server talks without being asked".to_owned())
    }

    /// Whether something is left to hand to the kernel: of the request, or of the records that hold it.
    fn is_sending(&self) -> bool {
        self.from() < self.len || self.stream.has_records()
    }

    /// Hands to the kernel what it takes now. Whether it takes no more.
    fn send(&mut self, out: &Outgoing<'_>) -> io::Result<bool> {
        let from = self.from();
        let pushed = match out.large.is_empty() {
            true => self.stream.push(out.own.get(from..).unwrap_or_default()),
            false => self.stream.push_parts(&out.parts(from)),
        };
        Ok(pushed?.blocked)
    }

    /// Waits for bytes, or for room to send on, and receives what there is; false at the deadline.
    fn receive(&mut self, (now, deadline, sleep): (Moment, Deadline, Sleep), blocked: bool) -> Result<bool, String> {
        // One system call where a reply is all that is missing, and sentinel-io or the kernel ends the wait in time.
        let sends = self.is_sending();
        let pulled = if sends || sleep == Sleep::Polls {
            let ready = match sends {
                false => Ready::Read,
                true => Ready::ReadOrWrite,
            };
            // Not full: the rest is handed over before anything is waited for.
            if blocked || !sends {
                let in_time = self.stream.socket().wait(ready, deadline.at());
                if !in_time.map_err(|error| plain(&error))? {
                    return Ok(false);
                }
            }
            // Data that keeps coming must not carry the call past its deadline.
            if deadline.passed() {
                return Ok(false);
            }
            self.stream.pull(&mut self.decoder)
        } else if deadline.at() <= now {
            return Ok(false);
        } else if let Sleep::Within(limit) = sleep {
            self.stream.pull_within(limit, &mut self.decoder)
        } else {
            self.stream.pull_waiting(&mut self.decoder)
        };
        match pulled {
            Err(error) if !is_transient(&error) => Err(plain(&error)),
            _ => Ok(true),
        }
    }

    /// Takes the replies that have arrived whole. What comes from a retired generation is no success: the old
    /// primary's late +OK is a write that will be lost.
    fn take_whole(
        &mut self,
        (mut missing, room): (usize, &mut Option<Room>),
        take: &mut impl FnMut(Reply),
    ) -> Result<usize, Error> {
        // Of replies that are gathered into one, none that comes now may count.
        if self.watchers.generation.is_retired() && self.decoder.is_gathering() {
            return Err(self.lost("the service moved to another node meanwhile", Outcome::Unknown));
        }
        while missing > 0 {
            match self.decoder.next_in(room) {
                Ok(None) => break,
                Ok(Some(reply)) if reply.kind() == Kind::Push => {}
                Ok(Some(reply)) => {
                    // An error stays what it is: the old node did not do it.
                    if self.watchers.generation.is_retired() && reply.kind() != Kind::Error {
                        return Err(self.lost("the service moved to another node meanwhile", Outcome::Unknown));
                    }
                    if missing == 1 && self.unsent() > 0 {
                        return Err(self.too_soon(&reply));
                    }
                    missing -= 1;
                    self.rooms.saw(&reply);
                    take(reply);
                }
                Err(problem) => {
                    let kind = ErrorKind::Protocol {
                        problem: problem.to_string(),
                    };
                    return Err(self.failed(kind, self.outcome()));
                }
            }
        }
        Ok(missing)
    }

    /// The last reply came before its request was handed over whole: whatever it is, what is left of the request would
    /// be taken for another one.
    #[cold]
    fn too_soon(&self, reply: &Reply) -> Error {
        let problem = too_soon(reply);
        self.failed(ErrorKind::Protocol { problem }, self.outcome())
    }

    #[cold]
    fn lost(&self, cause: &str, outcome: Outcome) -> Error {
        let retired = self.watchers.generation.is_retired();
        let cause = if retired {
            "the service moved to another node".to_owned()
        } else {
            cause.to_owned()
        };
        self.failed(ErrorKind::ConnectionLost { cause }, outcome)
    }

    #[cold]
    fn timed_out(&self, outcome: Outcome) -> Error {
        self.failed(
            ErrorKind::Timeout {
                during: "waiting for the reply".into(),
            },
            outcome,
        )
    }

    #[cold]
    fn failed(&self, kind: ErrorKind, outcome: Outcome) -> Error {
        Error::new(kind)
            .with_outcome(outcome)
            .at(self.watchers.generation.endpoint.to_string())
    }
}
