//! The calls of a client that no thread waits for, each under a number. No I/O, no clock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Queue;
use super::agenda::Agenda;
use super::callbacks::Done;
use super::deliveries::{Deliveries, Destination};
use super::entry::CallId;
use super::hold::Hold;
use super::queues::Queues;
use crate::base::clock::Moment;
use crate::base::deadline::Deadline;
use crate::base::error::{Error, Outcome, Result};
use crate::call::Learnt;
use crate::call::batch::{EXEC, Encoded, MULTI};
use crate::call::life::{Commands, Event, Handed, Life, Shape, Step};
use crate::pool::{Apart, Lane, Parcel, Waiter, Want};
use crate::resp::Reply;

/// Where a completion goes.
pub enum Target<'a> {
    /// Into a queue, where a place is taken for it, under a tag.
    Queue(&'a Arc<Queue>, u64),
    /// The same, and the connection on which the call succeeds is kept.
    Keeping(&'a Arc<Queue>, u64, &'a Arc<Hold>),
    /// To a function on sentinel-cb.
    Done(Done),
}

/// The same as the book keeps it.
enum Kept {
    /// Nowhere: the slot is free.
    Free,
    /// The queue's number in the book, and the tag.
    Queue(usize, u64),
    Done(Done),
}

/// Where a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It waits for a connection.
    Waiting,
    /// It was handed to the lane of this connection, under that lane's number for it.
    Lane(u64, u64),
    /// It is tried again then.
    Paused(Moment),
}

/// A call's commands as they go over the wire, a transaction's with MULTI and EXEC.
#[derive(Debug, Clone)]
pub(super) enum Stored {
    /// Copied into whatever lane carries them.
    Small(Vec<u8>),
    /// Shared with it.
    Apart(Apart),
}

impl Stored {
    fn bytes(&self) -> &[u8] {
        match self {
            Stored::Small(bytes) => bytes,
            Stored::Apart(bytes) => bytes,
        }
    }

    /// Those of a call of this shape, without those that only frame them.
    pub(super) fn body(&self, shape: Shape) -> &[u8] {
        let bytes = self.bytes();
        let end = bytes.len().saturating_sub(EXEC.len());
        match shape {
            Shape::Transaction(_) => bytes.get(MULTI.len()..end).unwrap_or_default(),
            _ => bytes,
        }
    }

    /// Takes over a request, into the room of the one before where it is small.
    #[inline]
    pub(super) fn store(&mut self, parcel: &Parcel<'_>) {
        match (self, parcel) {
            (Stored::Small(bytes), Parcel::Small(request)) => request.append(bytes),
            (own, Parcel::Apart(apart)) => *own = Stored::Apart(Arc::clone(apart)),
            (own @ Stored::Apart(_), Parcel::Small(request)) => {
                let mut bytes = Vec::new();
                request.append(&mut bytes);
                *own = Stored::Small(bytes);
            }
        }
    }

    /// Lets go of it, but for one that lies by itself: that is to be dropped without a lock. The room of a small one may
    /// be kept.
    fn clear(&mut self, keep: bool) -> Option<Apart> {
        match self {
            Stored::Small(bytes) if keep && bytes.capacity() <= KEEP_BYTES => bytes.clear(),
            _ => {
                if let Stored::Apart(apart) = std::mem::replace(self, Stored::Small(Vec::new())) {
                    return Some(apart);
                }
            }
        }
        None
    }
}

/// A call that was accepted and has not completed.
pub(super) struct Call {
    pub(super) request: Stored,
    /// Its place in the order of submissions.
    pub(super) order: u64,
    pub(super) life: Life,
    pub(super) deadline: Deadline,
    target: Kept,
    pub(super) place: Place,
    /// Keeps the connection, once it has succeeded.
    pub(super) hold: Option<Arc<Hold>>,
    /// When it was accepted, where it is one of those that are timed.
    pub(super) began: Option<Moment>,
    /// Who submitted it; 0: it began otherwise.
    pub(super) thread: u64,
}

impl Call {
    /// What a free slot holds.
    fn vacant() -> Call {
        Call {
            request: Stored::Small(Vec::new()),
            order: 0,
            life: Life::undecided(),
            deadline: Deadline::NEVER,
            target: Kept::Free,
            place: Place::Waiting,
            hold: None,
            began: None,
            thread: 0,
        }
    }

