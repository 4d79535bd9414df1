//! What has gathered for a lane and was not taken by its driver yet: requests in their order, each to be taken back in
//! constant time. No I/O, no lock.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::flight::{Answers, Apart, Call, Sink};
#[cfg(test)]
use super::silence::Patience;
use crate::resp::Request;

/// Bytes that may gather while the peer takes none; a single larger request is taken all the same.
const MOST_GATHERED: usize = 64 << 20;

/// Requests from this size on lie by themselves: they are copied without the lock, and let go of one by one.
pub(super) const APART: usize = 4 << 10;

/// Small requests lie together up to here; so much is taken by the driver at once, or a single larger request.
const CHUNK: usize = 256 << 10;

/// Bytes of gathered requests that an idle lane keeps room for.
pub(super) const KEEP: usize = 64 << 10;

/// What is to be written: pieces in their order.
pub(super) type Pieces = VecDeque<Piece>;

/// Bytes to be written, of any number of requests.
#[derive(Debug)]
pub(super) enum Piece {
    /// Of requests that lie together.
    Together(Vec<u8>),
    /// Of one that lies by itself.
    Apart(Apart),
}

impl Piece {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Piece::Together(bytes) => bytes,
            Piece::Apart(bytes) => bytes,
        }
    }
}

/// A request as it is given to a lane.
#[derive(Debug)]
pub(crate) enum Parcel<'a> {
    /// Copied under the lock.
    Small(&'a Request<'a>),
    /// Copied before.
    Apart(Apart),
}

impl<'a> Parcel<'a> {
    /// The request as it goes over: a large one is copied here, without any lock.
    #[inline]
    pub(crate) fn of(request: &'a Request<'a>) -> Parcel<'a> {
        // Exact only where it may matter: most requests are far below.
        if !request.reaches(APART) {
            return Parcel::Small(request);
        }
        let mut bytes = Vec::with_capacity(request.size());
        request.append(&mut bytes);
        Parcel::Apart(Arc::new(bytes.into()))
    }
}

/// Requests that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    calls: VecDeque<Call>,
    /// The number of the first of them, or of the next one.
    first: u64,
    /// Those that were given back: none of them was sent.
    returned: Vec<Range<u64>>,
    /// The small requests, one behind the other, each within one chunk.
    chunks: VecDeque<Vec<u8>>,
    /// Where the first of them begins in the first chunk.
    at: usize,
    /// Bytes of requests that lie by themselves.
    apart: usize,
    /// Calls that were taken back.
    gone: usize,
    /// Bytes of small requests.
    together: usize,
    /// The driver is at work, or was told to be, and looks here before it waits again.
    pub(super) awake: bool,
    /// It takes no calls but what follows on one that was sent here, and ends when the last one has.
    leaving: bool,
    /// Why it takes no calls any more.
    pub(super) ended: Option<String>,
}

impl Outbox {
    /// Its numbers begin behind that of a call that was never here.
    pub(super) fn begin_behind(&mut self, number: u64) {
        self.first = number + 1;
    }

    /// Whether it takes a request; `follows`: one that follows on another.
    #[inline]
    pub(super) fn takes(&self, follows: bool) -> bool {
        self.ended.is_none() && (!self.leaving || follows)
    }

    /// Takes no more calls. Those that wait, in their order.
    pub(super) fn leave(&mut self) -> VecDeque<Call> {
        match std::mem::replace(&mut self.leaving, true) {
            true => VecDeque::new(),
            false => self.take_all(),
        }
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Calls that wait.
    pub(super) fn len(&self) -> usize {
        self.calls.len() - self.gone
    }

    /// Whether it has as many bytes as it may have.
    pub(super) fn is_full(&self) -> bool {
        self.together + self.apart > MOST_GATHERED
    }

    /// Those that wait, for who wakes them.
    pub(super) fn sinks(&self) -> impl Iterator<Item = &Sink> {
        self.calls.iter().map(|call| &call.sink)
    }

    /// Adds a request. Its number, by which it can be taken back.
    #[inline]
    pub(super) fn add(&mut self, parcel: Parcel<'_>, answers: Answers, sink: Sink) -> u64 {
        let number = self.first + self.calls.len() as u64;
        let (bytes, apart) = match parcel {
            Parcel::Small(request) => {
                if self.chunks.back().is_none_or(|last| last.len() >= CHUNK) {
                    self.chunks.push_back(Vec::new());
                }
                let bytes = self.chunks.back_mut().map_or(0, |chunk| {
                    let before = chunk.len();
                    request.append(chunk);
                    chunk.len() - before
                });
                self.together += bytes;
                (bytes, None)
            }
            Parcel::Apart(apart) => {
                self.apart += apart.len();
                (apart.len(), Some(apart))
            }
        };
        self.calls.push_back(Call {
            sink,
            bytes,
            apart,
            missing: answers.count,
            gathers: answers.in_one,
            patience: answers.patience,
        });
        number
    }

    /// Takes a call back. True when nothing of it was or will be sent here.
    pub(super) fn take_back(&mut self, number: u64) -> bool {
        self.returned.iter().any(|given| given.contains(&number)) || self.take_one_back(number).is_some()
    }

    fn take_one_back(&mut self, number: u64) -> Option<Sink> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let call = self.calls.get_mut(place)?;
        if matches!(call.sink, Sink::Gone) {
            return None;
        }
        self.gone += 1;
        if call.apart.take().is_some() {
            self.apart -= call.bytes;
            call.bytes = 0;
        }
        let sink = std::mem::replace(&mut call.sink, Sink::Gone);
        if self.gone == self.calls.len() {
            self.clear();
        }
        Some(sink)
    }

