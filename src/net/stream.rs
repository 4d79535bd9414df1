//! An open connection and the one account of what was handed to the kernel: in bytes of plaintext, for plain sockets and
//! for TLS alike. Everything that sends or receives on a connection does it here; all others only read the account.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use super::failure::ended;
use super::records::Records;
use super::socket::{Socket, Watched};
use crate::resp::Decoder;

/// A socket, its TLS where it has any, and its account. It belongs to whoever reads and writes, a caller's own thread
/// included; it has no thread and no lock.
#[derive(Debug)]
pub struct Stream {
    socket: Arc<Socket>,
    /// None: bytes go as they are.
    tls: Option<Box<Records>>,
    /// Bytes that were taken over from those who send: they need not be given again.
    taken: u64,
    /// Those of them that the kernel may have. Of TLS the kernel gets records, and the first byte of them counts for all
    /// that is sealed: never less than what the peer can read.
    sent: u64,
    /// What the kernel took, as it took it: records and all. Only tells whether anything moves.
    moved: u64,
}

/// Bytes received at once by whoever has others to serve: to copy all that the kernel may hold takes milliseconds.
const MOST: usize = 128 << 10;

/// What came of handing bytes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// So many need not be given again: the kernel has them, or they lie in records.
    pub taken: usize,
    /// The kernel takes no more now.
    pub blocked: bool,
}

impl Stream {
    /// A stream over `socket`, with nothing sent.
    pub fn new(socket: Arc<Socket>, tls: Option<Records>) -> Stream {
        Stream {
            socket,
            tls: tls.map(Box::new),
            taken: 0,
            sent: 0,
            moved: 0,
        }
    }

    /// Its socket, for those who cut it or wait for it. Nobody else sends or receives on it.
    pub fn socket(&self) -> &Arc<Socket> {
        &self.socket
    }

    /// Bytes that need not be given again, over the life of the connection.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Bytes that the peer could have read, over the life of the connection.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Changes whenever the kernel takes something.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Whether the handshake of TLS is not over.
    pub fn is_shaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_shaking())
    }

    /// How the handshake went.
    #[cfg(test)]
    pub(super) fn handshake_kind(&self) -> Option<rustls::HandshakeKind> {
        self.tls.as_ref().and_then(|tls| tls.handshake_kind())
    }

    /// Whether records wait to be handed to the kernel: taken over before, or the protocol's own.
    pub fn has_records(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.has_output())
    }

    /// Whether bytes go in records.
    pub fn is_sealed(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether the peer has said that nothing more will come.
    pub fn is_closed(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_closed())
    }

    /// Takes over what there is room for of `bytes` and hands over what the kernel takes of all that was taken. Never
    /// waits; one system call.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<Pushed> {
        let Some(tls) = &mut self.tls else {
            if bytes.is_empty() {
                return Ok(Pushed {
                    taken: 0,
                    blocked: false,
                });
            }
            let sent = self.socket.send(bytes);
            return self.count_plain(sent, bytes.len());
        };
        let sealed = if bytes.is_empty() { 0 } else { tls.seal(bytes)? };
        self.push_records(sealed)
    }

    /// The same with parts that lie apart.
    pub fn push_parts(&mut self, parts: &[IoSlice<'_>]) -> io::Result<Pushed> {
        let Some(tls) = &mut self.tls else {
            let sent = self.socket.send_parts(parts);
            return self.count_plain(sent, parts.iter().map(|part| part.len()).sum());
        };
        let mut sealed = 0;
        for part in parts {
            let taken = tls.seal(part)?;
            sealed += taken;
            if taken < part.len() {
                break;
            }
        }
        self.push_records(sealed)
    }

    fn count_plain(&mut self, sent: io::Result<usize>, given: usize) -> io::Result<Pushed> {
        let taken = match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                return Ok(Pushed {
                    taken: 0,
                    blocked: false,
                });
            }
            sent => sent?,
        };
        self.taken += taken as u64;
        self.sent = self.taken;
        self.moved = self.taken;
        Ok(Pushed {
            taken,
            blocked: taken < given,
        })
    }

    /// Counts what was sealed just now, and hands records over.
    fn push_records(&mut self, sealed: usize) -> io::Result<Pushed> {
        self.taken += sealed as u64;
        let blocked = match self.flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => false,
            flushed => flushed.map(|()| false)?,
        };
        Ok(Pushed { taken: sealed, blocked })
    }

    /// The one place at which records leave.
    fn flush(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let flushed = tls.flush(&self.socket)?;
        if flushed > 0 {
            self.sent = self.taken;
            self.moved += flushed as u64;
        }
        Ok(())
    }

    /// Receives once and gives `decoder` what came. True when the kernel has no more. An end of the stream is an error,
    /// `InvalidData` one of TLS; `WouldBlock` where nothing came. Never waits.
    pub fn pull(&mut self, decoder: &mut Decoder) -> io::Result<bool> {
        self.pull_by(decoder, Socket::receive, MOST)
    }

    /// The same, and sleeps until something comes; whoever cuts the socket ends that.
    pub fn pull_waiting(&mut self, decoder: &mut Decoder) -> io::Result<bool> {
        self.pull_by(decoder, Socket::receive_waiting, usize::MAX)
    }

    /// The same for so long at the most.
    pub fn pull_within(&mut self, limit: Duration, decoder: &mut Decoder) -> io::Result<bool> {
        self.pull_by(decoder, |socket, room| socket.receive_within(limit, room), usize::MAX)
    }

    fn pull_by(
        &mut self,
        decoder: &mut Decoder,
        receive: impl Fn(&Socket, &mut [u8]) -> io::Result<usize>,
        most: usize,
    ) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else {
            let spare = decoder.spare();
            let room = spare.len().min(most);
            let n = receive(&self.socket, spare.get_mut(..room).unwrap_or_default())?;
            if n == 0 {
                return Err(ended());
            }
            decoder.filled(n);
            return Ok(n < room);
        };
        let pulled = tls.pull(|room: &mut [u8]| receive(&self.socket, room), decoder);
        if tls.has_output() {
            // The answer to a key update, or the alert that tells the peer what was wrong; and what was sealed before. What
            // the kernel does not take now goes in front of the next request.
            let _ = self.flush();
        }
        pulled
    }
}

/// A stream with what tells a task of sentinel-io when it is ready.
#[derive(Debug)]
pub struct Watching {
    /// The stream.
    pub stream: Stream,
    /// What it is ready for.
    pub watched: Watched,
}

impl Watching {
    /// Watches a stream.
    pub fn new(stream: Stream) -> io::Result<Watching> {
        let watched = Watched::new(Arc::clone(stream.socket()))?;
        Ok(Watching { stream, watched })
    }
}

/// Whether the same is to be tried again.
pub fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
