//! However a stream is cut, it gives the same replies and the same errors.

use proptest::prelude::*;

use super::super::{DecodeError, Decoder, Limits, Room};
use super::{Shape, check, shape};

/// RESP of any type the decoder takes, as deep as proptest likes.
pub(super) fn value() -> impl Strategy<Value = Vec<u8>> {
    let text = "[a-zA-Z \r\n]{0,40}".prop_map(|text| text.replace('\n', " \n"));
    let blob = prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..60),
        1 => prop::collection::vec(any::<u8>(), 16_000..20_000)
    ];
    let leaf = prop_oneof![
        4 => (prop::sample::select(vec!["$", "!"]), blob.clone()).prop_map(|(kind, bytes)| frame(kind, &bytes)),
        1 => blob.prop_map(|bytes| frame("=", &[b"txt:", bytes.as_slice()].concat())),
        2 => (prop::sample::select(vec!["+", "-"]), text).prop_map(|(kind, text)| line(kind, &text)),
        3 => any::<i64>().prop_map(|number| line(":", &number.to_string())),
        1 => any::<f64>().prop_map(|number| line(",", &number.to_string())),
        1 => "-?[0-9]{1,60}".prop_map(|digits| line("(", &digits)),
        1 => prop::sample::select(vec!["$-1\r\n", "*-1\r\n", "_\r\n", "~-1\r\n", "%-1\r\n", "#t\r\n", "#f\r\n"])
            .prop_map(|text| text.as_bytes().to_vec()),
    ];
    leaf.prop_recursive(6, 60, 8, |inner| {
        let many = prop::collection::vec(inner.clone(), 0..8);
        let pairs = prop::collection::vec((inner.clone(), inner.clone()), 0..5);
        prop_oneof![
            (prop::sample::select(vec!["*", "~"]), many).prop_map(|(kind, items)| aggregate(kind, items.len(), &items)),
            pairs
                .clone()
                .prop_map(|pairs| aggregate("%", pairs.len(), &flat(pairs))),
            (pairs, inner).prop_map(|(pairs, value)| [aggregate("|", pairs.len(), &flat(pairs)), value].concat()),
        ]
    })
}

