//! Replies on their way to a peer. No I/O.

use std::collections::VecDeque;
use std::io::IoSlice;

use super::out::{Large, Out};

/// A buffer that large is given back once it is empty.
const KEEP: usize = 16 * 1024;
/// Small replies lie together up to here.
const CHUNK: usize = 256 * 1024;
/// Pieces that are sent at once.
const PARTS: usize = 16;

#[derive(Debug)]
enum Piece {
    Own(Vec<u8>),
    Apart(Large),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Own(bytes) => bytes,
            Piece::Apart(large) => large.bytes(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    pieces: VecDeque<Piece>,
    /// Bytes of the first of them that were sent.
    sent: usize,
    /// Bytes that were not.
    left: usize,
    /// A buffer that was sent, for the next.
    spare: Vec<u8>,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Bytes that were not sent.
    pub(super) fn len(&self) -> usize {
        self.left
    }

    /// Takes over what is to be sent.
    pub(super) fn take(&mut self, out: &mut Out) {
        if out.is_empty() {
            return;
        }
        self.left += out.len();
        for (bytes, large) in out.take_large() {
            self.push(bytes);
            self.pieces.push_back(Piece::Apart(large));
        }
        self.push_from(&mut out.bytes);
    }

    fn push(&mut self, mut bytes: Vec<u8>) {
        self.push_from(&mut bytes);
    }

    fn push_from(&mut self, bytes: &mut Vec<u8>) {
        match self.pieces.back_mut() {
            _ if bytes.is_empty() => {}
            Some(Piece::Own(last)) if last.len() + bytes.len() <= CHUNK => {
                last.append(bytes);
            }
            _ => {
                let spare = std::mem::take(&mut self.spare);
                self.pieces.push_back(Piece::Own(std::mem::replace(bytes, spare)));
            }
        }
    }

    /// What is to be sent next.
    pub(super) fn parts(&self) -> Vec<IoSlice<'_>> {
        let mut skip = self.sent;
        let pieces = self.pieces.iter().take(PARTS);
        let part = |piece| IoSlice::new(Piece::bytes(piece).get(std::mem::take(&mut skip)..).unwrap_or_default());
        pieces.map(part).collect()
    }

    /// So many bytes were sent.
    pub(super) fn sent(&mut self, mut count: usize) {
        self.left = self.left.saturating_sub(count);
        while let Some(piece) = self.pieces.front() {
            let rest = piece.bytes().len().saturating_sub(self.sent);
            if count < rest {
                self.sent += count;
                return;
            }
            count -= rest;
            self.sent = 0;
            if let Some(Piece::Own(mut bytes)) = self.pieces.pop_front() {
                bytes.clear();
                if bytes.capacity() <= KEEP {
                    self.spare = bytes;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::{Builder, LARGE};
    use std::rc::Rc;

    fn small(bytes: &[u8]) -> Out {
        let mut out = Out::default();
        out.bytes.extend_from_slice(bytes);
        out
    }

    /// All that is left, `count` bytes at a time.
    fn drained(outbox: &mut Outbox, count: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !outbox.is_empty() {
            let sent: Vec<u8> = outbox
                .parts()
                .iter()
                .flat_map(|part| part.to_vec())
                .take(count)
                .collect();
            outbox.sent(sent.len());
            all.extend(sent);
        }
        assert!(outbox.pieces.is_empty() && outbox.sent == 0);
        all
    }

    #[test]
    fn what_is_not_sent_is_counted_and_goes_out_in_its_order() {
        let mut outbox = Outbox::default();
        outbox.take(&mut small(&[1; 1000]));
        outbox.sent(990);
        outbox.take(&mut small(&[2; 90]));
        outbox.take(&mut small(&[3; 1]));
        outbox.take(&mut Out::default());
        assert_eq!(outbox.len(), 101);
        assert_eq!(drained(&mut outbox, 7), [&[1; 10][..], &[2; 90], &[3]].concat());
        assert_eq!(outbox.len(), 0);
    }

    #[test]
    fn large_values_go_out_in_their_places_from_where_they_lie() {
        let mut made = Builder::new();
        let values = [vec![b'a'; LARGE], b"small".to_vec(), vec![b'b'; LARGE + 1]];
        made.array(3);
        values.iter().for_each(|value| _ = made.string(value));
        let reply = Rc::new(made.finish().unwrap());
        let mut out = small(b"0");
        for value in reply.elements() {
            out.bytes.push(b'<');
            out.value(value, Some(&reply));
            out.bytes.push(b'>');
        }
        assert!(out.bytes.len() < 20);
        let mut behind = small(b"1");
        behind.append(out);
        let wanted = [b"10<", &values[0][..], b"><small><", &values[2], b">"].concat();
        assert_eq!(behind.len(), wanted.len());
        for count in [1000, 70_000, usize::MAX] {
            let mut outbox = Outbox::default();
            let mut out = Out::default();
            for value in reply.elements() {
                out.bytes.push(b'<');
                out.value(value, Some(&reply));
                out.bytes.push(b'>');
            }
            let mut all = small(b"10");
            all.append(out);
            outbox.take(&mut all);
            assert!(all.is_empty());
            assert!(drained(&mut outbox, count) == wanted, "{count}");
        }
    }
}
