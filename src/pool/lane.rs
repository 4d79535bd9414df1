//! A connection that many callers share: their commands gather while one write is under way and go out with the next.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Waker};

use super::Pool;
use super::generation::{ConnectionId, Generation};
use super::outbox::{Apart, Outbox, Parcel};
use super::passed::BEGUN;
use super::seat::{End, Failure, Ticket, Wakes};
use super::silence::Patience;
use crate::base::error::{Error, ErrorKind, Outcome};
use crate::base::sync::Mutex;
use crate::net::Socket;
use crate::resp::{Reply, Room};

/// Calls that no thread waits for, each under a number. The pool carries them and tells how they end.
pub trait Submissions: std::fmt::Debug + Send + Sync {
    /// Attempts have ended on `lane`.
    fn ended(&self, pool: &Arc<Pool>, lane: &Arc<Lane>, ends: &mut Vec<Ended>);
    /// These may be sent on `lane` now. Those that it did not take wait on.
    fn send(&self, pool: &Arc<Pool>, lane: &Arc<Lane>, ids: &[u64]) -> Vec<Waiter>;
    /// `lane` will send nothing of these: they wait again. `lost`: why, where its connection was lost.
    fn taken_back(&self, pool: &Arc<Pool>, lane: &Lane, ids: &[u64], lost: Option<&Error>) -> Vec<Waiter>;
    /// `lane` has come to its end: nothing is under way on it any more.
    fn forget(&self, lane: &Lane);
    /// These have failed without being sent.
    fn fail(&self, pool: &Arc<Pool>, ids: &[u64], error: &Error);
    /// All of them end.
    fn close(&self, pool: &Arc<Pool>);
}

/// A submitted call that waits for a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiter {
    /// The place in the order of submissions, which no way round changes.
    pub order: u64,
    /// The call.
    pub id: u64,
    /// It waits for a connection of its own.
    pub own: bool,
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
pub(crate) enum Sink {
    /// A thread that waits on its seat, and what it brought for its reply to be made in.
    Seat(Ticket, Option<Room>),
    /// A submitted call, and its replies so far where it has several.
    Call(u64, Option<Replies>),
    /// Nobody: it was taken back.
    Gone,
}

impl Sink {
    /// What was brought for the next reply.
    pub(super) fn room(&mut self) -> Option<&mut Option<Room>> {
        match self {
            Sink::Seat(_, room) => Some(room),
            Sink::Call(..) | Sink::Gone => None,
        }
    }

    /// A reply that is not the last.
    pub(super) fn reply(&mut self, reply: Reply) {
        match self {
            Sink::Seat(ticket, _) => ticket.reply(reply),
            Sink::Call(_, replies) => replies.get_or_insert_default().push(reply),
            Sink::Gone => {}
        }
    }

    /// The last one, or why it will not come.
    #[inline]
    pub(super) fn end(self, last: Option<Reply>, end: End, ends: &mut Ends) {
        match self {
            Sink::Seat(ticket, _) => ticket.end(last, end, &mut ends.wakes),
            Sink::Call(id, replies) => {
                ends.last = id;
                ends.calls.push(Ended { id, replies, last, end });
            }
            Sink::Gone => {}
        }
    }
}

/// Ends that are told together.
#[derive(Debug, Default)]
pub(super) struct Ends {
    wakes: Wakes,
    calls: Vec<Ended>,
    /// The submitted call that ended last, since somebody asked; 0: none.
    last: u64,
    /// How many of those were told since somebody asked.
    told: usize,
}

impl Ends {
    /// Has a waiting thread look at the time.
    pub(super) fn nudge(&mut self, sink: &Sink) {
        if let Sink::Seat(ticket, _) = sink {
            ticket.nudge(&mut self.wakes);
        }
    }

    /// Whether so many submitted calls were told of their ends since this was last true.
    pub(super) fn told(&mut self, many: usize) -> bool {
        let told = self.told >= many;
        if told {
            self.told = 0;
        }
        told
    }

    /// The submitted call that ended last. It is named once.
    pub(super) fn take_last(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.last)).filter(|id| *id != 0)
    }

    /// Tells them.
    pub(super) fn flush(&mut self, pool: &Weak<Pool>, lane: &Arc<Lane>) {
        self.wakes.flush();
        if self.calls.is_empty() {
            return;
        }
        self.told += self.calls.len();
        // Without a pool they have been told already, when it was closed.
        if let Some(pool) = pool.upgrade() {
            pool.calls_ended(lane, &mut self.calls);
        }
        self.calls.clear();
    }
}

/// A call on its way.
#[derive(Debug)]
pub(crate) struct Call {
    pub(super) sink: Sink,
    /// Size of its request.
    pub(super) bytes: usize,
    /// The request, where it lies by itself and was not taken by the driver.
    pub(super) apart: Option<Apart>,
    /// Replies it waits for.
    pub(super) missing: usize,
    /// They make one array, and that is begun with the first of them.
    pub(super) gathers: bool,
    /// How long they may be owed.
    pub(super) patience: Patience,
}

