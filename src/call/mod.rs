//! One call's life: deadline, route, outcome, retry.

pub mod batch;
pub mod commands;
pub(crate) mod events;
pub mod learnt;
pub(crate) mod life;
#[cfg(test)]
mod life_tests;
pub(crate) mod meaning;
pub(crate) mod reading;
pub(crate) mod replication;
pub mod script;
pub mod terms;
pub(crate) mod waiting;
pub(crate) mod walk;

pub use batch::{Batch, BatchKind};
pub use learnt::Learnt;
pub(crate) use meaning::of_element;
pub use script::Script;
pub use terms::CallOptions;
