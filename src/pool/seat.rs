//! Where a thread waits for the replies of a lane.
//!
//! Each thread has a seat for its life, so a call allocates nothing. 32 seats make a row, which shares one word to wait
//! on: sentinel-io wakes all of a row whose replies have come with one system call.

use std::cell::Cell;

use crate::base::clock::Moment;
use crate::base::deadline::Deadline;
use crate::base::error::Error;
use crate::base::futex;
use crate::base::process::{PerProcess, fork_count};
use crate::base::sync::{AtomicU32, Mutex, Ordering};
use crate::resp::{Reply, Rooms};

/// Seats in a row: the bits of its word's wait mask.
const WIDTH: u32 = 32;

/// Why a call on a lane ended without all of its replies.
#[derive(Debug, Clone)]
pub struct Failure {
    /// With the outcome.
    pub error: Error,
    /// Bytes of the request that were not handed to the kernel.
    pub unsent: usize,
    /// Its lane was left before anything of it was sent: it goes on over another one.
    pub moved: bool,
}

/// How a call ended.
pub type End = Result<(), Failure>;

#[derive(Debug, Default)]
struct Slot {
    /// The call that is waited for now; replies of earlier ones find another number and are dropped.
    call: u64,
    /// All but the last, where there are several.
    #[allow(clippy::box_collection, reason = "a third of the size")]
    replies: Option<Box<Vec<Reply>>>,
    last: Option<Reply>,
    failure: Option<Box<Failure>>,
}

/// One line of the processor's caches: each call touches it on two threads, and on no others.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Place {
    slot: Mutex<Slot>,
    /// 1 once the call has its end. Written with the slot locked; read without, before the thread goes to sleep. It orders
    /// nothing: who has seen it locks the slot.
    ended: AtomicU32,
}

#[cfg(test)]
pub(super) const PLACE_SIZE: usize = size_of::<Place>();

/// Rows are never freed: their seats pass from one thread to another.
#[derive(Debug, Default)]
struct Row {
    word: AtomicU32,
    places: [Place; WIDTH as usize],
}

/// One thread's place.
#[derive(Debug)]
pub struct Seat {
    row: &'static Row,
    place: u32,
    /// As in the slot, which nobody else changes.
    call: Cell<u64>,
    /// What its calls bring for their replies to be made in.
    pub rooms: Rooms,
    /// Of the process that made it.
    forks: u64,
}

/// The right to answer one call.
#[derive(Debug, Clone, Copy)]
pub struct Ticket {
    row: &'static Row,
    place: u32,
    call: u64,
}

/// Seats that no thread has now. A forked child makes its own: a thread of its parent may have been laying a reply on one
/// of those, and no thread of the child will ever let go of it.
static FREE: PerProcess<Mutex<Vec<Seat>>> = PerProcess::new(Mutex::default);

fn give_up(seat: Option<Seat>) {
    if let Some(seat) = seat.filter(Seat::is_own) {
        FREE.get().lock().push(seat);
    }
}

/// Gives the seat back when its thread ends.
struct Sitting(Cell<Option<Seat>>);

impl Drop for Sitting {
    fn drop(&mut self) {
        give_up(self.0.take());
    }
}

thread_local! {
    static MINE: Sitting = const { Sitting(Cell::new(None)) };
}

/// Runs `body` on the seat of this thread.
pub fn with_mine<T>(body: impl FnOnce(&Seat) -> T) -> T {
    let taken = MINE.try_with(|mine| mine.0.take());
    let seat = taken.ok().flatten().filter(Seat::is_own).unwrap_or_else(Seat::free);
    let result = body(&seat);
    let mut seat = Some(seat);
    // A thread that is ending has no place to keep it any more.
    if MINE.try_with(|mine| mine.0.set(seat.take())).is_err() {
        give_up(seat);
    }
    result
}

impl Seat {
    /// The seats of a new row, the first of them last.
    pub fn row() -> impl Iterator<Item = Seat> {
        let row: &'static Row = Box::leak(Box::default());
        (0..WIDTH).rev().map(move |place| Seat {
            row,
            place,
            call: Cell::new(0),
            rooms: Rooms::default(),
            forks: fork_count(),
        })
    }

    fn free() -> Seat {
        let mut free = FREE.get().lock();
        loop {
            match free.pop() {
                Some(seat) => return seat,
                None => free.extend(Seat::row()),
            }
        }
    }

    fn is_own(&self) -> bool {
        self.forks == fork_count()
    }

