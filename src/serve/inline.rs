//! Commands that people type: words on a line, with quotes as servers read them. Pure.

use std::ops::Range;

/// Takes a line apart: the words one behind the other into `words`, where each lies into `args`. False when a quote does
/// not end, or something follows right behind one that does.
pub(super) fn split(line: &[u8], words: &mut Vec<u8>, args: &mut Vec<Range<usize>>) -> bool {
    let mut rest = line;
    loop {
        let space = rest.iter().take_while(|byte| is_space(**byte)).count();
        rest = rest.get(space..).unwrap_or_default();
        if rest.is_empty() {
            return true;
        }
        let begin = words.len();
        match word(rest, words) {
            Some(behind) => rest = behind,
            None => return false,
        }
        args.push(begin..words.len());
    }
}

/// Adds the word at the beginning of `rest`; what lies behind it.
fn word<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            // A line ends at a NUL, as in C.
            [] | [0, ..] => return Some(&[]),
            [byte, ..] if is_space(*byte) => return Some(rest),
            [quote @ (b'"' | b'\''), behind @ ..] => {
                let behind = match quote {
                    b'"' => double(behind, out)?,
                    _ => single(behind, out)?,
                };
                // The closing quote must end the word.
                let ends = behind.first().is_none_or(|byte| is_space(*byte) || *byte == 0);
                return ends.then_some(behind);
            }
            [byte, behind @ ..] => {
                out.push(*byte);
                rest = behind;
            }
        }
    }
}

fn double<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [b'"', behind @ ..] => return Some(behind),
            [b'\\', b'x', high, low, behind @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(digit(*high) * 16 + digit(*low));
                behind
            }
            [b'\\', letter, behind @ ..] => {
                out.push(match letter {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                behind
            }
            [] | [0, ..] => return None,
            [byte, behind @ ..] => {
                out.push(*byte);
                behind
            }
        };
    }
}

fn single<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [b'\'', behind @ ..] => return Some(behind),
            [b'\\', b'\'', behind @ ..] => {
                out.push(b'\'');
                behind
            }
            [] | [0, ..] => return None,
            [byte, behind @ ..] => {
                out.push(*byte);
                behind
            }
        };
    }
}

/// What C calls space.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

fn digit(hex: u8) -> u8 {
    match hex {
        b'0'..=b'9' => hex - b'0',
        b'a'..=b'f' => hex - b'a' + 10,
        _ => hex.wrapping_sub(b'A').wrapping_add(10),
    }
}
