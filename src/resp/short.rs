//! The reply that most calls get: one short string, or OK, that has come whole. It is made where its caller wants it, and
//! without the tree in which all other replies grow: for a call on a lane that was half of what sentinel-io had to do.

use std::cell::Cell;

use super::node::{Kind, Node};
use super::reply::Reply;
use super::room::{ROOM, Room};
use super::scalar;

/// Bytes in a [`Room`] for the text of one string and the NUL behind it.
const TEXT: usize = (ROOM - 2) * size_of::<Node>();

/// Whether to bring room: not after a reply that did not fit, for the next one will be like it.
#[derive(Debug, Default)]
pub struct Rooms {
    last_was_large: Cell<bool>,
}

impl Rooms {
    /// What to bring for the next reply.
    pub fn bring(&self) -> Option<Room> {
        (!self.last_was_large.get()).then(Room::new)
    }

    /// This reply came.
    pub fn saw(&self, reply: &Reply) {
        self.last_was_large.set(!reply.fits_room());
    }
}

/// The reply at the front of `live`, of at most `most` bytes, made in `room`, and the bytes that it took. `None`: there
/// is no room, it is another kind of reply, or it has not come whole; then nothing is changed.
pub(super) fn read(live: &[u8], most: usize, room: &mut Option<Room>) -> Option<(Reply, usize)> {
    let (kind, begin, len) = header(live)?;
    let end = begin + len;
    let text = live.get(begin..end)?;
    if len >= TEXT || len > most || live.get(end..end + 2) != Some(b"\r\n") {
        return None;
    }
    let mut nodes = room.take()?.nodes();
    let [head, root, behind @ ..] = &mut *nodes else {
        return None;
    };
    let place: &mut [u8] = bytemuck::cast_slice_mut(behind);
    let data = place.as_ptr().expose_provenance();
    let (to, nul) = place.split_at_mut_checked(len)?;
    to.copy_from_slice(text);
    *nul.first_mut()? = 0;
    *root = Node {
        kind: kind as i32,
        len,
        data,
        index: 1,
        ..Node::HEAD
    };
    head.len = 2;
    Some((Reply::new(nodes, None), end + 2))
}

/// What it is, where its text begins and how long that is.
fn header(live: &[u8]) -> Option<(Kind, usize, usize)> {
    match live {
        [b'$', line @ ..] => {
            let (len, size) = scalar::short_integer(line)?;
            Some((Kind::String, 1 + size, usize::from(len)))
        }
        [b'+', b'O', b'K', b'\r', b'\n', ..] => Some((Kind::Status, 1, 2)),
        _ => None,
    }
}
