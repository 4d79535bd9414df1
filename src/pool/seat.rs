//! Where a thread waits for the replies of a lane.
//!
//! Each thread has a seat for its life, so a call allocates nothing. 32 seats make a row, which shares one word to wait
//! on: sentinel-io wakes all of a row whose replies have come with one system call.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::deadline::Deadline;
use crate::error::Error;
use crate::net::futex;
use crate::resp::Reply;
use crate::sync::{AtomicU32, Mutex, Ordering};

/// Seats in a row: the bits of its word's wait mask.
const WIDTH: u32 = 32;

/// How often those who wait without a timer are woken to look at the time.
pub const NUDGE_EVERY: Duration = Duration::from_millis(250);

/// Deadlines nearer than this are waited for with a timer: four times what a nudge may take.
const FAR: Duration = Duration::from_secs(1);

/// Why a call on a lane ended without all of its replies.
#[derive(Debug, Clone)]
pub struct Failure {
    /// With the outcome.
    pub error: Error,
    /// Bytes of the request that were not handed to the kernel.
    pub unsent: usize,
}

/// How a call ended.
pub type End = Result<(), Failure>;

#[derive(Debug, Default)]
struct Slot {
    /// The call that is waited for now; replies of earlier ones find another number and are dropped.
    call: u64,
    /// All but the last.
    replies: Vec<Reply>,
    end: Option<(Option<Reply>, End)>,
}

#[derive(Debug, Default)]
struct Row {
    word: AtomicU32,
    slots: [Mutex<Slot>; WIDTH as usize],
}

/// One thread's place.
#[derive(Debug)]
pub struct Seat {
    row: Arc<Row>,
    place: u32,
}

/// The right to answer one call.
#[derive(Debug)]
pub struct Ticket {
    row: Arc<Row>,
    place: u32,
    call: u64,
}

/// Seats that no thread has now.
static FREE: parking_lot::Mutex<Vec<Seat>> = parking_lot::Mutex::new(Vec::new());

/// Gives the seat back when its thread ends.
struct Sitting(Option<Seat>);

impl Drop for Sitting {
    fn drop(&mut self) {
        FREE.lock().extend(self.0.take());
    }
}

thread_local! {
    static MINE: RefCell<Sitting> = const { RefCell::new(Sitting(None)) };
}

/// Runs `body` on the seat of this thread.
pub fn with_mine<T>(body: impl FnOnce(&Seat) -> T) -> T {
    let taken = MINE.try_with(|mine| mine.try_borrow_mut().ok().and_then(|mut mine| mine.0.take()));
    let seat = taken.ok().flatten().unwrap_or_else(Seat::free);
    let result = body(&seat);
    let mut seat = Some(seat);
    // A thread that is ending has no place to keep it any more.
    let _ = MINE.try_with(|mine| mine.try_borrow_mut().map(|mut mine| mine.0 = seat.take()));
    FREE.lock().extend(seat);
    result
}

impl Seat {
    /// The seats of a new row, the first of them last.
    pub fn row() -> impl Iterator<Item = Seat> {
        let row = Arc::new(Row::default());
        (0..WIDTH).rev().map(move |place| Seat {
            row: Arc::clone(&row),
            place,
        })
    }

    fn free() -> Seat {
        let mut free = FREE.lock();
        if free.is_empty() {
            free.extend(Seat::row());
        }
        free.pop().unwrap_or_else(|| Seat {
            row: Arc::default(),
            place: 0,
        })
    }

    /// A ticket for a new call of this thread.
    pub fn ticket(&self) -> Ticket {
        let call = self.row.slot(self.place).map_or(0, |slot| slot.lock().call);
        Ticket {
            row: Arc::clone(&self.row),
            place: self.place,
            call,
        }
    }

