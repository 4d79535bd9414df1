//! A connection that many callers share: their commands gather while one write is under way and go out with the next.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Waker};

use super::flight::{Answers, BEGUN, Call, Sink};
use super::generation::{ConnectionId, Generation};
use super::outbox::{Outbox, Parcel};
use super::seat::{End, Failure};
use crate::base::error::{Error, ErrorKind, Outcome};
use crate::base::flag::Flag;
use crate::base::sync::Mutex;
use crate::net::Socket;

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
    /// It stays with whom it carried a call of, whatever becomes of the calls.
    held: Flag,
    /// It was a connection of a thread's own, and is none of the pool's.
    pub(super) begun: bool,
    /// That call, while there is one. Written under the pool's lock.
    carried: AtomicU64,
    /// The number of the credentials it logged in with.
    login: u64,
    /// It takes no more calls.
    gone: Flag,
    /// The kernel takes no more of what its driver has.
    blocked: AtomicBool,
    /// Its driver is to give back what it has not begun to write.
    gives_back: Flag,
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
            held: Flag::default(),
            begun: false,
            carried: AtomicU64::new(0),
            login,
            gone: Flag::default(),
            blocked: AtomicBool::new(false),
            gives_back: Flag::default(),
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

    /// Keeps it for the calls to come: it is not idle once this one has ended. Or ends that.
    pub(crate) fn hold(&self, held: bool) {
        self.held.set(held);
    }

    /// Whether somebody keeps it.
    pub(super) fn is_held(&self) -> bool {
        self.held.is_up()
    }

    /// The node and epoch it belongs to.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// Whether it takes calls.
    pub fn is_usable(&self) -> bool {
        !self.is_gone() && !self.generation.is_left() && !self.is_outdated()
    }

    /// Whether the node has taken newer credentials than those that it logged in with.
    pub(super) fn is_outdated(&self) -> bool {
        !self.generation.takes(self.login)
    }

    /// Hands over a request; nothing waits. The number under which it can be taken back.
    pub(crate) fn send(&self, parcel: Parcel<'_>, answers: Answers, sink: Sink) -> Result<u64, Refused> {
        let mut outbox = self.outbox.lock();
        if !outbox.takes(answers.follows) {
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
        self.gone.raise();
    }

    /// Whether somebody did.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.is_up()
    }

    /// Lets it end once the calls under way have. Those that were not taken by its driver, in their order.
    pub(super) fn leave(&self) -> VecDeque<Call> {
        self.give_up();
        let unsent = self.outbox.lock().leave();
        self.wake();
        unsent
    }

    /// The same where nothing waits to be written.
    pub(super) fn leave_if_empty(&self) {
        let mut outbox = self.outbox.lock();
        if outbox.is_empty() {
            outbox.leave();
            self.give_up();
        }
    }

    /// Whether the kernel takes no more of what is being written, as its driver saw it last.
    pub(super) fn set_blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Ordering::Relaxed);
    }

    /// Whether it has anything that was not begun to be written.
    pub(super) fn has_unsent(&self) -> bool {
        self.blocked.load(Ordering::Relaxed) || !self.outbox.lock().is_empty()
    }

    /// Has the driver of a lane that was left give back what it has not begun to write.
    pub(super) fn hold_back(&self) {
        self.gives_back.raise();
        self.wake();
    }

    /// Whether that is to be done, once.
    pub(super) fn gives_back(&self) -> bool {
        self.is_gone() && self.gives_back.take()
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
