//! A reply as an immutable tree.

use std::borrow::Cow;

use super::node::{Kind, Node, position};
use super::room::Room;
use super::said::Said;
use crate::base::heavy::{HEAVY, let_go};

/// What a large reply holds apart from its nodes.
#[derive(Debug)]
pub struct Rest {
    pub(super) bytes: Vec<u8>,
    pub(super) table: Box<[u32]>,
}

/// A whole reply. It never changes, owns its bytes, and may be read by any threads at once.
///
/// The nodes stand depth first in one array behind a hidden head, so that a pointer to any of them leads to the head
/// by its own `index`. Of a small reply the table and the bytes lie in the same array behind the nodes: it is one
/// allocation.
pub struct Reply {
    nodes: Box<[Node]>,
    rest: Option<Box<Rest>>,
}

/// A reply as it is read, wherever its parts are kept.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// With the head, and with what lies behind.
    all: &'a [Node],
    rest: Option<&'a Rest>,
}

impl<'a> View<'a> {
    /// The reply of these parts, which came from [`Reply::into_parts`].
    pub fn new(all: &'a [Node], rest: Option<&'a Rest>) -> View<'a> {
        View { all, rest }
    }

    /// The head's `len` counts the nodes, its `children` the numbers of a table that lies behind them.
    fn head(self) -> &'a Node {
        self.all.first().unwrap_or(&Node::HEAD)
    }

    /// The nodes with the head in front.
    pub fn nodes_with_head(self) -> &'a [Node] {
        self.all.get(..self.head().len).unwrap_or_default()
    }

    fn behind(self) -> &'a [Node] {
        self.all.get(self.head().len..).unwrap_or_default()
    }

    fn table(self) -> &'a [u32] {
        match self.rest {
            Some(rest) => &rest.table,
            None => bytemuck::cast_slice(self.behind()),
        }
    }

    fn bytes(self) -> &'a [u8] {
        match self.rest {
            Some(rest) => &rest.bytes,
            None => {
                let table = position(self.head().children) * size_of::<u32>();
                bytemuck::cast_slice(self.behind()).get(table..).unwrap_or_default()
            }
        }
    }

    /// The value whose [`Node::index`] is `index`; the root has 1.
    pub fn value(self, index: u32) -> Option<Value<'a>> {
        let nodes = self.nodes_with_head();
        let node = nodes.get(position(index)).filter(|node| node.index > 0)?;
        Some(Value { reply: self, node })
    }
}

impl Drop for Reply {
    #[inline]
    fn drop(&mut self) {
        let behind = self.rest.as_ref().map_or(0, |rest| rest.bytes.capacity());
        let bytes = behind + size_of_val(&*self.nodes);
        if bytes > HEAVY {
            let_go((std::mem::take(&mut self.nodes), self.rest.take()), bytes);
        }
    }
}

impl Reply {
    /// `nodes` begin with a head that counts them and a root and are complete; their `data` lie in `rest`, or behind
    /// them.
    pub(super) fn new(nodes: Box<[Node]>, rest: Option<Box<Rest>>) -> Reply {
        Reply { nodes, rest }
    }

    /// Whether it has found its place in a [`Room`], or would have.
    pub fn fits_room(&self) -> bool {
        Room::holds(self.nodes.len())
    }

    /// Its parts, for whoever keeps them in another way.
    pub fn into_parts(mut self) -> (Box<[Node]>, Option<Box<Rest>>) {
        (std::mem::take(&mut self.nodes), self.rest.take())
    }

    /// Keeps whose word an element is that is an error.
    pub(crate) fn keep_said(&mut self, place: usize, said: Said) {
        let node = self.at(place).filter(|element| element.kind() == Kind::Error);
        let index = node.map(|element| position(element.node.index));
        if let Some(node) = index.and_then(|index| self.nodes.get_mut(index)) {
            node.children = said as u32;
        }
    }

