//! Sockets for other clients
//!
//! A program that speaks to its servers through another client library follows failovers without a change: the library
//! gets a socket from here in place of one that is connected to a server. What comes in goes out as submissions of the
//! client, with its options; discovery, failover and what may be repeated are the library's.
//!
//! The socket speaks RESP2, and RESP3 after `HELLO 3`, as a server of the client's role does; pipelines are answered in
//! their order. Answered without a node: `HELLO`, `AUTH` (any: who holds the socket is trusted), `CLIENT SETNAME`, `GETNAME`,
//! `SETINFO`, `ID`, `INFO`, `NO-EVICT` and `NO-TOUCH`, `SELECT` of the client's own database, `RESET`, `QUIT`, `PING`, `ECHO`.
//! `MULTI` gathers what is sent at once with `EXEC`; from `WATCH` on a connection is kept until `EXEC`, `DISCARD` or `UNWATCH`.
//! Commands that wait in the server have a connection of their own. `SUBSCRIBE` and its kin have one for this socket,
//! restored after a failover without a word. Refused: `MONITOR`, `SYNC`, `PSYNC`, `CLIENT REPLY`, `CLIENT TRACKING`, `WAIT`,
//! `WAITAOF`, `SELECT` of another database. With `protocol` 2 `HELLO 3` is refused too.
//!
//! A call that fails without a server's reply is answered by an error reply: its first word is `NOTSENT` (never executed),
//! `UNKNOWN` (it may have been) or `TIMEOUT`, its text the message. The stream ends when the peer ends it or breaks the
//! protocol, when the client is closed or freed, and when more than `max_reply_bytes` wait for a peer that does not read.

use std::ffi::c_int;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

use super::client::sentinel_client_t;
use super::error::sentinel_error_t;
use super::guard;
use super::handle::missing;
use super::status::sentinel_status_t;
use crate::base::error::{Error, Result};
use crate::serve;

/// A stream socket that speaks RESP and stands for the client's node. Does no I/O and waits for nothing.
///
/// The caller owns `*fd`: it is one end of a socket pair, blocking, closed in programs that this one executes. Closing it
/// is all that is to be done at the end.
///
/// # Safety
/// `client` is live or NULL, `fd` and `error` may be written or are NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_client_socket(
    client: *mut sentinel_client_t,
    fd: *mut c_int,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: `client` is live or NULL, `error` may be written or is NULL.
    unsafe {
        guard::shared(client, error, |client| {
            if fd.is_null() {
                return Err(missing("fd").into());
            }
            let socket = serve::socket(&client.core)?;
            // SAFETY: not NULL, so that the caller has made it ready to be written.
            fd.write(socket.into_raw_fd());
            Ok(())
        })
    }
}

/// Serves a connected stream socket, of the Unix family or TCP, as sentinel_client_socket serves its own end.
///
/// The library owns `fd` from the call on and makes it non-blocking, for those too that were duplicated from it. It is closed
/// when the stream ends, and at once when the call fails: INVALID_ARGUMENT when it is no such socket.
///
/// # Safety
/// `client` is live or NULL, `fd` is nobody else's, `error` may be written or is NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sentinel_client_serve(
    client: *mut sentinel_client_t,
    fd: c_int,
    error: *mut *mut sentinel_error_t,
) -> sentinel_status_t {
    // SAFETY: the caller gives the descriptor up; `client` is live or NULL, `error` may be written or is NULL.
    unsafe {
        let socket = take(fd);
        guard::shared(client, error, move |client| Ok(serve::serve(&client.core, socket?)?))
    }
}

/// The descriptor, if it is open.
///
/// # Safety
/// Nobody else uses it.
unsafe fn take(fd: c_int) -> Result<OwnedFd> {
    // SAFETY: asks what any number may be asked, and changes nothing.
    if fd < 0 || unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(Error::invalid("fd", format!("{fd} is no open descriptor")));
    }
    // SAFETY: it is open, and the caller's to give.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
