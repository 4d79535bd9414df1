//! Every type, every malformed input, every limit at, below and above it.

use super::super::limits::{NUMBER_LINE, TEXT_LINE};
use super::super::{DecodeError, Decoder, Kind, Limits};
use super::{decode, decode_all, error, shape};

#[test]
fn decodes_every_type() {
    let table: &[(&str, &str)] = &[
        ("+OK\r\n", "Status(\"OK\")"),
        ("+\r\n", "Status(\"\")"),
        ("+a\rb\nc\n\r\r\n", "Status(\"a\\rb\\nc\\n\\r\")"),
        ("-ERR no\r\n", "Error(\"ERR no\")"),
        ("!7\r\nERR \r\nx\r\n", "Error(\"ERR \\r\\nx\")"),
        (":0\r\n", "Integer(0)"),
        (":+5\r\n", "Integer(5)"),
        (":-5\r\n", "Integer(-5)"),
        (":9223372036854775807\r\n", "Integer(9223372036854775807)"),
        (":-9223372036854775808\r\n", "Integer(-9223372036854775808)"),
        ("$0\r\n\r\n", "String(\"\")"),
        ("$5\r\nab\r\nc\r\n", "String(\"ab\\r\\nc\")"),
        ("$-1\r\n", "Nil"),
        ("*-1\r\n", "Nil"),
        ("~-1\r\n", "Nil"),
        ("%-1\r\n", "Nil"),
        (">-1\r\n", "Nil"),
        ("_\r\n", "Nil"),
        ("#t\r\n", "Bool(1)"),
        ("#f\r\n", "Bool(0)"),
        (",1.25\r\n", "Double(\"1.25\")"),
        (",-1e-3\r\n", "Double(\"-1e-3\")"),
        (",inf\r\n", "Double(\"inf\")"),
        (",-inf\r\n", "Double(\"-inf\")"),
        (",nan\r\n", "Double(\"nan\")"),
        (
            "(-3492890328409238509324850943850943825024385\r\n",
            "BigNumber(\"-3492890328409238509324850943850943825024385\")",
        ),
        ("=8\r\ntxt:ab\r\n\r\n", "Verbatim(\"ab\\r\\n\")"),
        ("=4\r\nxyz:\r\n", "Verbatim(\"\")"),
        ("*0\r\n", "Array[0]"),
        ("*2\r\n:1\r\n*1\r\n$-1\r\n", "Array[2] Integer(1) Array[1] Nil"),
        ("~2\r\n+a\r\n*1\r\n:1\r\n", "Set[2] Status(\"a\") Array[1] Integer(1)"),
        (
            ">2\r\n+message\r\n$1\r\nx\r\n",
            "Push[2] Status(\"message\") String(\"x\")",
        ),
        ("%0\r\n", "Map[0]"),
        (
            "%2\r\n+a\r\n:1\r\n+a\r\n:2\r\n",
            "Map[2] Status(\"a\") Integer(1) Status(\"a\") Integer(2)",
        ),
        ("%1\r\n*1\r\n:1\r\n:2\r\n", "Map[1] Array[1] Integer(1) Integer(2)"),
        ("|1\r\n+ttl\r\n:9\r\n+OK\r\n", "Status(\"OK\")"),
        (
            "|0\r\n*1\r\n|1\r\n+a\r\n*1\r\n*1\r\n:3\r\n+x\r\n",
            "Array[1] Status(\"x\")",
        ),
        ("|1\r\n|1\r\n:1\r\n:2\r\n+k\r\n%1\r\n:1\r\n:2\r\n:7\r\n", "Integer(7)"),
        ("|1\r\n+a\r\n:1\r\n>1\r\n+x\r\n", "Push[1] Status(\"x\")"),
    ];
    for (bytes, shown) in table {
        assert_eq!(format!("{:?}", decode(bytes.as_bytes())), *shown, "{bytes:?}");
    }
}

