//! A [`Session`] with a peer that says what a test has it say.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use super::*;
use crate::net::Socket;
use crate::net::handshake::SENTINEL_LIMITS;

/// Longer than a server may be silent.
const LONG: Duration = Duration::from_millis(2500);

#[test]
fn a_message_that_takes_its_time_is_a_sign_of_life_before_it_is_whole() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let peer = std::thread::spawn(move || {
        let (piece, count) = ([b'x'; 100], 25);
        let head = format!(">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n${}\r\n", piece.len() * count);
        theirs.write_all(head.as_bytes()).unwrap();
        for _ in 0..count {
            theirs.write_all(&piece).unwrap();
            std::thread::sleep(LONG / u32::try_from(count).unwrap());
        }
        theirs.write_all(b"\r\n").unwrap();
        // Until it is left.
        let _ = theirs.read_to_end(&mut Vec::new());
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let heard = runtime.unwrap().block_on(async {
        let socket = Socket::new(TcpStream::from(OwnedFd::from(ours))).unwrap();
        let mut session = Session::new(Wire::new(socket, None, SENTINEL_LIMITS).unwrap(), Vec::new());
        session.take_heard();
        while session.heard.is_empty() {
            session.next().await?;
        }
        Ok::<_, Ended>(session.take_heard())
    });
    peer.join().unwrap();
    assert!(matches!(heard.as_deref(), Ok([Heard::Message(..)])), "{heard:?}");
}
