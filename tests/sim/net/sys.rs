//! The rest of the kernel: the names of `src/net/sys.rs`.

use std::io;
use std::os::fd::RawFd;
use std::task::Poll;

use super::Socket;
use crate::network::network;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    Read,
    ReadOrWrite,
}

#[derive(Debug)]
pub struct Hangups;

impl Hangups {
    pub fn new() -> io::Result<Hangups> {
        Ok(Hangups)
    }

    pub fn add(&self, socket: &Socket, token: u64) -> io::Result<()> {
        network().with(socket.number(), |connection| {
            if connection.has_hung_up() {
                network().hung_up(token);
            } else {
                connection.token = Some(token);
            }
        });
        Ok(())
    }

    pub fn watch(&self) -> io::Result<Watch> {
        Ok(Watch)
    }
}

/// What a task waits for.
#[derive(Debug)]
pub struct Watch;

impl Watch {
    pub async fn next(&mut self) -> io::Result<Vec<u64>> {
        loop {
            std::future::poll_fn(|cx| match network().has_gone(cx.waker()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            })
            .await;
            let gone = network().take_gone();
            if !gone.is_empty() {
                return Ok(gone);
            }
        }
    }
}

/// No event loop of a host looks here.
#[derive(Debug)]
pub struct Signal;

impl Signal {
    pub fn new() -> io::Result<Signal> {
        Ok(Signal)
    }

    pub fn raw(&self) -> RawFd {
        -1
    }

    pub fn raise(&self) {}

    pub fn lower(&self) {}
}

/// For unit tests of the sources, which are compiled here and not run.
pub fn wait_ready(_: std::os::fd::BorrowedFd<'_>, _: Ready, _: Option<std::time::Instant>) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}
