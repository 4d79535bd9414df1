//! RESP, the protocol of Redis and Valkey: commands to bytes, bytes to replies.
//!
//! Nothing here does I/O. [`Decoder`] takes bytes in whatever pieces they come and gives whole replies; a [`Reply`] is
//! an immutable tree in one array of nodes, so that the C surface can hand it out as it is; [`Builder`] makes the
//! replies that no server sent (batch results, events).

mod build;
mod decode;
mod encode;
mod gather;
mod inbox;
mod limits;
mod node;
mod reply;
mod room;
mod said;
mod scalar;
mod short;
mod shown;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod tree;

pub use build::Builder;
pub use decode::Decoder;
pub use encode::{LARGE, Request, control, encode, encoded_len, first_command};
pub use limits::{DecodeError, Limits};
pub use node::{Kind, Node};
pub use reply::{Reply, Rest, Value, View};
pub use room::Room;
pub use said::Said;
pub use short::Rooms;
