//! Many commands in one write.

use super::commands::{self, Class};
use super::learnt::{Learnt, unknown_name};
use super::life::{Commands, Life, Shape};
use super::replication::asked_by;
use super::terms::{CallOptions, has_name, unsupported};
use crate::base::error::{Error, Result};
use crate::resp::{encode, first_command};

/// Whether the commands of a batch run one by one or as one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchKind {
    /// One after the other.
    Pipeline,
    /// MULTI ... EXEC.
    Transaction,
}

/// Commands to be sent in one write. One thread at a time.
#[derive(Debug)]
pub struct Batch {
    kind: BatchKind,
    /// The commands as they go over the wire.
    encoded: Vec<u8>,
    len: usize,
    /// Names of commands that the table does not know, each once, in upper case.
    unknown: Vec<Vec<u8>>,
}

impl Batch {
    /// An empty batch.
    pub fn new(kind: BatchKind) -> Batch {
        Batch {
            kind,
            encoded: Vec::new(),
            len: 0,
            unknown: Vec::new(),
        }
    }

    /// Adds a command, copied. Commands that wait in the server or change the connection have no place in a batch.
    pub fn add(&mut self, args: &[&[u8]]) -> Result<()> {
        match commands::look_up(args) {
            Some(Class::Blocking) => Err(unsupported(args, "run it by itself: it would hold up the whole batch")),
            class => self.put(args, class),
        }
    }

    /// The same for one of a transaction, in which no command waits.
    pub(crate) fn add_queued(&mut self, args: &[&[u8]]) -> Result<()> {
        self.put(args, commands::look_up(args))
    }

    fn put(&mut self, args: &[&[u8]], class: Option<Class>) -> Result<()> {
        has_name(args)?;
        match class.unwrap_or(Class::Shared) {
            Class::Shared | Class::Blocking => {}
            Class::Confirming { instead } | Class::Stateful { instead } | Class::Never { instead } => {
                return Err(unsupported(args, instead));
            }
        }
        if let Some(name) = unknown_name(args, class) {
            if !self.unknown.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                self.unknown.push(name.to_ascii_uppercase());
            }
        }
        encode(&mut self.encoded, args);
        self.len += 1;
        Ok(())
    }

    /// What a call may not ask for with a batch.
    pub(crate) fn check(&self, call: &CallOptions) -> Result<()> {
        match call.is_confirmed() {
            false => Ok(()),
            true => Err(Error::invalid(
                asked_by(call),
                "a batch does not wait for replicas: use sentinel_command, or WAIT on an acquired connection",
            )),
        }
    }

    /// The life of a call that is this batch.
    pub(crate) fn life(&self, call: &CallOptions, learnt: &Learnt) -> Life {
        let shape = match self.kind {
            BatchKind::Pipeline => Shape::Pipeline(self.len),
            BatchKind::Transaction => Shape::Transaction(self.len),
        };
        learnt.recalled(Life::new(shape, call, false).asking(self.unknown.clone()))
    }

    /// Its kind.
    pub(crate) fn kind(&self) -> BatchKind {
        self.kind
    }

    /// All of it as it goes over the wire.
    pub(crate) fn parts(&self) -> [&[u8]; 3] {
        match self.kind {
            BatchKind::Pipeline => [b"", &self.encoded, b""],
            BatchKind::Transaction => [MULTI, &self.encoded, EXEC],
        }
    }

    /// Its commands alone, as they go over the wire.
    pub(super) fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// Commands added.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Removes all commands.
    pub fn clear(&mut self) {
        self.encoded.clear();
        self.len = 0;
        self.unknown.clear();
    }
}

/// Commands as they go over the wire, read only when something is to be decided about them.
pub(crate) struct Encoded<'a> {
    bytes: &'a [u8],
    learnt: &'a Learnt,
}

impl<'a> Encoded<'a> {
    pub(crate) fn new(bytes: &'a [u8], learnt: &'a Learnt) -> Encoded<'a> {
        Encoded { bytes, learnt }
    }
}

impl Commands for Encoded<'_> {
    fn show(&self, look: &mut dyn FnMut(&[&[u8]]) -> bool) {
        let mut rest = self.bytes;
        while let Some((args, behind)) = first_command(rest) {
            if !look(&args) {
                return;
            }
            rest = behind;
        }
    }

    fn only_read(&self) -> bool {
        let mut all = true;
        self.show(&mut |args| {
            all &= commands::is_read_only(args) || self.learnt.only_reads(args);
            all
        });
        all
    }
}

pub(crate) const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
pub(crate) const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_read_only_when_each_command_is() {
        let mut batch = Batch::new(BatchKind::Pipeline);
        let learnt = Learnt::default();
        let all_read = |batch: &Batch| Encoded::new(&batch.encoded, &learnt).only_read();
        assert!(all_read(&batch));
        batch.add(&[b"GET", b"k"]).unwrap();
        batch.add(&[b"LRANGE", b"list", b"0", &[b'x'; 100_000]]).unwrap();
        assert!(all_read(&batch));
        batch.add(&[b"SET", b"k", b"v"]).unwrap();
        assert!(!all_read(&batch));
    }
}
