//! Work and memory stay in proportion to the bytes that came. Work is counted, never timed.

use super::super::{Decoder, Kind, Limits};
use super::{check, decode};

const KIB: usize = 1024;
const MIB: usize = 1024 * 1024;

/// Feeds `bytes` in pieces, asking for replies after each; gives the last reply and the bytes examined.
fn work(bytes: &[u8], piece: usize) -> (super::Reply, usize) {
    let mut decoder = Decoder::new(Limits::default());
    let mut last = None;
    for piece in bytes.chunks(piece) {
        decoder.feed(piece);
        while let Some(reply) = decoder.next().unwrap() {
            last = Some(reply);
        }
    }
    (last.unwrap(), decoder.examined())
}

#[test]
fn a_million_elements_are_read_once() {
    let bytes = format!("*1000000\r\n{}", "$6\r\nabcdef\r\n".repeat(1_000_000)).into_bytes();
    let (reply, examined) = work(&bytes, 64 * KIB);
    assert_eq!((reply.len(), reply.nodes().len()), (1_000_000, 1_000_001));
    assert_eq!(reply.at(999_999).unwrap().data(), b"abcdef");
    assert!(examined <= 2 * bytes.len(), "{examined} of {}", bytes.len());
}

#[test]
fn single_bytes_cost_no_more_than_a_few_looks_each() {
    for element in [
        "$6\r\nabcdef\r\n",
        ":123456789\r\n",
        "+a line of text\r\n",
        ",1.25\r\n",
        "*1\r\n:1\r\n",
        "%1\r\n+k\r\n_\r\n",
    ] {
        let bytes = format!("*100000\r\n{}", element.repeat(100_000)).into_bytes();
        let (reply, examined) = work(&bytes, 1);
        assert_eq!(reply.len(), 100_000);
        assert!(
            examined <= 4 * bytes.len(),
            "{element:?}: {examined} of {}",
            bytes.len()
        );
    }
}

#[test]
fn a_long_line_is_searched_once() {
    let bytes = format!("+{}\r\n", "x".repeat(60_000)).into_bytes();
    let (reply, examined) = work(&bytes, 1);
    assert_eq!(reply.data().len(), 60_000);
    assert!(examined <= 2 * bytes.len());
    let bytes = format!("+{}\r\n", "\n".repeat(60_000)).into_bytes();
    let (reply, examined) = work(&bytes, 1);
    assert_eq!(reply.data().len(), 60_000);
    assert!(examined <= 2 * bytes.len());
}

#[test]
fn pipelined_replies_do_not_move_the_rest() {
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(&b"$3\r\nabc\r\n".repeat(100_000));
    let first = decoder.live_address();
    for n in 0..100_000 {
        assert_eq!(decoder.live_address(), first + n * 9);
        assert_eq!(decoder.next().unwrap().unwrap().data(), b"abc");
    }
    assert!(decoder.next().unwrap().is_none() && decoder.is_empty());
}

#[test]
fn a_large_value_is_received_in_its_final_place() {
    for len in [64 * KIB, MIB] {
        let mut decoder = Decoder::new(Limits::default());
        decoder.feed(format!("${len}\r\n").as_bytes());
        assert!(decoder.next().unwrap().is_none());
        let mut left = len;
        let place = decoder.spare().as_ptr().addr();
        assert!(decoder.spare().len() >= len + 2);
        while left > 0 {
            let spare = decoder.spare();
            assert!(spare.len() >= left + 2);
            let now = left.min(10_000);
            spare[..now].fill(b'v');
            decoder.filled(now);
            assert!(decoder.next().unwrap().is_none());
            left -= now;
        }
        decoder.feed(b"\r\n");
        let reply = decoder.next().unwrap().unwrap();
        check(&reply);
        assert_eq!(reply.root().node().data, place);
        assert!(reply.data().len() == len && reply.data().iter().all(|&byte| byte == b'v'));
        assert!(decoder.is_empty());
    }
}

