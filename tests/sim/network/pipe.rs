//! One direction of a connection.

use std::collections::VecDeque;

use crate::kernel::kernel;
use crate::network::network;

/// How far the end of the stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fin {
    None,
    Sent,
    Arrived,
}

#[derive(Debug)]
pub(crate) struct Pipe {
    /// Sent and not arrived.
    pub(crate) flight: VecDeque<u8>,
    /// Arrived and not read.
    pub(crate) ready: VecDeque<u8>,
    /// What both may hold.
    pub(crate) room: usize,
    /// Takes nothing for a moment although there is room.
    pub(crate) stuffed: bool,
    /// When what was sent last arrives.
    last_at: u64,
    /// What should have arrived and is held back.
    pub(crate) held: usize,
    pub(crate) silent: bool,
    pub(crate) fin: Fin,
    /// Bytes that have arrived ever.
    pub(crate) arrived: u64,
}

impl Pipe {
    pub(crate) fn new(room: usize) -> Pipe {
        Pipe {
            flight: VecDeque::new(),
            ready: VecDeque::new(),
            room,
            stuffed: false,
            last_at: 0,
            held: 0,
            silent: false,
            fin: Fin::None,
            arrived: 0,
        }
    }

    /// Bytes that it takes now.
    pub(crate) fn free(&self) -> usize {
        match self.stuffed {
            true => 0,
            false => self.room.saturating_sub(self.flight.len() + self.ready.len()),
        }
    }

    /// Sets what was just sent on its way: in pieces, in order. When each arrives.
    pub(crate) fn depart(&mut self, mut bytes: usize) -> Vec<(u64, usize)> {
        // A large one comes in few pieces, or nothing else would happen.
        let piece = network().weather.get().piece.max(bytes / 6);
        let mut pieces = Vec::new();
        while bytes > 0 {
            let size = match kernel().one_in(3) {
                true => 1 + kernel().index(piece.min(bytes)),
                false => piece.min(bytes),
            };
            bytes -= size;
            pieces.push((self.next_arrival(), size));
        }
        pieces
    }

    /// When something sent now arrives: not before what was sent earlier.
    pub(crate) fn next_arrival(&mut self) -> u64 {
        self.last_at = self.last_at.max(kernel().now() + network().latency());
        self.last_at
    }

    /// Some of what was on its way has arrived, unless it is held back. True when there is something new to read.
    pub(crate) fn arrive(&mut self, bytes: usize) -> bool {
        if self.silent {
            self.held += bytes;
            return false;
        }
        let bytes = bytes.min(self.flight.len());
        move_front(&mut self.flight, bytes, |piece| self.ready.extend(piece));
        self.arrived += bytes as u64;
        bytes > 0
    }

    /// Reads up to `most` bytes.
    pub(crate) fn read(&mut self, most: usize) -> Vec<u8> {
        let mut taken = Vec::new();
        move_front(&mut self.ready, most, |piece| taken.extend_from_slice(piece));
        taken
    }
}

/// Takes so many bytes off the front, by slices: byte by byte it is a tenth of a run.
fn move_front(from: &mut VecDeque<u8>, most: usize, mut to: impl FnMut(&[u8])) {
    let most = most.min(from.len());
    let (first, second) = from.as_slices();
    let split = first.len().min(most);
    to(&first[..split]);
    to(&second[..most - split]);
    from.drain(..most);
}
