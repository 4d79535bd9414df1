//! Replies made by hand.

use super::node::Kind;
use super::reply::{Reply, Value};
use super::tree::{Leaf, Tree};

/// Bytes from which on they are handed over instead of copied behind the nodes.
const SMALL: usize = 16 * 1024;

/// Makes a [`Reply`] that no server sent: the results of a batch, an event, a list for the C surface.
///
/// Elements are added depth first; an aggregate takes as many of the following ones as it was begun with.
///
/// ```
/// # use sentinel::resp::Builder;
/// let mut builder = Builder::new();
/// builder.array(2).string(b"switched").integer(7);
/// let reply = builder.finish().expect("an array of two has two elements");
/// assert_eq!(reply.at(1).expect("second").integer(), 7);
/// ```
#[derive(Debug)]
pub struct Builder {
    tree: Tree,
    /// Every text with a NUL behind it. Offsets handed to the tree are one more, as 0 means none there.
    bytes: Vec<u8>,
    /// Something was added behind a whole root.
    overfull: bool,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}

impl Builder {
    /// A builder without a root.
    pub fn new() -> Builder {
        Builder {
            tree: Tree::new(),
            bytes: Vec::new(),
            overfull: false,
        }
    }

    /// Begins an array; the next `n` elements are in it.
    pub fn array(&mut self, n: usize) -> &mut Builder {
        self.aggregate(Kind::Array, n)
    }

    /// Begins a map; the next `pairs` keys and values, alternating, are in it.
    pub fn map(&mut self, pairs: usize) -> &mut Builder {
        self.aggregate(Kind::Map, pairs)
    }

    /// Begins a push; the next `n` elements are in it.
    pub fn push(&mut self, n: usize) -> &mut Builder {
        self.aggregate(Kind::Push, n)
    }

    /// Begins a set; the next `n` elements are in it.
    pub fn set(&mut self, n: usize) -> &mut Builder {
        self.aggregate(Kind::Set, n)
    }

    /// Adds a status such as `OK`.
    pub fn status(&mut self, text: &[u8]) -> &mut Builder {
        self.text(Leaf::new(Kind::Status), b"", text)
    }

    /// Adds a string; any bytes.
    pub fn string(&mut self, bytes: &[u8]) -> &mut Builder {
        self.text(Leaf::new(Kind::String), b"", bytes)
    }

    /// Adds an error, its code first: `NOTSENT the connection was cut`.
    pub fn error(&mut self, text: &[u8]) -> &mut Builder {
        self.text(Leaf::new(Kind::Error), b"", text)
    }

    /// Adds an integer.
    pub fn integer(&mut self, integer: i64) -> &mut Builder {
        self.leaf(Leaf {
            integer,
            ..Leaf::new(Kind::Integer)
        })
    }

    /// Adds a double, with the text that a server would send for it.
    pub fn double(&mut self, number: f64) -> &mut Builder {
        let text = match number.abs() {
            _ if number.is_nan() => "nan".to_owned(),
            size if size != 0.0 && !(1e-5..1e17).contains(&size) && size.is_finite() => format!("{number:e}"),
            _ => number.to_string(),
        };
        self.text(
            Leaf {
                number,
                ..Leaf::new(Kind::Double)
            },
            b"",
            text.as_bytes(),
        )
    }

    /// Adds a boolean.
    pub fn boolean(&mut self, value: bool) -> &mut Builder {
        self.leaf(Leaf {
            integer: i64::from(value),
            ..Leaf::new(Kind::Bool)
        })
    }

    /// Adds a nil.
    pub fn nil(&mut self) -> &mut Builder {
        self.leaf(Leaf::new(Kind::Nil))
    }

    /// Adds a copy of a value with everything in it, of whatever kind.
    pub fn copy(&mut self, value: Value<'_>) -> &mut Builder {
        for value in value.subtree() {
            let node = value.node();
            let leaf = Leaf {
                integer: node.integer,
                number: node.number,
                ..Leaf::new(value.kind())
            };
            if value.kind().is_aggregate() {
                self.aggregate(value.kind(), value.len());
            } else if let Some(format) = value.verbatim_format() {
                self.text(leaf, &[format, b":"].concat(), value.data());
            } else if node.data != 0 {
                self.text(leaf, b"", value.data());
            } else {
                self.leaf(leaf);
            }
        }
        self
    }

    /// The reply; `None` when there is no root, an aggregate lacks elements, or something was added behind the root.
    pub fn finish(mut self) -> Option<Reply> {
        if self.overfull || !self.tree.is_whole() {
            return None;
        }
        if self.bytes.len() < SMALL {
            return Some(self.tree.seal_small(&self.bytes, 1, &mut None));
        }
        self.bytes.shrink_to_fit();
        let base = self.bytes.as_ptr().expose_provenance().wrapping_sub(1);
        Some(self.tree.seal(self.bytes, base))
    }

    fn aggregate(&mut self, kind: Kind, len: usize) -> &mut Builder {
        self.overfull |= self.tree.is_whole();
        let children = if kind == Kind::Map { len.saturating_mul(2) } else { len };
        self.tree.aggregate(kind, children);
        self
    }

    fn text(&mut self, leaf: Leaf, prefix: &[u8], text: &[u8]) -> &mut Builder {
        self.bytes.extend_from_slice(prefix);
        let data = self.bytes.len() + 1;
        self.bytes.extend_from_slice(text);
        self.bytes.push(0);
        self.leaf(Leaf {
            data,
            len: text.len(),
            ..leaf
        })
    }

    fn leaf(&mut self, leaf: Leaf) -> &mut Builder {
        self.overfull |= self.tree.is_whole();
        self.tree.leaf(leaf);
        self
    }
}
