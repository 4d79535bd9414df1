//! Redis and Valkey through Sentinel.
//!
//! [`Deployment`] knows a set of Sentinels; [`Deployment::primary_for`] and [`Deployment::replica_for`] give clients
//! that follow a service through its failovers. The C surface in `ffi` is a thin layer over these types.

pub mod base;
pub mod client;
pub mod completion;
mod deployment;
pub mod discovery;
pub mod ffi;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
#[cfg(test)]
#[path = "client/lending_tests.rs"]
mod lending_tests;
pub mod net;
pub mod observe;
pub mod options;
pub mod pool;
pub mod resp;
mod runtime;
pub mod topology;

pub use base::error::{Error, ErrorKind, Outcome, Reason, Result};
pub use client::{CallOptions, Client};
pub use deployment::Deployment;
pub use options::Options;
