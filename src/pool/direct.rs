//! A connection on which the caller's own thread sends and receives.

use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::generation::{ConnectionId, Generation};
use super::hangup::HangupWatch;
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Outcome};
use crate::net::Wire;
use crate::net::dial::plain;
use crate::net::sys::{Ready, wait_ready};
use crate::resp::{Decoder, Kind, Reply};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Bytes of encoded commands that an idle connection keeps for the next call.
const KEEP_OUT: usize = 64 << 10;

/// After so long without a call a connection is looked at before it is written to: less than the kernel needs to bring
/// anything over loopback.
const IDLE: Duration = Duration::from_micros(20);

/// A verified connection in one thread's hands at a time.
#[derive(Debug)]
pub struct Direct {
    id: ConnectionId,
    socket: Arc<TcpStream>,
    decoder: Decoder,
    out: Vec<u8>,
    generation: Arc<Generation>,
    hangups: Arc<HangupWatch>,
    healthy: bool,
    /// It was given up by its user and not lost.
    dismissed: bool,
    /// Bytes of the last exchange that were not handed to the kernel.
    unsent: usize,
    protocol: u8,
    /// How long the last exchange took.
    micros: u32,
    /// When it ended.
    used: Instant,
}

impl Direct {
    /// Takes a greeted connection out of sentinel-io's hands. `None` when the generation was retired meanwhile.
    pub fn new(
        wire: Wire,
        protocol: u8,
        generation: Arc<Generation>,
        hangups: Arc<HangupWatch>,
    ) -> io::Result<Option<Direct>> {
        let (socket, decoder) = wire.into_parts()?;
        let socket = Arc::new(socket);
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let live = generation.enter(id, &socket);
        let direct = Direct {
            id,
            socket,
            decoder,
            out: Vec::new(),
            generation,
            hangups,
            healthy: true,
            dismissed: false,
            unsent: 0,
            protocol,
            micros: 0,
            used: Instant::now(),
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

    /// How long its last exchange took, in microseconds.
    pub fn micros(&self) -> u32 {
        self.micros
    }

    /// Its socket, for the watch on hang-ups.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Whether another call may use it: nothing is left of an earlier one, and the service has not moved on.
    pub fn is_usable(&self) -> bool {
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
        !self.is_usable() && !self.dismissed
    }

    /// Bytes of the last exchange that were not handed to the kernel.
    pub fn unsent(&self) -> usize {
        self.unsent
    }

    /// Sends what `encode` writes and receives `count` replies into `take`, all until the deadline. After any error
    /// the connection is spoilt: a late reply can never meet another call.
    pub fn exchange(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>),
        count: usize,
        deadline: Deadline,
        mut take: impl FnMut(Reply),
    ) -> Result<(), Error> {
        let began = Instant::now();
        self.out.clear();
        encode(&mut self.out);
        let out = std::mem::take(&mut self.out);
        let done = self.run(&out, count, deadline, &mut take);
        self.out = out;
        self.out.shrink_to(KEEP_OUT);
        self.decoder.trim();
        self.used = Instant::now();
        self.micros = u32::try_from((self.used - began).as_micros()).unwrap_or(u32::MAX);
        if done.is_err() || !self.is_quiet() {
            self.spoil();
        }
        done
    }

    /// Bytes beyond the replies asked for would be taken for the next call's reply. Pushes are nobody's.
    fn is_quiet(&mut self) -> bool {
        while !self.decoder.is_empty() {
            match self.decoder.next() {
                Ok(Some(reply)) if reply.kind() == Kind::Push => {}
                Ok(None) => return self.decoder.is_push(),
                _ => return false,
            }
        }
        true
    }

    fn run(&mut self, out: &[u8], count: usize, deadline: Deadline, take: &mut impl FnMut(Reply)) -> Result<(), Error> {
        let mut rest = out;
        let mut missing = count;
        self.unsent = out.len();
        if self.generation.is_retired() {
            return Err(self.lost("the service has another primary now", Outcome::NotSent));
        }
        if deadline.passed() {
            return Err(self.timed_out(Outcome::NotSent));
        }
        if self.used.elapsed() > IDLE {
            self.look().map_err(|cause| self.lost(&cause, Outcome::NotSent))?;
        }
        while missing > 0 {
            let outcome = |rest: &[u8]| {
                if rest.len() == out.len() {
                    Outcome::NotSent
                } else {
                    Outcome::Unknown
                }
            };
            if !rest.is_empty() {
                let sent = self
                    .send(rest)
                    .map_err(|error| self.lost(&plain(&error), outcome(rest)))?;
                rest = rest.get(sent..).unwrap_or_default();
                self.unsent = rest.len();
            }
            let ready = if rest.is_empty() {
                Ready::Read
            } else {
                Ready::ReadOrWrite
            };
            let in_time = wait_ready(self.socket.as_fd(), ready, deadline.instant());
            let in_time = in_time.map_err(|error| self.lost(&plain(&error), outcome(rest)))?;
            // Data that keeps coming must not carry the call past its deadline.
            match in_time && !deadline.passed() {
                true => self.receive().map_err(|cause| self.lost(&cause, outcome(rest)))?,
                false => return Err(self.timed_out(outcome(rest))),
            }
            missing = self.take_whole(missing, take, outcome(rest))?;
        }
        Ok(())
    }

    /// Looks whether something came while nobody asked: the end of the stream, or a reply that would be taken for the
    /// next call's. Only after a pause, so that calls in a row pay no system call for it.
    fn look(&self) -> Result<(), String> {
        let mut first = [0u8; 1];
        match self.socket.peek(&mut first) {
            Ok(0) => Err("the server closed the connection".to_owned()),
            Ok(_) if first == *b">" => Ok(()),
            Ok(_) => Err("the server sent a reply that nobody asked for".to_owned()),
            Err(error) if is_transient(&error) => Ok(()),
            Err(error) => Err(plain(&error)),
        }
    }

    /// Hands to the kernel what it takes. `MSG_NOSIGNAL`: a dead peer must not raise SIGPIPE in the host.
    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        match SockRef::from(&*self.socket).send_with_flags(bytes, libc::MSG_NOSIGNAL) {
            Err(error) if is_transient(&error) => Ok(0),
            sent => sent,
        }
    }

