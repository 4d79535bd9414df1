//! Commands to bytes.

use proptest::prelude::*;

use super::super::{LARGE, Request, control, encode, encoded_len};
use super::decode;

#[test]
fn encodes_arrays_of_bulk_strings() {
    let mut out = b"before".to_vec();
    encode(&mut out, &[b"SET", b"k", b"a\r\nb", b""]);
    assert_eq!(out, b"before*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n$0\r\n\r\n");
}

#[test]
fn encodes_every_length_as_the_crate_does() {
    for len in (0..130).chain([999, 1000, 1001, 9999, 10_000, 99_999, 100_000, 999_999, 1_000_000]) {
        let arg = "x".repeat(len);
        let mut out = Vec::new();
        encode(&mut out, &[b"ECHO", arg.as_bytes()]);
        assert_eq!(out, control(&["ECHO", &arg]), "{len}");
        assert_eq!(out.len(), encoded_len(&[b"ECHO", arg.as_bytes()]));
    }
    for count in [0, 1, 9, 10, 11, 99, 100, 1000] {
        let mut out = Vec::new();
        encode(&mut out, &vec![&b"a"[..]; count]);
        assert_eq!(out, control(&vec!["a"; count]), "{count}");
    }
}

#[test]
fn encodes_without_another_allocation() {
    let args: &[&[u8]] = &[b"GET", b"key"];
    let mut out = Vec::with_capacity(encoded_len(args));
    let before = (out.as_ptr(), out.capacity());
    encode(&mut out, args);
    assert_eq!((out.as_ptr(), out.capacity()), before);
    assert_eq!(out.len(), out.capacity());
}

#[test]
fn a_request_is_large_by_its_bytes_on_the_wire() {
    let whole = |len| Request::Command(&[b"ECHO", &vec![b'x'; len]]).is_large();
    let around = encoded_len(&[b"ECHO", &[0; LARGE - 100]]) - (LARGE - 100);
    assert!(whole(LARGE - around) && !whole(LARGE - around - 1));
    assert!(Request::Command(&[&b"xx"[..]; 30_000]).is_large());
    let parts: [&[u8]; 2] = [&[0; LARGE - 1], &[0]];
    assert!(Request::Encoded(&parts).is_large() && !Request::Encoded(&parts[..1]).is_large());
}

proptest! {
    #[test]
    fn a_command_decodes_to_its_arguments(args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..20)) {
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let mut out = Vec::new();
        encode(&mut out, &args);
        prop_assert_eq!(out.len(), encoded_len(&args));
        let reply = decode(&out);
        prop_assert_eq!(reply.elements().map(|value| value.data()).collect::<Vec<_>>(), args);
    }
}

#[test]
fn what_was_encoded_is_read_back_where_it_lies() {
    let large = vec![b'\r'; 70_000];
    let commands: [&[&[u8]]; 4] = [&[b"GET", b"k"], &[b""], &[b"SET", b"\r\n$3\r\n", &large], &[]];
    let mut bytes = Vec::new();
    commands.iter().for_each(|args| encode(&mut bytes, args));
    let mut rest = bytes.as_slice();
    for args in commands {
        let (read, behind) = crate::resp::first_command(rest).unwrap();
        assert_eq!(read, args);
        rest = behind;
    }
    assert!(rest.is_empty() && crate::resp::first_command(rest).is_none());
    for end in 0..40 {
        assert!(crate::resp::first_command(&bytes[..end]).is_none_or(|(args, _)| args.len() == 2));
    }
}
