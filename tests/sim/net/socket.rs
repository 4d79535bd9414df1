//! Sockets of the simulated network: the names of `src/net/socket.rs`.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::sys::Ready;
use crate::base::clock::Moment;
use crate::kernel::{is_running, kernel};
use crate::net::TcpSettings;
use crate::network::{Connection, READ, WRITE, network};

#[derive(Debug)]
pub struct Socket(usize);

impl Socket {
    pub async fn connect(address: SocketAddr) -> io::Result<Socket> {
        let opened = network().connect(address);
        opened
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::ConnectionRefused.into()))
    }

    /// The library's end of a connection.
    pub(crate) fn of(number: usize) -> Socket {
        Socket(number)
    }

    /// For unit tests of the sources, which are compiled here and not run.
    pub fn new(_: std::net::TcpStream) -> io::Result<Socket> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn configure(&self, _: &TcpSettings) {}

    fn with<T>(&self, body: impl FnOnce(&mut Connection) -> T) -> T {
        network().with(self.0, body)
    }

    /// As epoll and the hang-up watch name it.
    pub fn as_fd(&self) -> &Socket {
        self
    }

    pub(crate) fn number(&self) -> usize {
        self.0
    }

    pub fn peer(&self) -> Option<SocketAddr> {
        let node = self.with(|connection| connection.node);
        Some(network().with_node(node, |node| node.address))
    }

    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.send_parts(&[IoSlice::new(bytes)])
    }

    pub fn send_parts(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        kernel().call("send");
        self.with(|connection| connection.send(parts))
    }

    pub fn receive(&self, room: &mut [u8]) -> io::Result<usize> {
        kernel().call("receive");
        let (received, sends) = self.with(|connection| {
            let received = connection.receive(room, true);
            (received, connection.session.has_output())
        });
        if sends {
            network().serve_later(self.0);
        }
        received
    }

    pub fn receive_waiting(&self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            self.wait(Ready::Read, Moment::NEVER)?;
            match self.receive(room) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return received,
            }
        }
    }

    pub fn receive_within(&self, limit: Duration, room: &mut [u8]) -> io::Result<usize> {
        match self.wait(Ready::Read, Moment::now().plus(limit))? {
            true => self.receive(room),
            false => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    pub fn peek(&self, room: &mut [u8]) -> io::Result<usize> {
        kernel().call("peek");
        self.with(|connection| connection.receive(room, false))
    }

    pub fn wait(&self, ready: Ready, until: Moment) -> io::Result<bool> {
        let kernel = kernel();
        kernel.call("poll");
        let until = (until != Moment::NEVER).then(|| until.number());
        let bits = match ready {
            Ready::Read => READ,
            Ready::ReadOrWrite => READ | WRITE,
        };
        loop {
            let is_ready =
                self.with(|connection| connection.is_readable() || (bits & WRITE != 0 && connection.is_writable()));
            if is_ready {
                return Ok(true);
            }
            if until.is_some_and(|until| until <= kernel.now()) {
                return Ok(false);
            }
            let key = self.with(|connection| connection.key());
            kernel.wait(key, bits, until);
        }
    }

    pub fn has_input(&self) -> io::Result<bool> {
        self.wait(Ready::Read, crate::base::clock::Moment::now())
    }

    pub fn cut(&self) {
        kernel().call("shutdown");
        self.with(|connection| connection.shut(false));
    }

    pub fn abort(&self) {
        kernel().call("shutdown");
        self.with(|connection| connection.shut(true));
    }

    pub fn finish(&self) -> io::Result<()> {
        self.with(Connection::finish);
        Ok(())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if is_running() {
            self.with(|connection| {
                connection.shut(false);
                connection.held = false;
            });
        }
    }
}

#[derive(Debug)]
pub struct Watched(Arc<Socket>);

impl Watched {
    pub fn new(socket: Arc<Socket>) -> io::Result<Watched> {
        socket.with(|connection| {
            if connection.is_readable() {
                connection.tell_reads();
            }
        });
        Ok(Watched(socket))
    }

    fn guard(&self, reads: Option<u64>, writes: Option<u64>) -> Guard<'_> {
        Guard {
            socket: &self.0,
            reads,
            writes,
        }
    }

    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Guard<'_>>> {
        let ready = self.0.with(|connection| connection.reads.poll(cx));
        ready.map(|edge| Ok(self.guard(Some(edge), None)))
    }

    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Guard<'_>>> {
        let ready = self.0.with(|connection| connection.writes.poll(cx));
        ready.map(|edge| Ok(self.guard(None, Some(edge))))
    }

    pub async fn ready(&self, sends: bool) -> io::Result<Guard<'_>> {
        std::future::poll_fn(|cx| {
            let (reads, writes) = self.0.with(|connection| {
                let writes = match sends {
                    true => connection.writes.poll(cx),
                    false => Poll::Pending,
                };
                (connection.reads.poll(cx), writes)
            });
            let edge = |poll| match poll {
                Poll::Ready(edge) => Some(edge),
                Poll::Pending => None,
            };
            match (edge(reads), edge(writes)) {
                (None, None) => Poll::Pending,
                (reads, writes) => Poll::Ready(Ok(self.guard(reads, writes))),
            }
        })
        .await
    }
}

#[derive(Debug)]
pub struct Guard<'a> {
    socket: &'a Socket,
    reads: Option<u64>,
    writes: Option<u64>,
}

impl Guard<'_> {
    pub fn is_readable(&self) -> bool {
        self.reads.is_some()
    }

    pub fn is_writable(&self) -> bool {
        self.writes.is_some()
    }

    pub fn clear_ready(&mut self) {
        self.clear_readable();
        self.clear_writable();
    }

    pub fn clear_readable(&mut self) {
        if let Some(edge) = self.reads.take() {
            self.socket.with(|connection| connection.clear_reads(edge));
        }
    }

    pub fn clear_writable(&mut self) {
        if let Some(edge) = self.writes.take() {
            self.socket.with(|connection| connection.clear_writes(edge));
        }
    }
}
