//! The few lines that talk to the kernel where the standard library does not reach.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What a descriptor is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// Bytes to read, or the end of the stream.
    Read,
    /// Either of both.
    ReadOrWrite,
}

/// Waits until `fd` is ready or `until` has passed; false when it passed. A signal does not end the wait.
pub fn wait_ready(fd: BorrowedFd<'_>, ready: Ready, until: Option<Instant>) -> io::Result<bool> {
    let events = match ready {
        Ready::Read => libc::POLLIN,
        Ready::ReadOrWrite => libc::POLLIN | libc::POLLOUT,
    };
    loop {
        let mut entry = libc::pollfd {
            fd: fd.as_raw_fd(),
            events,
            revents: 0,
        };
        let timeout = until.map_or(-1, |at| poll_timeout(at.saturating_duration_since(Instant::now())));
        // SAFETY: `entry` is one valid pollfd that outlives the call, and the count says one.
        let n = unsafe { libc::poll(&raw mut entry, 1, timeout) };
        match n {
            0 if until.is_none_or(|at| at > Instant::now()) => {}
            0 => return Ok(false),
            n if n > 0 => return Ok(true),
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// Milliseconds for poll(2), rounded up so that a wait never ends early and spins.
fn poll_timeout(left: Duration) -> libc::c_int {
    let ms = left.as_micros().div_ceil(1000);
    libc::c_int::try_from(ms).unwrap_or(libc::c_int::MAX)
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
    pub fn add(&self, socket: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let events: u32 = bytemuck::cast(libc::EPOLLRDHUP | libc::EPOLLET);
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: both descriptors are open for the time of the call and `event` is valid; the kernel copies it.
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

    /// What tells a tokio task that [`Hangups::take`] has something.
    pub fn readable(&self) -> io::Result<AsyncFd<OwnedFd>> {
        let fd = self.epoll.try_clone()?;
        // SAFETY: the descriptor is a duplicate that the AsyncFd owns, so it stays open and the same file until the
        // AsyncFd itself has deregistered it.
        Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
    }

    /// The tokens of the sockets that were closed by their peers since the last call, at most 64 at once.
    pub fn take(&self) -> Vec<u64> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 64];
        // SAFETY: the array is valid for 64 entries and outlives the call; a timeout of 0 does not block.
        let n = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), 64, 0) };
        let n = usize::try_from(n).unwrap_or(0);
        events.iter().take(n).map(|event| event.u64).collect()
    }
}

/// A descriptor that is readable while it is raised, for the event loop of the host.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// A lowered one.
    pub fn new() -> io::Result<EventFd> {
        // SAFETY: no pointer is passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and belongs to nobody else.
        Ok(EventFd(unsafe { OwnedFd::from_raw_fd(fd) }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn a_wait_ends_at_its_deadline_and_not_before() {
        let (client, _server) = pair();
        let start = Instant::now();
        let ready = wait_ready(client.as_fd(), Ready::Read, Some(start + Duration::from_millis(30))).unwrap();
        assert!(!ready);
        assert!(start.elapsed() >= Duration::from_millis(30));
    }

    #[test]
    fn hangups_tell_a_close_but_not_data() {
        let (client, mut server) = pair();
        let hangups = Hangups::new().unwrap();
        hangups.add(client.as_fd(), 7).unwrap();
        server.write_all(b"+OK\r\n").unwrap();
        assert!(wait_ready(client.as_fd(), Ready::Read, None).unwrap());
        assert_eq!(hangups.take(), Vec::<u64>::new());
        drop(server);
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut told = hangups.take();
        while told.is_empty() && Instant::now() < deadline {
            std::thread::yield_now();
            told = hangups.take();
        }
        assert_eq!(told, vec![7]);
    }
}