    /// A ticket for a new call of this thread.
    pub fn ticket(&self) -> Ticket {
        Ticket {
            row: self.row,
            place: self.place,
            call: self.call.get(),
        }
    }

    /// Waits until the call has ended, and passes its replies on; `None` at the deadline, with the replies that came
    /// until then. What comes later is dropped.
    ///
    /// A timer of the kernel is an eighth of the price of a call on a lane, so the first wait for a far deadline does
    /// without: until the watchdog looks, and who holds the ticket has the waiter look at the time.
    pub fn wait(&self, deadline: Deadline, take: impl FnMut(Reply)) -> Option<End> {
        let place = self.row.place(self.place)?;
        let has_ended = || place.ended.load(Ordering::Relaxed) != 0;
        let mut until = (!deadline.is_far(Moment::next_tick())).then(|| deadline.at());
        loop {
            // Who ends a call says so first, then changes the word, then wakes: a change is never slept over.
            let seen = self.row.word.load(Ordering::Acquire);
            if has_ended() {
                return self.leave(place, take);
            }
            let slept = futex::wait(&self.row.word, seen, 1 << self.place, until);
            if slept && !has_ended() {
                if deadline.at() <= Moment::now() {
                    return self.leave(place, take);
                }
                until = Some(deadline.at()).filter(|at| *at != Moment::NEVER);
            }
        }
    }

    /// Ends the wait for this call, with what has come of it.
    fn leave(&self, place: &Place, mut take: impl FnMut(Reply)) -> Option<End> {
        let mut slot = place.slot.lock();
        slot.call = slot.call.wrapping_add(1);
        self.call.set(slot.call);
        let ended = place.ended.load(Ordering::Relaxed) != 0;
        place.ended.store(0, Ordering::Relaxed);
        let (replies, last, failure) = (slot.replies.take(), slot.last.take(), slot.failure.take());
        drop(slot);
        replies.into_iter().flat_map(|replies| *replies).for_each(&mut take);
        last.into_iter().for_each(take);
        ended.then(|| failure.map_or(Ok(()), |failure| Err(*failure)))
    }
}

impl Row {
    fn place(&self, place: u32) -> Option<&Place> {
        self.places.get(usize::try_from(place).ok()?)
    }
}

/// One call in so many is timed: what two looks at the clock cost is felt where a call costs a few microseconds.
pub const TIMED: u32 = 8;

impl Ticket {
    /// Whether its call is one of those that are timed, each of which stands for [`TIMED`].
    pub fn is_timed(&self) -> bool {
        self.call % u64::from(TIMED) == u64::from(TIMED - 1)
    }

    fn with_slot(&self, body: impl FnOnce(&Place, &mut Slot)) {
        if let Some(place) = self.row.place(self.place) {
            let mut slot = place.slot.lock();
            if slot.call == self.call {
                body(place, &mut slot);
            }
        }
    }

    /// One more reply; the waiter sleeps on.
    pub fn reply(&self, reply: Reply) {
        self.with_slot(|_, slot| slot.replies.get_or_insert_default().push(reply));
    }

    /// The last reply, or why it will not come. The waiter wakes with [`Wakes::flush`].
    pub fn end(&self, last: Option<Reply>, end: End, wakes: &mut Wakes) {
        self.with_slot(|place, slot| {
            slot.last = last;
            slot.failure = end.err().map(Box::new);
            place.ended.store(1, Ordering::Relaxed);
        });
        wakes.add(self);
    }

    /// Has the waiter look at the time, with [`Wakes::flush`].
    pub fn nudge(&self, wakes: &mut Wakes) {
        wakes.add(self);
    }

    /// Whether both are of the same call.
    pub fn is(&self, other: Ticket) -> bool {
        self.call == other.call && self.place == other.place && std::ptr::eq(self.row, other.row)
    }

    /// Whether its call has its end and is still waited for.
    #[cfg(test)]
    pub(super) fn has_ended(&self) -> bool {
        let mut ended = false;
        self.with_slot(|place, _| ended = place.ended.load(Ordering::Relaxed) != 0);
        ended
    }
}

/// Waiters to be woken together.
#[derive(Debug, Default)]
pub struct Wakes(Vec<(&'static Row, u32)>);

impl Wakes {
    fn add(&mut self, ticket: &Ticket) {
        let bit = 1u32 << ticket.place;
        match self.0.iter_mut().find(|(row, _)| std::ptr::eq(*row, ticket.row)) {
            Some((_, bits)) => *bits |= bit,
            None => self.0.push((ticket.row, bit)),
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
