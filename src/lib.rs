//! Redis and Valkey through Sentinel.
//!
//! [`Deployment`] knows a set of Sentinels; [`Deployment::primary_for`] and [`Deployment::replica_for`] give clients
//! that follow a service through its failovers. The C surface in `ffi` is a thin layer over these types.

pub mod base;
pub mod call;
pub mod completion;
pub mod discovery;
pub mod ffi;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod handles;
pub mod net;
pub mod observe;
pub mod options;
#[cfg(doctest)]
pub mod ownership;
pub mod pool;
pub mod resp;
pub mod serve;
pub mod topology;

pub use base::deadline::Deadline;
pub use base::error::{Error, ErrorKind, Outcome, Reason, Result};
pub use call::{Batch, BatchKind, CallOptions, Script};
pub use handles::{Client, Connection, Deployment, Scan, Subscription, Tried};
pub use options::Options;
