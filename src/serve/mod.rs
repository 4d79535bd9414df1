//! Sockets that speak RESP as a server of the client's role does, for programs with a client library of their own.
//!
//! A [`peer`] is one socket: what comes in is taken apart ([`request`]), taken up in its turn ([`commands`],
//! [`transactions`]) as far as the peer reads ([`window`]), answered here ([`session`]) or by a call of the client, whose end
//! is told in its place ([`slots`], [`answers`]) and in the peer's protocol ([`shape`], [`form`]). The calls are submissions
//! like any other: what is repeated, and what an outcome is, is decided in `call`.

mod answers;
mod commands;
mod failure;
mod form;
mod gathered;
mod inline;
mod listening;
mod out;
mod outbox;
mod peer;
pub(crate) mod request;
mod session;
mod shape;
mod slots;
mod transactions;
mod window;

use std::os::fd::OwnedFd;

use crate::base::error::{Error, ErrorKind, Result};
use crate::handles::Client;
use crate::net::accepted::{Accepted, check, pair};
use peer::Peer;

/// A connected socket whose other end is served on behalf of `client` until either is closed.
pub fn socket(client: &Client) -> Result<OwnedFd> {
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Internal {
            problem: format!("no socket could be made: {error}"),
        })
    };
    let (own, given) = pair().map_err(failed)?;
    serve(client, own).map(|()| given)
}

/// Serves a connected stream socket on behalf of `client` until either is closed. It comes back with the error.
pub fn serve(client: &Client, socket: OwnedFd) -> Result<()> {
    check(&socket).map_err(|problem| Error::invalid("fd", problem))?;
    client.starter()?.start(move |port| async move {
        if let Ok(socket) = Accepted::new(socket) {
            Peer::new(port, socket).run().await;
        }
    });
    Ok(())
}
