//! Name resolution, TCP, TLS, handshake, and the few unsafe lines to the kernel.

pub mod accepted;
mod dial;
pub mod endpoint;
mod failure;
pub mod following;
pub mod handshake;
#[cfg_attr(all(target_os = "linux", not(feature = "portable")), path = "linux.rs")]
#[cfg_attr(any(not(target_os = "linux"), feature = "portable"), path = "portable.rs")]
mod kernel;
mod login;
mod lookup;
mod probe;
pub mod records;
mod role;
mod secure;
mod sessions;
mod settings;
pub mod socket;
pub mod stream;
pub mod sys;
pub mod tls;
mod transport;
mod vault;
pub mod wire;

pub use dial::addresses;
pub use endpoint::{AddressMap, Endpoint};
pub use failure::{DialError, plain};
pub use following::{Following, Link, Part, look, look_for_failover};
pub use handshake::{Greeted, Login};
pub use records::Records;
pub use role::Role;
pub use settings::{Credentials, Secret, TcpSettings, TlsSettings};
pub use socket::Socket;
pub use stream::Stream;
pub use tls::Tls;
pub use transport::Transport;
pub use vault::{Replacements, Vault};
pub use wire::{Wire, WireError};
#[cfg(test)]
mod stream_tests;