    /// The reply as it is read.
    pub fn view(&self) -> View<'_> {
        View::new(&self.nodes, self.rest.as_deref())
    }

    /// The value that holds all others.
    pub fn root(&self) -> Value<'_> {
        let nil = || Value {
            reply: self.view(),
            node: &Node::NIL,
        };
        self.view().value(1).unwrap_or_else(nil)
    }

    /// All values depth first, the root first.
    pub fn nodes(&self) -> &[Node] {
        self.view().nodes_with_head().get(1..).unwrap_or_default()
    }

    /// The value whose [`Node::index`] is `index`; the root has 1.
    pub fn value(&self, index: u32) -> Option<Value<'_>> {
        self.view().value(index)
    }

    /// The same with an array as its root made a push: RESP2 has no type for messages.
    pub fn into_push(mut self) -> Reply {
        let array = |root: &&mut Node| root.kind == Kind::Array as i32;
        if let Some(root) = self.nodes.get_mut(1).filter(array) {
            root.kind = Kind::Push as i32;
        }
        self
    }

    /// Allocations it is made of.
    #[cfg(test)]
    pub(super) fn allocations(&self) -> usize {
        1 + self.rest.as_ref().map_or(0, |rest| {
            1 + usize::from(rest.bytes.capacity() > 0) + usize::from(!rest.table.is_empty())
        })
    }

    #[cfg(test)]
    pub(super) fn bytes_held(&self) -> usize {
        let behind = size_of_val(self.view().behind());
        self.rest.as_ref().map_or(behind, |rest| rest.bytes.capacity())
    }

    /// All that it holds: nodes, the table, bytes.
    pub(crate) fn memory(&self) -> usize {
        let rest = self.rest.as_ref();
        let rest = rest.map_or(0, |rest| rest.bytes.capacity() + size_of_val(&*rest.table));
        size_of_val(&*self.nodes) + rest
    }

    /// The byte behind a node's data, which must be a NUL.
    #[cfg(test)]
    pub(super) fn byte_behind(&self, node: &Node) -> Option<u8> {
        let bytes = self.view().bytes();
        let from = node.data.wrapping_sub(bytes.as_ptr().addr());
        bytes.get(from + node.len).copied()
    }

    /// [`Value::kind`] of the root.
    pub fn kind(&self) -> Kind {
        self.root().kind()
    }
    /// [`Value::data`] of the root.
    pub fn data(&self) -> &[u8] {
        self.root().data()
    }
    /// [`Value::text`] of the root.
    pub fn text(&self) -> Cow<'_, str> {
        self.root().text()
    }
    /// [`Value::verbatim_format`] of the root.
    pub fn verbatim_format(&self) -> Option<&[u8]> {
        self.root().verbatim_format()
    }
    /// [`Value::integer`] of the root.
    pub fn integer(&self) -> i64 {
        self.root().integer()
    }
    /// [`Value::double`] of the root.
    pub fn double(&self) -> f64 {
        self.root().double()
    }
    /// [`Value::is_nil`] of the root.
    pub fn is_nil(&self) -> bool {
        self.root().is_nil()
    }
    /// [`Value::len`] of the root.
    pub fn len(&self) -> usize {
        self.root().len()
    }
    /// [`Value::is_empty`] of the root.
    pub fn is_empty(&self) -> bool {
        self.root().is_empty()
    }
    /// [`Value::at`] of the root.
    pub fn at(&self, i: usize) -> Option<Value<'_>> {
        self.root().at(i)
    }
    /// [`Value::key_at`] of the root.
    pub fn key_at(&self, i: usize) -> Option<Value<'_>> {
        self.root().key_at(i)
    }
    /// [`Value::value_at`] of the root.
    pub fn value_at(&self, i: usize) -> Option<Value<'_>> {
        self.root().value_at(i)
    }
    /// [`Value::get`] of the root.
    pub fn get(&self, key: &[u8]) -> Option<Value<'_>> {
        self.root().get(key)
    }
    /// [`Value::elements`] of the root.
    pub fn elements(&self) -> impl Iterator<Item = Value<'_>> {
        self.root().elements()
    }
}

/// A value within a [`Reply`], and the way to those below it.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    reply: View<'a>,
    node: &'a Node,
}

impl<'a> Value<'a> {
    /// What it is.
    pub fn kind(self) -> Kind {
        Kind::of(self.node.kind)
    }

