//! However a stream of replies and pushes is cut, and wherever in it a batch begins: gathered replies are those that come
//! one by one, and a push is none of them.

use proptest::prelude::*;

use super::super::{Decoder, Kind, Limits, Reply};
use super::splits::{aggregate, frame, value};
use super::{Shape, check, shape};

/// What one exchange brings: replies, with pushes in front of each; those behind the last may come in part before the
/// next exchange begins.
type Exchange = Vec<(Vec<Vec<u8>>, Vec<u8>)>;

fn push() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => prop::collection::vec(value(), 0..4).prop_map(|items| aggregate(">", items.len(), &items)),
        1 => (any::<u8>(), 16_000usize..20_000).prop_map(|(byte, len)| {
            let parts = [frame("$", b"invalidate"), aggregate("*", 1, &[frame("$", &vec![byte; len])])];
            aggregate(">", 2, &parts)
        }),
    ]
}

fn exchange() -> impl Strategy<Value = Exchange> {
    prop::collection::vec((prop::collection::vec(push(), 0..3), value()), 1..5)
}

/// The replies of each exchange as they come one by one, from a stream in one piece.
fn one_by_one(exchanges: &[Exchange]) -> Vec<Vec<Vec<Shape>>> {
    let mut decoder = Decoder::new(Limits::default());
    let parts = exchanges
        .iter()
        .flatten()
        .flat_map(|(pushes, reply)| pushes.iter().chain([reply]));
    parts.for_each(|part| decoder.feed(part));
    let mut next = || loop {
        let reply = decoder.next().unwrap().unwrap();
        if reply.kind() != Kind::Push {
            return shape(&reply);
        }
    };
    exchanges
        .iter()
        .map(|exchange| exchange.iter().map(|_| next()).collect())
        .collect()
}

/// One level up, as an element is by itself.
fn raised(shapes: &[Shape]) -> Vec<Shape> {
    let up = |shape: &Shape| Shape {
        depth: shape.depth - 1,
        ..shape.clone()
    };
    shapes.iter().map(up).collect()
}

/// The elements of an array, each as it would be by itself.
fn elements(all: &Reply) -> Vec<Vec<Shape>> {
    check(all);
    let shapes = shape(all);
    assert_eq!(shapes[0].kind, Kind::Array);
    let begins: Vec<usize> = (1..shapes.len()).filter(|&at| shapes[at].depth == 1).collect();
    let ends = begins.iter().skip(1).copied().chain([shapes.len()]);
    begins
        .iter()
        .zip(ends)
        .map(|(begin, end)| raised(&shapes[*begin..end]))
        .collect()
}

/// Feeds one exchange in pieces, the last bytes of its stream as far as `ahead` reaches, and takes what comes of it as a
/// connection does: whatever is a push is nobody's.
struct Cut<'a> {
    decoder: Decoder,
    rest: &'a [u8],
    sizes: Vec<usize>,
    turn: usize,
}

impl Cut<'_> {
    fn feed(&mut self, most: usize) {
        let size = self.sizes[self.turn % self.sizes.len()].min(most).min(self.rest.len());
        self.turn += 1;
        let (now, later) = self.rest.split_at(size);
        self.decoder.feed(now);
        self.rest = later;
    }

    fn reply(&mut self) -> Reply {
        loop {
            match self.decoder.next().unwrap() {
                Some(reply) if reply.kind() == Kind::Push => {}
                Some(reply) => return reply,
                None => {
                    assert!(!self.rest.is_empty(), "the stream ended before the reply was whole");
                    self.feed(usize::MAX);
                }
            }
        }
    }

    /// Receives `bytes` while nobody asked: pushes, whole and in part.
    fn between(&mut self, mut bytes: usize) {
        while bytes > 0 {
            let before = self.rest.len();
            self.feed(bytes);
            bytes -= before - self.rest.len();
            while let Some(reply) = self.decoder.next().unwrap() {
                assert_eq!(reply.kind(), Kind::Push);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn a_batch_that_begins_within_a_push_is_the_same_as_its_replies_one_by_one(
        exchanges in prop::collection::vec((exchange(), any::<prop::sample::Index>(), any::<bool>()), 1..5),
        sizes in prop::collection::vec(prop_oneof![3 => 1usize..8, 2 => 1usize..200, 1 => 1usize..30_000], 1..40),
    ) {
        let plain: Vec<Exchange> = exchanges.iter().map(|(exchange, ..)| exchange.clone()).collect();
        let wanted = one_by_one(&plain);
        let mut cut = Cut { decoder: Decoder::new(Limits::default()), rest: &[], sizes, turn: 0 };
        for ((exchange, place, gathers), wanted) in exchanges.iter().zip(wanted) {
            let stream: Vec<u8> = exchange.iter().flat_map(|(pushes, reply)| [pushes.concat(), reply.clone()].concat()).collect();
            let first: usize = exchange[0].0.iter().map(Vec::len).sum();
            let mut here = Cut { rest: &stream, ..cut };
            here.between(place.index(first + 1));
            let replies = if *gathers {
                here.decoder.gather(exchange.len());
                elements(&here.reply())
            } else {
                exchange.iter().map(|_| shape(&here.reply())).collect()
            };
            prop_assert_eq!(replies, wanted);
            // A reply may be taken before the rest of its piece; nothing is behind it here.
            prop_assert!(here.decoder.is_empty() && here.rest.is_empty());
            cut = Cut { rest: &[], ..here };
        }
    }
}

#[test]
fn a_batch_may_begin_at_any_byte_of_a_push() {
    let push = b">3\r\n$7\r\nmessage\r\n|1\r\n+k\r\n:1\r\n*1\r\n:5\r\n$2\r\nhi\r\n".as_slice();
    let replies = b"*1\r\n+a\r\n$1\r\nb\r\n";
    for cut in 0..=push.len() {
        let mut decoder = Decoder::new(Limits::default());
        decoder.feed(&push[..cut]);
        while decoder.next().unwrap().is_some() {}
        decoder.gather(2);
        assert!(decoder.is_gathering(), "cut at {cut}");
        decoder.feed(&[&push[cut..], replies].concat());
        let mut reply = decoder.next().unwrap().unwrap();
        if reply.kind() == Kind::Push {
            reply = decoder.next().unwrap().unwrap();
        }
        assert_eq!(
            format!("{reply:?}"),
            "Array[2] Array[1] Status(\"a\") String(\"b\")",
            "cut at {cut}"
        );
        assert!(decoder.is_empty() && !decoder.is_gathering());
    }
}

#[test]
fn an_end_within_the_push_in_front_of_a_batch_leaves_nothing_of_it() {
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(b">2\r\n+a\r\n");
    assert!(decoder.next().unwrap().is_none());
    decoder.gather(2);
    assert!(decoder.take_gathered().is_none());
    decoder.feed(b"x");
    assert!(decoder.next().is_err());
    assert!(decoder.take_gathered().is_none());
}
