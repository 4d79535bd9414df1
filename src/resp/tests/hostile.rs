//! Bytes made to hurt: no abort, no panic, no memory for what was only announced.

use super::super::{DecodeError, Decoder, Limits};
use super::{decode, error};

const MIB: usize = 1024 * 1024;

#[test]
fn ten_megabytes_of_nesting_end_in_an_error() {
    for unit in ["*1\r\n", "%1\r\n", "|1\r\n", "~1\r\n", "|1\r\n:1\r\n"] {
        let bytes = unit.repeat(10 * MIB / unit.len()).into_bytes();
        assert_eq!(error(&bytes, Limits::default()), DecodeError::TooDeep { max: 128 });
    }
}

#[test]
fn a_great_depth_allowed_by_the_user_does_not_recurse() {
    let limits = Limits {
        max_depth: usize::MAX,
        ..Limits::default()
    };
    let depth = 500_000;
    let mut decoder = Decoder::new(limits);
    decoder.feed(format!("{}:1\r\n", "*1\r\n".repeat(depth)).as_bytes());
    let reply = decoder.next().unwrap().unwrap();
    assert_eq!(reply.nodes().len(), depth + 1);
    let mut value = reply.root();
    while let Some(below) = value.at(0) {
        value = below;
    }
    assert_eq!(value.integer(), 1);
    assert!(!format!("{reply:?}").is_empty());
}

#[test]
fn a_huge_array_header_is_refused_or_costs_nothing() {
    let refused = error(b"*2147483647\r\n", Limits::default());
    assert_eq!(
        refused,
        DecodeError::AggregateTooLarge {
            elements: 2_147_483_647,
            max: 536_870_912
        }
    );
    let mut decoder = Decoder::new(Limits {
        max_bytes: usize::MAX,
        ..Limits::default()
    });
    decoder.feed(b"*2147483647\r\n");
    assert!(decoder.next().unwrap().is_none());
    assert!(decoder.spare().len() <= 64 * 1024);
    // The largest allowed by default: 8,388,608 elements are only counted.
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(b"*8388608\r\n");
    assert!(decoder.next().unwrap().is_none());
    assert!(decoder.scratch() < 64 * 1024);
    let refused = error(b"*8388609\r\n", Limits::default());
    assert_eq!(
        refused,
        DecodeError::AggregateTooLarge {
            elements: 8_388_609,
            max: 536_870_912
        }
    );
}

#[test]
fn a_lying_bulk_header_costs_nothing() {
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(b"$536870912\r\n0123456789");
    assert!(decoder.next().unwrap().is_none());
    assert!(decoder.spare().len() < 2 * MIB);
    // Nor does it when the bytes come one by one, and what is allocated follows what has come.
    for received in 10..5000 {
        decoder.feed(b"x");
        assert!(decoder.next().unwrap().is_none());
        assert!(decoder.spare().len() <= 2 * MIB, "after {received} bytes");
    }
    decoder.feed(&vec![b'x'; 3 * MIB]);
    assert!(decoder.next().unwrap().is_none());
    assert!(decoder.spare().len() <= 4 * MIB);
    assert_eq!(
        error(b"$536870913\r\n", Limits::default()),
        DecodeError::BulkTooLarge {
            len: 536_870_913,
            max: 536_870_912
        }
    );
}

#[test]
fn a_stream_of_lying_bulk_headers_in_arrays_costs_nothing() {
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(b"*3\r\n$1000000\r\n");
    assert!(decoder.next().unwrap().is_none());
    assert!(decoder.spare().len() <= 2 * MIB);
}

#[test]
fn endless_attributes_in_front_of_nothing_are_refused() {
    let bytes = b"|0\r\n".repeat(1000);
    let limits = Limits {
        max_bytes: 999 * 64,
        ..Limits::default()
    };
    assert_eq!(error(&bytes, limits), DecodeError::ReplyTooLarge { max: 999 * 64 });
    let limits = Limits {
        max_bytes: 1000 * 64,
        ..Limits::default()
    };
    let mut decoder = Decoder::new(limits);
    decoder.feed(&bytes);
    decoder.feed(b":1\r\n");
    assert_eq!(decoder.next().unwrap().unwrap().integer(), 1);
}

#[test]
fn replies_that_redis_protocol_loses_are_kept() {
    // SENTINEL.md, section 3.
    assert_eq!(
        format!("{:?}", decode(b"*3\r\n*-1\r\n~-1\r\n:1\r\n")),
        "Array[3] Nil Nil Integer(1)"
    );
    assert_eq!(
        format!("{:?}", decode(b"~1\r\n*1\r\n:1\r\n")),
        "Set[1] Array[1] Integer(1)"
    );
    assert_eq!(decode(b"=7\r\nxyz:abc\r\n").data(), b"abc");
    assert_eq!(decode(b"%2\r\n+k\r\n:1\r\n+k\r\n:2\r\n").len(), 2);
}
