//! An open connection as sentinel-io uses it: whole replies in, encoded commands out.

use std::io;
use std::net::SocketAddr;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::yield_now;

use super::dial::plain;
use super::records::Records;
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
    stream: TcpStream,
    /// None: bytes go as they are.
    tls: Option<Box<Records>>,
    decoder: Decoder,
}

impl Wire {
    /// A wire over `stream`; with `tls`, the handshake is the first thing to do.
    pub fn new(stream: TcpStream, tls: Option<Records>, limits: Limits) -> Wire {
        Wire {
            stream,
            tls: tls.map(Box::new),
            decoder: Decoder::new(limits),
        }
    }

    /// The address it is connected to.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }

    /// Brings the handshake of TLS to its end, where there is one.
    pub async fn shake(&mut self) -> Result<(), WireError> {
        while self.tls.as_ref().is_some_and(|tls| tls.is_shaking()) || self.has_records() {
            self.write_some(&[])?;
            if self.stream.ready(self.interest(false)).await?.is_readable() {
                self.read_some()?;
            }
        }
        Ok(())
    }

    /// Hands all of `bytes` to the kernel.
    pub async fn send(&mut self, mut bytes: &[u8]) -> Result<(), WireError> {
        while !bytes.is_empty() || self.has_records() {
            self.stream.writable().await?;
            let taken = self.write_some(bytes)?;
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
            if !out.is_empty() || self.has_records() {
                let taken = self.write_some(out)?;
                out.drain(..taken.min(out.len()));
            }
            let interest = self.interest(!out.is_empty());
            if self.stream.ready(interest).await?.is_readable() {
                self.read_some()?;
                // A peer that never stops talking is always ready: without this nothing else would have its turn.
                yield_now().await;
            }
        }
    }

    fn has_records(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.has_output())
    }

    fn interest(&self, writes: bool) -> Interest {
        match writes || self.has_records() {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        }
    }

    /// Receives once, if there is something.
    fn read_some(&mut self) -> Result<(), WireError> {
        let Some(tls) = &mut self.tls else {
            return match self.stream.try_read(self.decoder.spare()) {
                Ok(0) => Err(WireError::Closed),
                Ok(n) => {
                    self.decoder.filled(n);
                    Ok(())
                }
                Err(error) if is_transient(&error) => Ok(()),
                Err(error) => Err(error.into()),
            };
        };
        let socket = SockRef::from(&self.stream);
        let decoder = &mut self.decoder;
        match self.stream.try_io(Interest::READABLE, || tls.pull(&socket, decoder)) {
            Err(error) if !is_transient(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The next reply of those that were read already.
    pub fn decoded(&mut self) -> Result<Option<Reply>, WireError> {
        Ok(self.decoder.next()?)
    }

    /// Hands to the kernel what it takes of `out` without waiting; how much of `out` needs no more to be given.
    fn write_some(&mut self, out: &[u8]) -> Result<usize, WireError> {
        let socket = SockRef::from(&self.stream);
        let Some(tls) = &mut self.tls else {
            if out.is_empty() {
                return Ok(0);
            }
            let send = || socket.send_with_flags(out, libc::MSG_NOSIGNAL);
            return match self.stream.try_io(Interest::WRITABLE, send) {
                Err(error) if is_transient(&error) => Ok(0),
                sent => Ok(sent?),
            };
        };
        let sealed = if out.is_empty() { 0 } else { tls.seal(out)? };
        match self.stream.try_io(Interest::WRITABLE, || tls.push(&socket)) {
            Err(error) if !is_transient(&error) => Err(self.last_word(error)),
            _ => Ok(sealed),
        }
    }

    /// A peer that took no more may have said why: its alert is still to be read.
    fn last_word(&mut self, error: io::Error) -> WireError {
        match self.read_some() {
            Err(alert @ WireError::Tls(_)) => alert,
            _ => error.into(),
        }
    }

    /// The bare socket, still non-blocking, its TLS, and its decoder, for the direct path.
    pub fn into_parts(self) -> io::Result<(std::net::TcpStream, Option<Box<Records>>, Decoder)> {
        Ok((self.stream.into_std()?, self.tls, self.decoder))
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
