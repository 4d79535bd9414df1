//! Replies as they are written: bytes, and large values that stay where they lie. No I/O.

use std::rc::Rc;

use crate::resp::{LARGE, Reply, Value};

/// A large value, which goes out from the reply that holds it.
#[derive(Debug, Clone)]
pub(super) struct Large {
    reply: Rc<Reply>,
    index: u32,
    len: usize,
}

impl Large {
    pub(super) fn bytes(&self) -> &[u8] {
        let value = self.reply.view().value(self.index);
        value.map(|value| value.data()).unwrap_or_default()
    }
}

/// What is to be sent.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) bytes: Vec<u8>,
    /// Where in `bytes` they belong, in order.
    large: Vec<(usize, Large)>,
    /// Bytes of those.
    apart: usize,
}

impl Out {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() + self.apart
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A value of this reply, copied unless it is large.
    pub(super) fn value(&mut self, value: Value<'_>, of: Option<&Rc<Reply>>) {
        let data = value.data();
        match of.filter(|_| data.len() >= LARGE) {
            Some(reply) => {
                let large = Large {
                    reply: Rc::clone(reply),
                    index: value.node().index,
                    len: data.len(),
                };
                self.apart += large.len;
                self.large.push((self.bytes.len(), large));
            }
            None => self.bytes.extend_from_slice(data),
        }
    }

    /// Adds what comes behind.
    pub(super) fn append(&mut self, other: Out) {
        if self.is_empty() {
            *self = other;
            return;
        }
        let before = self.bytes.len();
        self.large
            .extend(other.large.into_iter().map(|(at, large)| (before + at, large)));
        self.apart += other.apart;
        self.bytes.extend_from_slice(&other.bytes);
    }

    /// Empties it: the large values with what stands before each; what stands behind the last is left in `bytes`.
    pub(super) fn take_large(&mut self) -> Vec<(Vec<u8>, Large)> {
        self.apart = 0;
        let mut begin = 0;
        let bytes = &self.bytes;
        let mut before = |at: usize| {
            let part = bytes.get(begin..at).unwrap_or_default().to_vec();
            begin = at;
            part
        };
        let taken = self.large.drain(..).map(|(at, large)| (before(at), large)).collect();
        self.bytes.drain(..begin);
        taken
    }
}