    /// Takes all of them back, in their order: nothing more will be sent.
    pub(super) fn take_all(&mut self) -> VecDeque<Call> {
        let calls = std::mem::take(&mut self.calls);
        if !calls.is_empty() {
            let end = self.first + calls.len() as u64;
            self.returned.push(self.first..end);
            self.first = end;
        }
        self.clear();
        calls
    }

    fn clear(&mut self) {
        self.first += self.calls.len() as u64;
        self.calls.clear();
        self.chunks.clear();
        (self.at, self.apart, self.gone, self.together) = (0, 0, 0, 0);
    }

    /// Moves what comes first behind `calls` and `pieces`, which has been written but for `spare`, a buffer to be used
    /// again: everything where that is little, else about [`CHUNK`] bytes.
    pub(super) fn gather(&mut self, calls: &mut VecDeque<Call>, pieces: &mut Pieces, spare: &mut Vec<u8>) {
        if self.chunks.len() == 1 && self.apart == 0 && self.gone == 0 && self.at == 0 {
            let Some(chunk) = self.chunks.front_mut() else { return };
            std::mem::swap(chunk, spare);
            pieces.push_back(Piece::Together(std::mem::take(spare)));
            self.first += self.calls.len() as u64;
            if calls.is_empty() {
                std::mem::swap(&mut self.calls, calls);
            } else {
                calls.append(&mut self.calls);
            }
            self.together = 0;
            return;
        }
        self.gather_some(calls, pieces, CHUNK);
    }

    /// The same for the first call alone.
    pub(super) fn gather_first(&mut self, calls: &mut VecDeque<Call>, pieces: &mut Pieces) {
        self.gather_some(calls, pieces, 1);
    }

    #[cold]
    fn gather_some(&mut self, calls: &mut VecDeque<Call>, pieces: &mut Pieces, most: usize) {
        let (mut taken, mut run) = (0, Vec::new());
        while taken < most {
            let Some(mut call) = self.calls.pop_front() else { break };
            self.first += 1;
            let gone = matches!(call.sink, Sink::Gone);
            self.gone -= usize::from(gone);
            match call.apart.take() {
                Some(apart) => {
                    self.apart -= apart.len();
                    if !run.is_empty() {
                        pieces.push_back(Piece::Together(std::mem::take(&mut run)));
                    }
                    pieces.push_back(Piece::Apart(apart));
                }
                None => self.next_small(call.bytes, (!gone).then_some(&mut run)),
            }
            if !gone {
                taken += call.bytes;
                calls.push_back(call);
            }
        }
        if !run.is_empty() {
            pieces.push_back(Piece::Together(run));
        }
        if self.calls.is_empty() {
            self.clear();
        }
    }

    /// The next `len` bytes of small requests: behind `run`, or dropped.
    fn next_small(&mut self, len: usize, run: Option<&mut Vec<u8>>) {
        if self.chunks.front().is_some_and(|chunk| self.at >= chunk.len()) {
            self.chunks.pop_front();
            self.at = 0;
        }
        let end = self.at + len;
        if let Some((run, chunk)) = run.zip(self.chunks.front()) {
            run.extend_from_slice(chunk.get(self.at..end).unwrap_or_default());
        }
        self.at = end;
        self.together -= len;
    }