    /// Whose word an error is.
    pub fn said(self) -> Said {
        match self.kind() {
            Kind::Error => Said::of(self.node.children),
            _ => Said::BySomebody,
        }
    }

    /// Its node, as C sees it.
    pub fn node(self) -> &'a Node {
        self.node
    }

    /// Its bytes; empty for kinds without any. Of a verbatim string the text, of a double and a big number the digits.
    pub fn data(self) -> &'a [u8] {
        self.bytes(0, self.node.len).unwrap_or_default()
    }

    /// Its bytes as text, for messages and keywords: what is not UTF-8 is replaced.
    pub fn text(self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.data())
    }

    /// The three bytes in front of a verbatim string, `txt` or `mkd` so far.
    pub fn verbatim_format(self) -> Option<&'a [u8]> {
        if self.kind() == Kind::Verbatim {
            self.bytes(4, 3)
        } else {
            None
        }
    }

    /// `len` bytes from `before` bytes in front of the data on.
    fn bytes(self, before: usize, len: usize) -> Option<&'a [u8]> {
        if self.node.data == 0 {
            return None;
        }
        let bytes = self.reply.bytes();
        let from = self.node.data.wrapping_sub(bytes.as_ptr().addr()).wrapping_sub(before);
        bytes.get(from..from.checked_add(len)?)
    }

    /// The number of an integer, 0 or 1 of a boolean, 0 of anything else.
    pub fn integer(self) -> i64 {
        self.node.integer
    }

    /// The number of a double, 0 of anything else.
    pub fn double(self) -> f64 {
        self.node.number
    }

    /// Whether it is the absence of a value.
    pub fn is_nil(self) -> bool {
        self.kind() == Kind::Nil
    }

    /// Elements of an aggregate, pairs of a map, 0 of anything else.
    pub fn len(self) -> usize {
        match self.kind() {
            Kind::Map => self.node.len / 2,
            kind if kind.is_aggregate() => self.node.len,
            _ => 0,
        }
    }

    /// Whether it has no elements.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Element `i`, in constant time. In a map keys and values alternate; better use `key_at` and `value_at` there.
    #[inline]
    pub fn at(self, i: usize) -> Option<Value<'a>> {
        if i >= self.node.child_count() {
            return None;
        }
        let index = match position(self.node.children).checked_sub(1) {
            None => position(self.node.index).checked_add(i)?.checked_add(1)?,
            Some(list) => position(*self.reply.table().get(list.checked_add(i)?)?),
        };
        Some(Value {
            reply: self.reply,
            node: self.reply.nodes_with_head().get(index)?,
        })
    }

    /// Key of pair `i` of a map.
    pub fn key_at(self, i: usize) -> Option<Value<'a>> {
        if self.kind() == Kind::Map {
            self.at(i.checked_mul(2)?)
        } else {
            None
        }
    }

    /// Value of pair `i` of a map.
    pub fn value_at(self, i: usize) -> Option<Value<'a>> {
        if self.kind() == Kind::Map {
            self.at(i.checked_mul(2)?.checked_add(1)?)
        } else {
            None
        }
    }

    /// The value of the first pair whose key has these bytes. Keys without bytes (integers, aggregates) never match.
    pub fn get(self, key: &[u8]) -> Option<Value<'a>> {
        let matches = |candidate: Value<'_>| candidate.node.data != 0 && candidate.data() == key;
        let pair = (0..self.len()).find(|&i| self.key_at(i).is_some_and(matches))?;
        self.value_at(pair)
    }

    /// The values directly below; keys and values of a map alternate.
    pub fn elements(self) -> impl Iterator<Item = Value<'a>> {
        (0..self.node.child_count()).map_while(move |i| self.at(i))
    }

    /// This value and all below it, depth first.
    pub(crate) fn subtree(self) -> impl Iterator<Item = Value<'a>> {
        let behind = self
            .reply
            .nodes_with_head()
            .get(position(self.node.index) + 1..)
            .unwrap_or_default();
        let below = behind.iter().take_while(move |node| node.depth > self.node.depth);
        std::iter::once(self.node).chain(below).map(move |node| Value {
            reply: self.reply,
            node,
        })
    }
}