fn flat(pairs: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<Vec<u8>> {
    pairs.into_iter().flat_map(|(key, value)| [key, value]).collect()
}
pub(super) fn line(kind: &str, text: &str) -> Vec<u8> {
    format!("{kind}{text}\r\n").into_bytes()
}
pub(super) fn frame(kind: &str, bytes: &[u8]) -> Vec<u8> {
    [format!("{kind}{}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}
pub(super) fn aggregate(kind: &str, len: usize, items: &[Vec<u8>]) -> Vec<u8> {
    [line(kind, &len.to_string()), items.concat()].concat()
}

/// Feeds `bytes` in pieces of the sizes given, over and over, and takes replies as they become whole. With `lazy` they
/// are taken only at every third piece, so that several wait in the buffer. With room for short ones and without, it must
/// come to the same.
fn decode_in(bytes: &[u8], sizes: &[usize], lazy: bool) -> (Vec<Vec<Shape>>, Option<DecodeError>) {
    let without = decode_at(bytes, sizes, lazy, || None);
    assert_eq!(decode_at(bytes, sizes, lazy, || Some(Room::new())), without);
    without
}

fn decode_at(
    bytes: &[u8],
    sizes: &[usize],
    lazy: bool,
    room: impl Fn() -> Option<Room>,
) -> (Vec<Vec<Shape>>, Option<DecodeError>) {
    let mut decoder = Decoder::new(Limits::default());
    let mut shapes = Vec::new();
    let mut rest = bytes;
    for (turn, size) in sizes.iter().cycle().enumerate() {
        let (now, later) = rest.split_at((*size).min(rest.len()));
        decoder.feed(now);
        rest = later;
        while !lazy || rest.is_empty() || turn % 3 == 0 {
            match decoder.next_in(&mut room()) {
                Ok(Some(reply)) => {
                    check(&reply);
                    shapes.push(shape(&reply));
                }
                Ok(None) => break,
                Err(error) => return (shapes, Some(error)),
            }
        }
        if rest.is_empty() {
            break;
        }
    }
    (shapes, None)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn any_split_gives_the_same_trees(
        values in prop::collection::vec(value(), 1..12),
        sizes in prop::collection::vec(prop_oneof![3 => 1usize..8, 2 => 1usize..200, 1 => 1usize..30_000], 1..40),
        lazy in any::<bool>(),
    ) {
        let bytes = values.concat();
        let (whole, error) = decode_in(&bytes, &[usize::MAX], false);
        prop_assert_eq!(error, None);
        prop_assert_eq!(whole.len(), values.len());
        prop_assert_eq!(decode_in(&bytes, &sizes, lazy), (whole, None));
    }

    #[test]
    fn any_split_gives_the_same_error(
        values in prop::collection::vec(value(), 1..4),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        sizes in prop::collection::vec(1usize..50, 1..20),
    ) {
        let mut bytes = values.concat();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let (whole, error) = decode_in(&bytes, &[usize::MAX], false);
        prop_assert_eq!(decode_in(&bytes, &sizes, false), (whole, error));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(prop_oneof![
        Just(b'\r'), Just(b'\n'), b'0'..=b'9', prop::sample::select(&b"*$+-:%~>|!=#_,(;.?"[..]), any::<u8>(),
    ], 0..200)) {
        decode_in(&bytes, &[3, 1, 7], false);
    }
}

#[test]
fn every_single_cut_of_every_type_gives_the_same_tree() {
    let stream: &[u8] =
        b"*16\r\n+OK\r\n-ERR x\r\n:-12\r\n$5\r\nab\r\nc\r\n$-1\r\n*-1\r\n_\r\n#t\r\n#f\r\n,1.5\r\n,inf\r\n\
        (123\r\n=7\r\nmkd:abc\r\n!3\r\nERR\r\n%1\r\n~1\r\n:1\r\n|1\r\n+a\r\n:2\r\n*0\r\n$0\r\n\r\n>1\r\n$1\r\nx\r\n";
    let (whole, error) = decode_in(stream, &[usize::MAX], false);
    assert_eq!((whole.len(), error), (2, None));
    for cut in 1..stream.len() {
        assert_eq!(
            decode_in(stream, &[cut, usize::MAX], false),
            (whole.clone(), None),
            "cut at {cut}"
        );
    }
    assert_eq!(decode_in(stream, &[1], false), (whole, None));
}

#[test]
fn strings_of_any_short_length_are_the_same_with_and_without_room() {
    let text: Vec<u8> = (0..=255).collect();
    for len in 0..=text.len() {
        let stream = [b"+OK\r\n".as_slice(), &frame("$", &text[..len]), b"+PONG\r\n"].concat();
        let (whole, error) = decode_in(&stream, &[usize::MAX], false);
        assert_eq!((whole.len(), error), (3, None));
        assert_eq!(decode_in(&stream, &[1], false), (whole, None));
        let unended = frame("$", &text[..len]);
        decode_in(&unended[..unended.len() - 1], &[usize::MAX], false);
        let ended_wrongly = [&unended[..unended.len() - 1], b"x"].concat();
        let (_, error) = decode_in(&ended_wrongly, &[usize::MAX], false);
        assert_eq!(error, Some(DecodeError::MissingLineEnd));
    }
}

#[test]
fn a_short_string_leaves_its_room_to_its_reply_and_a_long_one_does_not_take_it() {
    for (len, taken) in [(0, true), (191, true), (192, false)] {
        let mut decoder = Decoder::new(Limits::default());
        decoder.feed(&frame("$", &vec![b'x'; len]));
        let mut room = Some(Room::new());
        let reply = decoder.next_in(&mut room).unwrap().unwrap();
        assert_eq!((room.is_none(), reply.fits_room()), (taken, taken), "{len}");
    }
    let mut decoder = Decoder::new(Limits {
        max_bytes: 3,
        ..Limits::default()
    });
    decoder.feed(&frame("$", b"four"));
    assert!(decoder.next_in(&mut Some(Room::new())).is_err());
}

#[test]
fn a_number_with_a_leading_zero_is_refused_wherever_it_is_cut() {
    for stream in [b":01".as_slice(), b":-01", b"*01", b"$-0"] {
        let whole = decode_in(stream, &[usize::MAX], false);
        assert_eq!(decode_in(stream, &[1], false), whole, "{}", stream.escape_ascii());
    }
}

#[test]
fn a_digit_behind_a_lone_carriage_return_is_an_error_at_once() {
    for (begin, error) in [
        (":12\r", DecodeError::InvalidInteger),
        (":-12\r", DecodeError::InvalidInteger),
        ("$1\r", DecodeError::InvalidLength { byte: b'$' }),
        ("*1\r", DecodeError::InvalidLength { byte: b'*' }),
    ] {
        let mut decoder = Decoder::new(Limits::default());
        decoder.feed(begin.as_bytes());
        assert!(decoder.next().unwrap().is_none(), "{begin:?}");
        decoder.feed(b"3");
        assert_eq!(decoder.next().err(), Some(error), "{begin:?}");
    }
}
