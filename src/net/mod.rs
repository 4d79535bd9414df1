//! Name resolution, TCP, handshake, and the few unsafe lines to the kernel.

pub mod dial;
pub mod endpoint;
pub mod futex;
pub mod handshake;
pub mod sys;
pub mod wire;

pub use dial::DialError;
pub use endpoint::{AddressMap, Endpoint};
pub use handshake::{Greeted, Login};
pub use wire::{Wire, WireError};
