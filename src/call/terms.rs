//! What a call asks for beyond its commands, and what a command is fit for.

use super::commands::{self, Class};
use crate::base::deadline::Deadline;
use crate::base::error::{Error, ErrorKind, Result};

/// How one call differs from the client's defaults.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallOptions {
    /// 0: the client's `timeout_ms`; -1: no limit; else a hard deadline, ms.
    pub timeout_ms: i64,
    /// Repeat even after outcome `Unknown`.
    pub retry_unknown: bool,
    /// Never repeat.
    pub no_retry: bool,
    /// Wait until so many replicas have the write.
    pub replicas: u32,
    /// Wait until the primary, and so many replicas, have it on disk.
    pub wait_aof: bool,
}

impl CallOptions {
    /// Whether a write must be confirmed.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.replicas > 0 || self.wait_aof
    }
}

/// Whether the command runs on a connection of its own; one that waits in the server may have a later deadline.
pub(crate) fn terms(args: &[&[u8]], class: Option<Class>, call: &CallOptions, deadline: &mut Deadline) -> Result<bool> {
    match class.unwrap_or(Class::Shared) {
        Class::Shared => Ok(false),
        Class::Blocking => {
            *deadline = blocking_deadline(args, call, *deadline);
            Ok(true)
        }
        Class::Confirming { instead } | Class::Stateful { instead } | Class::Never { instead } => {
            Err(unsupported(args, instead))
        }
    }
}

/// The command's own timeout extends the default deadline, never an explicit one.
pub(crate) fn blocking_deadline(args: &[&[u8]], call: &CallOptions, deadline: Deadline) -> Deadline {
    match commands::blocking_timeout(args) {
        Some(Some(own)) if call.timeout_ms == 0 => deadline
            .left()
            .map_or(Deadline::NEVER, |left| Deadline::after(left.checked_add(own))),
        Some(None) if call.timeout_ms == 0 => Deadline::NEVER,
        _ => deadline,
    }
}

/// Without a name the server would answer nothing at all.
pub(crate) fn has_name(args: &[&[u8]]) -> Result<()> {
    match args.first() {
        None => Err(Error::invalid("argc", "a command needs at least its name")),
        Some(_) => Ok(()),
    }
}

pub(crate) fn unsupported(args: &[&[u8]], instead: &str) -> Error {
    let kind = ErrorKind::UnsupportedCommand {
        command: commands::shown_name(args),
        instead: instead.to_owned(),
    };
    Error::new(kind)
}
