//! Replies on their way to a peer: so many bytes at most, for one that does not read. No I/O.

/// A buffer that large is given back once it is empty.
const KEEP: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
    most: usize,
}

impl Outbox {
    /// Empty; it holds `most` bytes, and a single reply of any size.
    pub(super) fn new(most: usize) -> Outbox {
        Outbox {
            bytes: Vec::new(),
            sent: 0,
            most,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Takes over what is to be sent. False when there would be too much.
    pub(super) fn take(&mut self, bytes: &mut Vec<u8>) -> bool {
        if self.is_empty() {
            std::mem::swap(&mut self.bytes, bytes);
            bytes.clear();
            self.sent = 0;
            return true;
        }
        if bytes.is_empty() {
            return true;
        }
        if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.append(bytes);
        bytes.shrink_to(KEEP);
        self.bytes.len() - self.sent <= self.most
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    /// So many of them were sent.
    pub(super) fn sent(&mut self, count: usize) {
        self.sent = (self.sent + count).min(self.bytes.len());
        if self.is_empty() {
            self.sent = 0;
            self.bytes.clear();
            self.bytes.shrink_to(KEEP);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_sent_is_bounded_but_for_a_single_reply() {
        let mut outbox = Outbox::new(100);
        assert!(outbox.take(&mut vec![1; 1000]));
        outbox.sent(990);
        assert!(outbox.take(&mut vec![2; 90]));
        assert_eq!(outbox.bytes().len(), 100);
        assert_eq!(outbox.bytes().first(), Some(&1));
        assert!(!outbox.take(&mut vec![3; 1]));
        outbox.sent(101);
        assert!(outbox.is_empty() && outbox.take(&mut Vec::new()));
    }
}
