//! How far the decoder is within one reply.

use super::inbox::Awaited;
use super::limits::{Budget, DecodeError, Limits};
use super::node::Kind;
use super::scalar::{self, Number};
use super::tree::{Leaf, Tree};

/// From this length on a bulk string gets room of its own, see [`Decoder::spare`](super::Decoder::spare).
const LARGE: usize = 16 * 1024;

/// How far an array of gathered replies is whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gathered {
    /// Nodes of the whole replies, and the bytes they were decoded from.
    pub(super) nodes: usize,
    pub(super) bytes: usize,
    /// Replies still missing, of so many.
    pub(super) left: usize,
    pub(super) count: usize,
}

/// A string whose header was read; offsets count from the reply's first byte.
#[derive(Debug, Clone, Copy)]
struct Bulk {
    kind: Kind,
    data: usize,
    len: usize,
    /// No room was made for it yet.
    fresh: bool,
}

impl Bulk {
    fn end(&self) -> usize {
        self.data.saturating_add(self.len)
    }
}

/// How far the decoder is within one reply. It owns no bytes: it is given all that were received of the reply so far,
/// and knows its place in them by offset, so the buffer may move between two calls.
#[derive(Debug)]
pub(super) struct State {
    pub(super) limits: Limits,
    pub(super) budget: Budget,
    pub(super) tree: Tree,
    /// Replies are gathered into one.
    pub(super) gathered: Option<Gathered>,
    /// So many are to be, once the push that has begun is whole.
    pub(super) gathers: usize,
    /// First byte not yet decoded: the type byte of an element, or the payload of `bulk`.
    pub(super) at: usize,
    /// Bytes below this offset were searched for the end of the line that begins at `at`.
    pub(super) searched: usize,
    bulk: Option<Bulk>,
    #[cfg(test)]
    pub(super) examined: usize,
}

/// Whether an element was taken, or more bytes are needed for it.
pub(super) type Taken = Result<bool, DecodeError>;

impl State {
    pub(super) fn new(limits: Limits) -> State {
        State {
            limits,
            budget: Budget::new(limits.max_bytes),
            tree: Tree::new(),
            gathered: None,
            gathers: 0,
            at: 0,
            searched: 0,
            bulk: None,
            #[cfg(test)]
            examined: 0,
        }
    }

    /// Between two replies.
    pub(super) fn limit(&mut self, limits: Limits) {
        self.limits = limits;
        self.budget = Budget::new(limits.max_bytes);
    }

    pub(super) fn reset(&mut self) {
        self.budget = Budget::new(self.limits.max_bytes);
        self.tree.reset();
        self.gathered = None;
        (self.at, self.searched, self.bulk) = (0, 0, None);
    }

    /// Something of a reply was decoded.
    pub(super) fn is_begun(&self) -> bool {
        self.at > 0
    }

    /// The large string that the next bytes belong to, given that `live` bytes are there.
    pub(super) fn awaited(&mut self, live: usize) -> Option<Awaited> {
        let last = self.tree.nesting() == 0;
        let bulk = self.bulk.as_mut().filter(|bulk| bulk.len >= LARGE)?;
        let rest = bulk
            .end()
            .saturating_add(2)
            .checked_sub(live)
            .filter(|rest| *rest > 0)?;
        let fresh = std::mem::replace(&mut bulk.fresh, false);
        Some(Awaited { rest, last, fresh })
    }

    /// Decodes on until the reply is whole (`true`) or the bytes end.
    pub(super) fn advance(&mut self, live: &mut [u8]) -> Taken {
        while self.element(live)? {
            if self.tree.is_whole() {
                return Ok(true);
            }
            self.note_gathered();
        }
        Ok(false)
    }

    fn element(&mut self, live: &mut [u8]) -> Taken {
        if let Some(bulk) = self.bulk {
            return self.payload(live, bulk);
        }
        let Some(&byte) = live.get(self.at) else {
            return Ok(false);
        };
        match byte {
            b'$' => self.bulk(live, byte, Kind::String),
            b':' => self.integer(live),
            b'*' => self.aggregate(live, byte, Kind::Array),
            b'+' => self.text(live, Kind::Status),
            b'-' => self.text(live, Kind::Error),
            b'%' => self.aggregate(live, byte, Kind::Map),
            b'~' => self.aggregate(live, byte, Kind::Set),
            b'>' if self.is_between() => self.aside(live, byte, 1),
            b'>' if self.tree.nesting() > 0 => Err(DecodeError::MisplacedPush),
            b'>' => self.aggregate(live, byte, Kind::Push),
            b'_' => self.null(live),
            b',' => self.double(live),
            b'#' => self.boolean(live),
            b'(' => self.big_number(live),
            b'=' => self.bulk(live, byte, Kind::Verbatim),
            b'!' => self.bulk(live, byte, Kind::Error),
            b'|' => self.aside(live, byte, 2),
            b';' | b'.' => Err(DecodeError::Streamed { byte }),
            _ => Err(DecodeError::UnknownType { byte }),
        }
    }

