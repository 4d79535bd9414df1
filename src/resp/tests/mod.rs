//! Tests of the protocol as a whole; what they share.

mod differential;
mod encoding;
mod gathering;
mod growth;
mod hostile;
mod replies;
mod splits;
mod types;

use super::{DecodeError, Decoder, Kind, Limits, Reply};

/// What only the tests look at.
impl Decoder {
    /// Bytes looked at so far, each time counted.
    pub(super) fn examined(&self) -> usize {
        self.state.examined
    }

    /// Where the buffer stands now.
    pub(super) fn live_address(&mut self) -> usize {
        self.inbox.live().as_ptr().addr()
    }

    /// Bytes moved within the buffer so far.
    pub(super) fn moved(&self) -> usize {
        self.inbox.moved
    }

    /// Bytes held for nodes to come.
    pub(super) fn scratch(&self) -> usize {
        self.state.tree.scratch()
    }
}

/// What one value is, without its address; the depth first list of these is a tree.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    kind: Kind,
    depth: u32,
    len: usize,
    data: Vec<u8>,
    integer: i64,
    number: u64,
    format: Vec<u8>,
}

pub(super) fn shape(reply: &Reply) -> Vec<Shape> {
    let value = |index| reply.value(index).unwrap();
    (1..=u32::try_from(reply.nodes().len()).unwrap())
        .map(value)
        .map(|value| Shape {
            kind: value.kind(),
            depth: value.node().depth,
            len: value.node().len,
            data: value.data().to_vec(),
            integer: value.integer(),
            number: value.double().to_bits(),
            format: value.verbatim_format().unwrap_or_default().to_vec(),
        })
        .collect()
}

/// Everything that a reply promises about its nodes and bytes, checked for one reply.
pub(super) fn check(reply: &Reply) {
    let all = reply.view().nodes_with_head();
    assert_eq!(all[0].index, 0);
    assert_eq!(all.len(), reply.nodes().len() + 1);
    for (index, node) in all.iter().enumerate().skip(1) {
        assert_eq!(node.index as usize, index);
        let value = reply.value(node.index).unwrap();
        let has_text = matches!(
            value.kind(),
            Kind::Status | Kind::String | Kind::Error | Kind::Double | Kind::BigNumber | Kind::Verbatim
        );
        assert_eq!(node.data != 0, has_text, "{value:?}");
        if has_text {
            assert_eq!(value.data().len(), node.len);
            assert_eq!(value.data().as_ptr().addr(), node.data);
            assert_eq!(reply.byte_behind(node), Some(0), "no NUL behind {value:?}");
        }
        // Children as listed, compared with the nodes that lie one deeper.
        let listed: Vec<u32> = value.elements().map(|child| child.node().index).collect();
        let below = value
            .subtree()
            .skip(1)
            .filter(|child| child.node().depth == node.depth + 1);
        assert_eq!(listed, below.map(|child| child.node().index).collect::<Vec<_>>());
        assert_eq!(
            listed.len(),
            if value.kind() == Kind::Map {
                2 * value.len()
            } else {
                value.len()
            }
        );
        assert!(value.at(listed.len()).is_none());
    }
}

/// All replies in `bytes`, or the first error.
pub(super) fn decode_all(bytes: &[u8], limits: Limits) -> Result<Vec<Reply>, DecodeError> {
    let mut decoder = Decoder::new(limits);
    decoder.feed(bytes);
    let mut replies = Vec::new();
    while let Some(reply) = decoder.next()? {
        check(&reply);
        replies.push(reply);
    }
    assert!(
        decoder.is_empty(),
        "bytes are left: {:?}",
        bytes.escape_ascii().to_string()
    );
    Ok(replies)
}

/// The one reply that `bytes` are.
pub(crate) fn decode(bytes: &[u8]) -> Reply {
    let mut replies = decode_all(bytes, Limits::default()).unwrap();
    assert_eq!(replies.len(), 1, "{:?}", bytes.escape_ascii().to_string());
    replies.remove(0)
}

/// The error that `bytes` end in.
pub(super) fn error(bytes: &[u8], limits: Limits) -> DecodeError {
    let mut decoder = Decoder::new(limits);
    decoder.feed(bytes);
    loop {
        match decoder.next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("no error in {:?}", bytes.escape_ascii().to_string()),
            Err(error) => return error,
        }
    }
}
