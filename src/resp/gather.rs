//! The replies of a batch as one: decoded in place into an array, where each by itself would be made and then copied.

use super::decode::Decoder;
use super::limits::Budget;
use super::node::Kind;
use super::reply::Reply;
use super::state::{Gathered, State, Taken};

impl Decoder {
    /// The next `count` replies make one array; pushes between them are dropped. Where half a push was received it is
    /// not one of them, but comes by itself when it is whole, and the array begins behind it.
    pub fn gather(&mut self, count: usize) {
        match self.state.is_begun() {
            true => self.state.gathers = count,
            false => self.state.gather(count),
        }
    }

    /// Whether replies are being gathered, or will be.
    pub fn is_gathering(&self) -> bool {
        self.state.gathered.is_some() || self.state.gathers > 0
    }

    /// The replies gathered so far, when the rest will not come: the stream has ended or failed. The decoder is not to
    /// be used after that.
    pub fn take_gathered(&mut self) -> Option<Reply> {
        if let Some(saved) = self.saved.take() {
            return Some(saved);
        }
        let gathered = self.state.gathered?;
        self.state.tree.cut(gathered.nodes, gathered.count - gathered.left);
        Some(self.seal_until(gathered.bytes, &mut None))
    }
}

impl State {
    fn gather(&mut self, count: usize) {
        self.tree.aggregate(Kind::Array, count);
        if count > 0 {
            self.gathered = Some(Gathered {
                nodes: 2,
                bytes: 0,
                left: count,
                count,
            });
        }
    }

    /// Begins the array that had to wait for the end of a push.
    pub(super) fn gather_behind(&mut self) {
        match std::mem::take(&mut self.gathers) {
            0 => {}
            count => self.gather(count),
        }
    }

    /// Whether the next element is a reply to be gathered, and not within one.
    pub(super) fn is_between(&self) -> bool {
        self.gathered.is_some() && self.tree.nesting() == 1
    }

    /// An attribute is read like a map and leaves nothing, and so is a push between gathered replies. Each is charged as
    /// an element too, for a stream of empty ones in front of a reply that never comes must end somewhere.
    pub(super) fn aside(&mut self, live: &[u8], byte: u8, each: usize) -> Taken {
        let len = match self.length(live, byte)? {
            None => return Ok(false),
            // What no server sends is a reply here as it is elsewhere.
            Some(None) => return self.nil(),
            Some(Some(len)) => len,
        };
        self.deeper()?;
        let children = len.saturating_mul(each);
        self.budget.elements(children.saturating_add(1))?;
        self.tree.attribute(children);
        Ok(true)
    }

    /// Notes a reply that has become whole. The limits are those of each reply by itself.
    pub(super) fn note_gathered(&mut self) {
        let (left, nodes) = (self.tree.root_left(), self.tree.len());
        let Some(gathered) = &mut self.gathered else { return };
        if self.tree.nesting() == 1 && left < gathered.left {
            *gathered = Gathered {
                nodes,
                bytes: self.at,
                left,
                ..*gathered
            };
            self.budget = Budget::new(self.limits.max_bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::{DecodeError, Limits};

    const STREAM: &[u8] =
        b"+OK\r\n>2\r\n+message\r\n*1\r\n:1\r\n$3\r\nabc\r\n|1\r\n+k\r\n:9\r\n*2\r\n*1\r\n:7\r\n$-1\r\n-ERR no\r\n";

    fn shown(reply: &Reply) -> String {
        format!("{reply:?}")
    }

    #[test]
    fn gathered_replies_are_the_same_as_each_by_itself_wherever_they_are_cut() {
        let mut each = Decoder::new(Limits::default());
        each.feed(STREAM);
        let mut wanted = String::from("Array[4]");
        while let Some(reply) = each.next().unwrap() {
            if reply.kind() != Kind::Push {
                wanted += &format!(" {}", shown(&reply));
            }
        }
        for cut in 0..STREAM.len() {
            let mut decoder = Decoder::new(Limits::default());
            decoder.gather(4);
            let (before, behind) = STREAM.split_at(cut);
            decoder.feed(before);
            assert!(decoder.next().unwrap().is_none(), "cut at {cut}");
            decoder.feed(behind);
            let reply = decoder.next().unwrap().unwrap();
            crate::resp::tests::check(&reply);
            assert_eq!(shown(&reply), wanted, "cut at {cut}");
            assert!(decoder.is_empty());
        }
    }

    #[test]
    fn what_was_whole_at_the_end_of_the_stream_is_kept() {
        let ends: [(usize, usize); 5] = [(0, 0), (4, 0), (5, 1), (40, 2), (STREAM.len() - 1, 3)];
        for (end, whole) in ends {
            let mut decoder = Decoder::new(Limits::default());
            decoder.gather(4);
            decoder.feed(&STREAM[..end]);
            assert!(decoder.next().unwrap().is_none());
            let reply = decoder.take_gathered().unwrap();
            crate::resp::tests::check(&reply);
            assert_eq!(reply.len(), whole, "{end}: {reply:?}");
        }
    }

    #[test]
    fn what_was_whole_when_the_protocol_broke_is_kept() {
        let mut decoder = Decoder::new(Limits::default());
        decoder.gather(3);
        decoder.feed(b"+OK\r\n*2\r\n:1\r\nx");
        assert_eq!(decoder.next().unwrap_err(), DecodeError::UnknownType { byte: b'x' });
        let reply = decoder.take_gathered().unwrap();
        assert_eq!(shown(&reply), "Array[1] Status(\"OK\")");
    }

    #[test]
    fn the_limits_hold_for_each_reply_and_for_what_stands_between() {
        let limits = Limits {
            max_bytes: 2000,
            max_depth: 2,
        };
        let mut decoder = Decoder::new(limits);
        decoder.gather(100);
        decoder.feed(
            &format!("*1\r\n*1\r\n$500\r\n{}\r\n", "x".repeat(500))
                .into_bytes()
                .repeat(100),
        );
        assert_eq!(decoder.next().unwrap().unwrap().len(), 100);
        decoder.gather(1);
        decoder.feed(b"*1\r\n*1\r\n*1\r\n");
        assert_eq!(decoder.next().unwrap_err(), DecodeError::TooDeep { max: 2 });
        let mut decoder = Decoder::new(limits);
        decoder.gather(1);
        decoder.feed(&b">0\r\n".repeat(1000));
        assert!(decoder.next().is_err());
    }
}
