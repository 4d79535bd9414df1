//! The task of sentinel-io that drives a lane: one write for all that has gathered, one read for all that has come.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use tokio::task::yield_now;

use super::Pool;
use super::common::Common;
use super::direct::too_soon;
use super::flight::{Call, Ends};
use super::lane::Lane;
use super::outbox::{KEEP, Piece, Pieces};
use super::seat::Failure;
use super::silence::Silence;
use crate::base::clock::Moment;
use crate::base::error::{ErrorKind, Outcome};
use crate::net::plain;
use crate::net::stream::{Pushed, Watching};
use crate::resp::{Decoder, Kind, Reply};

/// Reads in one turn of the task: a peer that never stops talking keeps sentinel-io from all else for so long.
const ROUNDS: usize = 8;

/// Bytes written in one turn.
const MOST_WRITTEN: usize = 256 << 10;

/// Pieces handed to the kernel at once.
const PARTS: usize = 64;

/// Calls that end in one turn when the lane does, and after which others have their turn in any case.
const MOST_ENDED: usize = 1024;

/// What becomes of a lane in a turn that did not fail.
enum Turn {
    /// There is more to do, after the others' turn.
    More,
    /// It waits for something.
    Waits,
    /// It was left, and has done its calls.
    Over,
}

/// Ends every call of its lane when it is dropped, however that comes about.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) lane: Arc<Lane>,
    pub(super) pool: Weak<Pool>,
    pub(super) common: Rc<Common>,
    pub(super) watching: Watching,
    decoder: Decoder,
    /// What is being written, and how much of its first piece was taken.
    pub(super) writing: Pieces,
    pub(super) written: usize,
    /// A buffer that was written, for the next.
    spare: Vec<u8>,
    /// Calls whose requests are being written or were.
    pub(super) flying: VecDeque<Call>,
    /// Where in the stream the first of them begins.
    pub(super) begin: u64,
    /// The replies to the first of them are being decoded into one array.
    gathering: bool,
    pub(super) silence: Silence,
    /// The watchdog's round since which somebody waits here.
    pub(super) round: Option<u64>,
    /// It waits for the reply to its first call before it sends another one.
    wary: bool,
    /// The pool knows that nothing more goes out here.
    is_out: bool,
    pub(super) ends: Ends,
    ended: ErrorKind,
}

impl Driver {
    pub(super) fn new(
        lane: Arc<Lane>,
        pool: &Arc<Pool>,
        common: &Rc<Common>,
        (watching, decoder): (Watching, Decoder),
    ) -> Driver {
        Driver {
            wary: lane.generation.is_wary(),
            lane,
            pool: Arc::downgrade(pool),
            common: Rc::clone(common),
            begin: watching.stream.taken(),
            watching,
            decoder,
            writing: Pieces::new(),
            written: 0,
            spare: Vec::new(),
            flying: VecDeque::new(),
            gathering: false,
            silence: Silence::new(),
            round: None,
            is_out: false,
            ends: Ends::default(),
            ended: ErrorKind::Closed,
        }
    }

    /// A call is due that was begun at `begin` before the connection came here, and `rest` of its request is to be sent.
    pub(super) fn owe(&mut self, call: Call, begin: u64, rest: Vec<u8>) {
        self.begin = begin;
        self.flying.push_back(call);
        if !rest.is_empty() {
            self.writing.push_back(Piece::Together(rest));
        }
        self.silence.asked(begin, Moment::now());
    }

