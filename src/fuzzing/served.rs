//! A socket that is served, from its peer's side.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::{asked, decode};
use crate::call::commands;
use crate::resp::Limits;

/// How long a stream may take to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is sent through a socket that is served, the first byte says in how many pieces: the stream ends, what came is whole
/// replies, one for each request where it can be told, and another peer is answered meanwhile.
pub fn socket(client: &crate::Client, data: &[u8]) {
    let Some((&cut, said)) = data.split_first() else { return };
    let served = || {
        let stream = UnixStream::from(crate::serve::socket(client).unwrap());
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let (mut peer, mut other) = (served(), served());
    for piece in said.chunks((said.len() / (usize::from(cut) + 1)).max(1)) {
        // A peer that has broken the protocol is not heard to its end.
        if peer.write_all(piece).is_err() {
            break;
        }
    }
    let _ = peer.shutdown(std::net::Shutdown::Write);
    let mut told = Vec::new();
    if let Err(error) = peer.read_to_end(&mut told) {
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::ConnectionReset,
            "the stream does not end"
        );
        return;
    }
    other.write_all(b"PING\r\n").unwrap();
    let mut pong = [0; 7];
    other.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"+PONG\r\n");
    // What is behind it shows that nothing was cut.
    told.extend_from_slice(b"+END\r\n");
    let (replies, failure) = decode(&told, told.len(), Limits::default(), || None);
    let last = replies.last().map(|last| last.data().to_vec());
    assert_eq!(
        (failure, last.as_deref()),
        (None, Some(&b"END"[..])),
        "{}",
        told.escape_ascii()
    );
    let (requests, fault) = asked(said, said.len().max(1), usize::MAX / 2);
    if requests.iter().all(|request| is_answered_once(request)) {
        let count = requests.len() + usize::from(fault.is_some());
        assert_eq!(replies.len() - 1, count, "{}", told.escape_ascii());
    }
}

/// Whether a request has one reply, and what comes behind it has some.
fn is_answered_once(request: &[Vec<u8>]) -> bool {
    let args: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
    let name = args.first().map(|name| name.to_ascii_uppercase()).unwrap_or_default();
    let ends = [&b"QUIT"[..], b"POST", b"HOST:"].contains(&name.as_slice());
    let waits = commands::look_up(&args) == Some(commands::Class::Blocking);
    !ends && !waits && !name.ends_with(b"SUBSCRIBE")
}