    fn is_free(&self) -> bool {
        matches!(self.target, Kept::Free)
    }

    /// As it waits for a connection.
    pub(super) fn waiter(&self, id: CallId) -> Waiter {
        Waiter {
            order: self.order,
            id,
            own: self.is_alone(),
            writes: false,
            thread: 0,
        }
    }

    /// Whether what it sends next may write.
    #[cold]
    pub(super) fn writes(&self, learnt: &Learnt) -> bool {
        let commands = Encoded::new(self.request.body(self.life.shape()), learnt);
        self.life.question().is_none() && !commands.only_read()
    }

    /// As it waits for a connection to go out again. `lined_up`: with other writes, where it is one, and behind those of its
    /// thread where it is none.
    pub(super) fn waiter_of(&self, id: CallId, lined_up: bool, learnt: &Learnt) -> Waiter {
        let writes = lined_up && self.writes(learnt);
        let thread = if lined_up && !self.is_alone() { self.thread } else { 0 };
        Waiter {
            writes,
            thread,
            ..self.waiter(id)
        }
    }

    /// Its commands, those that only frame them left out.
    pub(super) fn commands(&self) -> usize {
        match self.life.shape() {
            Shape::Command | Shape::Confirmed => 1,
            Shape::Pipeline(len) | Shape::Transaction(len) => len,
        }
    }

    /// Lends out what is needed to decide about it. Were it given up meanwhile, its outcome would be unknown, unless
    /// nothing but a question was sent.
    pub(super) fn borrow(&mut self) -> (Life, Stored, Deadline) {
        let life = self.life.lend();
        let request = std::mem::replace(&mut self.request, Stored::Small(Vec::new()));
        (life, request, self.deadline)
    }

    /// How it ends when nobody waits for it any more.
    pub(super) fn given_up(&mut self, error: Error, handed: Handed) -> Result<Reply> {
        let also = error.clone();
        match self.life.on(Event::GivenUp(error, handed)).step {
            Step::End(result) => result,
            // Its reply was about to be told.
            _ => Err(also.with_outcome(Outcome::Unknown)),
        }
    }

    /// Whether its next attempt has a connection of its own.
    pub(super) fn is_alone(&self) -> bool {
        self.life.want() == Want::Lease
    }
}

/// A call, and how it ends.
pub(super) type EndOf = (CallId, Result<Reply>);

/// Calls are entered and changed where they lie: to move one costs more than to fill it in.
struct Slot {
    turn: u32,
    call: Call,
}

/// The slots that keep the buffer of their last request for the next one, and how large it may be.
const KEEP_BUFFERS: u32 = 1024;
const KEEP_BYTES: usize = 1024;

#[derive(Default)]
pub(super) struct Book {
    slots: Vec<Slot>,
    free: Vec<u32>,
    pub(super) agenda: Agenda,
    queues: Queues,
    /// Calls entered so far.
    entered: u64,
    /// The lanes that have calls, by their numbers.
    lanes: HashMap<u64, Arc<Lane>>,
    /// The one that had a call last.
    latest: Option<u64>,
    /// Where calls are sent at once, while that is sure to keep their order.
    pub(super) lane: Option<Arc<Lane>>,
    /// The call whose question is under way.
    pub(super) asker: Option<CallId>,
    /// Calls that came meanwhile, so that those of a thread stay in their order.
    pub(super) held: VecDeque<CallId>,
    /// They are let go, one after the other.
    pub(super) releasing: bool,
    pub(super) closed: bool,
}

