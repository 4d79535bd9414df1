//! A connected stream socket: the system calls of the data path, all of them, and nothing that decides.
//!
//! The descriptor itself waits (O_NONBLOCK is off), so that a caller's thread can sleep in one `recv`; what must not wait
//! says so with each call.
#![allow(unsafe_code)]

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::io::{Interest, Ready as Readiness};

use super::sys::{QUIETLY, Ready, end_quietly, give_up_after, wait_ready};
use crate::base::clock::Moment;
use crate::net::TcpSettings;

/// A dead peer must not raise SIGPIPE in the host, and one that takes nothing must not hold the caller.
const SEND_FLAGS: libc::c_int = QUIETLY | libc::MSG_DONTWAIT;

/// A connected stream socket. Any thread.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    /// For how long a receive that sleeps does so, in microseconds; 0: for ever. It is the kernel's to keep.
    sleeps: AtomicU32,
}

impl Socket {
    /// Connects to `address`, on sentinel-io; the caller sets the limit.
    pub async fn connect(address: SocketAddr) -> io::Result<Socket> {
        Socket::new(tokio::net::TcpStream::connect(address).await?.into_std()?)
    }

    /// Takes over a connected socket.
    pub fn new(stream: TcpStream) -> io::Result<Socket> {
        stream.set_nonblocking(false)?;
        end_quietly(&SockRef::from(&stream));
        Ok(Socket {
            stream,
            sleeps: AtomicU32::new(0),
        })
    }

    /// Sets the socket options. A kernel that refuses one costs its effect, not the connection.
    pub fn configure(&self, tcp: &TcpSettings) {
        let socket = SockRef::from(&self.stream);
        let _ = socket.set_tcp_nodelay(tcp.nodelay);
        if let Some(after) = tcp.keepalive {
            let every = (after / 3).max(Duration::from_secs(1));
            let _ = socket.set_tcp_keepalive(
                &TcpKeepalive::new()
                    .with_time(after)
                    .with_interval(every)
                    .with_retries(3),
            );
        }
        give_up_after(&socket, tcp.user_timeout);
    }

    /// The address it is connected to.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }

    /// Hands over what the kernel takes of `bytes` now; `WouldBlock` when that is nothing.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        SockRef::from(&self.stream).send_with_flags(bytes, SEND_FLAGS)
    }

    /// The same with parts that lie apart.
    pub fn send_parts(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        SockRef::from(&self.stream).send_vectored_with_flags(parts, SEND_FLAGS)
    }

    /// Receives what is there; `WouldBlock` when nothing is, 0 at the end of the stream.
    pub fn receive(&self, room: &mut [u8]) -> io::Result<usize> {
        self.receive_with(room, libc::MSG_DONTWAIT)
    }

    /// The same, and sleeps until there is something. Whoever else cuts the socket ends that.
    pub fn receive_waiting(&self, room: &mut [u8]) -> io::Result<usize> {
        self.sleep_for(Duration::ZERO)?;
        self.receive_with(room, 0)
    }

    /// The same for so long at the most: `WouldBlock` when nothing has come by then. One system call, where the one before
    /// slept as long.
    pub fn receive_within(&self, limit: Duration, room: &mut [u8]) -> io::Result<usize> {
        self.sleep_for(limit.max(Duration::from_micros(1)))?;
        self.receive_with(room, 0)
    }

    /// Only whoever receives on it changes that.
    fn sleep_for(&self, limit: Duration) -> io::Result<()> {
        let micros = u32::try_from(limit.as_micros()).unwrap_or(u32::MAX);
        if self.sleeps.load(Ordering::Relaxed) == micros {
            return Ok(());
        }
        let limit = (micros > 0).then_some(Duration::from_micros(u64::from(micros)));
        SockRef::from(&self.stream).set_read_timeout(limit)?;
        self.sleeps.store(micros, Ordering::Relaxed);
        Ok(())
    }

    /// Looks at what is there and leaves it.
    pub fn peek(&self, room: &mut [u8]) -> io::Result<usize> {
        self.receive_with(room, libc::MSG_DONTWAIT | libc::MSG_PEEK)
    }

    fn receive_with(&self, room: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
        // SAFETY: `room` is valid for writes of its length and outlives the call.
        let n = unsafe { libc::recv(self.as_raw_fd(), room.as_mut_ptr().cast(), room.len(), flags) };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }

    /// Waits until it is ready or `until` has passed; false when it passed.
    pub fn wait(&self, ready: Ready, until: Moment) -> io::Result<bool> {
        wait_ready(self.as_fd(), ready, until.instant())
    }

    /// Whether a receive would not wait.
    pub fn has_input(&self) -> io::Result<bool> {
        wait_ready(self.as_fd(), Ready::Read, Some(crate::base::clock::now()))
    }

    /// Ends it in both directions, under whoever uses it.
    pub fn cut(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// The same, and the close that follows drops what the kernel has not delivered.
    pub fn abort(&self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        self.cut();
    }

    /// Nothing more will be sent.
    pub fn finish(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// A socket as a task of sentinel-io waits for it. The task sends and receives by itself.
#[derive(Debug)]
pub struct Watched(AsyncFd<Arc<Socket>>);

impl Watched {
    /// Watches `socket`.
    pub fn new(socket: Arc<Socket>) -> io::Result<Watched> {
        // SAFETY: the AsyncFd holds the socket, so that it stays open and the same file until it was deregistered.
        Ok(Watched(unsafe { AsyncFd::register(socket) }?))
    }

    /// Ready when it was readable once; [`Guard::clear_ready`] waits for the next time.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Guard<'_>>> {
        self.0.poll_read_ready(cx).map_ok(Guard)
    }

    /// The same for sending.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Guard<'_>>> {
        self.0.poll_write_ready(cx).map_ok(Guard)
    }

    /// Waits until it can be read, or, where it `sends`, written.
    pub async fn ready(&self, sends: bool) -> io::Result<Guard<'_>> {
        let interest = match sends {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        };
        self.0.ready(interest).await.map(Guard)
    }
}

/// What a socket is ready for, as far as the kernel has told.
#[derive(Debug)]
pub struct Guard<'a>(AsyncFdReadyGuard<'a, Arc<Socket>>);

impl Guard<'_> {
    /// It may have something to receive.
    pub fn is_readable(&self) -> bool {
        self.0.ready().is_readable()
    }

    /// It may take something.
    pub fn is_writable(&self) -> bool {
        self.0.ready().is_writable()
    }

    /// It turned out not to be ready for what was waited for.
    pub fn clear_ready(&mut self) {
        self.0.clear_ready();
    }

    /// The kernel has no more to receive.
    pub fn clear_readable(&mut self) {
        self.0.clear_ready_matching(Readiness::READABLE);
    }

    /// The kernel takes no more.
    pub fn clear_writable(&mut self) {
        self.0.clear_ready_matching(Readiness::WRITABLE);
    }
}
