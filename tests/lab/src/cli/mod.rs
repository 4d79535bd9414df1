//! The verbs of the command line. Each returns the exit status, or what to tell the user.

mod child;
mod control;
mod demo;
mod run;

pub(crate) use control::ctl;
pub(crate) use demo::demo;
pub(crate) use run::run;