#[test]
fn keeps_the_value_of_every_double() {
    for (text, value) in [
        ("1.25", 1.25),
        ("-0", -0.0),
        ("inf", f64::INFINITY),
        ("-inf", f64::NEG_INFINITY),
        ("10", 10.0),
    ] {
        let reply = decode(format!(",{text}\r\n").as_bytes());
        assert_eq!(reply.double().to_bits(), f64::to_bits(value));
        assert_eq!(reply.data(), text.as_bytes());
    }
    for text in ["nan", "-nan", "nan(0x8000000000000)", "-nan(ind)", "nan(snan)", "nan()"] {
        let reply = decode(format!(",{text}\r\n").as_bytes());
        assert!(reply.double().is_nan());
        assert_eq!(reply.data(), text.as_bytes());
    }
    for value in [0.1, f64::MAX, f64::MIN_POSITIVE, 5e-324, 0.1 + 0.2] {
        assert_eq!(
            decode(format!(",{value}\r\n").as_bytes()).double().to_bits(),
            f64::to_bits(value)
        );
        assert_eq!(
            decode(format!(",{value:e}\r\n").as_bytes()).double().to_bits(),
            f64::to_bits(value)
        );
    }
}

#[test]
fn refuses_everything_malformed() {
    use DecodeError::*;
    let table: &[(&str, DecodeError)] = &[
        ("HTTP/1.1 400 Bad Request\r\n", UnknownType { byte: b'H' }),
        ("\r\n", UnknownType { byte: b'\r' }),
        ("\x15\x03", UnknownType { byte: 0x15 }),
        ("$?\r\n", Streamed { byte: b'$' }),
        ("*?\r\n", Streamed { byte: b'*' }),
        ("%?\r\n", Streamed { byte: b'%' }),
        ("|?\r\n", Streamed { byte: b'|' }),
        (";4\r\n", Streamed { byte: b';' }),
        (".\r\n", Streamed { byte: b'.' }),
        (":\r\n", InvalidInteger),
        (":-\r\n", InvalidInteger),
        (":+-1\r\n", InvalidInteger),
        (":1a\r\n", InvalidInteger),
        (": 1\r\n", InvalidInteger),
        (":1\n", InvalidInteger),
        (":1\r1\r\n", InvalidInteger),
        (":1.5\r\n", InvalidInteger),
        (":9223372036854775808\r\n", InvalidInteger),
        (":-9223372036854775809\r\n", InvalidInteger),
        (":18446744073709551616\r\n", InvalidInteger),
        ("$\r\n", InvalidLength { byte: b'$' }),
        ("$+1\r\n", InvalidLength { byte: b'$' }),
        ("$1x\r\n", InvalidLength { byte: b'$' }),
        ("*99999999999999999999\r\n", InvalidLength { byte: b'*' }),
        ("$-2\r\n", NegativeLength { byte: b'$' }),
        ("*-2\r\n", NegativeLength { byte: b'*' }),
        ("=-1\r\n", NegativeLength { byte: b'=' }),
        ("!-1\r\n", NegativeLength { byte: b'!' }),
        ("|-1\r\n", NegativeLength { byte: b'|' }),
        (",\r\n", InvalidDouble),
        (",1,5\r\n", InvalidDouble),
        (",1\r5\r\n", InvalidDouble),
        (",nan(\r\n", InvalidDouble),
        (",nan(0x8)1\r\n", InvalidDouble),
        (",nan(1 2)\r\n", InvalidDouble),
        (",inf(1)\r\n", InvalidDouble),
        ("#\r\n\r\n", InvalidBoolean),
        ("#x", InvalidBoolean),
        ("#true\r\n", InvalidBoolean),
        ("(\r\n", InvalidBigNumber),
        ("(-\r\n", InvalidBigNumber),
        ("(1.5\r\n", InvalidBigNumber),
        ("_x\r\n", InvalidNull),
        ("_\rx", InvalidNull),
        ("=3\r\ntxt\r\n", InvalidVerbatim),
        ("=5\r\ntxtab\r\n", InvalidVerbatim),
        ("$3\r\nabcXX", MissingLineEnd),
        ("$3\r\nabcd\r\n", MissingLineEnd),
        ("$3\r\nabc\r\r", MissingLineEnd),
        ("*1\r\n>1\r\n:1\r\n", MisplacedPush),
        ("%1\r\n+a\r\n>-1\r\n", MisplacedPush),
        ("|1\r\n>1\r\n:1\r\n", MisplacedPush),
    ];
    for (bytes, expected) in table {
        assert_eq!(error(bytes.as_bytes(), Limits::default()), *expected, "{bytes:?}");
        // The same from an element of an array, and behind a good reply.
        if *expected != MisplacedPush {
            assert_eq!(
                error(format!("*2\r\n:1\r\n{bytes}").as_bytes(), Limits::default()),
                *expected,
                "{bytes:?}"
            );
        }
        assert_eq!(
            error(format!("+OK\r\n{bytes}").as_bytes(), Limits::default()),
            *expected,
            "{bytes:?}"
        );
        assert!(!expected.to_string().contains('\n'));
    }
}

