//! What a program holds: a deployment and what comes of it. Here the rooms below are wired together.

pub mod client;
pub mod connection;
mod deployment;
mod describe;
mod entrance;
mod json;
#[cfg(test)]
mod lending_tests;
mod metrics;
mod parts;
mod port;
mod runtime;
pub mod scan;
pub mod subscription;
pub mod trying;

pub use client::Client;
pub use connection::Connection;
pub use deployment::Deployment;
pub(crate) use port::Port;
pub use scan::Scan;
pub use subscription::Subscription;
pub use trying::Tried;