    /// Waits until the call has ended, and passes its replies on; `None` at the deadline, with the replies that came
    /// until then. What comes later is dropped. `looked` gets the time of the last look at the clock, if there was one.
    ///
    /// A timer of the kernel is an eighth of the price of a call on a lane, so the first wait for a far deadline does
    /// without: who holds the ticket wakes the waiter every [`NUDGE_EVERY`], and it looks at the time.
    pub fn wait(&self, deadline: Deadline, mut take: impl FnMut(Reply), looked: &mut Option<Instant>) -> Option<End> {
        let slot = self.row.slot(self.place)?;
        let mut timed = deadline.left().is_some_and(|left| left < FAR);
        let mut woken = false;
        loop {
            let seen = self.row.word.load(Ordering::Acquire);
            {
                let mut slot = slot.lock();
                let mut late = false;
                if woken && slot.end.is_none() {
                    let now = Instant::now();
                    late = deadline.instant().is_some_and(|at| at <= now);
                    timed = true;
                    *looked = Some(now);
                }
                if slot.end.is_some() || late {
                    slot.call = slot.call.wrapping_add(1);
                    slot.replies.drain(..).for_each(&mut take);
                    slot.replies.shrink_to(64);
                    let (last, end) = slot.end.take()?;
                    last.into_iter().for_each(&mut take);
                    return Some(end);
                }
            }
            let until = deadline.instant().filter(|_| timed);
            futex::wait(&self.row.word, seen, 1 << self.place, until);
            woken = true;
        }
    }
}

impl Row {
    fn slot(&self, place: u32) -> Option<&Mutex<Slot>> {
        self.slots.get(usize::try_from(place).ok()?)
    }
}

/// One call in so many is timed: what two looks at the clock cost is felt where a call costs a few microseconds.
pub const TIMED: u64 = 8;

impl Ticket {
    /// Whether its call is one of those that are timed, each of which stands for [`TIMED`].
    pub fn is_timed(&self) -> bool {
        self.call % TIMED == TIMED - 1
    }

    fn with_slot(&self, body: impl FnOnce(&mut Slot)) {
        if let Some(slot) = self.row.slot(self.place) {
            let mut slot = slot.lock();
            if slot.call == self.call {
                body(&mut slot);
            }
        }
    }

    /// One more reply; the waiter sleeps on.
    pub fn reply(&self, reply: Reply) {
        self.with_slot(|slot| slot.replies.push(reply));
    }

    /// The last reply, or why it will not come. The waiter wakes with [`Wakes::flush`].
    pub fn end(&self, last: Option<Reply>, end: End, wakes: &mut Wakes) {
        self.with_slot(|slot| {
            slot.end = Some((last, end));
        });
        wakes.add(self);
    }

    /// Has the waiter look at the time, with [`Wakes::flush`].
    pub fn nudge(&self, wakes: &mut Wakes) {
        wakes.add(self);
    }

    /// Whether both are of the same call.
    pub fn is(&self, other: &Ticket) -> bool {
        self.call == other.call && self.place == other.place && Arc::ptr_eq(&self.row, &other.row)
    }

    /// Whether its call has its end and is still waited for.
    #[cfg(test)]
    pub(super) fn has_ended(&self) -> bool {
        let slot = self.row.slot(self.place).map(|slot| slot.lock());
        slot.is_some_and(|slot| slot.call == self.call && slot.end.is_some())
    }

    /// The same right once more, for who waits to name the call.
    pub fn name(&self) -> Ticket {
        Ticket {
            row: Arc::clone(&self.row),
            place: self.place,
            call: self.call,
        }
    }
}

/// Waiters to be woken together.
#[derive(Debug, Default)]
pub struct Wakes(Vec<(Arc<Row>, u32)>);

impl Wakes {
    fn add(&mut self, ticket: &Ticket) {
        let bit = 1u32 << ticket.place;
        match self.0.iter_mut().find(|(row, _)| Arc::ptr_eq(row, &ticket.row)) {
            Some((_, bits)) => *bits |= bit,
            None => self.0.push((Arc::clone(&ticket.row), bit)),
        }
    }

    /// Wakes them: one system call a row.
    pub fn flush(&mut self) {
        for (row, bits) in self.0.drain(..) {
            row.word.fetch_add(1, Ordering::Release);
            futex::wake(&row.word, bits);
        }
    }
}