    /// Gives back the memory of a burst.
    pub(super) fn trim(&mut self) {
        if let Some(chunk) = self.chunks.front_mut() {
            chunk.shrink_to(KEEP);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(outbox: &mut Outbox, id: u64, bytes: usize) -> u64 {
        let text = vec![b'a' + u8::try_from(id % 26).unwrap(); bytes];
        let parts = [text.as_slice()];
        let request = Request::Encoded(&parts);
        let answers = Answers::each(1, Patience::Usual);
        outbox.add(Parcel::of(&request), answers, Sink::Call(id, None))
    }

    fn gathered(outbox: &mut Outbox) -> (Vec<u64>, Vec<u8>) {
        let (mut ids, mut bytes) = (Vec::new(), Vec::new());
        while !outbox.is_empty() {
            let (mut calls, mut pieces) = (VecDeque::new(), Pieces::new());
            outbox.gather(&mut calls, &mut pieces, &mut Vec::new());
            ids.extend(calls.iter().map(|call| match call.sink {
                Sink::Call(id, _) => id,
                _ => u64::MAX,
            }));
            pieces.iter().for_each(|piece| bytes.extend_from_slice(piece.bytes()));
        }
        (ids, bytes)
    }

    #[test]
    fn whatever_is_taken_back_the_others_go_out_whole_and_in_their_order() {
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut outbox = Outbox::default();
            let (mut live, mut out, mut next) = (Vec::new(), (Vec::new(), Vec::new()), 0);
            let mut wanted = (Vec::new(), Vec::new());
            for _ in 0..random.usize(1..200) {
                match random.u8(..10) {
                    0..=5 => {
                        let bytes = *random.choice(&[1, 30, APART - 1, APART, 60_000, 300_000]).unwrap();
                        let bytes = if random.bool() { 30 } else { bytes };
                        let number = add(&mut outbox, next, bytes);
                        live.push((number, next, bytes));
                        next += 1;
                    }
                    6..=8 if !live.is_empty() => {
                        let (number, id, _) = live.remove(random.usize(..live.len()));
                        assert!(matches!(outbox.take_one_back(number), Some(Sink::Call(taken, _)) if taken == id));
                        assert!(!outbox.take_back(number), "seed {seed}");
                    }
                    _ if random.u8(..4) == 0 => {
                        for (_, id, bytes) in live.drain(..) {
                            wanted.0.push(id);
                            wanted.1.extend(vec![b'a' + u8::try_from(id % 26).unwrap(); bytes]);
                        }
                        let (ids, bytes) = gathered(&mut outbox);
                        out.0.extend(ids);
                        out.1.extend(bytes);
                    }
                    _ => {}
                }
                assert_eq!(outbox.len(), live.len(), "seed {seed}");
            }
            assert!(out == wanted, "seed {seed}");
            let left: Vec<u64> = outbox
                .take_all()
                .iter()
                .filter_map(|call| match call.sink {
                    Sink::Call(id, _) => Some(id),
                    _ => None,
                })
                .collect();
            assert_eq!(
                left,
                live.iter().map(|(_, id, _)| *id).collect::<Vec<_>>(),
                "seed {seed}"
            );
            assert!(!outbox.is_full() && outbox.is_empty());
        }
    }

    #[test]
    fn a_number_that_the_driver_took_is_no_other_calls() {
        let mut outbox = Outbox::default();
        let first = add(&mut outbox, 1, 10);
        gathered(&mut outbox);
        let second = add(&mut outbox, 2, 10);
        assert!(second > first && !outbox.take_back(first));
        assert!(outbox.take_back(second));
        assert!(outbox.is_empty());
        let third = add(&mut outbox, 3, 10);
        assert!(!outbox.take_back(second) && outbox.take_back(third));
        let fourth = add(&mut outbox, 4, 10);
        assert_eq!(outbox.take_all().len(), 1);
        assert!(
            outbox.take_back(fourth),
            "it is on its way elsewhere, and was not sent here"
        );
    }

    #[test]
    fn what_is_taken_back_frees_its_memory() {
        let mut outbox = Outbox::default();
        let kept = add(&mut outbox, 0, 10);
        let numbers: Vec<u64> = (1..2000).map(|id| add(&mut outbox, id, 60_000)).collect();
        assert!(outbox.is_full());
        assert!(numbers.into_iter().all(|number| outbox.take_back(number)));
        assert!(!outbox.is_full() && outbox.apart == 0);
        assert!(outbox.take_back(kept));
    }
}
