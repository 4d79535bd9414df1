//! An open connection as sentinel-io uses it: whole replies in, encoded commands out.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::yield_now;

use super::failure::plain;
use super::records::Records;
use super::socket::Socket;
use super::stream::{Stream, Watching};
use crate::base::clock;
use crate::resp::{DecodeError, Decoder, Limits, Reply};

/// Why a wire ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The peer closed it.
    #[error("the peer closed the connection")]
    Closed,
    /// The system ended it.
    #[error("{0}")]
    Io(String),
    /// TLS ended it.
    #[error("{0}")]
    Tls(String),
    /// The peer broke the protocol.
    #[error("protocol error: {0}")]
    Protocol(#[from] DecodeError),
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> WireError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => WireError::Closed,
            io::ErrorKind::InvalidData => WireError::Tls(plain(&error)),
            _ => WireError::Io(plain(&error)),
        }
    }
}

/// A connection with its decoder.
#[derive(Debug)]
pub struct Wire {
    watching: Watching,
    decoder: Decoder,
    heard: Rc<Cell<Instant>>,
}

impl Wire {
    /// A wire over `socket`; with `tls`, the handshake is the first thing to do.
    pub fn new(socket: Socket, tls: Option<Records>, limits: Limits) -> io::Result<Wire> {
        Ok(Wire {
            watching: Watching::new(Stream::new(Arc::new(socket), tls))?,
            decoder: Decoder::new(limits),
            heard: Rc::new(Cell::new(clock::now())),
        })
    }

    /// Other limits on replies, between two of them.
    pub fn limit(&mut self, limits: Limits) {
        self.decoder.limit(limits);
    }

    /// The address it is connected to.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.watching.stream.socket().peer()
    }

    /// When the last bytes came.
    pub fn heard(&self) -> Instant {
        self.heard.get()
    }

    /// The same for whoever waits for somebody else to read from it.
    pub(super) fn pulse(&self) -> Rc<Cell<Instant>> {
        Rc::clone(&self.heard)
    }

    /// Brings the handshake of TLS to its end, where there is one.
    pub async fn shake(&mut self) -> Result<(), WireError> {
        while self.watching.stream.is_shaking() || self.watching.stream.has_records() {
            self.turn(&[]).await?;
        }
        Ok(())
    }

    /// Hands all of `bytes` to the kernel. What comes meanwhile is kept.
    pub async fn send(&mut self, mut bytes: &[u8]) -> Result<(), WireError> {
        while !bytes.is_empty() || self.watching.stream.has_records() {
            let taken = self.turn(bytes).await?.0;
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// The next whole reply.
    pub async fn receive(&mut self) -> Result<Reply, WireError> {
        self.exchange(&mut Vec::new()).await
    }

    /// The next whole reply, while `out` is being written. Dropped half-way it loses nothing: what was read stays in
    /// the decoder, what was not written stays in `out` or in the records.
    pub async fn exchange(&mut self, out: &mut Vec<u8>) -> Result<Reply, WireError> {
        loop {
            if let Some(reply) = self.decoder.next()? {
                return Ok(reply);
            }
            let (taken, received) = self.turn(out).await?;
            out.drain(..taken.min(out.len()));
            if received {
                // A peer that never stops talking is always ready: without this nothing else would have its turn.
                yield_now().await;
            }
        }
    }

    /// Waits until something can be done, then sends and receives once: how much of `out` need not be given again, and
    /// whether it received. Nothing waits once something was done.
    async fn turn(&mut self, out: &[u8]) -> Result<(usize, bool), WireError> {
        let Watching { stream, watched } = &mut self.watching;
        let sends = !out.is_empty() || stream.has_records();
        let mut ready = watched.ready(sends).await?;
        let mut taken = 0;
        if sends && ready.is_writable() {
            match stream.push(out) {
                Ok(pushed) => {
                    taken = pushed.taken;
                    if pushed.blocked {
                        ready.clear_writable();
                    }
                }
                Err(error) => return Err(last_word(stream, &mut self.decoder, error)),
            }
        }
        if !ready.is_readable() {
            return Ok((taken, false));
        }
        match stream.pull(&mut self.decoder) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_readable(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            drained => {
                if drained? {
                    ready.clear_readable();
                }
                self.heard.set(clock::now());
            }
        }
        Ok((taken, true))
    }

    /// The next reply of those that were read already.
    pub fn decoded(&mut self) -> Result<Option<Reply>, WireError> {
        Ok(self.decoder.next()?)
    }

    /// The stream, watched as it is, and its decoder, for whoever drives it further.
    pub fn into_parts(self) -> (Watching, Decoder) {
        (self.watching, self.decoder)
    }
}

/// A peer that took no more may have said why: its alert is still to be read.
fn last_word(stream: &mut Stream, decoder: &mut Decoder, error: io::Error) -> WireError {
    match stream.pull(decoder) {
        Err(alert) if alert.kind() == io::ErrorKind::InvalidData => alert.into(),
        _ => error.into(),
    }
}
