//! Memory that a caller brings for its reply.

use super::node::Node;

/// Memory for one short reply, from the thread that will free it: what one thread allocates and another frees costs both
/// of them more than decoding it.
#[derive(Debug)]
pub struct Room(Box<[Node]>);

/// Nodes in a [`Room`].
pub(super) const ROOM: usize = 6;

impl Room {
    /// Takes it from the heap.
    #[allow(clippy::new_without_default, reason = "nothing here is a default")]
    pub fn new() -> Room {
        // Filled where it lies; an array would be made on the stack and copied.
        Room(vec![Node::HEAD; ROOM].into_boxed_slice())
    }

    /// Whether a reply of so many nodes, with what lies behind them, finds its place.
    pub(super) fn holds(nodes: usize) -> bool {
        nodes <= ROOM
    }

    /// Its nodes.
    pub(super) fn nodes(self) -> Box<[Node]> {
        self.0
    }

    /// Its nodes, when it holds so many.
    pub(super) fn take(room: &mut Option<Room>, nodes: usize) -> Option<Box<[Node]>> {
        let room = room.take_if(|_| Room::holds(nodes))?;
        Some(room.0)
    }
}