    /// Runs until the connection ends, or the lane is left and empty.
    pub(super) async fn run(mut self) {
        let driven = poll_fn(|cx| self.drive(cx)).await;
        let Some(pool) = self.pool.upgrade() else { return };
        let Err(ended) = driven else {
            pool.lane_out(&self.lane);
            return pool.lane_done(&self.lane);
        };
        let cause = ended.cause();
        // Given up by the pool: its end says nothing about the node.
        let ours = self.lane.is_gone() || self.lane.generation.is_retired();
        // First out of the pool, then the callers: none of them must find it again. What was not sent waits again, in front
        // of all that comes.
        let lost = self.lane.lost(&cause, Outcome::NotSent);
        self.ended = ended;
        let unsent = self.take_unsent();
        pool.lane_ended(&self.lane, unsent, lost);
        while self.end_some() {
            yield_now().await;
        }
        pool.lane_done(&self.lane);
        if !ours {
            let endpoint = &self.lane.generation.endpoint;
            self.common.gate.suspect(endpoint);
            pool.lost();
            pool.observer
                .connection_lost(&pool.calls, endpoint, self.lane.generation.role, &cause);
        }
    }

    /// One turn of the task: what has come, then what has gathered. By hand: an `async` block with a choice of futures
    /// was a third of what sentinel-io itself did for a burst.
    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
        self.lane.wake_with(cx);
        for _ in 0..ROUNDS {
            match self.turn(cx)? {
                Turn::More if self.ends.told(MOST_ENDED) => break,
                Turn::More => {}
                Turn::Waits => return Poll::Pending,
                Turn::Over => return Poll::Ready(Ok(())),
            }
        }
        // Not a plain wake-up: the runtime looks at its sockets and timers before it comes back here.
        pin!(yield_now()).poll(cx).map(Ok)
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Result<Turn, ErrorKind> {
        let mut more = self.read(cx)?;
        if self.lane.gives_back() {
            self.give_back();
        }
        let held = self.silence.is_long() || (self.wary && !self.flying.is_empty());
        if !held && !self.gather() {
            return Ok(Turn::Over);
        }
        let blocked = self.write()?;
        self.lane.set_blocked(blocked);
        // What goes out on another connection may be read before what this one has sent: where only the login is another,
        // it waits for the replies.
        let may_follow = !self.lane.is_outdated() || self.flying.is_empty();
        if self.lane.is_gone() && !self.is_out && !self.has_output() && may_follow {
            self.is_out = true;
            if let Some(pool) = self.pool.upgrade() {
                pool.lane_out(&self.lane);
            }
        }
        // In every round, so that a peer that never stops talking keeps nobody from looking at the time.
        self.nudge(cx)?;
        if blocked {
            if let Poll::Ready(ready) = self.watching.watched.poll_write_ready(cx) {
                ready.map_err(lost)?.clear_ready();
                more = true;
            }
        } else if self.has_output() {
            more = true;
        } else if !held && !self.may_sleep() {
            // More has gathered meanwhile; other tasks have their turn first. A lane that holds back stays awake: the node's
            // next word, or its end, is what it waits for.
            cx.waker().wake_by_ref();
            return Ok(Turn::Waits);
        }
        Ok(if more { Turn::More } else { Turn::Waits })
    }

    /// Reads once, if there is something to read. True when there is more; otherwise the task is woken when there is.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, ErrorKind> {
        let Watching { stream, watched } = &mut self.watching;
        let Poll::Ready(ready) = watched.poll_read_ready(cx) else {
            return Ok(false);
        };
        let mut ready = ready.map_err(lost)?;
        match stream.pull(&mut self.decoder) {
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
        if self.watching.stream.is_closed() {
            return Err(lost(io::Error::other("the server closed the connection")));
        }
        Ok(self.watching.watched.poll_read_ready(cx).is_ready())
    }

    /// Takes what has gathered once all before it was written. False when there is nothing left to do for ever.
    fn gather(&mut self) -> bool {
        if !self.writing.is_empty() {
            return true;
        }
        let begin = self.watching.stream.taken();
        let mut outbox = self.lane.outbox.lock();
        if outbox.is_empty() {
            // A node that is heard out may be asked what its last words mean, by a thread that has yet to wake up.
            let is_heard_out = !self.lane.own && self.lane.generation.is_heard_out();
            let over = outbox.is_leaving() && self.flying.is_empty() && !is_heard_out;
            if over {
                // Who took the lane before that, and comes only now, looks for another one.
                outbox.ended = Some("the lane was left".to_owned());
            }
            return !over;
        }
        if self.flying.is_empty() {
            self.begin = begin;
        }
        match self.wary {
            true => outbox.gather_first(&mut self.flying, &mut self.writing),
            false => outbox.gather(&mut self.flying, &mut self.writing, &mut self.spare),
        }
        drop(outbox);
        self.silence.asked(begin, Moment::now());
        true
    }