    fn receive(&mut self) -> Result<(), String> {
        use std::io::Read;
        match (&*self.socket).read(self.decoder.spare()) {
            Ok(0) => Err("the server closed the connection".to_owned()),
            Ok(n) => {
                self.decoder.filled(n);
                Ok(())
            }
            Err(error) if is_transient(&error) => Ok(()),
            Err(error) => Err(plain(&error)),
        }
    }

    /// Takes the replies that have arrived whole. What comes from a retired generation is no success: the old
    /// primary's late +OK is a write that will be lost.
    fn take_whole(
        &mut self,
        mut missing: usize,
        take: &mut impl FnMut(Reply),
        outcome: Outcome,
    ) -> Result<usize, Error> {
        while missing > 0 {
            match self.decoder.next() {
                Ok(None) => break,
                Ok(Some(reply)) if reply.kind() == Kind::Push => {}
                Ok(Some(reply)) => {
                    // An error stays what it is: the old node did not do it.
                    if self.generation.is_retired() && reply.kind() != Kind::Error {
                        return Err(self.lost("the service moved to another node meanwhile", Outcome::Unknown));
                    }
                    missing -= 1;
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

    fn lost(&self, cause: &str, outcome: Outcome) -> Error {
        let retired = self.generation.is_retired();
        let cause = if retired {
            "the service moved to another node".to_owned()
        } else {
            cause.to_owned()
        };
        self.failed(ErrorKind::ConnectionLost { cause }, outcome)
    }

    fn timed_out(&self, outcome: Outcome) -> Error {
        self.failed(
            ErrorKind::Timeout {
                during: "waiting for the reply".into(),
            },
            outcome,
        )
    }

    fn failed(&self, kind: ErrorKind, outcome: Outcome) -> Error {
        Error::new(kind)
            .with_outcome(outcome)
            .at(self.generation.endpoint.to_string())
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        self.hangups.remove(self.id);
        self.generation.leave(self.id);
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