#[test]
fn a_reply_holds_no_more_than_its_limit() {
    for element in [
        "$0\r\n\r\n",
        ":1\r\n",
        "*1\r\n_\r\n",
        "$1\r\na\r\n",
        "$40\r\n0123456789012345678901234567890123456789\r\n",
    ] {
        let mut decoder = Decoder::new(Limits {
            max_bytes: MIB,
            ..Limits::default()
        });
        // The most elements that are allowed.
        let of = |count: usize| format!("*{count}\r\n{}", element.repeat(count));
        let is_allowed = |count: usize| {
            let mut decoder = Decoder::new(Limits {
                max_bytes: MIB,
                ..Limits::default()
            });
            decoder.feed(of(count).as_bytes());
            matches!(decoder.next(), Ok(Some(_)))
        };
        let (mut least, mut most) = (1, MIB);
        while least + 1 < most {
            let middle = (least + most) / 2;
            if is_allowed(middle) {
                least = middle
            } else {
                most = middle
            }
        }
        decoder.feed(of(least).as_bytes());
        let held = decoder.next().unwrap().unwrap().memory();
        // Something more for the head, and for what a buffer is longer than its bytes.
        assert!(held <= MIB + 16 * KIB, "{least} times {element:?}: {held}");
        assert!(held >= MIB / 2, "{least} times {element:?}: {held}");
    }
}

#[test]
fn a_large_value_goes_without_what_stands_behind_it() {
    let value = format!("${MIB}\r\n{}\r\n", "v".repeat(MIB));
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(format!("{value}+OK\r\n{value}*2\r\n:1\r\n").as_bytes());
    for expected in [MIB, 2, MIB] {
        let reply = decoder.next().unwrap().unwrap();
        check(&reply);
        assert_eq!(reply.data().len(), expected);
        assert!(reply.bytes_held() <= (expected * 3).max(48), "{}", reply.bytes_held());
    }
    assert!(decoder.next().unwrap().is_none());
    decoder.feed(b":2\r\n");
    assert_eq!(decoder.next().unwrap().unwrap().at(1).unwrap().integer(), 2);
}

#[test]
fn bytes_behind_a_large_value_do_not_move_it_one_by_one() {
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(b"$100000\r\n");
    assert!(decoder.next().unwrap().is_none());
    for byte in [&[b'v'; 100_000][..], b"\r\n", &b":1\r\n".repeat(500)].concat() {
        decoder.feed(&[byte]);
    }
    assert!(decoder.moved() <= 300_000, "{}", decoder.moved());
    assert_eq!(decoder.next().unwrap().unwrap().data().len(), 100_000);
}

#[test]
fn many_large_values_in_pieces_of_any_size() {
    for piece in [1000, 16 * KIB, 100_000] {
        let value = |n: usize| "v".repeat(n * 10_007);
        let stream: String = (0..40)
            .map(|n| format!("${}\r\n{}\r\n", n * 10_007, value(n)))
            .collect();
        let mut decoder = Decoder::new(Limits::default());
        let mut taken = 0;
        for piece in stream.as_bytes().chunks(piece) {
            decoder.feed(piece);
            while let Some(reply) = decoder.next().unwrap() {
                check(&reply);
                assert_eq!(reply.data(), value(taken).as_bytes());
                taken += 1;
            }
        }
        assert_eq!(taken, 40);
    }
}

#[test]
fn received_bytes_move_a_bounded_number_of_times() {
    // Elements that make the buffer grow at odd places, in an array and as one value.
    for (size, count) in [(20_000, 500), (100, 50_000), (300_000, 30), (10_000_000, 1)] {
        let one = format!("${size}\r\n{}\r\n", "x".repeat(size));
        let array = format!("*{count}\r\n{}", one.repeat(count)).into_bytes();
        for (bytes, count) in [(array, count), (one.into_bytes(), 0)] {
            let mut decoder = Decoder::new(Limits::default());
            let mut replies = 0;
            for piece in bytes.chunks(7000) {
                decoder.feed(piece);
                if let Some(reply) = decoder.next().unwrap() {
                    assert_eq!(reply.len(), count);
                    replies += 1;
                }
            }
            assert_eq!(replies, 1);
            assert!(
                decoder.moved() <= 3 * bytes.len(),
                "{} of {}",
                decoder.moved(),
                bytes.len()
            );
        }
    }
}

