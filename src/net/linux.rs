//! What only Linux has: epoll's word of a closed peer, an event descriptor, a limit for what no peer acknowledges.
//! `portable.rs` has the same names.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Sends so that a dead peer raises no SIGPIPE in the host.
pub(in crate::net) const QUIETLY: libc::c_int = libc::MSG_NOSIGNAL;

/// The same for what sends otherwise: nothing is needed here.
pub(in crate::net) fn end_quietly(_: &SockRef<'_>) {}

/// Gives the connection up when something was not acknowledged for so long. A kernel that refuses costs the effect.
pub(in crate::net) fn give_up_after(socket: &SockRef<'_>, limit: Option<Duration>) {
    let _ = socket.set_tcp_user_timeout(limit);
}

/// Whether it waits for connections of others, as far as that is known.
pub(in crate::net) fn is_listener(socket: &SockRef<'_>) -> bool {
    socket.is_listener().unwrap_or(false)
}

/// Tells which of many sockets the peer has closed, without a wake-up for ordinary data. One epoll instance with
/// nothing but EPOLLRDHUP, so that an idle connection that died is known before a command is written to it.
#[derive(Debug)]
pub struct Hangups {
    epoll: OwnedFd,
}

impl Hangups {
    /// An empty set.
    pub fn new() -> io::Result<Hangups> {
        // SAFETY: no pointer is passed.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and belongs to nobody else.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Hangups { epoll })
    }

    /// Watches `socket` under `token` until it is closed.
    pub fn add(&self, socket: &Arc<impl AsRawFd>, token: u64) -> io::Result<()> {
        let events: u32 = bytemuck::cast(libc::EPOLLRDHUP | libc::EPOLLET);
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: both descriptors are open for the time of the call, `event` is valid; the kernel copies it.
        let done = unsafe {
            libc::epoll_ctl(
                self.epoll.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                socket.as_raw_fd(),
                &raw mut event,
            )
        };
        if done == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// What tells of them, on sentinel-io.
    pub fn watch(&self) -> io::Result<Watch> {
        let fd = self.epoll.try_clone()?;
        // SAFETY: the descriptor is a duplicate that the AsyncFd owns, so it stays open and the same file until the
        // AsyncFd itself has deregistered it.
        let epoll = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
        Ok(Watch { epoll })
    }
}

/// Tells of a set's sockets that were closed by their peers.
#[derive(Debug)]
pub struct Watch {
    epoll: AsyncFd<OwnedFd>,
}

impl Watch {
    /// The tokens of those since the last call, at most 64 at once; waits for the first.
    pub async fn next(&mut self) -> io::Result<Vec<u64>> {
        loop {
            let mut ready = self.epoll.readable().await?;
            let gone = take(ready.get_inner());
            if !gone.is_empty() {
                return Ok(gone);
            }
            ready.clear_ready();
        }
    }
}

fn take(epoll: &OwnedFd) -> Vec<u64> {
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
    // SAFETY: the array is valid for 64 entries and outlives the call; a timeout of 0 does not block.
    let n = unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), 64, 0) };
    let n = usize::try_from(n).unwrap_or(0);
    events.iter().take(n).map(|event| event.u64).collect()
}

/// A descriptor that is readable while it is raised, for the event loop of the host.
#[derive(Debug)]
pub struct Signal(OwnedFd);

impl Signal {
    /// A lowered one.
    pub fn new() -> io::Result<Signal> {
        // SAFETY: no pointer is passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and belongs to nobody else.
        Ok(Signal(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Its number, valid as long as it lives.
    pub fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Makes it readable.
    pub fn raise(&self) {
        let one = 1u64;
        // SAFETY: eight readable bytes of `one`, which outlives the call. It fails only when it is raised 2^64 times.
        unsafe { libc::write(self.raw(), (&raw const one).cast(), size_of::<u64>()) };
    }

    /// Makes it unreadable.
    pub fn lower(&self) {
        let mut count = 0u64;
        // SAFETY: eight writable bytes of `count`, which outlives the call. It fails when it is lowered already.
        unsafe { libc::read(self.raw(), (&raw mut count).cast(), size_of::<u64>()) };
    }
}
