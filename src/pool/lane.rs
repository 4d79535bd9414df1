//! A connection that many callers share: their commands gather while one write is under way and go out with the next.

use std::collections::{HashSet, VecDeque};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Waker};

use crate::sync::Mutex;

use super::Pool;
use super::generation::{ConnectionId, Generation};
use super::seat::{End, Failure, Ticket, Wakes};
use crate::error::{Error, ErrorKind, Outcome};
use crate::resp::{Reply, Request, Room};

/// Bytes that may gather while the peer takes none; a single larger request is taken all the same.
const MOST_GATHERED: usize = 64 << 20;

/// Bytes of gathered commands that an idle lane keeps room for.
pub(super) const KEEP: usize = 64 << 10;

/// Calls that no thread waits for, each under a number. The pool carries them and tells how they end.
pub trait Submissions: std::fmt::Debug + Send + Sync {
    /// Attempts have ended on `lane`.
    fn ended(&self, pool: &Arc<Pool>, lane: &Lane, ends: &mut Vec<Ended>);
    /// These may be sent on `lane` now.
    fn send(&self, pool: &Arc<Pool>, lane: &Arc<Lane>, ids: &[u64]);
    /// These have failed without being sent.
    fn fail(&self, pool: &Arc<Pool>, ids: &[u64], error: &Error);
    /// All of them end.
    fn close(&self, pool: &Arc<Pool>);
}

/// Small where there are none, since it is moved with each call.
#[allow(clippy::box_collection, reason = "a third of the size")]
pub type Replies = Box<Vec<Reply>>;

/// How an attempt of such a call ended.
#[derive(Debug)]
pub struct Ended {
    /// The call.
    pub id: u64,
    /// Its replies but for the last.
    pub replies: Option<Replies>,
    /// The last one, when it came.
    pub last: Option<Reply>,
    /// Whether all came.
    pub end: End,
}

/// Who is told of a call's replies.
#[derive(Debug)]
pub(super) enum Sink {
    /// A thread that waits on its seat, and what it brought for its reply to be made in.
    Seat(Ticket, Option<Room>),
    /// A submitted call, and its replies so far where it has several.
    Call(u64, Option<Replies>),
}

impl Sink {
    /// What was brought for the next reply.
    pub(super) fn room(&mut self) -> Option<&mut Option<Room>> {
        match self {
            Sink::Seat(_, room) => Some(room),
            Sink::Call(..) => None,
        }
    }

    /// A reply that is not the last.
    pub(super) fn reply(&mut self, reply: Reply) {
        match self {
            Sink::Seat(ticket, _) => ticket.reply(reply),
            Sink::Call(_, replies) => replies.get_or_insert_default().push(reply),
        }
    }

    /// The last one, or why it will not come.
    #[inline]
    pub(super) fn end(self, last: Option<Reply>, end: End, ends: &mut Ends) {
        match self {
            Sink::Seat(ticket, _) => ticket.end(last, end, &mut ends.wakes),
            Sink::Call(id, replies) => ends.calls.push(Ended { id, replies, last, end }),
        }
    }
}

/// Ends that are told together.
#[derive(Debug, Default)]
pub(super) struct Ends {
    wakes: Wakes,
    calls: Vec<Ended>,
}

impl Ends {
    /// Has a waiting thread look at the time.
    pub(super) fn nudge(&mut self, sink: &Sink) {
        if let Sink::Seat(ticket, _) = sink {
            ticket.nudge(&mut self.wakes);
        }
    }

    /// Tells them.
    pub(super) fn flush(&mut self, pool: &Weak<Pool>, lane: &Lane) {
        self.wakes.flush();
        if self.calls.is_empty() {
            return;
        }
        // Without a pool they have been told already, when it was closed.
        if let Some(pool) = pool.upgrade() {
            pool.calls_ended(lane, &mut self.calls);
        }
        self.calls.clear();
    }
}

/// A call on its way.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) sink: Sink,
    /// Size of its request.
    pub(super) bytes: usize,
    /// Replies it waits for.
    pub(super) missing: usize,
}

/// What has gathered.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) bytes: Vec<u8>,
    pub(super) calls: VecDeque<Call>,
    /// The driver is at work, or was told to be, and looks here before it waits again.
    pub(super) awake: bool,
    /// It takes no more calls and ends when the last one has.
    pub(super) leaving: bool,
    /// Why it takes no calls any more.
    pub(super) ended: Option<String>,
}

/// A verified connection that sentinel-io drives on behalf of any number of callers.
#[derive(Debug)]
pub struct Lane {
    pub(super) id: ConnectionId,
    pub(super) generation: Arc<Generation>,
    /// Open as long as its driver runs.
    pub(super) socket: Weak<TcpStream>,
    /// It carries one submitted call at a time, which may wait in the server.
    pub(super) own: bool,
    /// That call, while there is one. Written under the pool's lock.
    carried: AtomicU64,
    /// The number of the credentials it logged in with.
    login: u64,
    /// It takes no more calls.
    gone: AtomicBool,
    pub(super) outbox: Mutex<Outbox>,
    /// Wakes its driver, from the driver's first turn on.
    driver: OnceLock<Waker>,
}

