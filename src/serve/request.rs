//! What a peer sends, taken apart: arrays of bulk strings, and commands on a line. No I/O.
//!
//! It keeps its place between calls, so that bytes are looked at once or twice however they are cut, and it believes no
//! announced length: memory follows what has come.

use std::ops::Range;
use std::sync::Arc;

use super::inline;
use crate::base::heavy::Bytes;

/// Arguments of one request at most, as servers have it.
const MOST_ARGS: i64 = 0x7fff_ffff;
/// Bytes of one argument at most (`proto-max-bulk-len`).
const MOST_BULK: i64 = 512 * 1024 * 1024;
/// Bytes of one request at most, with the list of its arguments.
pub(crate) const MOST_REQUEST: usize = (512 << 20) + (64 << 10);
/// Bytes of a line at most: a command on a line, a length.
const MOST_LINE: usize = 64 * 1024;
/// Room that is there for each receive.
const PIECE: usize = 16 * 1024;
/// Bytes that are only announced get no more room than this at once.
const MOST_AHEAD: usize = 1024 * 1024;
/// A request that large goes on as it came.
const LARGE: usize = 256 * 1024;
/// A buffer that large is given back once it is empty.
const KEEP: usize = 64 * 1024;

/// Why the peer is not understood any further, in a server's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("Protocol error: too big inline request")]
    InlineTooLong,
    #[error("Protocol error: unbalanced quotes in request")]
    Quotes,
    #[error("Protocol error: too big mbulk count string")]
    CountTooLong,
    #[error("Protocol error: invalid multibulk length")]
    Count,
    #[error("Protocol error: too big bulk count string")]
    LengthTooLong,
    #[error("Protocol error: expected '$', got '{}'", char::from(*.0))]
    NoBulk(u8),
    #[error("Protocol error: invalid bulk length")]
    Length,
    #[error("Protocol error: a request of more than {0} bytes")]
    TooLarge(usize),
}

/// Where in a request it is.
#[derive(Debug, Clone, Copy)]
enum At {
    Start,
    /// So many arguments are to come.
    Length(usize),
    /// The argument of so many bytes, and so many behind it.
    Bulk(usize, usize),
    Whole,
}

/// What was received and not yet carried out.
#[derive(Debug)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    /// Where in `bytes` the first request begins, and where what was received ends.
    start: usize,
    end: usize,
    at: At,
    /// How far behind `start` it has come.
    read: usize,
    /// Behind `read`, where no line end was found.
    searched: usize,
    /// The arguments so far, behind `start`.
    args: Vec<Range<usize>>,
    /// Arguments of a line, which may be shorter than they were written.
    words: Vec<u8>,
    /// The request that is there, where it is large: it goes on as it came.
    whole: Option<Arc<Bytes>>,
    /// It is written as the library writes it, to the byte.
    plain: bool,
    most: usize,
}

impl Inbox {
    /// Empty; a request may have `most` bytes.
    pub(crate) fn new(most: usize) -> Inbox {
        Inbox {
            bytes: Vec::new(),
            start: 0,
            end: 0,
            at: At::Start,
            read: 0,
            searched: 0,
            args: Vec::new(),
            words: Vec::new(),
            whole: None,
            plain: true,
            most,
        }
    }