    /// Whether nothing has gathered. The next caller wakes the lane then.
    fn may_sleep(&mut self) -> bool {
        let mut outbox = self.lane.outbox.lock();
        outbox.awake = !outbox.is_empty();
        if !outbox.awake {
            outbox.trim();
            self.spare.shrink_to(KEEP);
        }
        !outbox.awake
    }

    /// Whether something is left to hand to the kernel.
    pub(super) fn has_output(&self) -> bool {
        !self.writing.is_empty() || self.watching.stream.has_records()
    }

    /// Hands to the kernel what it takes, up to so much in one turn. Whether it takes no more.
    fn write(&mut self) -> Result<bool, ErrorKind> {
        let mut room = MOST_WRITTEN;
        while room > 0 && self.has_output() {
            let pushed = self.push().map_err(lost)?;
            self.wrote(pushed.taken);
            room = room.saturating_sub(pushed.taken.max(1));
            if pushed.blocked {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn push(&mut self) -> io::Result<Pushed> {
        let stream = &mut self.watching.stream;
        if self.writing.len() < 2 {
            let piece = self.writing.front().map_or(&[][..], Piece::bytes);
            return stream.push(piece.get(self.written..).unwrap_or_default());
        }
        let mut skip = self.written;
        let parts = self.writing.iter().take(PARTS).map(|piece| {
            let rest = piece.bytes().get(skip..).unwrap_or_default();
            skip = 0;
            IoSlice::new(rest)
        });
        stream.push_parts(&parts.collect::<Vec<_>>())
    }

    /// So many bytes were taken.
    fn wrote(&mut self, mut taken: usize) {
        while let Some(piece) = self.writing.front() {
            let rest = piece.bytes().len() - self.written;
            if taken < rest {
                self.written += taken;
                return;
            }
            taken -= rest;
            self.written = 0;
            if let Some(Piece::Together(mut bytes)) = self.writing.pop_front() {
                bytes.clear();
                self.spare = bytes;
            }
        }
    }

    /// Gives each whole reply to its call, and wakes all who have theirs.
    fn hand_out(&mut self) -> Result<(), ErrorKind> {
        let result = loop {
            self.begin_gathering();
            let brought = self.flying.front_mut().and_then(|call| call.sink.room());
            match self.decoder.next_in(brought.unwrap_or(&mut None)) {
                Ok(None) => break Ok(()),
                Ok(Some(reply)) if reply.kind() == Kind::Push => {}
                // What came before the array could begin is nobody's.
                Ok(Some(_)) if self.decoder.is_gathering() => break Err(unasked()),
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
        self.tell_ends();
        self.decoder.trim();
        result
    }

    /// Offers a connection of one call's own to the next one, once that call has ended.
    fn offer(&mut self) {
        let Some(ended) = self.ends.take_last() else { return };
        // A call that had a question may have sent what follows its answer.
        let free = self.lane.own && self.flying.is_empty() && self.lane.outbox.lock().is_empty();
        if let Some(pool) = self.pool.upgrade().filter(|_| free) {
            pool.own_lane_free(&self.lane, ended);
        }
    }

    fn give(&mut self, reply: Reply) -> Result<(), ErrorKind> {
        // What comes from a retired generation is no success: the old primary's late +OK is a write that will be lost.
        if self.lane.generation.is_retired() && reply.kind() != Kind::Error {
            return Err(lost(io::Error::other("the service moved to another node meanwhile")));
        }
        let sent = self.watching.stream.sent();
        let begun = self.begin < sent;
        let Some(call) = self.flying.front_mut().filter(|_| begun) else {
            return Err(unasked());
        };
        if call.missing > 1 {
            call.missing -= 1;
            call.sink.reply(reply);
            return Ok(());
        }
        // What is left of the request would be taken for another one.
        if sent < self.begin + call.bytes as u64 {
            let problem = too_soon(&reply);
            return Err(ErrorKind::Protocol { problem });
        }
        if std::mem::take(&mut self.wary) {
            self.lane.generation.set_wary(false);
        }
        if let Some(call) = self.flying.pop_front() {
            self.begin += call.bytes as u64;
            self.gathering = false;
            call.sink.end(Some(reply), Ok(()), &mut self.ends);
        }
        Ok(())
    }

    /// Has the replies to the first call decoded in place, where they make one array.
    fn begin_gathering(&mut self) {
        let first = self.flying.front_mut().filter(|call| call.gathers);
        if let Some(call) = first {
            self.decoder.gather(call.missing);
            (call.gathers, call.missing) = (false, 1);
            self.gathering = true;
        }
    }

    /// The calls of which nothing was handed over, in their order.
    fn take_unsent(&mut self) -> VecDeque<Call> {
        let sent = self.watching.stream.sent();
        let mut end = self.begin;
        let begun = self.flying.iter().take_while(|call| {
            let begin = end;
            end += call.bytes as u64;
            begin < sent
        });
        let begun = begun.count();
        let mut unsent = self.flying.split_off(begun);
        unsent.append(&mut self.lane.take_unsent());
        unsent
    }

    /// Ends some of the calls that the lane cannot carry to their end. True while there are more.
    fn end_some(&mut self) -> bool {
        let ends = self.lane.ends(&self.ended);
        let sent = self.watching.stream.sent();
        for _ in 0..MOST_ENDED {
            let Some(call) = self.flying.pop_front() else { break };
            let gone = sent.saturating_sub(self.begin);
            self.begin += call.bytes as u64;
            let unsent = call.bytes.saturating_sub(usize::try_from(gone).unwrap_or(usize::MAX));
            // The others of a batch that were answered keep their replies.
            let gathered = std::mem::take(&mut self.gathering).then(|| self.decoder.take_gathered());
            call.sink
                .end(gathered.flatten(), ends.of(unsent, call.bytes), &mut self.ends);
            // Only the call whose turn it was met what broke the protocol; the others lost their connection.
            if let ErrorKind::Protocol { .. } = self.ended {
                let cause = self.ended.to_string();
                self.ended = ErrorKind::ConnectionLost { cause };
                break;
            }
        }
        self.tell_ends();
        !self.flying.is_empty()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.lane.give_up();
        self.lane.outbox.lock().ended = Some(self.ended.to_string());
        let unsent = self.take_unsent();
        while self.end_some() {}
        let lost = self.lane.lost(&self.ended.cause(), Outcome::NotSent);
        for call in unsent {
            let failure = Failure {
                error: lost.clone(),
                unsent: call.bytes,
                moved: false,
            };
            call.sink.end(None, Err(failure), &mut self.ends);
        }
        self.tell_ends();
        self.lane.generation.leave(self.lane.id);
    }
}

impl Driver {
    /// Tells the ends that have gathered.
    pub(super) fn tell_ends(&mut self) {
        let (pool, lane) = (&self.pool, &self.lane);
        self.ends.flush(|calls| {
            // Without a pool they have been told already, when it was closed.
            if let Some(pool) = pool.upgrade() {
                pool.calls_ended(lane, calls);
            }
        });
    }
}

fn unasked() -> ErrorKind {
    let problem = "a reply that nobody asked for".to_owned();
    ErrorKind::Protocol { problem }
}

fn lost(error: io::Error) -> ErrorKind {
    ErrorKind::ConnectionLost { cause: plain(&error) }
}