#[test]
fn a_backlog_that_is_read_slowly_does_not_move_again_and_again() {
    let one = b"$3\r\nabc\r\n";
    let mut decoder = Decoder::new(Limits::default());
    // A backlog that leaves just a little more room than a read must find.
    decoder.feed(&one.repeat((MIB - 20 * KIB) / one.len()));
    let before = decoder.moved();
    let turns = 200_000;
    for _ in 0..turns {
        assert!(decoder.next().unwrap().is_some());
        decoder.feed(one);
    }
    let moved = decoder.moved() - before;
    assert!(
        moved <= 2 * turns * one.len() + 2 * MIB,
        "{moved} of {}",
        turns * one.len()
    );
}

#[test]
fn a_stream_that_never_pauses_stays_in_one_buffer() {
    let mut decoder = Decoder::new(Limits::default());
    let mut places = std::collections::BTreeSet::new();
    // There is always the beginning of a further reply.
    decoder.feed(b":1");
    for _ in 0..100_000 {
        decoder.feed(b"2345\r\n:1");
        assert_eq!(decoder.next().unwrap().unwrap().integer(), 12345);
        let spare = decoder.spare();
        places.insert(spare.as_ptr().addr() + spare.len());
    }
    assert!(places.len() <= 3, "{} buffers", places.len());
}

#[test]
fn a_large_value_gets_its_room_in_a_busy_buffer_too() {
    let mut decoder = Decoder::new(Limits::default());
    let full = decoder.spare().len();
    decoder.feed(&b":1\r\n".repeat(full / 4));
    while decoder.next().unwrap().is_some() {}
    assert_eq!(decoder.spare().len(), 64 * KIB);
    decoder.feed(b"$1048576\r\n");
    assert!(decoder.next().unwrap().is_none());
    assert!(decoder.spare().len() >= MIB + 2);
}

#[test]
fn replies_of_a_long_pipeline_are_copied_out_of_it() {
    let one = format!("$20000\r\n{}\r\n", "x".repeat(20_000)).into_bytes();
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(&one.repeat(100));
    let before = decoder.moved();
    for _ in 0..100 {
        let reply = decoder.next().unwrap().unwrap();
        assert!(reply.bytes_held() <= 25_100, "{}", reply.bytes_held());
    }
    assert!(decoder.is_empty());
    assert!(decoder.moved() - before <= 100 * one.len());
}

#[test]
fn spare_is_never_empty_and_normally_16_kib() {
    let mut decoder = Decoder::new(Limits::default());
    for turn in 0..3000 {
        let spare = decoder.spare();
        assert!(spare.len() >= 16 * KIB, "{} in turn {turn}", spare.len());
        decoder.feed(b"*3\r\n:1\r\n$4\r\nabcd\r\n");
        if turn % 7 == 0 {
            while decoder.next().unwrap().is_some() {}
        }
        if turn % 2 == 0 {
            decoder.feed(b"+OK\r\n");
        }
    }
}

#[test]
fn a_busy_connection_gets_a_larger_buffer() {
    let mut decoder = Decoder::new(Limits::default());
    let full = decoder.spare().len();
    decoder.feed(&b":1\r\n".repeat(full / 4));
    while decoder.next().unwrap().is_some() {}
    assert_eq!(decoder.spare().len(), 64 * KIB);
}

#[test]
fn trim_gives_back_what_large_replies_took() {
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(&b":1\r\n".repeat(MIB));
    decoder.trim();
    assert!(decoder.next().unwrap().is_some(), "nothing is lost inside the stream");
    while decoder.next().unwrap().is_some() {}
    assert!(decoder.spare().len() > MIB);
    decoder.trim();
    assert!(decoder.spare().len() <= 64 * KIB);
    decoder.feed(format!("*1300\r\n{}", ":1\r\n".repeat(1300)).as_bytes());
    assert_eq!(decoder.next().unwrap().unwrap().kind(), Kind::Array);
}

#[test]
fn small_values_of_one_pipeline_do_not_share_a_buffer() {
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(&b"$3\r\nabc\r\n".repeat(1000));
    while let Some(reply) = decoder.next().unwrap() {
        assert_eq!(reply.bytes_held(), 48);
    }
    let large = decode(format!("*3000\r\n{}", "$5\r\nhello\r\n".repeat(3000)).as_bytes());
    assert!(large.bytes_held() < 50_000);
}
