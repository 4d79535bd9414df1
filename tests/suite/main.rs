//! The library through its Rust API, against real servers and scripted peers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod balanced;
mod batches;
mod bulk;
mod cancelled;
mod clients;
mod counting;
mod crowded;
mod cuts;
mod deadlines;
mod dials;
mod discovery;
mod disorder;
mod durable;
mod eclipsed;
mod elsewhere;
mod events;
mod failover;
mod failures;
mod faults;
mod forks;
mod greeting;
mod hearing;
mod hostile;
mod isolation;
mod lanes;
mod leaks;
mod learnt;
mod lifecycle;
mod metrics;
mod modules;
mod nodes;
mod observe;
mod own_words;
mod pairing;
mod patience;
mod pending;
mod process;
mod refusals;
mod rendered;
mod renewals;
mod replicas;
mod replies;
mod rotation;
mod rows;
mod scans;
mod scripts;
mod secrets;
mod shutdown;
mod slots;
mod stale;
mod storm;
mod submitted;
mod subscription_ends;
mod subscription_gaps;
mod subscriptions;
mod support;
mod tls;
mod tls_handshakes;
mod tls_records;
mod tls_slow;
mod tls_storm;
mod tls_traffic;
mod trying;
mod turns;
mod updates;
