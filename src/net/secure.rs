//! The handshake of TLS on a new connection, and what a peer that does not speak it looks like.

use std::future::pending;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::time::timeout;

use super::dial::dial;
use super::records::Records;
use super::socket::Socket;
use super::stream::{Stream, Watching};
use super::tls::stranger;
use super::wire::{Wire, WireError};
use super::{DialError, Endpoint, Tls};
use crate::error::Stage;
use crate::options::TcpSettings;

/// A peer that has left the hello unanswered for so long is asked on another connection whether it speaks TLS at all.
const SILENCE: Duration = Duration::from_millis(100);

/// How long the end of the one connection may come after that of the other, where the peer ended both.
const TOGETHER: Duration = Duration::from_millis(10);

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

/// Brings the handshake to its end. A failure at [`Stage::Tls`] is final: the same would fail again.
pub(super) async fn secure(mut wire: Wire, endpoint: &Endpoint, tls: &Tls) -> Result<Wire, DialError> {
    let peer = wire.peer();
    let mut shaking = pin!(async {
        let shaken = wire.shake().await;
        shaken.map(|()| wire).map_err(broken)
    });
    if let Ok(done) = timeout(SILENCE, &mut shaking).await {
        return done;
    }
    let other = tls.prepare(endpoint).await?;
    tokio::select! {
        biased;
        done = &mut shaking => return done,
        () = hangs_up(peer, other) => {}
    }
    let mute = || Err(DialError::new(Stage::Tls, "the server does not speak TLS"));
    timeout(TOGETHER, shaking).await.unwrap_or_else(|_| mute())
}

/// Ends when the peer has read a hello to its end and then closed without a word. A plain server is one that reads the
/// hello as a command whose end never comes: on its own it would say nothing for ever, as a frozen server does. One that
/// speaks TLS answers before it looks further, and one that is frozen does nothing.
async fn hangs_up(peer: Option<SocketAddr>, tls: Records) {
    let Some(peer) = peer else { return pending().await };
    let Ok(socket) = Socket::connect(peer).await else {
        return pending().await;
    };
    let Some(mut watching) = said_hello(socket, tls).await else {
        return pending().await;
    };
    if watching.stream.has_records() || watching.stream.socket().finish().is_err() {
        return pending().await;
    }
    if first_byte(&mut watching).await != Ok(None) {
        pending().await
    }
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
