//! The task of sentinel-io that drives a lane: one write for all that has gathered, one read for all that has come.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::TcpStream;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::unix::AsyncFd;
use tokio::task::{unconstrained, yield_now};
use tokio::time::{Sleep, sleep};

use super::Pool;
use super::gate::Gate;
use super::lane::{Call, Ends, KEEP, Lane};
use super::seat::NUDGE_EVERY;
use super::silence::Silence;
use crate::error::ErrorKind;
use crate::net::Records;
use crate::net::clock::Moment;
use crate::net::dial::plain;
use crate::net::sys::watched;
use crate::resp::{Decoder, Kind, Reply};

/// Reads in one turn of the task: a peer that never stops talking keeps sentinel-io from all else for so long.
const ROUNDS: usize = 8;

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
    /// Calls whose requests are being written or were.
    flying: VecDeque<Call>,
    /// The first byte of the first of them, counted over the life of the lane.
    begin: u64,
    silence: Silence,
    /// When those who wait look at the time; it runs while calls fly.
    nudge: Pin<Box<Sleep>>,
    nudging: bool,
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
            begin: 0,
            silence: Silence::new(),
            nudge: Box::pin(sleep(NUDGE_EVERY)),
            nudging: false,
            ends: Ends::default(),
            ended: ErrorKind::Closed,
        })
    }

    /// Runs until the connection ends, or the lane is left and empty.
    pub(super) async fn run(mut self) {
        let Err(ended) = poll_fn(|cx| self.drive(cx)).await else {
            return;
        };
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

    /// One turn of the task: what has come, then what has gathered. By hand: an `async` block with a choice of futures
    /// was a third of what sentinel-io itself did for a burst.
    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
        self.lane.wake_with(cx);
        for _ in 0..ROUNDS {
            let mut more = self.read(cx)?;
            let held = self.silence.is_long();
            if !held && !self.gather() {
                return Poll::Ready(Ok(()));
            }
            self.write().map_err(lost)?;
            // In every round, so that a peer that never stops talking keeps nobody from looking at the time.
            self.nudge(cx);
            if !self.writing.is_empty() || self.has_records() {
                if let Poll::Ready(ready) = self.fd.poll_write_ready(cx) {
                    ready.map_err(lost)?.clear_ready();
                    more = true;
                }
            } else if !held && !self.may_sleep() {
                // More has gathered meanwhile; other tasks have their turn first. A lane that holds back stays awake:
                // the node's next word, or its end, is what it waits for.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !more {
                return Poll::Pending;
            }
        }
        // Not a plain wake-up: the runtime looks at its sockets and timers before it comes back here.
        pin!(yield_now()).poll(cx).map(Ok)
    }

    /// Reads once, if there is something to read. True when there is more; otherwise the task is woken when there is.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, ErrorKind> {
        let Poll::Ready(ready) = self.fd.poll_read_ready(cx) else {
            return Ok(false);
        };
        let mut ready = ready.map_err(lost)?;
        let socket = ready.get_inner();
        let done = match &mut self.tls {
            Some(tls) => tls.pull(&SockRef::from(&**socket), &mut self.decoder),
            None => read_plain(socket, &mut self.decoder),
        };
        match done {
            // The kernel has no more, and will say when it has.
            Ok(drained) if drained => ready.clear_ready(),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready.clear_ready();
                return Ok(true);
            }
            Err(error) => return Err(lost(error)),
        }
        self.hand_out()?;
        self.offer();
        if self.tls.as_ref().is_some_and(|tls| tls.is_closed()) {
            return Err(lost(closed()));
        }
        Ok(self.fd.poll_read_ready(cx).is_ready())
    }

    /// Takes what has gathered once all before it was written. False when there is nothing left to do for ever.
    fn gather(&mut self) -> bool {
        if !self.writing.is_empty() {
            return true;
        }
        let mut outbox = self.lane.outbox.lock();
        if outbox.calls.is_empty() {
            let over = outbox.leaving && self.flying.is_empty();
            if over {
                // Who took the lane before that, and comes only now, looks for another one.
                outbox.ended = Some("the lane was left".to_owned());
            }
            return !over;
        }
        std::mem::swap(&mut outbox.bytes, &mut self.writing);
        self.gathered = self.sent;
        if self.flying.is_empty() {
            self.begin = self.sent;
            std::mem::swap(&mut outbox.calls, &mut self.flying);
        } else {
            self.flying.append(&mut outbox.calls);
        }
        drop(outbox);
        self.silence.asked(self.sent, Moment::now());
        true
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

    /// Has everyone who waits look at the time, every [`NUDGE_EVERY`].
    fn nudge(&mut self, cx: &mut Context<'_>) {
        if self.nudging && !self.nudge.is_elapsed() {
            return;
        }
        if self.nudging {
            let outbox = self.lane.outbox.lock();
            let calls = self.flying.iter().chain(&outbox.calls);
            calls.for_each(|call| self.ends.nudge(&call.sink));
            drop(outbox);
            self.ends.flush(&self.pool, &self.lane);
        }
        // What is being written may be of a call that has its end already, and more may gather behind it.
        self.nudging = !(self.flying.is_empty() && self.writing.is_empty());
        if self.nudging {
            self.nudge.as_mut().reset(tokio::time::Instant::now() + NUDGE_EVERY);
            // This one look is what wakes the task: it must not be refused because the task has done much in this turn.
            let _ = pin!(unconstrained(self.nudge.as_mut())).poll(cx);
        }
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
            let brought = self.flying.front_mut().and_then(|call| call.sink.room());
            match self.decoder.next_in(brought.unwrap_or(&mut None)) {
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
        let due = (!self.flying.is_empty()).then_some(self.begin);
        self.silence.heard(due, Moment::now());
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
        let begun = self.begin < self.sent;
        let Some(call) = self.flying.front_mut().filter(|_| begun) else {
            return Err(ErrorKind::Protocol {
                problem: "a reply that nobody asked for".into(),
            });
        };
        call.missing -= 1;
        if call.missing > 0 {
            call.sink.reply(reply);
        } else if let Some(call) = self.flying.pop_front() {
            self.begin += call.bytes as u64;
            call.sink.end(Some(reply), Ok(()), &mut self.ends);
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
        let mut begin = self.begin;
        for call in self.flying.drain(..) {
            let gone = self.sent.saturating_sub(begin);
            begin += call.bytes as u64;
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
