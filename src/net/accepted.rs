//! A connected stream socket that somebody else made: of the Unix family or TCP.
#![allow(unsafe_code)]

use std::io::{self, IoSlice, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::task::{Context, Poll, ready};

use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::sys::{QUIETLY, end_quietly, is_listener};

/// Two connected sockets, closed in programs that this one executes.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) = UnixStream::pair()?;
    Ok((one.into(), other.into()))
}

/// What is wrong with it, if it is not a connected stream socket. Nothing about it is changed.
pub fn check(fd: &impl AsFd) -> Result<(), String> {
    let socket = SockRef::from(fd);
    let kind = socket.r#type().map_err(|error| match error.raw_os_error() {
        Some(libc::ENOTSOCK) => "is not a socket".to_owned(),
        _ => format!("cannot be asked what it is: {error}"),
    })?;
    // Not every system tells the family by itself.
    let domain = socket.local_addr().map_err(|error| error.to_string())?.domain();
    let known = [Domain::UNIX, Domain::IPV4, Domain::IPV6].contains(&domain);
    if kind != Type::STREAM || !known {
        return Err("is not a stream socket of TCP or of the Unix family".to_owned());
    }
    if is_listener(&socket) {
        return Err("listens: takes what accept() returned".to_owned());
    }
    if let Err(error) = socket.peer_addr() {
        return Err(format!("is not connected: {error}"));
    }
    Ok(())
}

impl Drop for Accepted {
    fn drop(&mut self) {
        // The peer sees the end, whoever has inherited a descriptor of it.
        let _ = self.0.get_ref().shutdown(Shutdown::Both);
    }
}

/// Such a socket, in the hands of a task of sentinel-io.
#[derive(Debug)]
pub struct Accepted(AsyncFd<Socket>);

impl Accepted {
    /// Watches the socket, which was checked.
    pub fn new(fd: OwnedFd) -> io::Result<Accepted> {
        let socket = Socket::from(fd);
        socket.set_nonblocking(true)?;
        socket.set_cloexec(true)?;
        end_quietly(&SockRef::from(&socket));
        // Replies go out at once. The Unix family knows nothing else.
        let _ = socket.set_tcp_nodelay(true);
        // SAFETY: the AsyncFd owns the socket, so that it stays open and the same file until it was deregistered.
        Ok(Accepted(unsafe { AsyncFd::register(socket) }?))
    }

    /// Receives what there is; 0 at the end of the stream.
    pub fn poll_read<'a>(&self, cx: &mut Context<'_>, room: impl FnOnce() -> &'a mut [u8]) -> Poll<io::Result<usize>> {
        let mut guard = ready!(self.0.poll_read_ready(cx))?;
        // No memory for one that is silent.
        let room = room();
        loop {
            match guard.try_io(|socket| socket.get_ref().read(room)) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(done) => {
                    // What comes next is told anew: a call less to learn that nothing has.
                    if done.as_ref().is_ok_and(|count| (1..room.len()).contains(count)) {
                        guard.clear_ready();
                    }
                    return Poll::Ready(done);
                }
                Err(_) => guard = ready!(self.0.poll_read_ready(cx))?,
            }
        }
    }

    /// Sends what the kernel takes; a peer that is gone raises no signal.
    pub fn poll_write(&self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(cx))?;
            let send = |socket: &AsyncFd<Socket>| socket.get_ref().send_vectored_with_flags(parts, QUIETLY);
            match guard.try_io(send) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(done) => return Poll::Ready(done),
                Err(_) => {}
            }
        }
    }
}
