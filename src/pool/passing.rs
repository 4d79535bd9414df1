//! Connections that go over from a thread to sentinel-io.

use std::sync::Arc;
use std::time::Duration;

use super::direct::Direct;
use super::flight::{Call, Sink};
use super::lane::Lane;
use super::silence::Patience;
use crate::base::clock::Moment;
use crate::resp::Request;

/// Where a call took longer than its thread waited the next ones may, and each costs a connection: so long none is begun.
const AFTER_SLOW: Duration = Duration::from_millis(250);

/// What is due on a connection that is passed on.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) call: Call,
    /// Where in the stream its request begins.
    pub(super) begin: u64,
    /// What is left of it to be handed to the kernel.
    pub(super) rest: Vec<u8>,
}

/// A connection on its way to sentinel-io.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(super) direct: Box<Direct>,
    pub(super) lane: Arc<Lane>,
    pub(super) due: Option<Due>,
}

/// Those of a pool.
#[derive(Debug, Default)]
pub(super) struct Passing {
    /// They wait for the keeper.
    pub(super) passed: Vec<Passed>,
    /// When one was passed on last, and how many have not done what was due on them.
    pub(super) last: Option<Moment>,
    pub(super) away: usize,
    /// Somebody would have had a connection at once, had there been another one.
    pub(super) missed: bool,
}

impl Passing {
    /// Whether calls take longer than threads wait, as far as the last ones tell.
    pub(super) fn is_slow(&self, most: usize) -> bool {
        let lately = self.last.is_some_and(|at| !Moment::now().is_beyond(at, AFTER_SLOW));
        lately || self.away >= most
    }
}

impl Passed {
    /// The lane that it is from now on.
    pub(crate) fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    /// It carries this call.
    pub(crate) fn carry(&self, id: u64) {
        self.lane.carry(id);
    }

    /// The last request that was begun on it is that of this call.
    pub(crate) fn owes(&mut self, id: u64, request: &Request<'_>, patience: Patience) {
        let mut rest = Vec::with_capacity(request.size());
        request.append(&mut rest);
        let begun = self.direct.begun();
        rest.drain(..begun.from.min(rest.len()));
        let call = Call {
            sink: Sink::Call(id, None),
            bytes: request.size(),
            apart: None,
            missing: 1,
            gathers: false,
            patience,
        };
        self.due = Some(Due {
            call,
            begin: begun.begin,
            rest,
        });
    }
}
