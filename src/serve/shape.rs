//! Replies as a server writes them to a peer of RESP2 or RESP3. Pure.

use std::rc::Rc;

use super::form::{Form, Nest};
use super::out::Out;
use crate::resp::{Kind, LARGE, Reply, Value};

/// What a peer has agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Resp2,
    Resp3,
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct Place {
    depth: u32,
    at: usize,
}

const TOP: Place = Place { depth: 0, at: 0 };

/// Whether most of it is large values: otherwise it costs more to keep than to copy, and nothing counts what is kept beside
/// them.
pub(super) fn is_mostly_large(reply: &Reply) -> bool {
    let memory = reply.memory();
    if memory < LARGE {
        return false;
    }
    let values = reply.root().subtree().map(|value| value.data().len());
    2 * values.filter(|len| *len >= LARGE).sum::<usize>() >= memory
}

/// Writes to one peer.
pub(super) struct Writer<'a> {
    out: &'a mut Out,
    protocol: Protocol,
    /// What is being written, where it may have large values.
    source: Option<Rc<Reply>>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut Out, protocol: Protocol) -> Writer<'a> {
        Writer {
            out,
            protocol,
            source: None,
        }
    }

    fn is_old(&self) -> bool {
        self.protocol == Protocol::Resp2
    }

    /// A reply to a command of this form.
    pub(super) fn reply(&mut self, reply: Reply, form: Form) -> &mut Self {
        if is_mostly_large(&reply) {
            let reply = Rc::new(reply);
            return self.element(reply.root(), form, Some(&reply));
        }
        self.element(reply.root(), form, None)
    }

    /// The same for an element of a transaction's. `of`: whose it is, where its large values go out from there.
    pub(super) fn element(&mut self, value: Value<'_>, form: Form, of: Option<&Rc<Reply>>) -> &mut Self {
        self.source = of.map(Rc::clone);
        match (self.protocol, form.nest, value.kind()) {
            (Protocol::Resp2, Nest::Flat, Kind::Array) => self.flat(value, form),
            (Protocol::Resp2, Nest::Pairs, Kind::Map) => self.pairs(value, form),
            _ => self.value(value, form, TOP),
        }
        self.source = None;
        self
    }

    /// Depth first by a stack of its own: no peer of a node decides how deep this one's goes.
    fn value(&mut self, root: Value<'_>, form: Form, place: Place) {
        let base = root.node().depth;
        // Places within the aggregates around, the innermost last.
        let mut counts: Vec<usize> = Vec::new();
        for value in root.subtree() {
            let depth = value.node().depth - base;
            counts.truncate(usize::try_from(depth).unwrap_or(usize::MAX));
            let at = counts.last_mut().map_or(place.at, |count| {
                let at = *count;
                *count += 1;
                at
            });
            let depth = place.depth + depth;
            match value.kind() {
                kind if kind.is_aggregate() => {
                    counts.push(0);
                    self.header(kind, value.len());
                }
                Kind::Nil if self.is_old() && form.nil.is_array(depth, at) => self.raw(b"*-1\r\n"),
                kind => self.leaf(value, kind),
            }
        }
    }

    /// A list of pairs as one list.
    fn flat(&mut self, list: Value<'_>, form: Form) {
        let is_pair = |value: &Value<'_>| value.kind() == Kind::Array;
        let count = list
            .elements()
            .map(|value| if is_pair(&value) { value.len() } else { 1 })
            .sum();
        self.header(Kind::Array, count);
        for (at, value) in list.elements().enumerate() {
            if is_pair(&value) {
                for (at, value) in value.elements().enumerate() {
                    self.value(value, form, Place { depth: 1, at });
                }
            } else {
                self.value(value, form, Place { depth: 1, at });
            }
        }
    }

    /// A map as a list of pairs.
    fn pairs(&mut self, map: Value<'_>, form: Form) {
        self.header(Kind::Array, map.len());
        for at in 0..map.len() {
            self.header(Kind::Array, 2);
            for value in [map.key_at(at), map.value_at(at)].into_iter().flatten() {
                self.value(value, form, Place { depth: 2, at });
            }
        }
    }

    fn leaf(&mut self, value: Value<'_>, kind: Kind) {
        match (kind, self.protocol) {
            (Kind::Nil, _) => _ = self.nil(),
            (Kind::Status, _) => self.line(b'+', value.data()),
            (Kind::Error, _) => self.line(b'-', value.data()),
            (Kind::Integer, _) => _ = self.integer(value.integer()),
            (Kind::Bool, Protocol::Resp2) => _ = self.integer(value.integer()),
            (Kind::Bool, Protocol::Resp3) => self.raw(if value.integer() == 0 { b"#f\r\n" } else { b"#t\r\n" }),
            (Kind::Double, Protocol::Resp3) => self.line(b',', value.data()),
            (Kind::BigNumber, Protocol::Resp3) => self.line(b'(', value.data()),
            (Kind::Verbatim, Protocol::Resp3) => _ = self.verbatim(value.verbatim_format(), value.data()),
            _ => {
                self.sized(b'$', value.data().len());
                self.out.value(value, self.source.as_ref());
                self.raw(b"\r\n");
            }
        }
    }

    fn header(&mut self, kind: Kind, len: usize) {
        let (sign, len) = match (kind, self.protocol) {
            (Kind::Map, Protocol::Resp2) => (b'*', len * 2),
            (Kind::Map, Protocol::Resp3) => (b'%', len),
            (Kind::Set, Protocol::Resp3) => (b'~', len),
            (Kind::Push, Protocol::Resp3) => (b'>', len),
            _ => (b'*', len),
        };
        self.sized(sign, len);
    }

    /// Begins an array; so many values follow.
    pub(super) fn array(&mut self, len: usize) -> &mut Self {
        self.header(Kind::Array, len);
        self
    }

    /// Begins a map; so many pairs follow.
    pub(super) fn map(&mut self, pairs: usize) -> &mut Self {
        self.header(Kind::Map, pairs);
        self
    }

    /// Begins what no command asked for; so many values follow.
    pub(super) fn push(&mut self, len: usize) -> &mut Self {
        self.header(Kind::Push, len);
        self
    }

    pub(super) fn bulk(&mut self, bytes: &[u8]) -> &mut Self {
        self.sized(b'$', bytes.len());
        self.raw(bytes);
        self.raw(b"\r\n");
        self
    }

    /// Text with its format; a string to those who know no format.
    pub(super) fn verbatim(&mut self, format: Option<&[u8]>, text: &[u8]) -> &mut Self {
        if self.is_old() {
            return self.bulk(text);
        }
        self.sized(b'=', text.len() + 4);
        self.raw(format.unwrap_or(b"txt"));
        self.raw(b":");
        self.raw(text);
        self.raw(b"\r\n");
        self
    }

    pub(super) fn status(&mut self, text: &str) -> &mut Self {
        self.line(b'+', text.as_bytes());
        self
    }

    /// An error; it is on one line, whatever is in it.
    pub(super) fn error(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let bytes = text.as_ref().iter().map(|byte| if is_end(byte) { b' ' } else { *byte });
        self.out.bytes.push(b'-');
        self.out.bytes.extend(bytes);
        self.raw(b"\r\n");
        self
    }

    pub(super) fn integer(&mut self, number: i64) -> &mut Self {
        self.line(b':', number.to_string().as_bytes());
        self
    }

    pub(super) fn nil(&mut self) -> &mut Self {
        self.raw(if self.is_old() { b"$-1\r\n" } else { b"_\r\n" });
        self
    }

    /// The nil that stands for an array.
    pub(super) fn nil_array(&mut self) -> &mut Self {
        self.raw(if self.is_old() { b"*-1\r\n" } else { b"_\r\n" });
        self
    }

    fn sized(&mut self, sign: u8, len: usize) {
        self.line(sign, len.to_string().as_bytes());
    }

    fn line(&mut self, sign: u8, text: &[u8]) {
        self.out.bytes.push(sign);
        self.raw(text);
        self.raw(b"\r\n");
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.out.bytes.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::Builder;

    fn reply(large: usize, small: usize) -> Reply {
        let mut made = Builder::new();
        made.array(large + small);
        (0..large).for_each(|_| _ = made.string(&[b'x'; LARGE]));
        (0..small).for_each(|_| _ = made.string(b"x"));
        made.finish().unwrap()
    }

    #[test]
    fn what_is_kept_is_no_larger_than_what_is_counted_twice() {
        assert!(is_mostly_large(&reply(1, 0)) && is_mostly_large(&reply(3, 100)));
        assert!(!is_mostly_large(&reply(0, 100_000)), "there is nothing to keep");
        assert!(!is_mostly_large(&reply(1, 10_000)), "the others cost more than it");
        for (large, small) in [(2, 5), (1, 10_000)] {
            let (mut out, reply) = (Out::default(), reply(large, small));
            let (memory, kept) = (reply.memory(), is_mostly_large(&reply));
            Writer::new(&mut out, Protocol::Resp2).reply(reply, Form::default());
            assert_eq!(out.bytes.len() < LARGE, kept);
            assert!(!kept || memory <= 2 * out.len());
        }
    }
}