/// The replies that a request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answers {
    pub(super) count: usize,
    /// They are decoded in place into one array: nothing is copied.
    pub(super) in_one: bool,
    pub(super) patience: Patience,
}

impl Answers {
    /// So many, one by one.
    pub fn each(count: usize, patience: Patience) -> Answers {
        Answers {
            count,
            in_one: false,
            patience,
        }
    }

    /// So many, in one array.
    pub fn in_one(count: usize, patience: Patience) -> Answers {
        Answers {
            count,
            in_one: true,
            patience,
        }
    }
}

/// Why a lane did not take a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It takes no calls any more: another one does.
    Ended,
    /// So many wait already, with as many bytes as may gather.
    Full(usize),
}

/// A verified connection that sentinel-io drives on behalf of any number of callers.
#[derive(Debug)]
pub struct Lane {
    pub(super) id: ConnectionId,
    pub(super) generation: Arc<Generation>,
    /// Open as long as its driver runs.
    pub(super) socket: Weak<Socket>,
    /// It carries one submitted call at a time, which may wait in the server.
    pub(super) own: bool,
    /// It was a connection of a thread's own, and is none of the pool's.
    pub(super) begun: bool,
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
        socket: &Arc<Socket>,
        login: u64,
        own: bool,
    ) -> Lane {
        Lane {
            id,
            generation,
            socket: Arc::downgrade(socket),
            own,
            begun: false,
            carried: AtomicU64::new(0),
            login,
            gone: AtomicBool::new(false),
            outbox: Mutex::default(),
            driver: OnceLock::new(),
        }
    }

    /// One whose connection already carries a call of its own. It is none of the pool's, and ends with that call.
    pub(super) fn begun(id: ConnectionId, generation: &Arc<Generation>, socket: &Arc<Socket>, login: u64) -> Lane {
        let lane = Lane {
            begun: true,
            ..Lane::new(id, Arc::clone(generation), socket, login, true)
        };
        lane.outbox.lock().begin_behind(BEGUN);
        lane
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

    /// Whether it is for this one.
    pub(crate) fn carries(&self, id: u64) -> bool {
        self.carried.load(Ordering::Relaxed) == id
    }

    /// The node and epoch it belongs to.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// Whether it takes calls.
    pub fn is_usable(&self) -> bool {
        !self.is_gone() && !self.generation.is_retired() && self.generation.takes(self.login)
    }

    /// Hands over a request; nothing waits. The number under which it can be taken back.
    pub(crate) fn send(&self, parcel: Parcel<'_>, answers: Answers, sink: Sink) -> Result<u64, Refused> {
        let mut outbox = self.outbox.lock();
        if outbox.leaving || outbox.ended.is_some() {
            return Err(Refused::Ended);
        }
        if outbox.is_full() {
            return Err(Refused::Full(outbox.len()));
        }
        let number = outbox.add(parcel, answers, sink);
        let sleeps = !std::mem::replace(&mut outbox.awake, true);
        drop(outbox);
        if sleeps {
            self.wake();
        }
        Ok(number)
    }

    /// The error of a call that the lane did not take.
    #[cold]
    pub(crate) fn refusal(&self, refused: Refused) -> Error {
        match refused {
            Refused::Ended => self.lost("the connection was given up", Outcome::NotSent),
            Refused::Full(limit) => Error::new(ErrorKind::QueueFull { limit }),
        }
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

    /// Takes a call back. True when nothing of it was or will be sent.
    #[cold]
    pub(crate) fn take_back(&self, number: u64) -> bool {
        self.outbox.lock().take_back(number)
    }

    /// Takes several back; the places in `numbers` of those of which nothing was or will be sent.
    pub(crate) fn take_back_all(&self, numbers: impl Iterator<Item = u64>) -> Vec<bool> {
        let mut outbox = self.outbox.lock();
        numbers.map(|number| outbox.take_back(number)).collect()
    }

    /// Takes all back that has not been taken by its driver, in order. Only of a lane that takes no more.
    pub(super) fn take_unsent(&self) -> VecDeque<Call> {
        let unsent = self.outbox.lock().take_all();
        // It may have nothing left to do now.
        self.wake();
        unsent
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

    /// How the calls of a lane end that it cannot carry to their end.
    pub(super) fn ends(&self, kind: &ErrorKind) -> LostEnds {
        let of = |outcome| match kind {
            ErrorKind::ConnectionLost { cause } => self.lost(cause, outcome),
            kind => self.failed(kind.clone(), outcome),
        };
        LostEnds {
            not_sent: of(Outcome::NotSent),
            unknown: of(Outcome::Unknown),
        }
    }
}

/// The errors of calls that end with their lane: made once, and shared.
#[derive(Debug)]
pub(super) struct LostEnds {
    not_sent: Error,
    unknown: Error,
}

impl LostEnds {
    /// The end of a call of which `unsent` of `bytes` never went out.
    pub(super) fn of(&self, unsent: usize, bytes: usize) -> End {
        let error = match unsent == bytes {
            true => &self.not_sent,
            false => &self.unknown,
        };
        Err(Failure {
            error: error.clone(),
            unsent,
            moved: false,
        })
    }
}
