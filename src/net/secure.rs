//! The handshake of TLS on a new connection, and what a peer that does not speak it looks like.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::pending;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::time::{sleep, timeout};

use super::dial::dial;
use super::endpoint::Endpoint;
use super::failure::DialError;
use super::records::Records;
use super::settings::TcpSettings;
use super::socket::Socket;
use super::stream::{Stream, Watching};
use super::tls::{Tls, stranger};
use super::wire::{Wire, WireError};
use crate::base::clock;
use crate::base::error::Stage;

/// How long the end of the one connection may come after that of the other, where the peer ended both.
const TOGETHER: Duration = Duration::from_millis(10);

/// So rarely is one asked what it speaks.
pub(super) const WONDER_EVERY: Duration = Duration::from_secs(10);

/// How long a peer may take to show that it speaks TLS.
const REVEALED: Duration = Duration::from_millis(100);

/// Record types of TLS: what answers a hello, and what answers something else.
const ANSWERS: [u8; 2] = [22, 21];

/// Whether whoever hung up on plain words answers a hello of TLS. Nothing but that hello is sent.
pub(super) async fn speaks_tls(endpoint: &Endpoint, tcp: &TcpSettings) -> bool {
    let asked = async {
        let name = ServerName::try_from(endpoint.host.clone()).ok()?;
        let socket = dial(endpoint, tcp, REVEALED).await.ok()?;
        let mut watching = said_hello(socket, stranger(name).ok()?).await?;
        first_byte(&mut watching).await.ok().flatten()
    };
    let first = timeout(REVEALED, asked).await.ok().flatten();
    first.is_some_and(|first| ANSWERS.contains(&first))
}

/// Servers that left a hello without an answer until nobody waited any more, by address.
#[derive(Debug, Default)]
pub(super) struct Mutes(RefCell<HashMap<SocketAddr, Mute>>);

/// One of them is remembered for so long without another failure.
const REMEMBERED: Duration = Duration::from_secs(120);

#[derive(Debug)]
struct Mute {
    /// When that was known last.
    at: Instant,
    /// The last hello had no answer.
    silent: bool,
    /// When it was asked whether it speaks TLS at all, and whether it has shown that it does not.
    asked: Option<(Instant, bool)>,
}

/// What to do about a server while a hello waits for its answer.
#[derive(Debug, PartialEq, Eq)]
enum Doubt {
    None,
    Ask,
    /// It was asked a moment ago: it does not speak TLS.
    Certain,
}

impl Mutes {
    /// A server that has answered before, or that was never asked for anything, is waited for: it is slow at worst. One
    /// that has not is asked on another connection, now and then; in between its last answer holds.
    fn doubt(&self, peer: SocketAddr) -> Doubt {
        let mut mutes = self.0.borrow_mut();
        let Some(mute) = mutes.get_mut(&peer).filter(|mute| mute.silent) else {
            return Doubt::None;
        };
        match mute.asked {
            Some((at, plain)) if clock::now() < at + WONDER_EVERY => match plain {
                true => Doubt::Certain,
                false => Doubt::None,
            },
            _ => {
                mute.asked = Some((clock::now(), false));
                Doubt::Ask
            }
        }
    }

    /// It was asked, and is not one of TLS.
    fn is_plain(&self, peer: SocketAddr) {
        if let Some(mute) = self.0.borrow_mut().get_mut(&peer) {
            mute.asked = Some((clock::now(), true));
        }
    }

    /// How a hello ended.
    fn note(&self, peer: SocketAddr, silent: bool) {
        let (mut mutes, now) = (self.0.borrow_mut(), clock::now());
        match mutes.get_mut(&peer) {
            Some(mute) => (mute.at, mute.silent) = (now, silent),
            None if silent => {
                mutes.retain(|_, mute| now < mute.at + REMEMBERED);
                let asked = None;
                mutes.insert(peer, Mute { at: now, silent, asked });
            }
            None => {}
        }
    }
}

/// A hello that waits for its answer. Dropped before there is one, it had none.
struct Hello<'a> {
    mutes: &'a Mutes,
    peer: SocketAddr,
    silent: bool,
}

impl Drop for Hello<'_> {
    fn drop(&mut self) {
        self.mutes.note(self.peer, self.silent);
    }
}

