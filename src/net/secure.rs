//! The handshake of TLS on a new connection.

use std::future::pending;
use std::net::SocketAddr;
use std::pin::pin;

use tokio::time::timeout;

use super::endpoint::Endpoint;
use super::failure::DialError;
use super::probe::{Probe, REVEALED, Speech};
use super::tls::Tls;
use super::wire::{Wire, WireError};
use crate::base::clock;
use crate::base::error::Stage;

/// A hello that waits for its answer. Dropped before there is one, it had none.
struct Hello<'a> {
    probe: &'a Probe,
    peer: SocketAddr,
    mute: bool,
}

impl Drop for Hello<'_> {
    fn drop(&mut self) {
        self.probe.note(self.peer, self.mute, clock::now());
    }
}

/// Brings the handshake to its end. A failure at [`Stage::Tls`] is final: the same would fail again.
pub(super) async fn secure(mut wire: Wire, endpoint: &Endpoint, tls: &Tls, probe: &Probe) -> Result<Wire, DialError> {
    let Some(peer) = wire.peer() else {
        return wire.shake().await.map(|()| wire).map_err(broken);
    };
    let mut hello = Hello {
        probe,
        peer,
        mute: true,
    };
    let mut shaking = pin!(async {
        let shaken = wire.shake().await;
        shaken.map(|()| wire).map_err(broken)
    });
    let turns_out_plain = async {
        let is_plain = probe.is_mute(peer) && probe.speech(peer, endpoint, Some(tls)).await == Some(Speech::Plain);
        if !is_plain {
            pending().await
        }
    };
    let done = tokio::select! {
        biased;
        done = &mut shaking => Some(done),
        // Time for one that has learnt TLS meanwhile to show it, and for one that hangs up on everybody to do so here.
        () = turns_out_plain => timeout(REVEALED, shaking).await.ok(),
    };
    hello.mute = done.is_none();
    done.unwrap_or_else(|| Err(Speech::Plain.unexpected()))
}

fn broken(error: WireError) -> DialError {
    match error {
        WireError::Tls(cause) => DialError::new(Stage::Tls, cause),
        WireError::Closed => DialError::new(Stage::Connect, "the server closed the connection in the TLS handshake"),
        error => DialError::new(Stage::Connect, error.to_string()),
    }
}