    /// The number behind the type byte; moves past its line. `None`: more bytes are needed.
    fn number(&mut self, live: &[u8], wrong: DecodeError) -> Result<Option<i64>, DecodeError> {
        let line = live.get(self.at + 1..).unwrap_or_default();
        if let Some((value, size)) = scalar::short_integer(line) {
            self.look(size + 1);
            self.at += size + 1;
            return Ok(Some(i64::from(value)));
        }
        // Digits alone change nothing about a line that was looked at before, as long as they cannot overflow and follow
        // neither a leading zero nor a '\r'.
        let ends = self.searched.checked_sub(1).and_then(|last| live.get(last)) == Some(&b'\r');
        let begun = !ends && matches!(line, [b'1'..=b'9', ..] | [b'-' | b'+', b'1'..=b'9', ..]);
        if self.searched > self.at && line.len() < 20 && begun {
            let fresh = live.get(self.searched..).unwrap_or_default();
            self.look(fresh.len());
            if fresh.iter().all(u8::is_ascii_digit) {
                self.searched = live.len();
                return Ok(None);
            }
        }
        match scalar::integer(line) {
            Number::Whole(value, size) => {
                self.look(size + 1);
                self.at += size + 1;
                Ok(Some(value))
            }
            Number::Partial => {
                self.look(line.len() + 1);
                self.searched = live.len();
                Ok(None)
            }
            Number::TooLong => Err(DecodeError::LengthLineTooLong),
            Number::Wrong => Err(wrong),
        }
    }

    /// The length behind the type byte `byte`; `None` inside for -1, which is a nil.
    #[inline]
    pub(super) fn length(&mut self, live: &[u8], byte: u8) -> Result<Option<Option<usize>>, DecodeError> {
        match live.get(self.at + 1) {
            Some(b'?') => return Err(DecodeError::Streamed { byte }),
            Some(b'+') => return Err(DecodeError::InvalidLength { byte }),
            _ => {}
        }
        match self.number(live, DecodeError::InvalidLength { byte })? {
            None => Ok(None),
            Some(-1) if matches!(byte, b'$' | b'*' | b'%' | b'~' | b'>') => Ok(Some(None)),
            Some(length) if length < 0 => Err(DecodeError::NegativeLength { byte }),
            Some(length) => Ok(Some(Some(usize::try_from(length).unwrap_or(usize::MAX)))),
        }
    }

    fn integer(&mut self, live: &[u8]) -> Taken {
        let Some(integer) = self.number(live, DecodeError::InvalidInteger)? else {
            return Ok(false);
        };
        self.tree.leaf(Leaf {
            integer,
            ..Leaf::new(Kind::Integer)
        });
        Ok(true)
    }

    fn bulk(&mut self, live: &mut [u8], byte: u8, kind: Kind) -> Taken {
        let len = match self.length(live, byte)? {
            None => return Ok(false),
            Some(None) => return self.nil(),
            Some(Some(len)) => len,
        };
        self.budget.bulk(len)?;
        if kind == Kind::Verbatim && len < 4 {
            return Err(DecodeError::InvalidVerbatim);
        }
        let bulk = Bulk {
            kind,
            data: self.at,
            len,
            fresh: true,
        };
        self.payload(live, bulk)
    }

    /// No payload is searched for anything: its length says where it ends. The '\r' behind it becomes the NUL that C
    /// programs expect there.
    #[inline]
    fn payload(&mut self, live: &mut [u8], bulk: Bulk) -> Taken {
        let end = bulk.end();
        let Some([cr, lf]) = live.get_mut(end..end.saturating_add(2)) else {
            if self.bulk.is_none() {
                self.bulk = Some(bulk);
            }
            return Ok(false);
        };
        if (*cr, *lf) != (b'\r', b'\n') {
            return Err(DecodeError::MissingLineEnd);
        }
        *cr = 0;
        self.bulk = None;
        self.at = end + 2;
        let (mut data, mut len) = (bulk.data, bulk.len);
        if bulk.kind == Kind::Verbatim {
            if live.get(data + 3) != Some(&b':') {
                return Err(DecodeError::InvalidVerbatim);
            }
            (data, len) = (data + 4, len.saturating_sub(4));
        }
        self.tree.leaf(Leaf::text(bulk.kind, data, len));
        Ok(true)
    }

