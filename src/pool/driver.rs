//! The task of sentinel-io that drives a lane: one write for all that has gathered, one read for all that has come.

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Instant;

use socket2::SockRef;
use tokio::io::unix::AsyncFd;
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval};

use super::Pool;
use super::gate::Gate;
use super::lane::{Call, Ends, KEEP, Lane};
use super::seat::NUDGE_EVERY;
use super::silence::Silence;
use crate::error::ErrorKind;
use crate::net::Records;
use crate::net::dial::plain;
use crate::net::sys::watched;
use crate::resp::{Decoder, Kind, Reply};

/// A call whose request is being written or was.
#[derive(Debug)]
struct Flight {
    call: Call,
    /// Its first byte, counted over the life of the lane.
    begin: u64,
}

/// Ends every call of its lane when it is dropped, however that comes about.
#[derive(Debug)]
pub(super) struct Driver {
    lane: Arc<Lane>,
    pool: Weak<Pool>,
    gate: Rc<Gate>,
    fd: AsyncFd<Arc<TcpStream>>,
    /// None: bytes go as they are.
    tls: Option<Box<Records>>,
    decoder: Decoder,
    /// What is being written, and how much of it was, to the kernel or into records.
    writing: Vec<u8>,
    written: usize,
    /// Bytes handed to the kernel over the life of the lane. Those in a record count with its first byte.
    sent: u64,
    /// Bytes of the lane's life before those in `writing`.
    gathered: u64,
    flying: VecDeque<Flight>,
    silence: Silence,
    ends: Ends,
    ended: ErrorKind,
}

impl Driver {
    pub(super) fn new(
        lane: Arc<Lane>,
        pool: &Arc<Pool>,
        gate: Rc<Gate>,
        (socket, tls, decoder): (Arc<TcpStream>, Option<Box<Records>>, Decoder),
    ) -> io::Result<Driver> {
        let fd = watched(socket)?;
        Ok(Driver {
            lane,
            pool: Arc::downgrade(pool),
            gate,
            fd,
            tls,
            decoder,
            writing: Vec::new(),
            written: 0,
            sent: 0,
            gathered: 0,
            flying: VecDeque::new(),
            silence: Silence::new(),
            ends: Ends::default(),
            ended: ErrorKind::Closed,
        })
    }

    /// Runs until the connection ends, or the lane is left and empty.
    pub(super) async fn run(mut self) {
        let Err(ended) = self.drive().await else { return };
        let cause = ended.cause();
        self.ended = ended;
        let Some(pool) = self.pool.upgrade() else { return };
        // Given up by the pool: its end says nothing about the node.
        let ours = self.lane.is_gone() || self.lane.generation.is_retired();
        let (gate, endpoint) = (Rc::clone(&self.gate), self.lane.generation.endpoint.clone());
        let lane = Arc::clone(&self.lane);
        // First out of the pool, then the callers: none of them must find it again.
        pool.lane_ended(&lane);
        drop(self);
        if !ours {
            gate.suspect(&endpoint);
            pool.lost();
            pool.observer
                .connection_lost(&pool.calls, &endpoint, lane.generation.role, &cause);
        }
    }

