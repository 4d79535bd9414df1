//! The few lines that talk to the kernel where the standard library does not reach.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

pub use super::kernel::{Hangups, Signal};
pub(super) use super::kernel::{QUIETLY, end_quietly, give_up_after, is_listener};

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::sync::Arc;

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

    #[tokio::test]
    async fn hangups_tell_a_close_but_not_data() {
        let (client, mut server) = pair();
        let client = Arc::new(client);
        let hangups = Hangups::new().unwrap();
        hangups.add(&client, 7).unwrap();
        let mut watch = hangups.watch().unwrap();
        server.write_all(b"+OK\r\n").unwrap();
        assert!(wait_ready(client.as_fd(), Ready::Read, None).unwrap());
        let early = tokio::time::timeout(Duration::from_millis(30), watch.next()).await;
        assert!(early.is_err(), "{early:?}");
        let mut read = [0; 8];
        assert_eq!((&*client).read(&mut read).unwrap(), 5);
        drop(server);
        let told = tokio::time::timeout(Duration::from_secs(5), watch.next()).await;
        assert_eq!(told.unwrap().unwrap(), vec![7]);
    }

    #[test]
    fn a_signal_is_readable_while_it_is_raised() {
        let signal = Signal::new().unwrap();
        // SAFETY: it lives on.
        let fd = unsafe { BorrowedFd::borrow_raw(signal.raw()) };
        let raised = || wait_ready(fd, Ready::Read, Some(Instant::now())).unwrap();
        assert!(!raised());
        // However often it is raised, it is lowered at once.
        (0..100_000).for_each(|_| signal.raise());
        assert!(raised());
        signal.lower();
        assert!(!raised());
        signal.lower();
        signal.raise();
        assert!(raised());
    }
}
