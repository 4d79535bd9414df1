//! A connection on which the caller's own thread sends and receives.

use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::SockRef;

use super::alarm::{self, Alarm, Alarms};
use super::generation::{ConnectionId, Generation};
use super::hangup::HangupWatch;
use super::keeper::Common;
use super::outgoing::{Outgoing, is_transient, send_sealed};
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Outcome};
use crate::net::clock;
use crate::net::clock::Moment;
use crate::net::dial::plain;
use crate::net::sys::{Ready, wait_ready};
use crate::net::{Greeted, Records};
use crate::observe::short_micros;
use crate::resp::{Decoder, Kind, Reply, Request, Room, Rooms};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A number for a connection, unique in this process.
pub(super) fn next_id() -> ConnectionId {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// Bytes of encoded commands that an idle connection keeps for the next call.
const KEEP_OUT: usize = 64 << 10;

/// After so long without a call a connection is looked at before it is written to: less than the kernel needs to bring
/// anything over loopback.
const IDLE: Duration = Duration::from_micros(20);

/// A dead peer must not raise SIGPIPE in the host, and one that takes nothing must not hold the caller.
const SEND_FLAGS: libc::c_int = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;

/// What is wrong with bytes that come while no call waits.
const UNASKED: &str = "the server sent a reply that nobody asked for";

/// Reads until a peer that goes on talking is given up.
const MOST_LOOKS: usize = 16;

/// A verified connection in one thread's hands at a time.
#[derive(Debug)]
pub struct Direct {
    id: ConnectionId,
    socket: Arc<TcpStream>,
    /// None: bytes go as they are.
    tls: Option<Box<Records>>,
    decoder: Decoder,
    rooms: Rooms,
    out: Vec<u8>,
    generation: Arc<Generation>,
    hangups: Arc<HangupWatch>,
    alarms: Arc<Alarms>,
    alarm: Arc<Alarm>,
    healthy: bool,
    /// It was given up by its user and not lost.
    dismissed: bool,
    /// What ended it, when that was an exchange.
    end: Option<String>,
    /// Bytes of the last exchange that were not handed to the kernel. Those in a record count with its first byte.
    unsent: usize,
    /// Bytes of the last exchange that are in records.
    sealed: usize,
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
    pub(super) fn new(greeted: Greeted, generation: Arc<Generation>, common: &Common) -> io::Result<Option<Direct>> {
        let Greeted {
            wire, protocol, login, ..
        } = greeted;
        let (socket, tls, decoder) = wire.into_parts()?;
        socket.set_nonblocking(false)?;
        let socket = Arc::new(socket);
        let id = next_id();
        let live = generation.enter(id, &socket);
        let alarms = Arc::clone(&common.alarms);
        let direct = Direct {
            id,
            alarm: alarms.add(id, &socket),
            alarms,
            socket,
            tls,
            decoder,
            rooms: Rooms::default(),
            out: Vec::new(),
            generation,
            hangups: Arc::clone(&common.hangups),
            healthy: true,
            dismissed: false,
            end: None,
            unsent: 0,
            sealed: 0,
            protocol,
            login,
            micros: 0,
            used: Moment::now(),
        };
        Ok(live.then_some(direct))
    }

    /// Its number, unique in this process.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// The node and epoch it belongs to.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
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
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Whether another call may use it: nothing is left of an earlier one, the service has not moved on, and no newer
    /// credentials are in force.
    pub fn is_usable(&self) -> bool {
        self.is_alive() && self.generation.takes(self.login)
    }

    fn is_alive(&self) -> bool {
        self.healthy && !self.generation.is_retired()
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
        self.unsent
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
        self.out = out;
        self.out.shrink_to(KEEP_OUT);
        self.decoder.trim();
        self.used = Moment::now();
        self.micros = short_micros(self.used.since(began));
        if let Err(error) = &done {
            self.end = Some(error.kind().cause());
            self.spoil();
        } else if !self.is_quiet() {
            self.spoil();
        }
        done
    }

    /// An error when it is too late for a call to begin: then nothing touches the connection, and it is as good as before.
    fn is_in_time(&mut self, now: Moment, deadline: Deadline, request: &Request<'_>) -> Result<(), Error> {
        if deadline.at() > now || self.generation.is_retired() {
            return Ok(());
        }
        self.unsent = request.size();
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
        if self.tls.as_ref().is_some_and(|tls| tls.is_closed()) {
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

    /// Runs a call whose end sentinel-io sees to where it is far.
    fn run_watched(
        &mut self,
        out: &Outgoing<'_>,
        count: usize,
        (began, deadline): (Moment, Deadline),
        take: &mut impl FnMut(Reply),
    ) -> Result<(), Error> {
        // A call without a limit waits as long: for a moment that never comes.
        let watched = deadline.at().is_beyond(began, alarm::FAR);
        if watched {
            self.alarm.set(deadline.at());
        }
        let done = self.run(out, count, (began, deadline, watched), take);
        if !watched || !self.alarm.unset() {
            return done;
        }
        // The reply may have come at the last moment; the connection is gone all the same.
        self.spoil();
        done.map_err(|error| match error.kind() {
            ErrorKind::ConnectionLost { .. } => self.timed_out(error.outcome()),
            _ => error,
        })
    }

    fn run(
        &mut self,
        out: &Outgoing<'_>,
        count: usize,
        (mut now, deadline, watched): (Moment, Deadline, bool),
        take: &mut impl FnMut(Reply),
    ) -> Result<(), Error> {
        let mut missing = count;
        let single = count == 1 && !self.decoder.is_gathering();
        let mut room = if single { self.rooms.bring() } else { None };
        self.unsent = out.len;
        self.sealed = 0;
        if self.generation.is_retired() {
            return Err(self.lost("the service has another primary now", Outcome::NotSent));
        }
        if now.is_beyond(self.used, IDLE) {
            self.look().map_err(|cause| self.lost(&cause, Outcome::NotSent))?;
        }
        let outcome = |unsent: usize| match unsent == out.len {
            true => Outcome::NotSent,
            false => Outcome::Unknown,
        };
        while missing > 0 {
            if self.is_sending() {
                let sent = self.send(out, out.len - self.unsent);
                let sent = sent.map_err(|error| self.lost(&plain(&error), outcome(self.unsent)))?;
                self.unsent = self.unsent.saturating_sub(sent);
            }
            let received = self.receive(now, deadline, watched);
            if !received.map_err(|cause| self.lost(&cause, outcome(self.unsent)))? {
                return Err(self.timed_out(outcome(self.unsent)));
            }
            missing = self.take_whole((missing, &mut room), take, outcome(self.unsent))?;
            if missing > 0 {
                now = Moment::now();
            }
        }
        Ok(())
    }

    /// Looks whether something came while nobody asked: the end of the stream, or a reply that would be taken for the
    /// next call's. Only after a pause, so that calls in a row pay no system call for it.
    fn look(&mut self) -> Result<(), String> {
        let mut first = [0u8; 1];
        if !self.has_input()? {
            return Ok(());
        }
        if self.tls.is_some() {
            return self.look_within();
        }
        match self.socket.peek(&mut first) {
            Ok(0) => Err("the server closed the connection".to_owned()),
            Ok(_) if first == *b">" => Ok(()),
            Ok(_) => Err(UNASKED.to_owned()),
            Err(error) if is_transient(&error) => Ok(()),
            Err(error) => Err(plain(&error)),
        }
    }

    /// The same where only the records tell what came: session tickets and key updates are the protocol's own.
    fn look_within(&mut self) -> Result<(), String> {
        for _ in 0..MOST_LOOKS {
            let drained = self.read().map_err(|error| plain(&error))?;
            if !self.is_quiet() {
                return Err(match self.decoder.is_empty() {
                    true => "the server closed the connection".to_owned(),
                    false => UNASKED.to_owned(),
                });
            }
            if drained || !self.has_input()? {
                return Ok(());
            }
        }
        Err("the server talks without being asked".to_owned())
    }

    /// Whether something is left to hand to the kernel: of the request, or of the records that hold it.
    fn is_sending(&self) -> bool {
        self.unsent > 0 || self.tls.as_ref().is_some_and(|tls| tls.has_output())
    }

    /// Hands to the kernel what it takes behind the first `from` bytes.
    fn send(&mut self, out: &Outgoing<'_>, from: usize) -> io::Result<usize> {
        let socket = SockRef::from(&*self.socket);
        if let Some(tls) = &mut self.tls {
            let sent = send_sealed(tls, &socket, out, &mut self.sealed)?;
            return Ok(if sent { self.sealed.saturating_sub(from) } else { 0 });
        }
        let sent = if out.large.is_empty() {
            let rest = out.own.get(from..).unwrap_or_default();
            socket.send_with_flags(rest, SEND_FLAGS)
        } else {
            socket.send_vectored_with_flags(&out.parts(from), SEND_FLAGS)
        };
        match sent {
            Err(error) if is_transient(&error) => Ok(0),
            sent => sent,
        }
    }

    /// Waits for bytes, or for room to send on, and receives what there is; false at the deadline.
    fn receive(&mut self, now: Moment, deadline: Deadline, watched: bool) -> Result<bool, String> {
        // One system call where a reply is all that is missing, and sentinel-io ends the wait in time.
        let sends = self.is_sending();
        if sends || !watched {
            let ready = match sends {
                false => Ready::Read,
                true => Ready::ReadOrWrite,
            };
            let in_time = wait_ready(self.socket.as_fd(), ready, deadline.instant());
            // Data that keeps coming must not carry the call past its deadline.
            if !in_time.map_err(|error| plain(&error))? || deadline.passed() {
                return Ok(false);
            }
            if sends && !self.has_input()? {
                return Ok(true);
            }
        } else if deadline.at() <= now {
            return Ok(false);
        }
        match self.read() {
            Err(error) if !is_transient(&error) => Err(plain(&error)),
            _ => Ok(true),
        }
    }

    /// Receives once. True when the kernel is known to have no more.
    fn read(&mut self) -> io::Result<bool> {
        use std::io::Read;
        if let Some(tls) = &mut self.tls {
            return tls.pull(&SockRef::from(&*self.socket), &mut self.decoder);
        }
        match (&*self.socket).read(self.decoder.spare())? {
            0 => Err(io::Error::other("the server closed the connection")),
            n => {
                self.decoder.filled(n);
                Ok(false)
            }
        }
    }

    /// Whether a read would not wait.
    fn has_input(&self) -> Result<bool, String> {
        wait_ready(self.socket.as_fd(), Ready::Read, Some(clock::now())).map_err(|error| plain(&error))
    }

    /// Takes the replies that have arrived whole. What comes from a retired generation is no success: the old
    /// primary's late +OK is a write that will be lost.
    fn take_whole(
        &mut self,
        (mut missing, room): (usize, &mut Option<Room>),
        take: &mut impl FnMut(Reply),
        outcome: Outcome,
    ) -> Result<usize, Error> {
        // Of replies that are gathered into one, none that comes now may count.
        if self.generation.is_retired() && self.decoder.is_gathering() {
            return Err(self.lost("the service moved to another node meanwhile", Outcome::Unknown));
        }
        while missing > 0 {
            match self.decoder.next_in(room) {
                Ok(None) => break,
                Ok(Some(reply)) if reply.kind() == Kind::Push => {}
                Ok(Some(reply)) => {
                    // An error stays what it is: the old node did not do it.
                    if self.generation.is_retired() && reply.kind() != Kind::Error {
                        return Err(self.lost("the service moved to another node meanwhile", Outcome::Unknown));
                    }
                    missing -= 1;
                    self.rooms.saw(&reply);
                    take(reply);
                }
                Err(problem) => {
                    let kind = ErrorKind::Protocol {
                        problem: problem.to_string(),
                    };
                    return Err(self.failed(kind, outcome));
                }
            }
        }
        Ok(missing)
    }

    #[cold]
    fn lost(&self, cause: &str, outcome: Outcome) -> Error {
        let retired = self.generation.is_retired();
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
            .at(self.generation.endpoint.to_string())
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        self.hangups.remove(self.id);
        self.alarms.remove(self.id);
        self.generation.leave(self.id);
    }
}