impl Lane {
    pub(super) fn new(
        id: ConnectionId,
        generation: Arc<Generation>,
        socket: &Arc<TcpStream>,
        login: u64,
        own: bool,
    ) -> Lane {
        Lane {
            id,
            generation,
            socket: Arc::downgrade(socket),
            own,
            carried: AtomicU64::new(0),
            login,
            gone: AtomicBool::new(false),
            outbox: Mutex::default(),
            driver: OnceLock::new(),
        }
    }

    /// Its number, unique in this process.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Whether it carries one submitted call at a time.
    pub fn is_own(&self) -> bool {
        self.own
    }

    /// It is for this submitted call now; 0: for none.
    pub(super) fn carry(&self, id: u64) {
        self.carried.store(id, Ordering::Relaxed);
    }

    /// Whether it is for one of these.
    pub(super) fn carries_one_of(&self, ids: &HashSet<u64>) -> bool {
        ids.contains(&self.carried.load(Ordering::Relaxed))
    }

    /// Hands over a submitted call that has `count` replies.
    pub fn submit(&self, request: &Request<'_>, count: usize, id: u64) -> Result<(), Error> {
        self.send(request, count, Sink::Call(id, None))
    }

    /// Takes submitted calls back. Those of which nothing was or will be sent.
    pub(super) fn withdraw_calls(&self, ids: &HashSet<u64>) -> HashSet<u64> {
        let mut outbox = self.outbox.lock();
        let mut withdrawn = HashSet::new();
        let outbox = &mut *outbox;
        let mut kept = Vec::new();
        let mut begin = 0;
        outbox.calls.retain(|call| {
            let end = begin + call.bytes;
            let bytes = outbox.bytes.get(begin..end).unwrap_or_default();
            begin = end;
            match &call.sink {
                Sink::Call(id, _) if ids.contains(id) => {
                    withdrawn.insert(*id);
                    false
                }
                _ => {
                    kept.extend_from_slice(bytes);
                    true
                }
            }
        });
        if !withdrawn.is_empty() {
            outbox.bytes = kept;
        }
        withdrawn
    }

    /// The node and epoch it belongs to.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// Whether it takes calls.
    pub fn is_usable(&self) -> bool {
        !self.is_gone() && !self.generation.is_retired() && self.generation.takes(self.login)
    }

    /// Hands over a request that has `count` replies. It is copied; nothing waits.
    pub(super) fn send(&self, request: &Request<'_>, count: usize, sink: Sink) -> Result<(), Error> {
        let mut outbox = self.outbox.lock();
        if let Some(cause) = &outbox.ended {
            return Err(self.lost(cause, Outcome::NotSent));
        }
        let before = outbox.bytes.len();
        if before > MOST_GATHERED {
            return Err(Error::new(ErrorKind::QueueFull {
                limit: outbox.calls.len(),
            }));
        }
        request.append(&mut outbox.bytes);
        let bytes = outbox.bytes.len() - before;
        outbox.calls.push_back(Call {
            sink,
            bytes,
            missing: count,
        });
        let sleeps = !std::mem::replace(&mut outbox.awake, true);
        drop(outbox);
        if sleeps {
            self.wake();
        }
        Ok(())
    }

    /// Its driver runs in this task, and in no other.
    pub(super) fn wake_with(&self, cx: &Context<'_>) {
        self.driver.get_or_init(|| cx.waker().clone());
    }

    /// Has its driver look at the outbox. Before its first turn there is no need.
    fn wake(&self) {
        if let Some(driver) = self.driver.get() {
            driver.wake_by_ref();
        }
    }

    /// Takes a call back whose caller waits no longer. True when nothing of it was or will be sent.
    #[cold]
    pub(super) fn withdraw(&self, is_it: impl Fn(&Sink) -> bool) -> bool {
        let mut outbox = self.outbox.lock();
        let mut begin = 0;
        for place in 0..outbox.calls.len() {
            let Some(call) = outbox.calls.get(place) else { break };
            let end = begin + call.bytes;
            if is_it(&call.sink) {
                outbox.bytes.drain(begin..end);
                outbox.calls.remove(place);
                return true;
            }
            begin = end;
        }
        false
    }

    /// Whoever knows it looks for another one from here on.
    pub(super) fn give_up(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// Whether somebody did.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Lets it end once the calls under way have.
    pub(super) fn leave(&self) {
        self.give_up();
        self.outbox.lock().leaving = true;
        self.wake();
    }

    /// The error of a call that this lane cannot carry to its end.
    #[cold]
    pub(super) fn lost(&self, cause: &str, outcome: Outcome) -> Error {
        let cause = match self.generation.is_retired() {
            true => "the service moved to another node".to_owned(),
            false => cause.to_owned(),
        };
        self.failed(ErrorKind::ConnectionLost { cause }, outcome)
    }

    #[cold]
    pub(super) fn failed(&self, kind: ErrorKind, outcome: Outcome) -> Error {
        let error = Error::new(kind).with_outcome(outcome);
        error.at(self.generation.endpoint.to_string())
    }

    /// The end of a call of which `unsent` of `bytes` never went out.
    pub(super) fn end_of(&self, kind: &ErrorKind, unsent: usize, bytes: usize) -> End {
        let outcome = match unsent == bytes {
            true => Outcome::NotSent,
            false => Outcome::Unknown,
        };
        let error = match kind {
            ErrorKind::ConnectionLost { cause } => self.lost(cause, outcome),
            kind => self.failed(kind.clone(), outcome),
        };
        Err(Failure { error, unsent })
    }
}
