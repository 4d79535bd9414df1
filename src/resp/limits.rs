//! What a reply may cost, and every way in which bytes can fail to be one.

use thiserror::Error;

/// The bytes charged for an element besides its payload: its node (48), its place in a table (4), and the header and the
/// line ends that are kept with the payload. A reply of the smallest elements holds no more than `max_bytes`.
pub(super) const ELEMENT_COST: usize = 64;
/// Longest status, error, double or big number line.
pub(super) const TEXT_LINE: usize = 64 * 1024;
/// Longest line that holds an integer, a length, a boolean or nothing: 20 characters are the longest integer.
pub(super) const NUMBER_LINE: usize = 32;

/// The bounds of one reply; attributes in front of it or inside it count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Payload bytes, plus 64 for each element below the root.
    pub max_bytes: usize,
    /// Aggregates around one another; 0 allows scalars only.
    pub max_depth: usize,
}

impl Limits {
    /// Of each bound the wider one.
    pub fn or_more(self, other: Limits) -> Limits {
        Limits {
            max_bytes: self.max_bytes.max(other.max_bytes),
            max_depth: self.max_depth.max(other.max_depth),
        }
    }
}

impl Default for Limits {
    /// The defaults of `max_reply_bytes` and `max_reply_depth`.
    fn default() -> Limits {
        Limits {
            max_bytes: 536_870_912,
            max_depth: 128,
        }
    }
}

/// Why the bytes received are not a reply that may be had. The connection cannot be used any further.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// A reply begins with a byte that is no RESP type.
    #[error("not RESP: {}", shown(*byte))]
    UnknownType {
        /// The byte found.
        byte: u8,
    },
    /// Streamed strings and aggregates, which Redis and Valkey never send.
    #[error("a streamed reply ('{}') is not supported", *byte as char)]
    Streamed {
        /// The type that was streamed, or the `;` or `.` of a stream.
        byte: u8,
    },
    /// The text behind `:` is not a number of 64 bits.
    #[error("an integer reply is not a 64-bit number")]
    InvalidInteger,
    /// The text behind an aggregate's or bulk string's type is not a length.
    #[error("the length behind '{}' is not a number", *byte as char)]
    InvalidLength {
        /// The type whose length it is.
        byte: u8,
    },
    /// A length below zero where no nil is defined, or below -1.
    #[error("the length behind '{}' is negative", *byte as char)]
    NegativeLength {
        /// The type whose length it is.
        byte: u8,
    },
    /// The text behind `,` is not a number.
    #[error("a double reply is not a number")]
    InvalidDouble,
    /// The text behind `#` is neither `t` nor `f`.
    #[error("a boolean reply is neither 't' nor 'f'")]
    InvalidBoolean,
    /// The text behind `(` is not a decimal number.
    #[error("a big number reply has other characters than digits")]
    InvalidBigNumber,
    /// Something stands between `_` and its line end.
    #[error("a null reply is not empty")]
    InvalidNull,
    /// A verbatim string without its three-byte format and colon.
    #[error("a verbatim string has no format in front of its text")]
    InvalidVerbatim,
    /// The bytes behind a bulk string are not CRLF.
    #[error("a bulk string does not end with CRLF")]
    MissingLineEnd,
    /// An integer, length, boolean or null line without an end.
    #[error("a length line is too long (over {NUMBER_LINE} bytes)")]
    LengthLineTooLong,
    /// A status, error, double or big number line without an end.
    #[error("a line is too long (over {TEXT_LINE} bytes)")]
    LineTooLong,
    /// One bulk string is larger than a whole reply may be.
    #[error("a bulk string of {len} bytes is over max_reply_bytes ({max})")]
    BulkTooLarge {
        /// Its announced length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// One aggregate costs more than a whole reply may.
    #[error("an aggregate of {elements} elements ({ELEMENT_COST} bytes each) is over max_reply_bytes ({max})")]
    AggregateTooLarge {
        /// Its announced elements; keys and values of a map each count.
        elements: usize,
        /// The limit.
        max: usize,
    },
    /// The parts of the reply are too large together.
    #[error("the reply is over max_reply_bytes ({max})")]
    ReplyTooLarge {
        /// The limit.
        max: usize,
    },
    /// More elements than a reply's 32-bit positions can name.
    #[error("the reply has more than 4294967290 elements")]
    TooManyElements,
    /// Too many aggregates around one another.
    #[error("the reply is nested deeper than max_reply_depth ({max})")]
    TooDeep {
        /// The limit.
        max: usize,
    },
    /// A push inside a reply; they come only between replies.
    #[error("a push reply stands inside another reply")]
    MisplacedPush,
}

/// A byte as a message shows it, with what its sender probably is.
fn shown(byte: u8) -> String {
    match byte {
        b'H' => "'H' (an HTTP server?)".to_owned(),
        0x15 | 0x16 => format!("0x{byte:02x} (a TLS server?)"),
        b' '..=b'~' => format!("'{}'", char::from(byte)),
        _ => format!("0x{byte:02x}"),
    }
}

/// What is left of [`Limits::max_bytes`] while one reply is decoded.
#[derive(Debug)]
pub(super) struct Budget {
    max: usize,
    left: usize,
    elements: usize,
}

impl Budget {
    pub(super) fn new(max: usize) -> Budget {
        Budget {
            max,
            left: max,
            elements: 0,
        }
    }

    /// Charged at the header, so a claim beyond the limit costs nothing.
    pub(super) fn bulk(&mut self, len: usize) -> Result<(), DecodeError> {
        match self.left.checked_sub(len) {
            Some(left) => self.left = left,
            None if len > self.max => return Err(DecodeError::BulkTooLarge { len, max: self.max }),
            None => return Err(DecodeError::ReplyTooLarge { max: self.max }),
        }
        Ok(())
    }

    /// Charged at the header, before any of the elements is there.
    pub(super) fn elements(&mut self, elements: usize) -> Result<(), DecodeError> {
        let max = self.max;
        let cost = elements.checked_mul(ELEMENT_COST).filter(|cost| *cost <= max);
        let cost = cost.ok_or(DecodeError::AggregateTooLarge { elements, max })?;
        self.left = self.left.checked_sub(cost).ok_or(DecodeError::ReplyTooLarge { max })?;
        self.elements = self.elements.saturating_add(elements);
        if u32::try_from(self.elements).map_or(true, |count| count > 4_294_967_290) {
            return Err(DecodeError::TooManyElements);
        }
        Ok(())
    }

    /// A line is charged when it is whole; until then its length so far must fit.
    pub(super) fn fits_line(&self, len: usize) -> Result<(), DecodeError> {
        if len > TEXT_LINE {
            return Err(DecodeError::LineTooLong);
        }
        if len > self.left {
            return Err(DecodeError::ReplyTooLarge { max: self.max });
        }
        Ok(())
    }

    /// Charges a whole line.
    pub(super) fn line(&mut self, len: usize) -> Result<(), DecodeError> {
        self.fits_line(len)?;
        self.left = self.left.saturating_sub(len);
        Ok(())
    }
}
