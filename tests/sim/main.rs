//! The data path over a simulated kernel: lanes, direct connections, leases, TLS, keepers and sentries are the library's
//! own sources, compiled here over sockets, locks and a clock that a seed drives. Model servers count what they execute,
//! and the program that calls knows what it was promised.
//!
//! So is discovery, among Sentinels that die, move and come back as somebody else (`WORLD=sentinels`).
//!
//! `SEED=n` runs one with its story, `SEEDS=n` so many, `FROM=n` from that one on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stderr,
    clippy::print_stdout,
    dead_code,
    unused_imports,
    missing_docs,
    reason = "the library's sources bring what no simulation uses"
)]

mod base;
#[path = "../../src/call/mod.rs"]
mod call;
mod completion;
#[path = "../../src/discovery/mod.rs"]
mod discovery;
mod handles;
mod net;
#[path = "../../src/observe/mod.rs"]
mod observe;
#[path = "../../src/options/mod.rs"]
mod options;
#[path = "../../src/pool/mod.rs"]
mod pool;
#[path = "../../src/resp/mod.rs"]
mod resp;
#[path = "../../src/topology.rs"]
mod topology;

mod kernel;
mod ledger;
mod network;
mod node;
mod plan;
mod processes;
mod program;
mod random;
mod run;
mod sentinels;

fn main() {
    std::process::exit(processes::main());
}
