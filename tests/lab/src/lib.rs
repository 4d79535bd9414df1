//! What the tests of the library run against: real Redis and Sentinel processes on loopback ([`Topology`]), peers that
//! follow a script ([`Peer`], [`FakeSentinel`], [`FakeNode`]), a TCP proxy that injects faults ([`Proxy`]) and one that is
//! slow ([`Bottleneck`]).
//!
//! Everything here panics when it cannot do what it was asked to: a test has no use for a half-built laboratory.

mod acceptor;
mod bottleneck;
mod certificates;
mod chart;
mod client;
mod config;
mod fake_node;
mod fake_sentinel;
mod gate;
mod link;
mod peer;
mod ports;
mod process;
mod program;
mod proxy;
mod pubsub;
mod server;
mod session;
mod settled;
mod stats;
mod topology;
mod wait;
mod wire;

pub use bottleneck::Bottleneck;
pub use certificates::{Authority, Identity};
pub use chart::Chart;
pub use client::Control;
pub use config::{Config, Tls};
pub use fake_node::{FakeNode, FakeNodeBuilder, NodeView, Role};
pub use fake_sentinel::{FakeReplica, FakeSentinel, FakeSentinelBuilder, Mode, SentinelView};
pub use link::Cut;
pub use peer::{Peer, Received};
pub use ports::{BlackHole, Port, free_port};
pub use process::spawn_bound;
pub use program::{servers_are_valkey, servers_since, skipped_before, skipped_where};
pub use proxy::Proxy;
pub use server::Server;
pub use session::Session;
pub use stats::{count_fds, count_threads, cpu_time, process_exists};
pub use topology::Topology;
pub use wait::{SetOnDrop, wait_for, wait_until};
pub use wire::Value;
