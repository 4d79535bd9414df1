//! The one-line values. redis-protocol reads those for which its result loses nothing.

use redis_protocol::resp3::decode::complete;
use redis_protocol::resp3::types::RangeFrame;

use super::limits::NUMBER_LINE;

/// What an integer line turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Number {
    /// The value, and the bytes up to and with the CRLF.
    Whole(i64, usize),
    /// All bytes so far fit, the line end is not there yet.
    Partial,
    /// Not a 64-bit number, or a line end other than CRLF.
    Wrong,
    /// More characters than any number needs.
    TooLong,
}

/// Reads a decimal number up to its CRLF. The digits are looked at once: this runs for every length and integer of the
/// hot path, which is why it is not left to a general parser.
pub(super) fn integer(line: &[u8]) -> Number {
    let sign = usize::from(matches!(line.first(), Some(b'-' | b'+')));
    let mut magnitude: u64 = 0;
    for (at, &byte) in line.iter().enumerate().skip(sign) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return match (byte, line.get(at + 1)) {
                (b'\r', Some(b'\n')) if at > sign => signed(line, magnitude, at + 2),
                (b'\r', None) if at > sign => Number::Partial,
                _ => Number::Wrong,
            };
        }
        if at >= NUMBER_LINE {
            return Number::TooLong;
        }
        match magnitude
            .checked_mul(10)
            .and_then(|tens| tens.checked_add(u64::from(digit)))
        {
            Some(value) => magnitude = value,
            None => return Number::Wrong,
        }
    }
    Number::Partial
}

/// The same for what nearly all lengths are, up to 199, that has come whole; `None` for any other line.
#[inline]
pub(super) fn short_integer(line: &[u8]) -> Option<(u8, usize)> {
    let digit = |byte: &u8| byte - b'0';
    match line {
        [ones @ b'0'..=b'9', b'\r', b'\n', ..] => Some((digit(ones), 3)),
        [tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', b'\n', ..] => Some((digit(tens) * 10 + digit(ones), 4)),
        [b'1', tens @ b'0'..=b'9', ones @ b'0'..=b'9', b'\r', b'\n', ..] => {
            Some((100 + digit(tens) * 10 + digit(ones), 5))
        }
        _ => None,
    }
}

fn signed(line: &[u8], magnitude: u64, size: usize) -> Number {
    let value = match line.first() {
        Some(b'-') => 0i64.checked_sub_unsigned(magnitude),
        _ => 0i64.checked_add_unsigned(magnitude),
    };
    value.map_or(Number::Wrong, |value| Number::Whole(value, size))
}

/// The value of a whole `,` line, its type byte and CRLF with it.
pub(super) fn double(line: &[u8]) -> Option<f64> {
    match complete::decode_range(line) {
        Ok(Some((RangeFrame::Double { data, .. }, size))) if size == line.len() => Some(data),
        _ => is_nan(line).then_some(f64::NAN),
    }
}

/// Whether a whole `,` line is no number as C's printf may write it where the server runs: `nan(0x8000000000000)`,
/// `-nan(ind)`. Between the brackets C allows letters, digits and underscores.
fn is_nan(line: &[u8]) -> bool {
    let positive = line.strip_prefix(b",nan(");
    let within = positive.or_else(|| line.strip_prefix(b",-nan("));
    let within = within.and_then(|rest| rest.strip_suffix(b")\r\n"));
    within.is_some_and(|within| within.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_'))
}

/// The value of a whole `#` line, its type byte and CRLF with it.
pub(super) fn boolean(line: &[u8]) -> Option<bool> {
    match complete::decode_range(line) {
        Ok(Some((RangeFrame::Boolean { data, .. }, size))) if size == line.len() => Some(data),
        _ => None,
    }
}

/// Whether a whole `(` line, its type byte and CRLF with it, holds a decimal number. The crate finds the text but
/// takes any; the digits are checked here.
pub(super) fn is_big_number(line: &[u8]) -> bool {
    let text = match complete::decode_range(line) {
        Ok(Some((RangeFrame::BigNumber { data: (from, to), .. }, size))) if size == line.len() => line.get(from..to),
        _ => None,
    };
    match text.unwrap_or_default() {
        [b'-' | b'+', digits @ ..] | digits => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
    }
}