#[test]
fn says_what_is_wrong_in_words() {
    let small = Limits {
        max_bytes: 512,
        max_depth: 2,
    };
    for (bytes, text) in [
        ("HTTP", "not RESP: 'H' (an HTTP server?)"),
        ("\x01", "not RESP: 0x01"),
        ("$999\r\n", "a bulk string of 999 bytes is over max_reply_bytes (512)"),
        (
            "*33\r\n",
            "an aggregate of 33 elements (64 bytes each) is over max_reply_bytes (512)",
        ),
        (
            "*1\r\n*1\r\n*1\r\n",
            "the reply is nested deeper than max_reply_depth (2)",
        ),
        ("*?\r\n", "a streamed reply ('*') is not supported"),
        (
            ":000000000000000000000000000000000",
            "a length line is too long (over 32 bytes)",
        ),
    ] {
        assert_eq!(error(bytes.as_bytes(), small).to_string(), text);
    }
}

#[test]
fn stays_failed_and_takes_no_more() {
    let mut decoder = Decoder::new(Limits::default());
    decoder.feed(b":x\r\n+OK\r\n");
    for _ in 0..1000 {
        assert_eq!(decoder.next().unwrap_err(), DecodeError::InvalidInteger);
        decoder.feed(&[b'+'; 10_000]);
        assert!(!decoder.is_empty());
    }
    assert!(decoder.spare().len() <= 64 * 1024);
}

#[test]
fn holds_the_limit_of_bytes_at_the_header() {
    let limits = |max_bytes| Limits {
        max_bytes,
        max_depth: 128,
    };
    let accepted = |bytes: &str, max| assert!(decode_all(bytes.as_bytes(), limits(max)).is_ok(), "{bytes:?} {max}");
    let refused = |bytes: &str, max, expected| assert_eq!(error(bytes.as_bytes(), limits(max)), expected, "{bytes:?}");
    // One string: exactly the limit is fine, and one more is refused before any of it has come.
    accepted("$10\r\n0123456789\r\n", 10);
    refused("$11\r\n", 10, DecodeError::BulkTooLarge { len: 11, max: 10 });
    refused("!11\r\n", 10, DecodeError::BulkTooLarge { len: 11, max: 10 });
    accepted("=10\r\ntxt:456789\r\n", 10);
    refused("=11\r\n", 10, DecodeError::BulkTooLarge { len: 11, max: 10 });
    // Lines, as soon as they cannot fit.
    accepted("+0123456789\r\n", 10);
    refused("+01234567890", 10, DecodeError::ReplyTooLarge { max: 10 });
    refused("-01234567890\r\n", 10, DecodeError::ReplyTooLarge { max: 10 });
    // 64 bytes an element, and the payloads besides.
    accepted("*2\r\n:1\r\n:2\r\n", 128);
    refused("*2\r\n", 127, DecodeError::AggregateTooLarge { elements: 2, max: 127 });
    accepted("*2\r\n$1\r\na\r\n+b\r\n", 130);
    refused("*2\r\n$1\r\na\r\n+b\r\n", 129, DecodeError::ReplyTooLarge { max: 129 });
    refused("*1\r\n$66\r\n", 129, DecodeError::ReplyTooLarge { max: 129 });
    refused("*1\r\n$130\r\n", 129, DecodeError::BulkTooLarge { len: 130, max: 129 });
    refused("*1\r\n*2\r\n", 191, DecodeError::ReplyTooLarge { max: 191 });
    accepted("%1\r\n:1\r\n:2\r\n", 128);
    refused("%1\r\n", 127, DecodeError::AggregateTooLarge { elements: 2, max: 127 });
    // Attributes cost as a map does, and as one element.
    accepted("|1\r\n:1\r\n:2\r\n:3\r\n", 192);
    refused("|1\r\n", 191, DecodeError::AggregateTooLarge { elements: 3, max: 191 });
    // Each reply begins anew.
    accepted("+0123456789\r\n+0123456789\r\n", 10);
    refused(
        "*9223372036854775807\r\n",
        usize::MAX,
        DecodeError::AggregateTooLarge {
            elements: usize::MAX / 2,
            max: usize::MAX,
        },
    );
    refused("*4294967291\r\n", usize::MAX, DecodeError::TooManyElements);
}

