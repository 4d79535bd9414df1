//! An open connection as sentinel-io uses it: whole replies in, encoded commands out.

use std::io;
use std::net::SocketAddr;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::dial::plain;
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
    /// The peer broke the protocol.
    #[error("protocol error: {0}")]
    Protocol(#[from] DecodeError),
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> WireError {
        WireError::Io(plain(&error))
    }
}

/// A connection with its decoder.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    decoder: Decoder,
}

impl Wire {
    /// A wire over `stream`.
    pub fn new(stream: TcpStream, limits: Limits) -> Wire {
        Wire {
            stream,
            decoder: Decoder::new(limits),
        }
    }

    /// The address it is connected to.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }

    /// Hands all of `bytes` to the kernel.
    pub async fn send(&self, bytes: &[u8]) -> Result<(), WireError> {
        let mut out = bytes.to_vec();
        while !out.is_empty() {
            self.stream.writable().await?;
            self.write_some(&mut out)?;
        }
        Ok(())
    }

    /// The next whole reply.
    pub async fn receive(&mut self) -> Result<Reply, WireError> {
        self.exchange(&mut Vec::new()).await
    }

    /// The next whole reply, while `out` is being written. Dropped half-way it loses nothing: what was read stays in
    /// the decoder, what was not written stays in `out`.
    pub async fn exchange(&mut self, out: &mut Vec<u8>) -> Result<Reply, WireError> {
        loop {
            if let Some(reply) = self.decoder.next()? {
                return Ok(reply);
            }
            self.write_some(out)?;
            let interest = if out.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            if !self.stream.ready(interest).await?.is_readable() {
                continue;
            }
            match self.stream.try_read(self.decoder.spare()) {
                Ok(0) => return Err(WireError::Closed),
                Ok(n) => self.decoder.filled(n),
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next reply of those that were read already.
    pub fn decoded(&mut self) -> Result<Option<Reply>, WireError> {
        Ok(self.decoder.next()?)
    }

    /// Hands to the kernel what it takes of `out` without waiting.
    fn write_some(&self, out: &mut Vec<u8>) -> Result<(), WireError> {
        if out.is_empty() {
            return Ok(());
        }
        let socket = SockRef::from(&self.stream);
        match self
            .stream
            .try_io(Interest::WRITABLE, || socket.send_with_flags(out, libc::MSG_NOSIGNAL))
        {
            Ok(sent) => {
                out.drain(..sent.min(out.len()));
                Ok(())
            }
            Err(error) if is_transient(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The bare socket, still non-blocking, and its decoder, for the direct path.
    pub fn into_parts(self) -> io::Result<(std::net::TcpStream, Decoder)> {
        Ok((self.stream.into_std()?, self.decoder))
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
