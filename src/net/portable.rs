//! What `linux.rs` has, by what every system has: poll, and a pair of sockets.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Weak};
use std::time::Duration;

use socket2::SockRef;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::base::sync::Mutex;

/// So often it is looked for closed peers.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Sends so that a dead peer raises no SIGPIPE in the host.
#[cfg(not(target_vendor = "apple"))]
pub(in crate::net) const QUIETLY: libc::c_int = libc::MSG_NOSIGNAL;
#[cfg(target_vendor = "apple")]
pub(in crate::net) const QUIETLY: libc::c_int = 0;

/// The same where a socket has to be told once.
pub(in crate::net) fn end_quietly(_socket: &SockRef<'_>) {
    #[cfg(target_vendor = "apple")]
    let _ = _socket.set_nosigpipe(true);
}

/// Not every system gives a connection up for what was not acknowledged: PINGs do.
pub(in crate::net) fn give_up_after(_: &SockRef<'_>, _: Option<Duration>) {}

/// Whether it waits for connections of others, as far as that is known: otherwise it is one that is not connected.
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
pub(in crate::net) fn is_listener(socket: &SockRef<'_>) -> bool {
    socket.is_listener().unwrap_or(false)
}
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
pub(in crate::net) fn is_listener(_: &SockRef<'_>) -> bool {
    false
}

type Watched = Weak<dyn AsRawFd + Send + Sync>;

/// Tells which of many sockets the peer has closed, so that an idle connection that died is known before a command is
/// written to it: all of them are looked at from time to time.
#[derive(Debug, Default)]
pub struct Hangups(Arc<Set>);

#[derive(Default)]
struct Set {
    sockets: Mutex<HashMap<u64, Watched>>,
    /// There is something to look at again.
    added: Notify,
}

impl std::fmt::Debug for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Set")
    }
}

impl Hangups {
    /// An empty set.
    pub fn new() -> io::Result<Hangups> {
        Ok(Hangups::default())
    }

    /// Watches `socket` under `token` until it is closed.
    pub fn add(&self, socket: &Arc<impl AsRawFd + Send + Sync + 'static>, token: u64) -> io::Result<()> {
        let socket = Arc::downgrade(socket) as Watched;
        self.0.sockets.lock().insert(token, socket);
        self.0.added.notify_one();
        Ok(())
    }

    /// What tells of them, on sentinel-io.
    pub fn watch(&self) -> io::Result<Watch> {
        Ok(Watch(Arc::clone(&self.0)))
    }
}

/// Tells of a set's sockets that were closed by their peers.
#[derive(Debug)]
pub struct Watch(Arc<Set>);

impl Watch {
    /// The tokens of those since the last call; waits for the first.
    pub async fn next(&mut self) -> io::Result<Vec<u64>> {
        loop {
            let (gone, any) = self.look();
            if !gone.is_empty() {
                return Ok(gone);
            }
            match any {
                true => sleep(LOOK_EVERY).await,
                false => self.0.added.notified().await,
            }
        }
    }

    /// The tokens of those that are closed now, and whether there are others.
    fn look(&self) -> (Vec<u64>, bool) {
        let mut gone = Vec::new();
        let mut sockets = self.0.sockets.lock();
        sockets.retain(|token, socket| {
            let Some(socket) = socket.upgrade() else { return false };
            let is_gone = is_closed(socket.as_raw_fd());
            if is_gone {
                gone.push(*token);
            }
            !is_gone
        });
        (gone, !sockets.is_empty())
    }
}

/// Whether the peer has closed the connection, and everything that came before that was received.
fn is_closed(socket: RawFd) -> bool {
    let mut byte = 0u8;
    // SAFETY: one byte is valid for the write; the descriptor is open, for its owner is held.
    let n = unsafe { libc::recv(socket, (&raw mut byte).cast(), 1, libc::MSG_PEEK | libc::MSG_DONTWAIT) };
    let waits = || {
        let kind = io::Error::last_os_error().kind();
        matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
    };
    n == 0 || (n < 0 && !waits())
}

/// A descriptor that is readable while it is raised, for the event loop of the host.
#[derive(Debug)]
pub struct Signal {
    ours: UnixStream,
    theirs: UnixStream,
}

impl Signal {
    /// A lowered one.
    pub fn new() -> io::Result<Signal> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        Ok(Signal { ours, theirs })
    }

    /// Its number, valid as long as it lives.
    pub fn raw(&self) -> RawFd {
        self.theirs.as_raw_fd()
    }

    /// Makes it readable.
    pub fn raise(&self) {
        // It fails where it was raised so often that no byte more is taken.
        let _ = (&self.ours).write(&[1]);
    }

    /// Makes it unreadable.
    pub fn lower(&self) {
        let mut bytes = [0; 4096];
        while (&self.theirs).read(&mut bytes).is_ok_and(|count| count > 0) {}
    }
}
