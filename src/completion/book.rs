//! The calls of a client that no thread waits for, each under a number. No I/O, no clock.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::Queue;
use super::callbacks::Done;
use crate::client::CallOptions;
use crate::client::call::Tries;
use crate::client::commands::Traits;
use crate::deadline::Deadline;
use crate::pool::Want;

/// The number of a call: its slot, and how often the slot was used before. Never 0.
pub type CallId = u64;

/// Where a completion goes.
pub enum Target {
    /// Into a queue, where a place is taken for it, under a tag.
    Queue(Arc<Queue>, u64),
    /// To a function on sentinel-cb.
    Done(Done),
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Target::Queue(..) => "Queue",
            Target::Done(_) => "Done",
        })
    }
}

/// What the replies to a call are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One.
    Command,
    /// That of a write, and how many replicas, or disks, have it.
    Confirmed,
    /// One for each of so many commands.
    Pipeline(usize),
    /// MULTI's, one for each of so many commands, EXEC's.
    Transaction(usize),
}

/// What a call's next attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The question what a command does that the library does not know.
    Ask,
    /// The question whether the node can have a write on disk.
    Probe,
    /// The call itself.
    Run,
}

/// Where a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It waits for a connection.
    Waiting,
    /// It was handed to the lane of this connection.
    Lane(u64),
    /// It is tried again then.
    Paused(Instant),
}

/// A call that was accepted and has not completed.
#[derive(Debug)]
pub(super) struct Call {
    /// The commands as they go over the wire, but for the WAIT of [`Shape::Confirmed`].
    pub(super) request: Vec<u8>,
    pub(super) shape: Shape,
    pub(super) options: CallOptions,
    pub(super) deadline: Deadline,
    /// It waits in the server: on a connection of its own.
    pub(super) own: bool,
    /// Names of commands that the server is asked for first, the next one last.
    pub(super) unknown: Vec<Vec<u8>>,
    pub(super) step: Step,
    pub(super) target: Target,
    pub(super) tries: Tries,
    pub(super) place: Place,
    /// When it was accepted, where it is one of those that are timed.
    pub(super) began: Option<Instant>,
}

impl Call {
    /// Its commands, those that only frame them left out.
    pub(super) fn commands(&self) -> usize {
        match self.shape {
            Shape::Command | Shape::Confirmed => 1,
            Shape::Pipeline(len) | Shape::Transaction(len) => len,
        }
    }

    /// The connection it waits for.
    pub(super) fn want(&self) -> Want {
        if self.is_alone() { Want::Lease } else { Want::Shared }
    }

    /// Whether its next attempt has a connection of its own. A question is nothing that waits.
    pub(super) fn is_alone(&self) -> bool {
        self.own && self.step != Step::Ask
    }

    /// What the server said of the command that was asked for.
    pub(super) fn told(&mut self, traits: Option<Traits>) {
        self.unknown.pop();
        self.own |= traits.is_some_and(|traits| traits.blocking);
        self.begin();
    }

    /// Sets the step with which an attempt begins.
    pub(super) fn begin(&mut self) {
        self.step = match self.unknown.is_empty() {
            false => Step::Ask,
            true if self.options.wait_aof => Step::Probe,
            true => Step::Run,
        };
    }
}

#[derive(Debug)]
struct Slot {
    turn: u32,
    call: Option<Call>,
}

/// Buffers of ended calls that are kept for new ones, and how large each may be.
const KEEP_BUFFERS: usize = 1024;
const KEEP_BYTES: usize = 1024;

/// Entries of the agenda that are kept for calls that have ended, besides one for each that has not.
const STALE: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Book {
    slots: Vec<Slot>,
    free: Vec<u32>,
    live: usize,
    /// Moments at which a call is to be looked at: its deadline, the end of a pause. Calls that ended leave theirs here
    /// until it comes or there are too many.
    agenda: BinaryHeap<Reverse<(Instant, CallId)>>,
    buffers: Vec<Vec<u8>>,
    /// The call whose question is under way.
    pub(super) asker: Option<CallId>,
    /// Calls that came meanwhile, so that those of a thread stay in their order.
    pub(super) held: VecDeque<CallId>,
    /// They are let go, one after the other.
    pub(super) releasing: bool,
    pub(super) closed: bool,
}

