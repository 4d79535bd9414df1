//! Bytes to replies, in one pass whatever the pieces they come in.

use super::inbox::Inbox;
use super::limits::{DecodeError, Limits};
use super::reply::Reply;
use super::room::Room;
use super::short;
use super::state::State;

/// A resumable RESP2 and RESP3 decoder for one connection.
///
/// It keeps its place between calls, so bytes are looked at once or twice however they are cut; it does not recurse;
/// it believes no announced length until it is within the [`Limits`], and allocates in proportion to what really came.
#[derive(Debug)]
pub struct Decoder {
    pub(super) inbox: Inbox,
    pub(super) state: State,
    failed: Option<DecodeError>,
    /// What had been gathered when the stream failed.
    pub(super) saved: Option<Reply>,
}

impl Decoder {
    /// A decoder at the start of a stream. It allocates its buffer with the first `spare` or `feed`.
    pub fn new(limits: Limits) -> Decoder {
        Decoder {
            inbox: Inbox::new(),
            state: State::new(limits),
            failed: None,
            saved: None,
        }
    }

    /// Other limits, between two replies.
    pub fn limit(&mut self, limits: Limits) {
        self.state.limit(limits);
    }

    /// Where to receive the next bytes; never empty. Normally at least 16 KiB. Once the header of a large bulk string
    /// was decoded it is at least the rest of that string and its line end, so that the kernel writes it to its final
    /// place; but never more than 1 MiB, or twice what was received, is allocated for bytes that are only announced.
    pub fn spare(&mut self) -> &mut [u8] {
        if self.failed.is_some() {
            self.inbox.clear();
        }
        let awaited = self.state.awaited(self.inbox.len());
        self.inbox.spare(awaited)
    }

    /// Says that the first `n` bytes of [`Decoder::spare`] were received.
    pub fn filled(&mut self, n: usize) {
        self.inbox.filled(n);
    }

    /// Copies bytes in, for those who have them already.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let spare = self.spare();
            let (now, later) = bytes.split_at(bytes.len().min(spare.len()));
            if let Some(room) = spare.get_mut(..now.len()) {
                room.copy_from_slice(now);
            }
            self.filled(now.len());
            bytes = later;
        }
    }

    /// The next whole reply; `None` when more bytes are needed. The first error is final: what follows it in the stream
    /// has no known boundaries, so the same error comes again and the connection must be closed.
    #[allow(
        clippy::should_implement_trait,
        reason = "an iterator would hide that `None` is not the end"
    )]
    pub fn next(&mut self) -> Result<Option<Reply>, DecodeError> {
        self.next_in(&mut None)
    }

    /// The same, made in `room` if there is any and the reply fits.
    pub fn next_in(&mut self, room: &mut Option<Room>) -> Result<Option<Reply>, DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if let Some(reply) = self.next_short(room) {
            return Ok(Some(reply));
        }
        match self.state.advance(self.inbox.live()) {
            Ok(false) => Ok(None),
            Ok(true) => Ok(Some(self.seal_until(self.state.at, room))),
            Err(error) => {
                self.saved = self.take_gathered();
                self.inbox.clear();
                self.state.reset();
                self.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// The next reply, if there is room for it and it is one of these.
    fn next_short(&mut self, room: &mut Option<Room>) -> Option<Reply> {
        if self.state.at > 0 || self.state.gathered.is_some() {
            return None;
        }
        let (reply, size) = short::read(self.inbox.live(), self.state.limits.max_bytes, room)?;
        self.inbox.skip(size);
        self.state.searched = 0;
        Some(reply)
    }

    /// The reply that the first `size` bytes hold.
    pub(super) fn seal_until(&mut self, size: usize, room: &mut Option<Room>) -> Reply {
        let first = self.state.tree.first();
        let reply = match self.inbox.hand_over(size, first) {
            Some((bytes, base)) => self.state.tree.seal(bytes, base),
            None => {
                let reply = self.state.tree.seal_small(self.inbox.needed(size, first), first, room);
                self.inbox.skip(size);
                reply
            }
        };
        self.state.reset();
        self.state.gather_behind();
        reply
    }

    /// Nothing of a further reply was received. Not so after an error.
    pub fn is_empty(&self) -> bool {
        self.failed.is_none() && self.inbox.is_empty()
    }

    /// What was received of a further reply is the beginning of a push.
    pub fn is_push(&mut self) -> bool {
        self.failed.is_none() && self.inbox.live().first() == Some(&b'>')
    }

    /// Gives back what large replies have made it allocate, down to 64 KiB a buffer; does nothing inside a reply.
    pub fn trim(&mut self) {
        if self.inbox.is_empty() {
            self.inbox.trim();
            self.state.tree.trim();
        }
    }
}
