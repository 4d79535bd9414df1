//! A [`Session`] with a peer that says what a test has it say.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use tokio::time::timeout;

use super::*;
use crate::net::handshake::SENTINEL_LIMITS;
use crate::net::{Endpoint, Socket};

const SERVICE: &str = "mymaster";
const ADDRESS: &[u8] = b"*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n";
const EMPTY: &[u8] = b"*0\r\n";
const EVENT: &[u8] =
    b">3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$38\r\nmymaster 127.0.0.1 6379 127.0.0.1 6380\r\n";

/// What an answer may take, for a session that is to lose patience and for one that is not.
const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(60);

struct Peer(UnixStream);

impl Peer {
    fn say(&mut self, parts: &[&[u8]]) {
        self.0.write_all(&parts.concat()).unwrap();
    }

    /// What it was asked since the last time.
    fn asked(&mut self) -> String {
        let mut said = [0; 4096];
        let count = self.0.read(&mut said).unwrap_or_default();
        String::from_utf8_lossy(&said[..count]).into_owned()
    }
}

/// A session that has subscribed, and its peer.
async fn open(patience: Duration) -> (Session, Peer) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let socket = Socket::new(TcpStream::from(OwnedFd::from(ours))).unwrap();
    let wire = Wire::new(socket, None, SENTINEL_LIMITS).unwrap();
    let stats = Arc::new(SentinelStats::new(Endpoint::new("127.0.0.1", 26379)));
    let mut session = Session::new(wire, None, (false, false), (patience, PING_EVERY), stats);
    let mut peer = Peer(theirs);
    peer.say(&[b">3\r\n$9\r\nsubscribe\r\n$4\r\nnone\r\n:1\r\n"]);
    assert!(matches!(session.next().await, Ok(Heard::Nothing)));
    assert!(peer.asked().contains("SUBSCRIBE"));
    (session, peer)
}

/// Says what it has to say, and hears nothing.
async fn say_all(session: &mut Session) {
    let heard = timeout(SHORT / 20, session.next()).await;
    assert!(heard.is_err(), "{heard:?}");
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(test)
}

#[test]
fn who_comes_late_to_an_answer_that_is_there_does_not_call_its_sentinel_silent() {
    for _ in 0..12 {
        run(async {
            let (mut session, mut peer) = open(SHORT).await;
            session.ask(&SERVICE.into(), Depth::Address);
            say_all(&mut session).await;
            peer.say(&[ADDRESS]);
            // The whole thread is late, as in a process that was stopped.
            std::thread::sleep(SHORT + SHORT / 10);
            let mut heard = Ok(Heard::Nothing);
            while matches!(heard, Ok(Heard::Nothing)) {
                heard = session.next().await;
            }
            assert!(matches!(heard, Ok(Heard::Answer(..))), "{heard:?}");
        });
    }
}

/// What the session has asked again once a question was answered, with an event before one of the parts.
fn asked_again(event_before: usize) -> String {
    run(async {
        let (mut session, mut peer) = open(LONG).await;
        session.ask(&SERVICE.into(), Depth::Lists);
        say_all(&mut session).await;
        assert!(peer.asked().contains("GET-MASTER-ADDR-BY-NAME"));
        let mut parts = vec![ADDRESS, EMPTY, EMPTY, EMPTY];
        parts.insert(event_before, EVENT);
        peer.say(&parts);
        let mut events = 0;
        loop {
            match session.next().await.unwrap() {
                Heard::Answer(..) => break,
                Heard::Event(event) => {
                    assert!(event.in_line);
                    events += 1;
                }
                _ => {}
            }
        }
        assert_eq!(events, 1);
        say_all(&mut session).await;
        peer.asked()
    })
}

#[test]
fn an_answer_of_which_a_part_was_read_before_an_event_is_asked_for_again() {
    assert_eq!(asked_again(0), "", "all of it is of after the event");
    for part in 1..4 {
        let asked = asked_again(part);
        assert!(
            asked.contains("GET-MASTER-ADDR-BY-NAME") && asked.contains("REPLICAS"),
            "{part}: {asked}"
        );
    }
}