/// Brings the handshake to its end. A failure at [`Stage::Tls`] is final: the same would fail again.
pub(super) async fn secure(mut wire: Wire, endpoint: &Endpoint, tls: &Tls, mutes: &Mutes) -> Result<Wire, DialError> {
    let Some(peer) = wire.peer() else {
        return wire.shake().await.map(|()| wire).map_err(broken);
    };
    let mut hello = Hello {
        mutes,
        peer,
        silent: true,
    };
    let mut shaking = pin!(async {
        let shaken = wire.shake().await;
        shaken.map(|()| wire).map_err(broken)
    });
    tokio::select! {
        biased;
        done = &mut shaking => {
            hello.silent = false;
            return done;
        }
        () = hangs_up(peer, endpoint, tls, hello.mutes) => {}
    }
    let mute = || Err(DialError::new(Stage::Tls, "the server does not speak TLS"));
    let done = timeout(TOGETHER, shaking).await;
    hello.silent = done.is_err();
    done.unwrap_or_else(|_| mute())
}

/// Ends when the peer turns out not to speak TLS: only one that is doubted is looked at.
async fn hangs_up(peer: SocketAddr, endpoint: &Endpoint, tls: &Tls, mutes: &Mutes) {
    match mutes.doubt(peer) {
        // Time for one that has learnt TLS meanwhile to show it.
        Doubt::Certain => return sleep(REVEALED).await,
        Doubt::Ask if is_plain(peer, endpoint, tls).await == Some(true) => return mutes.is_plain(peer),
        Doubt::Ask | Doubt::None => {}
    }
    pending().await
}

/// Whether the peer reads a hello to its end and then closes without a word. A plain server is one that reads the hello as
/// a command whose end never comes: on its own it would say nothing for ever, as a frozen server does. One that speaks TLS
/// answers before it looks further, and one that is frozen does nothing.
async fn is_plain(peer: SocketAddr, endpoint: &Endpoint, tls: &Tls) -> Option<bool> {
    let records = tls.prepare(endpoint).await.ok()?;
    let socket = Socket::connect(peer).await.ok()?;
    let mut watching = said_hello(socket, records).await?;
    if watching.stream.has_records() {
        return None;
    }
    watching.stream.socket().finish().ok()?;
    let first = first_byte(&mut watching).await.ok()?;
    Some(first.is_none())
}

/// Has the hello sent on a new connection.
async fn said_hello(socket: Socket, tls: Records) -> Option<Watching> {
    let mut watching = Watching::new(Stream::new(Arc::new(socket), Some(tls))).ok()?;
    watching.watched.ready(true).await.ok()?;
    watching.stream.push(&[]).ok()?;
    Some(watching)
}

/// The first byte of what the peer sends, as it is; none when it hangs up, an error when it broke off.
async fn first_byte(watching: &mut Watching) -> Result<Option<u8>, ()> {
    let mut first = [0; 1];
    loop {
        let mut ready = watching.watched.ready(false).await.map_err(drop)?;
        match watching.stream.socket().peek(&mut first) {
            Ok(n) => return Ok(first.first().copied().filter(|_| n > 0)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => ready.clear_readable(),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return Err(()),
        }
    }
}

fn broken(error: WireError) -> DialError {
    match error {
        WireError::Tls(cause) => DialError::new(Stage::Tls, cause),
        WireError::Closed => DialError::new(Stage::Connect, "the server closed the connection in the TLS handshake"),
        error => DialError::new(Stage::Connect, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_left_a_hello_unanswered_is_asked_and_then_for_a_while_no_more() {
        let mutes = Mutes::default();
        let peer = "127.0.0.1:1".parse().unwrap();
        assert_eq!(mutes.doubt(peer), Doubt::None);
        mutes.note(peer, false);
        assert_eq!(mutes.doubt(peer), Doubt::None);
        assert!(mutes.0.borrow().is_empty());
        mutes.note(peer, true);
        assert_eq!([mutes.doubt(peer), mutes.doubt(peer)], [Doubt::Ask, Doubt::None]);
        mutes.is_plain(peer);
        assert_eq!(mutes.doubt(peer), Doubt::Certain);
        // It answers, and the next silence is not asked about at once again.
        mutes.note(peer, false);
        assert_eq!(mutes.doubt(peer), Doubt::None);
        mutes.note(peer, true);
        assert_eq!(mutes.doubt(peer), Doubt::Certain);
    }
}
