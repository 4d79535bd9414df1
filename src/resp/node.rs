//! A value of a reply, as it lies in memory.

/// What a value is. The numbers are those of the C header and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Kind {
    /// No value, however it was spelt (`_`, `$-1`, `*-1`).
    Nil = 0,
    /// A line such as `OK`.
    Status = 1,
    /// Any bytes.
    String = 2,
    /// A number of 64 bits.
    Integer = 3,
    /// A floating point number; its text is kept too.
    Double = 4,
    /// True or false.
    Bool = 5,
    /// A list.
    Array = 6,
    /// Pairs in the order they came, duplicates included.
    Map = 7,
    /// A list whose elements the server calls distinct.
    Set = 8,
    /// Text with a format of three bytes.
    Verbatim = 9,
    /// A number of any size, as text.
    BigNumber = 10,
    /// A message that no command asked for.
    Push = 11,
    /// An error, its code the first word.
    Error = 12,
}

impl Kind {
    pub(super) fn of(number: i32) -> Kind {
        match number {
            1 => Kind::Status,
            2 => Kind::String,
            3 => Kind::Integer,
            4 => Kind::Double,
            5 => Kind::Bool,
            6 => Kind::Array,
            7 => Kind::Map,
            8 => Kind::Set,
            9 => Kind::Verbatim,
            10 => Kind::BigNumber,
            11 => Kind::Push,
            12 => Kind::Error,
            _ => Kind::Nil,
        }
    }

    /// Whether values of this kind have elements instead of data.
    pub fn is_aggregate(self) -> bool {
        matches!(self, Kind::Array | Kind::Map | Kind::Set | Kind::Push)
    }
}

/// One value of a reply, as C sees it: the first six fields are `sentinel_reply_node_t`.
#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Node {
    /// A [`Kind`] as its number.
    pub kind: i32,
    /// 0 for the root.
    pub depth: u32,
    /// Bytes of data, or direct children: elements, or keys and values of a map.
    pub len: usize,
    /// Address of the first byte of data, a NUL behind the last; 0 for kinds without data. Valid as long as the reply.
    pub data: usize,
    /// The number of an integer, 0 or 1 of a boolean.
    pub integer: i64,
    /// The number of a double.
    pub number: f64,
    /// Position among the nodes, head included: the node lies so many nodes behind the head.
    pub index: u32,
    /// 0: the children follow one another right behind this node. Else one more than where the list of their positions
    /// begins in the reply's table. Of an error, which has none: a [`Said`](super::said::Said) as its number.
    pub(crate) children: u32,
}

impl Node {
    /// What stands in front of every root.
    pub(super) const HEAD: Node = Node {
        kind: -1,
        depth: 0,
        len: 0,
        data: 0,
        integer: 0,
        number: 0.0,
        index: 0,
        children: 0,
    };
    pub(super) const NIL: Node = Node {
        kind: 0,
        index: 1,
        ..Node::HEAD
    };

    /// Nodes directly below this one: twice the pairs of a map.
    pub(super) fn child_count(&self) -> usize {
        match Kind::of(self.kind) {
            Kind::Array | Kind::Set | Kind::Push | Kind::Map => self.len,
            _ => 0,
        }
    }
}

/// A 32-bit position as an index; no target here has a smaller `usize`.
pub(super) fn position(index: u32) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}
