//! The nodes of a reply while it grows, and how they are sealed. Shared by the decoder and the builder.

use super::node::{Kind, Node, position};
use super::reply::{Reply, Rest};
use super::room::Room;

/// From so many bytes of nodes on they are handed over instead of copied to an exact allocation.
const HAND_OVER: usize = 64 * 1024;
/// Scratch memory kept by [`Tree::trim`].
const KEEP: usize = 64 * 1024;
/// In `cursors`: the children of this aggregate stand right behind it and need no table.
const ADJACENT: usize = usize::MAX;

/// An aggregate whose elements are still to come.
#[derive(Debug)]
struct Frame {
    left: usize,
    /// Position of its node; 0, the head's, for an attribute and everything in it, which leave no nodes.
    node: u32,
}

/// A scalar to be added; `data` is the offset of its first byte, and 0 for none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaf {
    pub(super) kind: Kind,
    pub(super) data: usize,
    pub(super) len: usize,
    pub(super) integer: i64,
    pub(super) number: f64,
}

impl Leaf {
    pub(super) const fn new(kind: Kind) -> Leaf {
        Leaf {
            kind,
            data: 0,
            len: 0,
            integer: 0,
            number: 0.0,
        }
    }
    pub(super) const fn text(kind: Kind, data: usize, len: usize) -> Leaf {
        Leaf {
            kind,
            data,
            len,
            integer: 0,
            number: 0.0,
        }
    }
}

/// A reply that grows depth first. Its vectors serve one reply after the other.
///
/// A node's `data` is an offset, and not 0, until [`Tree::seal`] turns it into an address; its `children` is 1 when one
/// of its elements has elements itself, so that their positions must be looked up.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    open: Vec<Frame>,
    cursors: Vec<usize>,
    /// Open aggregates that leave nodes, and those that do not.
    depth: u32,
    muted: usize,
    nested: bool,
    /// Offset of the first byte that any node needs; 0 for none.
    first: usize,
}

impl Tree {
    pub(super) fn new() -> Tree {
        let nodes = vec![Node::HEAD];
        Tree {
            nodes,
            open: Vec::new(),
            cursors: Vec::new(),
            depth: 0,
            muted: 0,
            nested: false,
            first: 0,
        }
    }

    /// The root is there and nothing is missing in it.
    pub(super) fn is_whole(&self) -> bool {
        self.open.is_empty() && self.nodes.len() > 1
    }

    /// Aggregates and attributes that wait for elements.
    pub(super) fn nesting(&self) -> usize {
        self.open.len()
    }

    /// Nodes so far, the head with them.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Elements that the root still waits for.
    pub(super) fn root_left(&self) -> usize {
        self.open.first().map_or(0, |root| root.left)
    }

    /// Drops all nodes but the first `nodes`, which hold `elements` whole ones of the root.
    pub(super) fn cut(&mut self, nodes: usize, elements: usize) {
        self.nodes.truncate(nodes);
        self.open.clear();
        (self.depth, self.muted) = (0, 0);
        if let Some(root) = self.nodes.get_mut(1) {
            root.len = elements;
        }
    }

    /// Offset of the first byte any node needs; 0 when none needs any.
    pub(super) fn first(&self) -> usize {
        self.first
    }

    /// Adds a scalar.
    pub(super) fn leaf(&mut self, leaf: Leaf) {
        if self.muted == 0 {
            if self.first == 0 && leaf.data != 0 {
                // A verbatim string's format stands in the four bytes in front of its text.
                self.first = if leaf.kind == Kind::Verbatim {
                    leaf.data.saturating_sub(4)
                } else {
                    leaf.data
                };
            }
            self.push(leaf);
        }
        if let Some(parent) = self.open.last_mut() {
            parent.left = parent.left.saturating_sub(1);
            if parent.left == 0 {
                self.close();
            }
        }
    }

    /// Begins an aggregate of `children` nodes: elements, or keys and values.
    pub(super) fn aggregate(&mut self, kind: Kind, children: usize) {
        if children == 0 {
            return self.leaf(Leaf::new(kind));
        }
        if let Some(parent) = self.open.last_mut() {
            parent.left = parent.left.saturating_sub(1);
            if self.muted == 0 {
                self.nested = true;
                if let Some(node) = self.nodes.get_mut(position(parent.node)) {
                    node.children = 1;
                }
            }
        }
        if self.muted > 0 {
            return self.attribute(children);
        }
        let node = self.push(Leaf {
            len: children,
            ..Leaf::new(kind)
        });
        self.depth = self.depth.saturating_add(1);
        self.open.push(Frame { left: children, node });
    }

    /// Begins an attribute of `children` keys and values. It is no element of what it stands in.
    pub(super) fn attribute(&mut self, children: usize) {
        if children > 0 {
            self.muted += 1;
            self.open.push(Frame {
                left: children,
                node: 0,
            });
        }
    }

    #[inline]
    fn push(&mut self, leaf: Leaf) -> u32 {
        let index = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.nodes.push(Node {
            kind: leaf.kind as i32,
            depth: self.depth,
            len: leaf.len,
            data: leaf.data,
            integer: leaf.integer,
            number: leaf.number,
            index,
            children: 0,
        });
        index
    }