    /// Where to receive the next bytes; never empty.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        let held = self.end - self.start;
        let due = match self.at {
            At::Bulk(len, _) => (self.read + len + 2).saturating_sub(held),
            _ => 0,
        };
        let want = due.clamp(PIECE, MOST_AHEAD);
        if self.start > 0 && (self.start == self.end || self.bytes.len() - self.end < want) {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, held);
        }
        if self.bytes.len() - self.end < want {
            // No more than is sure to be filled: a large buffer grows where it lies.
            self.bytes.reserve_exact(self.end + want - self.bytes.len());
            self.bytes.resize(self.end + want, 0);
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// So many bytes were received into [`Inbox::room`].
    pub(crate) fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    /// Bytes that were received and belong to no request that was taken.
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether the next request is there as a whole.
    pub(crate) fn next(&mut self) -> Result<bool, Fault> {
        loop {
            let more = match self.at {
                At::Whole => return Ok(true),
                At::Start => self.begin()?,
                At::Length(left) => self.length(left)?,
                At::Bulk(len, left) => self.bulk(len, left),
            };
            if !more {
                return Ok(false);
            }
        }
    }

    /// The arguments of the request that is there, one at least.
    pub(crate) fn args(&self) -> Vec<&[u8]> {
        let source = match &self.whole {
            Some(whole) => whole,
            None if self.words.is_empty() => self.live(),
            None => &self.words,
        };
        let args = self.args.iter();
        args.map(|arg| source.get(arg.clone()).unwrap_or_default()).collect()
    }

    /// The bytes of the request that is there, where it is large.
    pub(crate) fn whole(&self) -> Option<&Arc<Bytes>> {
        self.whole.as_ref()
    }

    /// Takes a large request out of what was received, without a copy of it.
    fn detach(&mut self) {
        if self.read < LARGE || self.start > 0 || !self.plain {
            return;
        }
        let mut whole = std::mem::take(&mut self.bytes);
        self.bytes
            .extend_from_slice(whole.get(self.read..self.end).unwrap_or_default());
        whole.truncate(self.read);
        self.whole = Some(Arc::new(whole.into()));
        (self.end, self.read) = (self.bytes.len(), 0);
    }

    /// It was carried out.
    pub(crate) fn take(&mut self) {
        self.start += self.read;
        (self.at, self.read, self.searched) = (At::Start, 0, 0);
        (self.whole, self.plain) = (None, true);
        self.args.clear();
        self.words.clear();
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.bytes.len() > KEEP {
                self.bytes = Vec::new();
            }
        }
        if self.args.capacity() > 1024 {
            self.args = Vec::new();
        }
    }

    fn live(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    fn begin(&mut self) -> Result<bool, Fault> {
        match self.live().first() {
            None => Ok(false),
            Some(b'*') => {
                let Some(count) = self.number(Fault::CountTooLong, &Fault::Count)? else {
                    return Ok(false);
                };
                if count > MOST_ARGS {
                    return Err(Fault::Count);
                }
                match usize::try_from(count) {
                    // Nothing is asked for, and nothing is answered.
                    Err(_) | Ok(0) => self.take(),
                    Ok(count) => self.at = At::Length(count),
                }
                Ok(true)
            }
            Some(_) => self.line(),
        }
    }

    /// A command on a line.
    fn line(&mut self) -> Result<bool, Fault> {
        let live = self.bytes.get(self.start..self.end).unwrap_or_default();
        let Some(end) = find(live, self.searched, b'\n') else {
            self.searched = live.len();
            return match live.len() > MOST_LINE {
                true => Err(Fault::InlineTooLong),
                false => Ok(false),
            };
        };
        if end > MOST_LINE {
            return Err(Fault::InlineTooLong);
        }
        let line = live.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !inline::split(line, &mut self.words, &mut self.args) {
            return Err(Fault::Quotes);
        }
        self.read = end + 1;
        match self.args.is_empty() {
            true => self.take(),
            false => {
                // Arguments may all be empty, and are told from those of an array by this.
                self.words.push(0);
                self.at = At::Whole;
            }
        }
        Ok(true)
    }

    fn length(&mut self, left: usize) -> Result<bool, Fault> {
        let rest = self.live().get(self.read..).unwrap_or_default();
        // As a server does, whole lines are looked at, not their beginnings.
        if rest.len() > self.searched && find(rest, self.searched, b'\r').is_some_and(|at| at + 1 < rest.len()) {
            if let Some(other) = rest.first().filter(|first| **first != b'$') {
                return Err(Fault::NoBulk(*other));
            }
        }
        let Some(len) = self.number(Fault::LengthTooLong, &Fault::Length)? else {
            return Ok(false);
        };
        if len > MOST_BULK {
            return Err(Fault::Length);
        }
        let len = usize::try_from(len).map_err(|_| Fault::Length)?;
        // The list of the arguments is a part of what a request may cost.
        if self.read + len + self.args.len() * size_of::<Range<usize>>() > self.most {
            return Err(Fault::TooLarge(self.most));
        }
        self.at = At::Bulk(len, left);
        Ok(true)
    }

    fn bulk(&mut self, len: usize, left: usize) -> bool {
        let end = self.read + len;
        if self.live().len() < end + 2 {
            return false;
        }
        self.plain &= self.live().get(end..end + 2) == Some(b"\r\n");
        self.args.push(self.read..end);
        self.read = end + 2;
        self.at = match left {
            0 | 1 => At::Whole,
            _ => At::Length(left - 1),
        };
        if left <= 1 {
            self.detach();
        }
        true
    }

    /// The number behind a type byte, up to CRLF; `None` while that has not come. It is one only as servers write it.
    fn number(&mut self, too_long: Fault, wrong: &Fault) -> Result<Option<i64>, Fault> {
        let rest = self.bytes.get(self.start + self.read..self.end).unwrap_or_default();
        let end = find(rest, self.searched, b'\r');
        let Some(end) = end.filter(|end| end + 1 < rest.len()) else {
            self.searched = end.unwrap_or(rest.len());
            return match rest.len() > MOST_LINE {
                true => Err(too_long),
                false => Ok(None),
            };
        };
        let number = canonical(rest.get(1..end).unwrap_or_default());
        self.plain &= rest.get(end + 1) == Some(&b'\n');
        self.searched = 0;
        self.read += end + 2;
        number.map(Some).ok_or_else(|| wrong.clone())
    }
}

/// The place of a byte, looked for from `from` on.
fn find(bytes: &[u8], from: usize, wanted: u8) -> Option<usize> {
    let rest = bytes.get(from..)?;
    Some(from + rest.iter().position(|byte| *byte == wanted)?)
}

/// A number as servers write it, and take it.
pub(super) fn canonical(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let first = *digits.first()?;
    let leads = first == b'0' && (digits.len() > 1 || text.len() > 1);
    if leads || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
