//! Commands to bytes: always an array of bulk strings.

use redis_protocol::resp2::encode::encode_borrowed;
use redis_protocol::resp2::types::BorrowedFrame;

use super::scalar::{self, Number};

/// Appends a command. Nothing is allocated but, where its capacity is too small, the growth of `out`.
pub fn encode(out: &mut Vec<u8>, args: &[&[u8]]) {
    // The digits are counted only where it may matter.
    let data: usize = args.iter().map(|arg| arg.len()).sum();
    let (most, spare) = (data + (args.len() + 1) * FRAME, out.capacity() - out.len());
    if spare < most && spare < encoded_len(args) {
        out.reserve(most);
    }
    header(out, b'*', args.len());
    for arg in args {
        header(out, b'$', arg.len());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// The arguments of the first command of what [`encode`] wrote, and what follows it. Nothing is copied.
pub fn first_command(bytes: &[u8]) -> Option<(Vec<&[u8]>, &[u8])> {
    let (count, mut rest) = read_header(bytes, b'*')?;
    let mut args = Vec::with_capacity(count.min(rest.len()));
    for _ in 0..count {
        let (len, body) = read_header(rest, b'$')?;
        args.push(body.get(..len)?);
        rest = body.get(len + 2..)?;
    }
    Some((args, rest))
}

fn read_header(bytes: &[u8], kind: u8) -> Option<(usize, &[u8])> {
    let (_, rest) = bytes.split_first().filter(|(first, _)| **first == kind)?;
    match scalar::integer(rest) {
        Number::Whole(len, size) => Some((usize::try_from(len).ok()?, rest.get(size..)?)),
        _ => None,
    }
}

/// What stands around an argument at most: a type byte, twenty digits, twice CRLF.
const FRAME: usize = 25;

/// The bytes that [`encode`] appends for the same command.
pub fn encoded_len(args: &[&[u8]]) -> usize {
    let bulk = |arg: &&[u8]| header_len(arg.len()) + arg.len() + 2;
    header_len(args.len()) + args.iter().map(bulk).sum::<usize>()
}

/// Arguments and batches from this size on are sent from where they lie; smaller ones are cheaper to copy.
pub const LARGE: usize = 64 * 1024;

/// What is to be sent: one command by its arguments, or what was encoded before, in parts.
#[derive(Debug, Clone, Copy)]
pub enum Request<'a> {
    /// One command.
    Command(&'a [&'a [u8]]),
    /// Encoded commands, to be sent one part behind the other.
    Encoded(&'a [&'a [u8]]),
}

impl<'a> Request<'a> {
    /// Its bytes on the wire.
    pub fn size(&self) -> usize {
        match self {
            Request::Command(args) => encoded_len(args),
            Request::Encoded(parts) => parts.iter().map(|part| part.len()).sum(),
        }
    }

    /// Whether its bytes on the wire are [`LARGE`] or more.
    pub fn is_large(&self) -> bool {
        self.reaches(LARGE)
    }

    /// Whether its bytes on the wire are so many, or more. As in [`encode`], the digits count only where it may matter.
    pub fn reaches(&self, size: usize) -> bool {
        let around = match self {
            Request::Command(args) => (args.len() + 1) * FRAME,
            Request::Encoded(_) => 0,
        };
        let (Request::Command(parts) | Request::Encoded(parts)) = self;
        let data: usize = parts.iter().map(|part| part.len()).sum();
        data + around >= size && self.size() >= size
    }

    /// Appends all of it.
    #[inline]
    pub fn append(&self, out: &mut Vec<u8>) {
        match self {
            Request::Command(args) => encode(out, args),
            Request::Encoded(parts) => parts.iter().for_each(|part| out.extend_from_slice(part)),
        }
    }

    /// Appends all but the large parts to `out`, and notes where in it they belong.
    pub fn split(&self, out: &mut Vec<u8>, large: &mut Vec<(usize, &'a [u8])>) {
        match self {
            Request::Command(args) if args.iter().all(|arg| arg.len() < LARGE) => encode(out, args),
            Request::Command(args) => {
                header(out, b'*', args.len());
                for arg in *args {
                    header(out, b'$', arg.len());
                    place(out, large, arg);
                    out.extend_from_slice(b"\r\n");
                }
            }
            Request::Encoded(parts) => parts.iter().for_each(|part| place(out, large, part)),
        }
    }
}

fn place<'a>(out: &mut Vec<u8>, large: &mut Vec<(usize, &'a [u8])>, part: &'a [u8]) {
    if part.len() < LARGE {
        out.extend_from_slice(part);
    } else {
        large.push((out.len(), part));
    }
}

/// A command of the control traffic (HELLO, SENTINEL, SUBSCRIBE): the same bytes, from the encoder of redis-protocol.
pub fn control(args: &[&str]) -> Vec<u8> {
    let bulks: Vec<BorrowedFrame<'_>> = args
        .iter()
        .map(|arg| BorrowedFrame::BulkString(arg.as_bytes()))
        .collect();
    let frame = BorrowedFrame::Array(&bulks);
    let mut out = vec![0; frame.encode_len(false)];
    match encode_borrowed(&mut out, &frame, false) {
        Ok(len) => out.truncate(len),
        // Only a buffer too small can fail, and the encoder has given the size itself.
        Err(_) => {
            out.clear();
            encode(&mut out, &args.iter().map(|arg| arg.as_bytes()).collect::<Vec<_>>());
        }
    }
    out
}

/// A type byte, a length and CRLF. Nearly all are short: a few bytes of a size that the compiler knows are no call.
#[inline(always)]
fn header(out: &mut Vec<u8>, kind: u8, len: usize) {
    let digit = |number: usize| b'0' + u8::try_from(number).unwrap_or(0);
    match len {
        0..=9 => out.extend_from_slice(&[kind, digit(len), b'\r', b'\n']),
        10..=99 => out.extend_from_slice(&[kind, digit(len / 10), digit(len % 10), b'\r', b'\n']),
        _ => long_header(out, kind, len),
    }
}

/// Put together from the end, so that it is appended in one go.
#[cold]
fn long_header(out: &mut Vec<u8>, kind: u8, len: usize) {
    // Room for the type byte and 20 digits in front of the CRLF.
    const LAST_DIGIT: usize = 20;
    let mut text = *b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\r\n";
    let mut rest = len;
    let mut begin = LAST_DIGIT + 1;
    for byte in text.iter_mut().rev().skip(2) {
        begin -= 1;
        if rest == 0 && begin < LAST_DIGIT {
            *byte = kind;
            break;
        }
        *byte = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    out.extend_from_slice(text.get(begin..).unwrap_or_default());
}

fn header_len(len: usize) -> usize {
    let digits = len
        .checked_ilog10()
        .map_or(1, |below| usize::try_from(below).unwrap_or(0) + 1);
    digits + 3
}
