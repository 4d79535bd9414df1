//! A request on its way out of a direct connection.

use std::io::{self, IoSlice};

use socket2::SockRef;

use crate::net::Records;

/// Parts handed to the kernel at once; the rest follows with the next call.
const PARTS: usize = 64;

/// A request on its way: bytes of our own, and the caller's large parts where they lie.
pub(super) struct Outgoing<'a> {
    pub(super) own: &'a [u8],
    /// Where in `own` they belong.
    pub(super) large: &'a [(usize, &'a [u8])],
    pub(super) len: usize,
}

impl<'a> Outgoing<'a> {
    pub(super) fn new(own: &'a [u8], large: &'a [(usize, &'a [u8])]) -> Outgoing<'a> {
        let len = own.len() + large.iter().map(|(_, part)| part.len()).sum::<usize>();
        Outgoing { own, large, len }
    }

    /// What lies behind the first `from` bytes, or the beginning of it.
    pub(super) fn parts(&self, from: usize) -> Vec<IoSlice<'a>> {
        let mut skip = from;
        let mut parts = Vec::with_capacity(PARTS.min(2 * self.large.len() + 1));
        let mut add = |part: &'a [u8]| {
            let rest = part.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(part.len());
            if !rest.is_empty() && parts.len() < PARTS {
                parts.push(IoSlice::new(rest));
            }
        };
        let mut begin = 0;
        for (at, part) in self.large {
            add(self.own.get(begin..*at).unwrap_or_default());
            add(part);
            begin = *at;
        }
        add(self.own.get(begin..).unwrap_or_default());
        parts
    }
}

/// Puts what there is room for behind the first `sealed` bytes in records, and hands records to the kernel. True when it
/// took any: then all that is sealed may be on its way.
pub(super) fn send_sealed(
    tls: &mut Records,
    socket: &SockRef<'_>,
    out: &Outgoing<'_>,
    sealed: &mut usize,
) -> io::Result<bool> {
    if out.large.is_empty() {
        *sealed += tls.seal(out.own.get(*sealed..).unwrap_or_default())?;
    } else {
        for part in out.parts(*sealed) {
            let taken = tls.seal(&part)?;
            *sealed += taken;
            if taken < part.len() {
                break;
            }
        }
    }
    match tls.push(socket) {
        Err(error) if is_transient(&error) => Ok(false),
        pushed => pushed.map(|bytes| bytes > 0),
    }
}

/// Whether the same is to be tried again.
pub(super) fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