impl Book {
    /// An empty buffer for a request.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    /// Enters a call. True with its number when its deadline is the next moment of the agenda.
    pub(super) fn enter(&mut self, call: Call) -> (CallId, bool) {
        let deadline = call.deadline;
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { turn: 0, call: None });
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let mut id = 0;
        if let Some(slot) = self.slot_mut(index) {
            slot.turn = slot.turn.wrapping_add(1).max(1);
            slot.call = Some(call);
            id = number(index, slot.turn);
        }
        self.live += 1;
        (id, deadline.instant().is_some_and(|at| self.remind(at, id)))
    }

    /// The call of that number, unless it has completed.
    pub(super) fn get(&mut self, id: CallId) -> Option<&mut Call> {
        let (index, turn) = parts(id);
        let slot = self.slot_mut(index)?;
        slot.call.as_mut().filter(|_| slot.turn == turn)
    }

    /// Takes a call out: who does completes it.
    pub(super) fn take(&mut self, id: CallId) -> Option<Call> {
        let (index, turn) = parts(id);
        let slot = self.slot_mut(index).filter(|slot| slot.turn == turn)?;
        let call = slot.call.take()?;
        self.free.push(index);
        self.live -= 1;
        self.asker.take_if(|asker| *asker == id);
        Some(call)
    }

    /// Whether a call that comes now waits behind a question.
    pub(super) fn holds(&self) -> bool {
        self.asker.is_some() || self.releasing || !self.held.is_empty()
    }

    /// The numbers of all of them.
    pub(super) fn ids(&self) -> Vec<CallId> {
        let live = (0u32..).zip(&self.slots).filter(|(_, slot)| slot.call.is_some());
        live.map(|(index, slot)| number(index, slot.turn)).collect()
    }

    /// Whether a call of that number was ever entered.
    pub(super) fn knows(&self, id: CallId) -> bool {
        let (index, turn) = parts(id);
        let slot = usize::try_from(index).ok().and_then(|index| self.slots.get(index));
        slot.is_some_and(|slot| turn != 0 && turn <= slot.turn)
    }

    /// Keeps the buffer of a call that has completed.
    pub(super) fn reuse(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= KEEP_BYTES && self.buffers.len() < KEEP_BUFFERS {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    /// Has the call looked at then. True when nothing else is due sooner.
    pub(super) fn remind(&mut self, at: Instant, id: CallId) -> bool {
        let next = self.next_due().is_none_or(|next| at < next);
        self.agenda.push(Reverse((at, id)));
        if self.agenda.len() > 2 * self.live + STALE {
            let agenda = std::mem::take(&mut self.agenda);
            let live = agenda.into_iter().filter(|Reverse((_, id))| self.get(*id).is_some());
            self.agenda = live.collect();
        }
        next
    }

    /// When to look next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.agenda.peek().map(|Reverse((at, _))| *at)
    }

    /// The calls that are to be looked at now; some may have completed.
    pub(super) fn due(&mut self, now: Instant) -> Vec<CallId> {
        let mut due = Vec::new();
        while let Some(Reverse((_, id))) = self.agenda.peek().filter(|Reverse((at, _))| *at <= now) {
            due.push(*id);
            self.agenda.pop();
        }
        due
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(index).ok()?)
    }
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
    use std::time::Duration;

    fn call(deadline: Deadline) -> Call {
        Call {
            request: Vec::new(),
            shape: Shape::Command,
            options: CallOptions::default(),
            deadline,
            own: false,
            unknown: Vec::new(),
            step: Step::Run,
            target: Target::Done(Box::new(drop)),
            tries: Tries::new(),
            place: Place::Waiting,
            began: None,
        }
    }

    #[test]
    fn a_number_means_one_call_and_never_the_next_of_its_slot() {
        let mut book = Book::default();
        let (first, _) = book.enter(call(Deadline::NEVER));
        assert!(book.knows(first) && !book.knows(0) && !book.knows(first + 1) && !book.knows(first + (1 << 32)));
        assert!(book.take(first).is_some());
        assert!(book.take(first).is_none());
        let (second, _) = book.enter(call(Deadline::NEVER));
        assert_ne!(first, second);
        assert!(book.get(first).is_none() && book.get(second).is_some());
        assert!(book.knows(first), "it has completed");
    }

    #[test]
    fn the_agenda_stays_in_proportion_to_the_calls_under_way() {
        let mut book = Book::default();
        let now = Instant::now();
        let after = |seconds| Deadline::after(Some(Duration::from_secs(seconds)));
        let (kept, first) = book.enter(call(after(50)));
        assert!(first);
        for _ in 0..100_000 {
            let (id, first) = book.enter(call(after(60)));
            assert!(!first);
            book.take(id);
        }
        assert!(book.agenda.len() <= 2 * STALE, "{}", book.agenda.len());
        assert!(book.due(now).is_empty());
        assert_eq!(book.due(now + Duration::from_secs(55)), [kept]);
        let (_, first) = book.enter(call(after(1)));
        assert!(first);
    }
}
