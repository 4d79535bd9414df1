//! The bytes received and not yet given away as a reply.

use crate::base::heavy::let_go;

/// Room offered to the kernel in normal times, and the size of a new buffer.
const SPARE: usize = 16 * 1024;
/// Size of the buffer once a read has filled a smaller one, and the most that [`Inbox::trim`] keeps.
const BUSY: usize = 64 * 1024;
/// Memory put up in advance for bytes that were announced but not received: a value of 1 MiB with its frame. So much is
/// made ready at once of a buffer that grows, too: each new page costs the kernel microseconds, and who reads has others
/// to serve.
const AHEAD: usize = 1024 * 1024 + 64;
/// Replies from this size on get the buffer itself; smaller ones are cheaper to copy than a buffer is to replace.
const HAND_OVER: usize = 16 * 1024;

/// The rest of a large bulk string whose header has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Awaited {
    /// Bytes missing, the CRLF with them.
    pub(super) rest: usize,
    /// The reply ends with it.
    pub(super) last: bool,
    /// No room was made for it yet.
    pub(super) fresh: bool,
}

/// A buffer that is written at its end and read from its start. All of `bytes` is initialised memory;
/// `start <= end <= bytes.len()`.
#[derive(Debug)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read left no room: more was waiting, and a larger buffer saves calls.
    brimful: bool,
    #[cfg(test)]
    pub(super) moved: usize,
}

impl Inbox {
    pub(super) fn new() -> Inbox {
        Inbox {
            bytes: Vec::new(),
            start: 0,
            end: 0,
            brimful: false,
            #[cfg(test)]
            moved: 0,
        }
    }

    /// Bytes of the reply that comes next and of those behind it.
    pub(super) fn live(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Room for the next bytes. What stands in the buffer moves only when at least as much was read since it moved last
    /// or when the buffer at least doubles, so each byte moves a bounded number of times.
    pub(super) fn spare(&mut self, awaited: Option<Awaited>) -> &mut [u8] {
        let live = self.len();
        if live == 0 {
            (self.start, self.end) = (0, 0);
            if self.brimful && self.bytes.len() < BUSY {
                self.bytes = vec![0; BUSY];
            }
        }
        // Room for all of a large bulk string is made once; while it fills, the room may shrink with what is missing.
        let want = awaited.map_or(SPARE, |bulk| bulk.rest.clamp(1, AHEAD.max(live)));
        let need = if awaited.is_some_and(|bulk| bulk.fresh) {
            want
        } else {
            want.min(SPARE)
        };
        if self.room() < need && self.start > 0 && self.start >= live {
            self.moves(live);
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, live);
        }
        if self.room() < need {
            // Where the reply goes on behind the bulk string, the buffer must double or a long array would move often.
            let ends_there = awaited.is_some_and(|bulk| bulk.last);
            let size = live + if ends_there { want } else { want.max(live) };
            self.grow(if size <= BUSY && awaited.is_none() && live > 0 {
                size.next_power_of_two()
            } else {
                size
            });
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    fn room(&self) -> usize {
        self.bytes.len().saturating_sub(self.end)
    }

    /// Fresh zeroed memory comes free of writes from the allocator, so it beats growing in place while little has to be
    /// copied.
    fn grow(&mut self, size: usize) {
        let live = self.len();
        if self.start == 0 && live > BUSY {
            let ready = size.min(self.end + AHEAD).max(self.bytes.len());
            if ready > self.bytes.capacity() {
                self.moves(live);
                self.bytes.reserve_exact(size - self.bytes.len());
            }
            self.bytes.resize(ready, 0);
            return;
        }
        self.moves(live);
        let mut bytes = vec![0; size];
        if let (Some(to), Some(from)) = (bytes.get_mut(..live), self.bytes.get(self.start..self.end)) {
            to.copy_from_slice(from);
        }
        self.replace(bytes);
        (self.start, self.end) = (0, live);
    }

    /// Goes on with another buffer.
    fn replace(&mut self, bytes: Vec<u8>) {
        let old = std::mem::replace(&mut self.bytes, bytes);
        let size = old.capacity();
        let_go(old, size);
    }

    /// `n` bytes were written to what `spare` gave.
    pub(super) fn filled(&mut self, n: usize) {
        debug_assert!(n <= self.room(), "more bytes than there was room for");
        self.end = self.end.saturating_add(n).min(self.bytes.len());
        self.brimful = self.end == self.bytes.len();
    }

    /// What a reply of `size` bytes needs of them: those from `first` on (0: none), and not the last, a '\n' that nobody
    /// reads; the '\r' in front of it is the NUL behind the last text.
    pub(super) fn needed(&self, size: usize, first: usize) -> &[u8] {
        if first == 0 {
            return &[];
        }
        let needed = self.start + first..(self.start + size).saturating_sub(1);
        self.bytes.get(needed).unwrap_or_default()
    }

    /// Goes on behind a reply of `size` bytes.
    pub(super) fn skip(&mut self, size: usize) {
        self.start += size;
    }

    /// The buffer itself for a large reply that fills much of it, and the address of the reply's first byte, from which
    /// offsets count. Only what stands behind the reply (less than its own size) is copied.
    pub(super) fn hand_over(&mut self, size: usize, first: usize) -> Option<(Vec<u8>, usize)> {
        if first == 0 || size < HAND_OVER || size < self.bytes.len() / 2 {
            return None;
        }
        let behind = self.start + size;
        let tail = self.end.saturating_sub(behind);
        self.moves(tail);
        let mut next = Vec::new();
        if tail > 0 {
            next = vec![0; (tail + SPARE).next_power_of_two()];
            if let (Some(to), Some(from)) = (next.get_mut(..tail), self.bytes.get(behind..self.end)) {
                to.copy_from_slice(from);
            }
        }
        let mut bytes = std::mem::replace(&mut self.bytes, next);
        bytes.truncate(behind);
        if bytes.capacity() - bytes.len() > size / 4 {
            bytes.shrink_to_fit();
        }
        let base = bytes.as_ptr().expose_provenance().wrapping_add(self.start);
        (self.start, self.end, self.brimful) = (0, tail, false);
        Some((bytes, base))
    }

    /// Bytes that change their place, for the tests that bound them.
    #[cfg(test)]
    fn moves(&mut self, bytes: usize) {
        self.moved += bytes;
    }
    #[cfg(not(test))]
    fn moves(&mut self, _bytes: usize) {}

    /// Forgets everything received.
    pub(super) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Gives back a buffer that has grown; only when nothing is in it.
    pub(super) fn trim(&mut self) {
        if self.is_empty() && self.bytes.len() > BUSY {
            self.clear();
            self.replace(Vec::new());
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.replace(Vec::new());
    }
}