    async fn drive(&mut self) -> Result<(), ErrorKind> {
        let lane = Arc::clone(&self.lane);
        let mut nudge = interval(NUDGE_EVERY);
        nudge.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let held = self.silence.is_long(Instant::now());
            if !held && !self.gather() {
                return Ok(());
            }
            self.write().map_err(lost)?;
            let waits = !self.writing.is_empty() || self.has_records();
            // A lane that holds back stays awake: the node's next word, or its end, is what it waits for.
            let more = !waits && !held && !self.may_sleep();
            tokio::select! {
                biased;
                // First, so that a peer that never stops talking keeps nobody from looking at the time.
                _ = nudge.tick(), if !self.flying.is_empty() => self.nudge(),
                read = read(&self.fd, self.tls.as_deref_mut(), &mut self.decoder) => {
                    read.map_err(lost)?;
                    self.hand_out()?;
                    self.offer();
                    if self.tls.as_ref().is_some_and(|tls| tls.is_closed()) {
                        return Err(lost(closed()));
                    }
                }
                // More has gathered meanwhile; other tasks have their turn first.
                () = yield_now(), if more => {}
                () = lane.arrived.notified(), if !waits && !more && !held => {}
                ready = self.fd.writable(), if waits => ready.map_err(lost)?.clear_ready(),
            }
        }
    }

    /// Takes what has gathered once all before it was written. False when there is nothing left to do for ever.
    fn gather(&mut self) -> bool {
        if !self.writing.is_empty() {
            return true;
        }
        let mut outbox = self.lane.outbox.lock();
        std::mem::swap(&mut outbox.bytes, &mut self.writing);
        if !outbox.calls.is_empty() {
            self.silence.asked(self.sent, Instant::now());
        }
        let mut begin = self.sent;
        self.gathered = begin;
        for call in outbox.calls.drain(..) {
            let bytes = call.bytes as u64;
            self.flying.push_back(Flight { call, begin });
            begin += bytes;
        }
        !(outbox.leaving && self.flying.is_empty())
    }

    /// Whether nothing has gathered. The next caller wakes the lane then.
    fn may_sleep(&mut self) -> bool {
        let mut outbox = self.lane.outbox.lock();
        outbox.awake = !outbox.calls.is_empty();
        if !outbox.awake {
            outbox.bytes.shrink_to(KEEP);
            self.writing.shrink_to(KEEP);
        }
        !outbox.awake
    }

    fn has_records(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.has_output())
    }

    /// Hands to the kernel what it takes.
    fn write(&mut self) -> io::Result<()> {
        if self.tls.is_some() {
            return self.write_sealed();
        }
        while let Some(rest) = self.writing.get(self.written..).filter(|rest| !rest.is_empty()) {
            let socket = SockRef::from(&**self.fd.get_ref());
            match socket.send_with_flags(rest, libc::MSG_NOSIGNAL) {
                Ok(sent) => {
                    self.written += sent;
                    self.sent += sent as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.writing.clear();
        self.written = 0;
        Ok(())
    }

    /// Has everyone who waits look at the time.
    fn nudge(&mut self) {
        let outbox = self.lane.outbox.lock();
        let flying = self.flying.iter().map(|flight| &flight.call);
        flying.chain(&outbox.calls).for_each(|call| self.ends.nudge(&call.sink));
        drop(outbox);
        self.ends.flush(&self.pool, &self.lane);
    }

    /// The same in records. What is sealed counts as sent as soon as the kernel has taken any of it.
    fn write_sealed(&mut self) -> io::Result<()> {
        let socket = SockRef::from(&**self.fd.get_ref());
        let Some(tls) = &mut self.tls else { return Ok(()) };
        loop {
            let rest = self.writing.get(self.written..).unwrap_or_default();
            if !rest.is_empty() {
                self.written += tls.seal(rest)?;
            }
            if !tls.has_output() {
                break;
            }
            match tls.push(&socket) {
                Ok(_) => self.sent = self.gathered + self.written as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.gathered += self.written as u64;
        self.writing.clear();
        self.written = 0;
        Ok(())
    }

    /// Gives each whole reply to its call, and wakes all who have theirs.
    fn hand_out(&mut self) -> Result<(), ErrorKind> {
        let result = loop {
            match self.decoder.next() {
                Ok(None) => break Ok(()),
                Ok(Some(reply)) if reply.kind() == Kind::Push => {}
                Ok(Some(reply)) => {
                    if let Err(ended) = self.give(reply) {
                        break Err(ended);
                    }
                }
                Err(problem) => {
                    break Err(ErrorKind::Protocol {
                        problem: problem.to_string(),
                    });
                }
            }
        };
        self.silence
            .heard(self.flying.front().map(|flight| flight.begin), Instant::now());
        self.ends.flush(&self.pool, &self.lane);
        self.decoder.trim();
        result
    }

    /// Offers a connection of one call's own to the next one.
    fn offer(&self) {
        // A call that had a question may have sent what follows its answer.
        if self.lane.own && self.flying.is_empty() && self.lane.outbox.lock().calls.is_empty() {
            if let Some(pool) = self.pool.upgrade() {
                pool.own_lane_free(&self.lane);
            }
        }
    }

    fn give(&mut self, reply: Reply) -> Result<(), ErrorKind> {
        // What comes from a retired generation is no success: the old primary's late +OK is a write that will be lost.
        if self.lane.generation.is_retired() && reply.kind() != Kind::Error {
            return Err(lost(io::Error::other("the service moved to another node meanwhile")));
        }
        let flight = self.flying.front_mut().filter(|flight| flight.begin < self.sent);
        let Some(flight) = flight else {
            return Err(ErrorKind::Protocol {
                problem: "a reply that nobody asked for".into(),
            });
        };
        flight.call.missing -= 1;
        if flight.call.missing > 0 {
            flight.call.sink.reply(reply);
        } else if let Some(flight) = self.flying.pop_front() {
            flight.call.sink.end(Some(reply), Ok(()), &mut self.ends);
        }
        Ok(())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.lane.give_up();
        let calls = {
            let mut outbox = self.lane.outbox.lock();
            outbox.ended = Some(self.ended.to_string());
            outbox.bytes = Vec::new();
            std::mem::take(&mut outbox.calls)
        };
        // Only the call whose turn it was met what broke the protocol; the others lost their connection.
        let mut kind = std::mem::replace(&mut self.ended, ErrorKind::Closed);
        for Flight { call, begin } in self.flying.drain(..) {
            let gone = self.sent.saturating_sub(begin);
            let unsent = call.bytes.saturating_sub(usize::try_from(gone).unwrap_or(usize::MAX));
            let end = self.lane.end_of(&kind, unsent, call.bytes);
            call.sink.end(None, end, &mut self.ends);
            if let ErrorKind::Protocol { .. } = kind {
                let cause = kind.to_string();
                kind = ErrorKind::ConnectionLost { cause };
            }
        }
        for call in calls {
            let end = self.lane.end_of(&kind, call.bytes, call.bytes);
            call.sink.end(None, end, &mut self.ends);
        }
        self.ends.flush(&self.pool, &self.lane);
        self.lane.generation.leave(self.lane.id);
    }
}

fn lost(error: io::Error) -> ErrorKind {
    ErrorKind::ConnectionLost { cause: plain(&error) }
}

fn closed() -> io::Error {
    io::Error::other("the server closed the connection")
}

/// Reads once into `decoder`, when there is something to read.
async fn read(fd: &AsyncFd<Arc<TcpStream>>, mut tls: Option<&mut Records>, decoder: &mut Decoder) -> io::Result<()> {
    loop {
        let mut ready = fd.readable().await?;
        let done = match &mut tls {
            Some(tls) => tls.pull(&SockRef::from(&**fd.get_ref()), decoder),
            None => read_plain(fd.get_ref(), decoder),
        };
        match done {
            Ok(drained) => {
                // The kernel has no more, and will say when it has.
                if drained {
                    ready.clear_ready();
                }
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
            Err(error) => return Err(error),
        }
    }
}

/// True when the kernel had less than there was room for.
fn read_plain(mut socket: &TcpStream, decoder: &mut Decoder) -> io::Result<bool> {
    use std::io::Read;
    let spare = decoder.spare();
    let room = spare.len();
    match socket.read(spare)? {
        0 => Err(closed()),
        n => {
            decoder.filled(n);
            Ok(n < room)
        }
    }
}