#[test]
fn holds_the_limit_of_depth() {
    for (one, leaf) in [
        ("*1\r\n", ":1\r\n"),
        ("~1\r\n", ":1\r\n"),
        ("%1\r\n:1\r\n", ":1\r\n"),
        ("|1\r\n:1\r\n", ":1\r\n"),
    ] {
        for max_depth in [0, 1, 2, 128] {
            let limits = Limits {
                max_depth,
                ..Limits::default()
            };
            let nest = |depth: usize| format!("{}{leaf}", one.repeat(depth));
            let mut decoder = Decoder::new(limits);
            decoder.feed(nest(max_depth).as_bytes());
            assert!(decoder.next().is_ok(), "{one:?} {max_depth}");
            assert_eq!(
                error(nest(max_depth + 1).as_bytes(), limits),
                DecodeError::TooDeep { max: max_depth }
            );
        }
    }
    let flat = Limits {
        max_depth: 0,
        ..Limits::default()
    };
    assert_eq!(error(b"*0\r\n", flat), DecodeError::TooDeep { max: 0 });
    assert_eq!(shape(&decode_all(b"*-1\r\n", flat).unwrap()[0])[0].kind, Kind::Nil);
    let deep = decode(format!("{}:1\r\n", "*1\r\n".repeat(128)).as_bytes());
    assert_eq!(deep.nodes().last().unwrap().depth, 128);
}

#[test]
fn holds_the_limit_of_lines() {
    let line = |kind: &str, len: usize, fill: &str, end: &str| format!("{kind}{}{end}", fill.repeat(len)).into_bytes();
    for kind in ["+", "-", "("] {
        assert_eq!(decode(&line(kind, TEXT_LINE, "1", "\r\n")).data().len(), TEXT_LINE);
        for end in ["\r\n", "", "\r"] {
            assert_eq!(
                error(&line(kind, TEXT_LINE + 1, "1", end), Limits::default()),
                DecodeError::LineTooLong
            );
        }
        let mut undecided = Decoder::new(Limits::default());
        undecided.feed(&line(kind, TEXT_LINE, "1", "\r"));
        assert!(undecided.next().unwrap().is_none());
        undecided.feed(b"\r");
        assert_eq!(undecided.next().unwrap_err(), DecodeError::LineTooLong);
    }
    for kind in [":", "$", "*", "%", "|"] {
        assert_eq!(
            error(&line(kind, NUMBER_LINE + 1, "0", ""), Limits::default()),
            DecodeError::LengthLineTooLong
        );
        assert!(Decoder::new(Limits::default()).next().unwrap().is_none());
    }
    assert_eq!(decode(&line(":", NUMBER_LINE, "0", "\r\n")).integer(), 0);
}