    /// Leaves the aggregates that have just become complete.
    fn close(&mut self) {
        while let Some(&Frame { left: 0, node }) = self.open.last() {
            self.open.pop();
            if node == 0 {
                self.muted = self.muted.saturating_sub(1);
            } else {
                self.depth = self.depth.saturating_sub(1);
            }
        }
    }

    /// Makes the reply of large values, and is empty again. `bytes` must not move any more; `base` is the address of
    /// offset 0 in it (which may lie in front of it).
    pub(super) fn seal(&mut self, bytes: Vec<u8>, base: usize) -> Reply {
        let table = self.link().into_boxed_slice();
        let mut nodes = self.take_nodes(0).into_boxed_slice();
        place(&mut nodes, base);
        Reply::new(nodes, Some(Box::new(Rest { bytes, table })))
    }

    /// Makes the reply with a copy of its bytes behind its nodes, and is empty again. `first` is the offset of the first
    /// byte of `bytes`. It is made in `room` if it fits.
    pub(super) fn seal_small(&mut self, bytes: &[u8], first: usize, room: &mut Option<Room>) -> Reply {
        let table = self.link();
        let in_front = size_of_val(table.as_slice());
        let behind = (in_front + bytes.len()).div_ceil(size_of::<Node>());
        let count = self.nodes.len();
        let mut nodes = match Room::take(room, count + behind) {
            Some(nodes) => self.move_nodes(nodes),
            None => self.take_nodes(behind).into_boxed_slice(),
        };
        if let Some(head) = nodes.first_mut() {
            head.children = u32::try_from(table.len()).unwrap_or(0);
        }
        let room = nodes.get_mut(count..).unwrap_or_default();
        let room: &mut [u8] = bytemuck::cast_slice_mut(room);
        if let Some((numbers, text)) = room.split_at_mut_checked(in_front) {
            numbers.copy_from_slice(bytemuck::cast_slice(&table));
            if let Some(text) = text.get_mut(..bytes.len()) {
                text.copy_from_slice(bytes);
            }
        }
        let base = room
            .as_ptr()
            .expose_provenance()
            .wrapping_add(in_front)
            .wrapping_sub(first);
        place(nodes.get_mut(..count).unwrap_or_default(), base);
        Reply::new(nodes, None)
    }

    /// The nodes with a head that counts them, at the beginning of `room`, which is large enough.
    fn move_nodes(&mut self, mut room: Box<[Node]>) -> Box<[Node]> {
        if let Some(place) = room.get_mut(..self.nodes.len()) {
            place.copy_from_slice(&self.nodes);
        }
        if let Some(head) = room.first_mut() {
            head.len = self.nodes.len();
        }
        self.reset();
        room
    }

    /// The nodes with a head that counts them, and room for so many more behind them.
    fn take_nodes(&mut self, behind: usize) -> Vec<Node> {
        let count = self.nodes.len();
        let mut nodes = if size_of_val(self.nodes.as_slice()) >= HAND_OVER {
            std::mem::take(&mut self.nodes)
        } else {
            let mut copy = Vec::with_capacity(count + behind);
            copy.extend_from_slice(&self.nodes);
            copy
        };
        self.reset();
        nodes.resize(count + behind, Node::HEAD);
        if let Some(head) = nodes.first_mut() {
            head.len = count;
        }
        nodes
    }

    /// Lists the positions of children that are not adjacent.
    fn link(&mut self) -> Vec<u32> {
        let mut table: Vec<u32> = Vec::new();
        if !self.nested {
            return table;
        }
        self.cursors.clear();
        for node in self.nodes.iter_mut().skip(1) {
            let depth = position(node.depth);
            if let Some(cursor) = depth.checked_sub(1).and_then(|above| self.cursors.get_mut(above)) {
                if let Some(slot) = table.get_mut(*cursor) {
                    *slot = node.index;
                    *cursor += 1;
                }
            }
            let children = node.child_count();
            if children > 0 {
                self.cursors.truncate(depth);
                self.cursors
                    .push(if node.children == 0 { ADJACENT } else { table.len() });
            }
            if node.children != 0 {
                node.children = u32::try_from(table.len() + 1).unwrap_or(u32::MAX);
                table.resize(table.len() + children, 0);
            }
        }
        table
    }

    /// Forgets the reply begun.
    pub(super) fn reset(&mut self) {
        self.nodes.clear();
        self.nodes.push(Node::HEAD);
        self.open.clear();
        (self.depth, self.muted, self.nested, self.first) = (0, 0, false, 0);
    }

    #[cfg(test)]
    pub(super) fn scratch(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>() + self.open.capacity() * size_of::<Frame>()
    }

    /// Gives back what one large reply left; only between replies.
    pub(super) fn trim(&mut self) {
        self.nodes.shrink_to(KEEP / size_of::<Node>());
        self.open.shrink_to(KEEP / size_of::<Frame>());
        self.cursors.clear();
        self.cursors.shrink_to(KEEP / size_of::<usize>());
    }
}

/// Turns offsets into addresses.
fn place(nodes: &mut [Node], base: usize) {
    for node in nodes.iter_mut().filter(|node| node.data != 0) {
        node.data = node.data.wrapping_add(base);
    }
}
