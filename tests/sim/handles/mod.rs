//! The room `handles` over the simulation's own thread.

#[path = "../../../src/handles/client.rs"]
pub mod client;
#[path = "../../../src/handles/connection.rs"]
pub mod connection;
#[path = "../../../src/handles/entrance.rs"]
mod entrance;
#[path = "../../../src/handles/parts.rs"]
mod parts;
pub(crate) mod runtime;
#[path = "../../../src/handles/scan.rs"]
pub mod scan;
#[path = "../../../src/handles/subscription.rs"]
pub mod subscription;
#[path = "../../../src/handles/trying.rs"]
pub mod trying;

pub use client::Client;
pub use connection::Connection;
pub use scan::Scan;
pub use subscription::Subscription;
pub use trying::Tried;
