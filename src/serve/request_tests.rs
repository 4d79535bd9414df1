use super::*;

/// All requests of a stream that comes in pieces of `piece` bytes, and the fault that ends it.
fn requests(stream: &[u8], piece: usize) -> (Vec<Vec<Vec<u8>>>, Option<Fault>) {
    let (mut inbox, mut all) = (Inbox::new(1 << 20), Vec::new());
    for piece in stream.chunks(piece) {
        let mut piece = piece;
        while !piece.is_empty() {
            let room = inbox.room();
            let now = piece.len().min(room.len());
            room[..now].copy_from_slice(&piece[..now]);
            inbox.filled(now);
            piece = &piece[now..];
        }
        loop {
            match inbox.next() {
                Ok(true) => {
                    all.push(inbox.args().iter().map(|arg| arg.to_vec()).collect());
                    inbox.take();
                }
                Ok(false) => break,
                Err(fault) => return (all, Some(fault)),
            }
        }
    }
    (all, None)
}

fn words(text: &str) -> Vec<Vec<u8>> {
    text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

#[test]
fn requests_are_the_same_wherever_they_are_cut() {
    let mut stream = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n\r\n  set  a 'b c'\r\n*0\r\n*-1\r\nPING\n".to_vec();
    stream.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$40000\r\n");
    stream.extend(std::iter::repeat_n(b'\n', 40_000));
    stream.extend_from_slice(b"\r\n\"\" x\r\n*1\r\n$4\r\nQUIT\r\n");
    let whole = requests(&stream, stream.len());
    assert_eq!(whole.1, None);
    let own: Vec<Vec<Vec<u8>>> = vec![
        words("GET k"),
        vec![b"set".to_vec(), b"a".to_vec(), b"b c".to_vec()],
        words("PING"),
        vec![b"SET".to_vec(), Vec::new(), vec![b'\n'; 40_000]],
        vec![Vec::new(), b"x".to_vec()],
        words("QUIT"),
    ];
    assert_eq!(whole.0, own);
    for piece in [1, 2, 3, 7, 100, 16 * 1024 + 1] {
        assert_eq!(requests(&stream, piece), whole, "{piece}");
    }
}

#[test]
fn a_large_request_goes_on_as_it_came() {
    let value = vec![b'v'; LARGE];
    let large = crate::resp::Request::Command(&[b"SET", b"k", &value]);
    let mut plain = Vec::new();
    large.append(&mut plain);
    let mut odd = plain.clone();
    // A server takes any byte there; a node would be told something else.
    let end = odd.len();
    odd[end - 1] = b'x';
    for (stream, goes_on) in [(plain.clone(), true), (odd, false)] {
        let mut inbox = Inbox::new(1 << 20);
        for piece in [&stream[..], b"PING\r\n"].concat().chunks(100_000) {
            let mut piece = piece;
            while !piece.is_empty() {
                let room = inbox.room();
                let now = piece.len().min(room.len());
                room[..now].copy_from_slice(&piece[..now]);
                inbox.filled(now);
                piece = &piece[now..];
                inbox.next().unwrap();
            }
        }
        assert_eq!(inbox.next(), Ok(true));
        assert_eq!(inbox.args(), [&b"SET"[..], b"k", &value]);
        assert_eq!(
            inbox.whole().map(|whole| whole.to_vec()),
            goes_on.then(|| plain.clone())
        );
        inbox.take();
        assert_eq!(inbox.next(), Ok(true));
        assert!(inbox.whole().is_none());
        assert_eq!(inbox.args(), [b"PING"]);
    }
}

#[test]
fn a_fault_is_told_as_a_server_tells_it() {
    let long = vec![b'x'; 70_000];
    let starred = [b"*".as_slice(), &long].concat();
    let dollared = [b"*1\r\n$".as_slice(), &long].concat();
    let rows: &[(&[u8], &str)] = &[
        (&long, "too big inline request"),
        (b"set \"a\r\n", "unbalanced quotes in request"),
        (b"set 'a'b\r\n", "unbalanced quotes in request"),
        (&starred, "too big mbulk count string"),
        (b"*x\r\n", "invalid multibulk length"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"*\r\n", "invalid multibulk length"),
        (b"*9999999999999999999999\r\n", "invalid multibulk length"),
        (&dollared, "too big bulk count string"),
        (b"*1\r\nGET\r\n", "expected '$', got 'G'"),
        (b"*1\r\n*1\r\n", "expected '$', got '*'"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*1\r\n$1a\r\n", "invalid bulk length"),
        (b"*1\r\n$1048577\r\n", "a request of more than 1048576 bytes"),
    ];
    for (stream, text) in rows {
        for piece in [1, 5, stream.len()] {
            let (all, fault) = requests(stream, piece);
            assert!(all.is_empty(), "{text}");
            assert_eq!(
                fault.map(|fault| fault.to_string()),
                Some(format!("Protocol error: {text}"))
            );
        }
    }
}

#[test]
fn quotes_hold_any_bytes() {
    let rows: &[(&str, &[&[u8]])] = &[
        (
            r#"SET k "a\x00\xfF\n\r\t\a\b\"\\ \q""#,
            &[b"SET", b"k", b"a\x00\xff\n\r\t\x07\x08\"\\ q"],
        ),
        (r"SET 'it\'s' '\n'", &[b"SET", b"it's", b"\\n"]),
        (r#"a"b" c"#, &[b"ab", b"c"]),
    ];
    for (line, args) in rows {
        let stream = format!("{line}\r\n");
        assert_eq!(
            requests(stream.as_bytes(), 3).0,
            [args.iter().map(|arg| arg.to_vec()).collect::<Vec<_>>()]
        );
    }
}

#[test]
fn what_is_only_announced_takes_no_memory() {
    let mut inbox = Inbox::new(usize::MAX);
    let announced = b"*2147483647\r\n$536870912\r\n";
    inbox.room()[..announced.len()].copy_from_slice(announced);
    inbox.filled(announced.len());
    assert_eq!(inbox.next(), Ok(false));
    assert!(inbox.room().len() <= 2 * MOST_AHEAD);
    assert!(inbox.bytes.len() <= 2 * MOST_AHEAD + PIECE && inbox.args.capacity() == 0);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, cases: 3_000, ..Default::default() })]

    /// Streams of what requests are made of, in any order: as in the fuzz target of the same name.
    #[test]
    fn whatever_comes_means_the_same_in_pieces(parts in proptest::collection::vec(0..PARTS.len(), 0..40), how in proptest::prelude::any::<[u8; 2]>()) {
        let mut data = how.to_vec();
        parts.iter().for_each(|part| data.extend_from_slice(PARTS[*part]));
        crate::fuzzing::requests(&data);
    }
}

const PARTS: [&[u8]; 24] = [
    b"*1\r\n",
    b"*2\r\n",
    b"*3\r\n",
    b"*0\r\n",
    b"*-1\r\n",
    b"*",
    b"$0\r\n",
    b"$1\r\n",
    b"$4\r\n",
    b"$70\r\n",
    b"$-1\r\n",
    b"$",
    b"\r\n",
    b"\n",
    b"\r",
    b"PING",
    b"k",
    b" ",
    b"\"",
    b"'",
    b"\\x41",
    b"\0",
    b"01",
    b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];