    fn aggregate(&mut self, live: &[u8], byte: u8, kind: Kind) -> Taken {
        let len = match self.length(live, byte)? {
            None => return Ok(false),
            Some(None) => return self.nil(),
            Some(Some(len)) => len,
        };
        self.deeper()?;
        let children = if kind == Kind::Map { len.saturating_mul(2) } else { len };
        self.budget.elements(children)?;
        self.tree.aggregate(kind, children);
        Ok(true)
    }

    pub(super) fn deeper(&self) -> Result<(), DecodeError> {
        let max = self.limits.max_depth;
        if self.tree.nesting() - usize::from(self.gathered.is_some()) >= max {
            Err(DecodeError::TooDeep { max })
        } else {
            Ok(())
        }
    }

    pub(super) fn nil(&mut self) -> Taken {
        self.tree.leaf(Leaf::new(Kind::Nil));
        Ok(true)
    }

    fn null(&mut self, live: &[u8]) -> Taken {
        match live.get(self.at + 1..self.at + 3) {
            Some(b"\r\n") => {
                self.look(3);
                self.at += 3;
                self.nil()
            }
            None if matches!(live.get(self.at + 1), None | Some(b'\r')) => Ok(false),
            _ => Err(DecodeError::InvalidNull),
        }
    }

    fn boolean(&mut self, live: &[u8]) -> Taken {
        let Some(line) = live.get(self.at..self.at + 4) else {
            return match live.get(self.at + 1..).unwrap_or_default() {
                [] | [b't' | b'f'] | [b't' | b'f', b'\r'] => Ok(false),
                _ => Err(DecodeError::InvalidBoolean),
            };
        };
        let value = scalar::boolean(line).ok_or(DecodeError::InvalidBoolean)?;
        self.look(line.len());
        self.at += line.len();
        self.tree.leaf(Leaf {
            integer: i64::from(value),
            ..Leaf::new(Kind::Bool)
        });
        Ok(true)
    }

    fn text(&mut self, live: &mut [u8], kind: Kind) -> Taken {
        let Some(end) = self.line(live)? else {
            return Ok(false);
        };
        self.take_line(live, end, Leaf::new(kind));
        Ok(true)
    }

    fn double(&mut self, live: &mut [u8]) -> Taken {
        let Some(end) = self.line(live)? else {
            return Ok(false);
        };
        let line = live.get(self.at..end + 2).unwrap_or_default();
        let number = scalar::double(line).ok_or(DecodeError::InvalidDouble)?;
        self.take_line(
            live,
            end,
            Leaf {
                number,
                ..Leaf::new(Kind::Double)
            },
        );
        Ok(true)
    }

    fn big_number(&mut self, live: &mut [u8]) -> Taken {
        let Some(end) = self.line(live)? else {
            return Ok(false);
        };
        if !scalar::is_big_number(live.get(self.at..end + 2).unwrap_or_default()) {
            return Err(DecodeError::InvalidBigNumber);
        }
        self.take_line(live, end, Leaf::new(Kind::BigNumber));
        Ok(true)
    }

    /// Offset of the CRLF that ends the line at `at`. A CR or LF alone belongs to the text.
    fn line(&mut self, live: &[u8]) -> Result<Option<usize>, DecodeError> {
        let begin = self.at + 1;
        let mut from = self.searched.max(begin);
        while let Some(found) = live
            .get(from..)
            .unwrap_or_default()
            .iter()
            .position(|&byte| byte == b'\n')
        {
            self.look(found + 1);
            from += found + 1;
            if let Some(b"\r\n") = live.get(from.saturating_sub(2)..from) {
                let end = from - 2;
                self.budget.line(end.saturating_sub(begin))?;
                return Ok(Some(end));
            }
        }
        self.look(live.len().saturating_sub(from));
        self.searched = live.len();
        let unended = live.get(begin..).unwrap_or_default();
        self.budget
            .fits_line(unended.strip_suffix(b"\r").unwrap_or(unended).len())?;
        Ok(None)
    }

    /// Adds the text between the type byte and `end` as a node, with a NUL in place of the '\r'.
    fn take_line(&mut self, live: &mut [u8], end: usize, leaf: Leaf) {
        if let Some(cr) = live.get_mut(end) {
            *cr = 0;
        }
        let data = self.at + 1;
        self.tree.leaf(Leaf {
            data,
            len: end.saturating_sub(data),
            ..leaf
        });
        self.at = end + 2;
    }

    #[cfg(test)]
    fn look(&mut self, bytes: usize) {
        self.examined += bytes;
    }
    #[cfg(not(test))]
    fn look(&mut self, _bytes: usize) {}
}
