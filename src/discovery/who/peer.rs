//! One of the Sentinels that are ours.

use std::time::Instant;

use crate::net::Endpoint;

/// What became of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The others told of it.
    Learnt(Endpoint),
    /// Nobody lists it any more, and it is down.
    Forgotten(Endpoint),
    /// The same Sentinel is elsewhere now.
    Moved(Endpoint, Endpoint),
    /// Whoever answers at this address is none of ours.
    Stranger(Endpoint),
}

/// One of ours.
#[derive(Debug)]
pub(super) struct Peer {
    /// Where it was last, by what the others say.
    pub(super) at: Option<Endpoint>,
    /// Every live Sentinel that lists it holds it to be down.
    pub(super) down: bool,
    /// When a live Sentinel listed it last, or it spoke itself.
    pub(super) known: Instant,
    /// How often its address was tried in vain.
    pub(super) tries: u32,
}

impl Peer {
    pub(super) fn new(at: Option<Endpoint>, now: Instant) -> Peer {
        Peer {
            at,
            down: false,
            known: now,
            tries: 0,
        }
    }

    /// It is there now.
    pub(super) fn is_at(&mut self, at: Endpoint) -> Option<Change> {
        if self.at.as_ref() == Some(&at) {
            return None;
        }
        self.tries = 0;
        let from = self.at.replace(at.clone())?;
        Some(Change::Moved(from, at))
    }
}
