//! One TCP connection that several threads write to and any thread can cut.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often a blocked write looks whether the connection was cut.
const WRITE_STEP: Duration = Duration::from_millis(50);

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Orderly, with FIN.
    Close,
    /// With RST: the other side sees ECONNRESET.
    Reset,
}

/// The connection. A reset goes out when the last owner lets go of it.
pub(crate) struct Link {
    stream: TcpStream,
    writing: Mutex<()>,
    ended: AtomicBool,
}

impl Link {
    pub(crate) fn new(stream: TcpStream) -> Link {
        // Both fail only on a connection that is gone already, and then its first use tells.
        stream.set_nodelay(true).ok();
        stream.set_write_timeout(Some(WRITE_STEP)).ok();
        Link {
            stream,
            writing: Mutex::new(()),
            ended: AtomicBool::new(false),
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Writes all of `bytes`, `size` at a time with a pause after each piece but the last; nobody else writes meanwhile.
    pub(crate) fn send_pieces(&self, bytes: &[u8], size: usize, pause: Duration) -> io::Result<()> {
        let _turn = self.writing.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut pieces = bytes.chunks(size.max(1)).peekable();
        while let Some(piece) = pieces.next() {
            self.write_all(piece)?;
            if pieces.peek().is_some() && !pause.is_zero() {
                std::thread::sleep(pause);
            }
        }
        Ok(())
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.send_pieces(bytes, bytes.len(), Duration::ZERO)
    }

    fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.has_ended() {
                return Err(io::ErrorKind::NotConnected.into());
            }
            match (&self.stream).write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Tells the other side that nothing more will come.
    pub(crate) fn finish_writing(&self) {
        self.stream.shutdown(Shutdown::Write).ok();
    }

    /// Ends the connection; blocked readers wake up.
    pub(crate) fn cut(&self, how: Cut) {
        self.ended.store(true, Ordering::SeqCst);
        match how {
            Cut::Close => self.stream.shutdown(Shutdown::Both).ok(),
            Cut::Reset => {
                self.linger_not();
                // On Linux this only wakes the readers; close then sends the RST.
                self.stream.shutdown(Shutdown::Read).ok()
            }
        };
    }

    fn linger_not(&self) {
        let linger = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        let size = size_of::<libc::linger>() as libc::socklen_t;
        // SAFETY: the descriptor is open and `linger` outlives the call.
        unsafe {
            let fd = self.stream.as_raw_fd();
            libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size);
        }
    }
}

impl Read for &Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.stream).read(buffer)
    }
}
