//! What is to be answered, in the order in which it was asked. No I/O.

use std::collections::VecDeque;

use super::form::Form;
use super::out::Out;
use crate::completion::CallId;

/// A command of a transaction.
#[derive(Debug)]
pub(super) enum Part {
    /// A node answers it; its reply has this form.
    Remote(Form),
    /// It is answered here, once the transaction is executed.
    Local(Vec<Vec<u8>>),
}

/// What a call's end is for.
#[derive(Debug)]
pub(super) enum Due {
    /// The reply to one command.
    Reply(Form),
    /// The replies to all, in one array.
    Transaction(Vec<Part>),
    /// The connection is kept from here on, if all is well.
    Watch,
    /// It is not needed any more.
    Unwatch,
}

/// One call under way.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: CallId,
    pub(super) due: Due,
    /// Bytes of its request.
    pub(super) bytes: usize,
    /// It waits in the server: nobody but the peer ends it.
    pub(super) waits: bool,
    /// The peer hears what it publishes, before it is told of its end.
    pub(super) hears: bool,
}

#[derive(Debug)]
enum Slot {
    Call(Call),
    /// The reply, which waits for those before it.
    Ready(Out),
}

/// All of one peer's.
#[derive(Debug, Default)]
pub(super) struct Slots {
    all: VecDeque<Slot>,
    /// The number of the first.
    first: u64,
    /// Bytes of the requests under way.
    bytes: usize,
    /// Bytes of the replies that wait.
    parked: usize,
    /// How many are calls under way.
    calls: usize,
}

impl Slots {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Calls under way.
    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    /// Bytes of the requests under way.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the replies that wait for those before them.
    pub(super) fn parked(&self) -> usize {
        self.parked
    }

    /// The number that the next one gets.
    pub(super) fn next(&self) -> u64 {
        self.first + u64::try_from(self.all.len()).unwrap_or(0)
    }

    pub(super) fn push(&mut self, call: Call) {
        self.bytes += call.bytes;
        self.calls += 1;
        self.all.push_back(Slot::Call(call));
    }

    /// The last one is a call that publishes what the peer hears. False where there is none.
    pub(super) fn wait_to_hear(&mut self) -> bool {
        let Some(Slot::Call(call)) = self.all.back_mut() else {
            return false;
        };
        call.hears = true;
        true
    }

    /// A reply that is there already; `out` takes it if none comes before it.
    pub(super) fn push_ready(&mut self, reply: Out, out: &mut Out) {
        match self.all.is_empty() {
            true => {
                out.append(reply);
                self.first += 1;
            }
            false => {
                self.parked += reply.len();
                self.all.push_back(Slot::Ready(reply));
            }
        }
    }

    /// Takes the call of this number out of its slot, which waits for its reply.
    pub(super) fn take(&mut self, number: u64) -> Option<Call> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let slot = self.all.get_mut(at)?;
        match std::mem::replace(slot, Slot::Ready(Out::default())) {
            Slot::Call(call) => {
                self.bytes -= call.bytes;
                self.calls -= 1;
                Some(call)
            }
            ready => {
                *slot = ready;
                None
            }
        }
    }

    /// Whether it is the first of all.
    pub(super) fn is_first(&self, number: u64) -> bool {
        number == self.first
    }

    /// The reply to a call that was taken: to `out`, with those that waited for it, or to its slot.
    pub(super) fn put(&mut self, number: u64, reply: Out, out: &mut Out) {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(slot) = at.and_then(|at| self.all.get_mut(at)) {
            self.parked += reply.len();
            *slot = Slot::Ready(reply);
        }
        while let Some(Slot::Ready(reply)) = self.all.front_mut() {
            self.parked -= reply.len();
            out.append(std::mem::take(reply));
            self.all.pop_front();
            self.first += 1;
        }
    }

    /// The calls that only the peer ends.
    pub(super) fn waiting(&self) -> impl Iterator<Item = CallId> {
        self.all.iter().filter_map(|slot| match slot {
            Slot::Call(call) if call.waits => Some(call.id),
            _ => None,
        })
    }
}
