//! The commands of a transaction, between MULTI and EXEC.

use super::failure;
use super::form::form_within;
use super::listening::kind_of;
use super::session::{is_ours, misfit};
use super::slots::Part;
use crate::call::commands::shown_name;
use crate::call::{Batch, BatchKind};

/// Gathered, and sent at once when they are executed.
#[derive(Debug)]
pub(super) struct Gathered {
    batch: Batch,
    parts: Vec<Part>,
    bytes: usize,
    most: usize,
    /// One was refused: none is executed.
    spoilt: bool,
}

impl Gathered {
    /// None yet, and `most` bytes at most.
    pub(super) fn new(most: usize) -> Gathered {
        Gathered {
            batch: Batch::new(BatchKind::Transaction),
            parts: Vec::new(),
            bytes: 0,
            most,
            spoilt: false,
        }
    }

    /// Adds a command; why it is refused. `instead`: what to use in its place on any socket.
    pub(super) fn add(&mut self, args: &[&[u8]], instead: Option<&str>) -> Result<(), Vec<u8>> {
        let added = self.try_add(args, instead);
        self.spoilt |= added.is_err();
        added
    }

    /// None is executed.
    pub(super) fn spoil(&mut self) {
        self.spoilt = true;
    }

    fn try_add(&mut self, args: &[&[u8]], instead: Option<&str>) -> Result<(), Vec<u8>> {
        // A part that is answered here still takes its place.
        self.bytes += args.iter().map(|arg| arg.len() + 64).sum::<usize>();
        if self.bytes > self.most {
            return Err(format!("ERR the transaction is larger than {} bytes", self.most).into());
        }
        if is_ours(args) {
            if let Some(text) = misfit(args) {
                return Err(text.into());
            }
            let own = args.iter().map(|arg| arg.to_vec()).collect();
            self.parts.push(Part::Local(own));
            return Ok(());
        }
        if args.first().is_some_and(|name| kind_of(name).is_some()) {
            let name = shown_name(args);
            let text = format!(
                "ERR {name} inside MULTI is not possible on this socket: say it in front of MULTI or behind EXEC"
            );
            return Err(text.into());
        }
        if let Some(instead) = instead {
            let text = format!("ERR {} cannot run on this socket: {instead}", shown_name(args));
            return Err(text.into());
        }
        self.batch
            .add_queued(args)
            .map_err(|error| failure::text(&error).into_owned())?;
        self.parts.push(Part::Remote(form_within(args)));
        Ok(())
    }

    /// Whether a watched key was changed only a server can tell, also of a transaction that asks it for nothing.
    pub(super) fn ask_something(&mut self) {
        if self.batch.is_empty() {
            let _ = self.batch.add_queued(&[b"PING"]);
        }
    }

    pub(super) fn batch(&self) -> &Batch {
        &self.batch
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether some of it is answered here: with what was said before it, and not with what is said behind it.
    pub(super) fn has_own(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Local(_)))
    }

    pub(super) fn is_spoilt(&self) -> bool {
        self.spoilt
    }

    pub(super) fn into_parts(self) -> Vec<Part> {
        self.parts
    }
}
