//! The room `net` with a simulated kernel below it: its own sources but for those that make system calls.

#[path = "../../../src/net/dial.rs"]
mod dial;
#[path = "../../../src/net/endpoint.rs"]
pub mod endpoint;
#[path = "../../../src/net/failure.rs"]
mod failure;
#[path = "../../../src/net/following.rs"]
pub mod following;
#[path = "../../../src/net/handshake.rs"]
pub mod handshake;
#[path = "../../../src/net/login.rs"]
mod login;
mod lookup;
#[path = "../../../src/net/probe.rs"]
mod probe;
#[path = "../../../src/net/records.rs"]
pub mod records;
#[path = "../../../src/net/role.rs"]
mod role;
#[path = "../../../src/net/secure.rs"]
mod secure;
#[path = "../../../src/net/sessions.rs"]
mod sessions;
#[path = "../../../src/net/settings.rs"]
mod settings;
pub mod socket;
#[path = "../../../src/net/stream.rs"]
pub mod stream;
pub mod sys;
#[path = "../../../src/net/tls.rs"]
pub mod tls;
#[path = "../../../src/net/transport.rs"]
mod transport;
#[path = "../../../src/net/vault.rs"]
mod vault;
#[path = "../../../src/net/wire.rs"]
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
