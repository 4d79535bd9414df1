//! A request on its way out of a direct connection.

use std::io::IoSlice;

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
