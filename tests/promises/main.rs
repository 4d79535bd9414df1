//! The promises of the design, each as a test that can fail, on real servers where a real server can show it.
//!
//! Bounds are relative to what the Sentinels published, as the test itself heard it, and allow for what the machine was
//! late by at that moment ([`noise`]). Each run prints its figures. `RUNS` is how often the measured failovers are
//! repeated, `DOWN_SECONDS` how long everything stays down.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap
)]

mod apart;
mod books;
mod cpu;
mod epochs;
mod events;
mod fleet;
mod identity;
mod kill;
mod links;
mod manners;
mod manual_failover;
mod names;
mod netns;
mod noise;
mod partition;
mod replaced;
mod sentinels;
mod sharing;
mod stop;
mod support;
mod writer;
