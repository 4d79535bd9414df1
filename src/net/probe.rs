//! What a peer speaks, where it does not do as the options say: asked by a hello of TLS on a connection of its own, by
//! which nothing but that hello is sent, and remembered by address.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::endpoint::Endpoint;
use super::failure::DialError;
use super::socket::Socket;
use super::stream::{Stream, Watching};
use super::tls::{Tls, stranger};
use crate::base::clock;
use crate::base::error::Stage;

/// So rarely is one asked; in between what it was found to speak holds.
const ASKED_EVERY: Duration = Duration::from_secs(10);

/// One of which nothing more is learnt is remembered for so long.
const REMEMBERED: Duration = Duration::from_secs(120);

/// How long a peer may take to show that it speaks TLS.
pub(super) const REVEALED: Duration = Duration::from_millis(100);

/// Record types of TLS: what answers a hello, and what answers something else.
const ANSWERS: [u8; 2] = [22, 21];

/// What a peer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speech {
    Tls,
    Plain,
}

impl Speech {
    /// What is told where the options say the other. It is final: the same would fail again.
    pub(super) fn unexpected(self) -> DialError {
        let cause = match self {
            Speech::Tls => "the server speaks TLS there, and the options say that it does not",
            Speech::Plain => "the server does not speak TLS",
        };
        DialError::new(Stage::Tls, cause)
    }
}

/// Peers that gave reason to ask.
#[derive(Debug, Default)]
pub(super) struct Probe(RefCell<HashMap<SocketAddr, Peer>>);

#[derive(Debug)]
struct Peer {
    /// When something was learnt of it last.
    noted: Instant,
    /// The last hello that was meant was left without an answer until nobody waited any more.
    mute: bool,
    /// When it was asked last, and what it was found to speak then.
    asked: Option<Instant>,
    found: Option<Speech>,
}

impl Probe {
    /// What the peer was found to speak, by asking it where that was not done lately. `tls`: whose hello it is, where the
    /// options say that it speaks TLS.
    pub(super) async fn speech(&self, peer: SocketAddr, endpoint: &Endpoint, tls: Option<&Tls>) -> Option<Speech> {
        if self.is_to_be_asked(peer, clock::now()) {
            let found = ask(peer, endpoint, tls).await;
            self.learn(peer, clock::now(), |peer| peer.found = found);
        }
        self.0.borrow().get(&peer)?.found
    }

    /// It is asked from now on. One whose answer nobody waited for was asked all the same, and gave none.
    fn is_to_be_asked(&self, peer: SocketAddr, now: Instant) -> bool {
        self.learn(peer, now, |peer| {
            let lately = peer.asked.is_some_and(|at| now < at + ASKED_EVERY);
            if !lately {
                (peer.asked, peer.found) = (Some(now), None);
            }
            !lately
        })
    }

    /// Whether there is a reason to ask where the options say TLS. A server that has answered before, or that was never
    /// said a hello, is slow at worst.
    pub(super) fn is_mute(&self, peer: SocketAddr) -> bool {
        self.0.borrow().get(&peer).is_some_and(|peer| peer.mute)
    }

    /// How a hello that was meant ended.
    pub(super) fn note(&self, peer: SocketAddr, mute: bool, now: Instant) {
        if mute || self.is_mute(peer) {
            self.learn(peer, now, |peer| peer.mute = mute);
        }
    }

    fn learn<T>(&self, peer: SocketAddr, now: Instant, what: impl FnOnce(&mut Peer) -> T) -> T {
        let mut peers = self.0.borrow_mut();
        peers.retain(|_, peer| now < peer.noted + REMEMBERED);
        let peer = peers.entry(peer).or_insert(Peer {
            noted: now,
            mute: false,
            asked: None,
            found: None,
        });
        peer.noted = now;
        what(peer)
    }
}

/// What answers a hello with a record speaks TLS. A plain server reads it as a command whose end never comes: on its own it
/// would say nothing for ever, as a frozen one does. So where TLS was expected the hello is half-closed: then a plain
/// server closes without a word, one that speaks TLS answers before it looks further, and one that is frozen does nothing.
async fn ask(peer: SocketAddr, endpoint: &Endpoint, tls: Option<&Tls>) -> Option<Speech> {
    let hello = match tls {
        Some(tls) => tls.prepare(endpoint).await.ok()?,
        None => stranger(endpoint).ok()?,
    };
    let socket = Arc::new(Socket::connect(peer).await.ok()?);
    let mut asking = Watching::new(Stream::new(socket, Some(hello))).ok()?;
    asking.watched.ready(true).await.ok()?;
    asking.stream.push(&[]).ok()?;
    if tls.is_some() {
        if asking.stream.has_records() {
            return None;
        }
        asking.stream.socket().finish().ok()?;
    }
    match first_byte(&mut asking).await? {
        Some(first) => ANSWERS.contains(&first).then_some(Speech::Tls),
        None => tls.map(|_| Speech::Plain),
    }
}

/// The first byte of what the peer sends, as it is; an empty one when it hangs up, none when it broke off.
async fn first_byte(asking: &mut Watching) -> Option<Option<u8>> {
    let mut first = [0; 1];
    loop {
        let mut ready = asking.watched.ready(false).await.ok()?;
        match asking.stream.socket().peek(&mut first) {
            Ok(n) => return Some(first.first().copied().filter(|_| n > 0)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => ready.clear_readable(),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> SocketAddr {
        "127.0.0.1:1".parse().unwrap()
    }

    fn found(probe: &Probe, now: Instant, speech: Speech) {
        probe.learn(peer(), now, |peer| peer.found = Some(speech));
    }

    fn known(probe: &Probe) -> Option<Speech> {
        probe.0.borrow().get(&peer()).and_then(|peer| peer.found)
    }

    #[test]
    fn only_a_server_that_left_the_last_hello_unanswered_is_doubted() {
        let (probe, now) = (Probe::default(), Instant::now());
        assert!(!probe.is_mute(peer()));
        probe.note(peer(), false, now);
        assert!(probe.0.borrow().is_empty(), "a server that answers is not remembered");
        probe.note(peer(), true, now);
        assert!(probe.is_mute(peer()));
        probe.note(peer(), false, now);
        assert!(!probe.is_mute(peer()));
    }

    #[test]
    fn a_peer_is_asked_each_ten_seconds_and_what_it_spoke_then_is_not_believed_for_longer() {
        let (probe, began) = (Probe::default(), Instant::now());
        let before_next = began + ASKED_EVERY - Duration::from_millis(1);
        assert!(probe.is_to_be_asked(peer(), began));
        assert!(!probe.is_to_be_asked(peer(), began), "that is under way");
        assert_eq!(known(&probe), None, "it has not answered yet");
        found(&probe, began, Speech::Plain);
        // It answers a hello, and its next silence is not asked about at once again.
        for mute in [true, false, true] {
            probe.note(peer(), mute, before_next);
        }
        assert!(!probe.is_to_be_asked(peer(), before_next));
        assert_eq!(known(&probe), Some(Speech::Plain));
        assert!(probe.is_to_be_asked(peer(), began + ASKED_EVERY));
        assert_eq!(known(&probe), None, "it may be frozen by now");
    }

    #[test]
    fn peers_of_which_nothing_more_is_learnt_are_forgotten() {
        let (probe, began) = (Probe::default(), Instant::now());
        probe.note(peer(), true, began);
        probe.note("127.0.0.1:2".parse().unwrap(), true, began + REMEMBERED);
        assert!(!probe.is_mute(peer()));
        assert_eq!(probe.0.borrow().len(), 1);
    }
}