impl Book {
    /// Enters the call that `fill` writes. True with its number when its deadline is the next moment to look.
    pub(super) fn enter(&mut self, target: Target<'_>, fill: impl FnOnce(&mut Call)) -> (CallId, bool) {
        let index = self.free.pop().unwrap_or_else(|| {
            let call = Call::vacant();
            self.slots.push(Slot { turn: 0, call });
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let (target, hold) = match target {
            Target::Queue(queue, tag) => (Kept::Queue(self.queues.hold(queue), tag), None),
            Target::Keeping(queue, tag, hold) => (Kept::Queue(self.queues.hold(queue), tag), Some(Arc::clone(hold))),
            Target::Done(function) => (Kept::Done(function), None),
        };
        self.entered += 1;
        let entered = self.entered;
        let Some(slot) = self.slot_mut(index) else {
            return (0, false);
        };
        (slot.call.target, slot.call.hold) = (target, hold);
        slot.call.order = entered;
        slot.turn = slot.turn.wrapping_add(1).max(1);
        fill(&mut slot.call);
        let (id, deadline) = (number(index, slot.turn), slot.call.deadline);
        (id, deadline != Deadline::NEVER && self.remind(deadline.at(), id))
    }

    /// The call of that number, unless it has completed.
    pub(super) fn get(&mut self, id: CallId) -> Option<&mut Call> {
        let (index, turn) = parts(id);
        let slot = self.slot_mut(index)?;
        (slot.turn == turn && !slot.call.is_free()).then_some(&mut slot.call)
    }

    /// Takes a call out, with where its completion goes: who does completes it.
    pub(super) fn take(&mut self, id: CallId) -> Option<(Call, Destination)> {
        let mut call = std::mem::replace(self.get(id)?, Call::vacant());
        self.free.push(parts(id).0);
        self.asker.take_if(|asker| *asker == id);
        let destination = match std::mem::replace(&mut call.target, Kept::Free) {
            Kept::Free => return None,
            Kept::Done(function) => Destination::Done(function),
            Kept::Queue(number, tag) => {
                let queue = self.queues.get(number).map(Arc::clone)?;
                self.queues.release(number);
                Destination::Queue(queue, tag)
            }
        };
        Some((call, destination))
    }

    /// Takes out one command of which nothing but its reply is left, and adds that to `done`, and its request to `spent`
    /// where that may be large. When the call began, where that is known; `None` when it is no such command. `lane` is
    /// kept where the call asks for that.
    pub(super) fn finish(
        &mut self,
        (id, lane): (CallId, Option<&Arc<Lane>>),
        reply: &mut Option<Reply>,
        (done, spent): (&mut Deliveries, &mut Vec<Apart>),
    ) -> Option<Option<Moment>> {
        let (index, _) = parts(id);
        let call = self.get(id)?;
        if !call.life.is_all_but_answered() {
            return None;
        }
        let result = Ok(reply.take()?);
        let began = call.began;
        if let (Some(hold), Some(lane)) = (call.hold.take(), lane) {
            hold.keep(lane);
        }
        spent.extend(call.request.clear(index < KEEP_BUFFERS));
        match std::mem::replace(&mut call.target, Kept::Free) {
            Kept::Free => {}
            Kept::Done(function) => done.add(Destination::Done(function), result),
            Kept::Queue(number, tag) => {
                if let Some(queue) = self.queues.get(number) {
                    done.add_to(queue, tag, result);
                }
                self.queues.release(number);
            }
        }
        self.free.push(index);
        Some(began)
    }

    /// Calls are handed to `lane` from here on.
    #[inline]
    pub(super) fn use_lane(&mut self, lane: &Arc<Lane>) {
        // Most calls go where the one before went.
        if self.latest != Some(lane.id()) {
            self.latest = Some(lane.id());
            self.lanes.entry(lane.id()).or_insert_with(|| Arc::clone(lane));
        }
    }

    /// The lane of that number: there is one as long as it may have a call.
    pub(super) fn find_lane(&self, id: u64) -> Option<Arc<Lane>> {
        self.lanes.get(&id).map(Arc::clone)
    }

    /// The lane has no calls any more.
    pub(super) fn forget_lane(&mut self, id: u64) {
        self.lanes.remove(&id);
        self.latest.take_if(|latest| *latest == id);
        self.lane.take_if(|lane| lane.id() == id);
    }

    /// The calls of these numbers that were under way on `lane` wait for another one, unless they end by that.
    pub(super) fn wait_again(&mut self, lane: u64, ids: &[CallId], lost: Option<&Error>) -> (Vec<Waiter>, Vec<EndOf>) {
        let (mut waiters, mut ends) = (Vec::with_capacity(ids.len()), Vec::new());
        for id in ids {
            let call = self.get(*id);
            if let Some(call) = call.filter(|call| matches!(call.place, Place::Lane(at, _) if at == lane)) {
                call.place = Place::Waiting;
                match call.life.on(Event::TakenBack(lost.cloned())).step {
                    Step::End(result) => ends.push((*id, result)),
                    _ => waiters.push(call.waiter(*id)),
                }
            }
        }
        (waiters, ends)
    }

    /// Calls that have not completed.
    pub(super) fn live(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The numbers of all of them.
    pub(super) fn ids(&self) -> Vec<CallId> {
        let live = (0u32..).zip(&self.slots).filter(|(_, slot)| !slot.call.is_free());
        live.map(|(index, slot)| number(index, slot.turn)).collect()
    }

    /// Whether a call of that number was ever entered.
    pub(super) fn knows(&self, id: CallId) -> bool {
        let turn = parts(id).1;
        slot_of(&self.slots, id).is_some_and(|slot| turn != 0 && turn <= slot.turn)
    }

    /// Has the call looked at then. True when nobody looks sooner.
    #[inline]
    pub(super) fn remind(&mut self, at: Moment, id: CallId) -> bool {
        let live = self.live();
        let slots = &self.slots;
        self.agenda.add(at, id, live, |id| {
            slot_of(slots, id).is_some_and(|slot| slot.turn == parts(id).1 && !slot.call.is_free())
        })
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(index).ok()?)
    }
}

fn slot_of(slots: &[Slot], id: CallId) -> Option<&Slot> {
    slots.get(usize::try_from(parts(id).0).ok()?)
}

fn number(index: u32, turn: u32) -> CallId {
    (u64::from(turn) << 32) | u64::from(index)
}

fn parts(id: CallId) -> (u32, u32) {
    let half = |number: u64| u32::try_from(number).unwrap_or(0);
    (half(id & u64::from(u32::MAX)), half(id >> 32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::CallOptions;
    use crate::resp::{Builder, Request};
    use std::time::Duration;

    fn enter(book: &mut Book, deadline: Deadline) -> (CallId, bool) {
        book.enter(Target::Done(Box::new(drop)), |call| {
            call.request.store(&Parcel::Small(&Request::Encoded(&[b"PING"])));
            call.deadline = deadline;
            call.life = under_way(Shape::Command);
        })
    }

    fn under_way(shape: Shape) -> Life {
        let mut life = Life::new(shape, &CallOptions::default(), false);
        life.set_out();
        life
    }

    fn finish(book: &mut Book, id: CallId) -> bool {
        let mut nil = Builder::new();
        nil.nil();
        let mut reply = nil.finish();
        let to = (&mut Deliveries::default(), &mut Vec::new());
        book.finish((id, None), &mut reply, to).is_some()
    }

    #[test]
    fn a_number_means_one_call_and_never_the_next_of_its_slot() {
        let mut book = Book::default();
        let (first, _) = enter(&mut book, Deadline::NEVER);
        assert!(book.knows(first) && !book.knows(0) && !book.knows(first + 1) && !book.knows(first + (1 << 32)));
        assert!(book.take(first).is_some());
        assert!(book.take(first).is_none());
        let (second, _) = enter(&mut book, Deadline::NEVER);
        assert_ne!(first, second);
        assert!(book.get(first).is_none() && book.get(second).is_some());
        assert!(book.knows(first), "it has completed");
    }

    #[test]
    fn a_slot_is_as_new_for_its_next_call() {
        let mut book = Book::default();
        let (first, _) = enter(&mut book, Deadline::NEVER);
        assert!(finish(&mut book, first));
        assert!(!finish(&mut book, first) && book.take(first).is_none());
        let (second, _) = enter(&mut book, Deadline::NEVER);
        assert_eq!(parts(second).0, parts(first).0);
        assert_eq!(book.take(second).unwrap().0.request.bytes(), b"PING");
        let target = Target::Done(Box::new(drop));
        let (third, _) = book.enter(target, |call| call.life = under_way(Shape::Pipeline(2)));
        assert!(!finish(&mut book, third), "a batch has more than its reply left");
        assert!(book.take(third).is_some());
    }

    #[test]
    fn a_call_is_on_the_agenda_until_it_completes() {
        let mut book = Book::default();
        let now = Moment::now();
        let after = |seconds| Deadline::after(Some(Duration::from_secs(seconds)));
        let (kept, first) = enter(&mut book, after(50));
        assert!(first);
        for _ in 0..10_000 {
            let (id, first) = enter(&mut book, after(60));
            assert!(!first);
            finish(&mut book, id);
        }
        assert!(book.agenda.due(now, 9).is_empty());
        assert_eq!(book.agenda.due(now.plus(Duration::from_secs(55)), 9), [kept]);
        let (_, first) = enter(&mut book, after(1));
        assert!(first);
    }
}
